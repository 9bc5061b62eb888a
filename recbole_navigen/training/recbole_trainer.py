"""`Trainer` and `get_trainer` as RecBole's own loop calls them, in plain Python."""

from typing import Any

from recbole.config import Config
from recbole.trainer import Trainer as RecBoleTrainer
from recbole.utils import ModelType
from torch import nn

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.config.models import parts_of
from recbole_navigen.training.sft import NaviGenTrainer
from recbole_navigen.training.trainer import SafeCheckpoint, safe_trainer
from recbole_navigen.training.trainer import get_trainer as trainer_of
from recbole_navigen.training.user_rows import UserRowTrainer


class Trainer(SafeCheckpoint, RecBoleTrainer):
    """RecBole's Trainer with checkpoints that are no pickles. For a NaviGen and for user rows, the trainer of those."""

    def __new__(cls, config: Config, model: nn.Module) -> Any:
        own = trainer_of(config, model) if cls is Trainer else cls
        return own(config, model) if issubclass(own, NaviGenTrainer | UserRowTrainer) else super().__new__(cls)


def get_trainer(model_type: ModelType, model_name: str) -> type[RecBoleTrainer]:
    """The trainer class of a model, by RecBole's arguments.

    Args:
        model_type: `config["MODEL_TYPE"]`. model_name: `config["model"]`.
    """
    if (own := parts_of(model_name).trainer) is not None:
        return own
    stock = safe_trainer(model_type, model_name)
    return Trainer if stock.__bases__[-1] is RecBoleTrainer else stock

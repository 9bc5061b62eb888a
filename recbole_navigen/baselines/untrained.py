"""What models that learn nothing share, so that RecBole's trainers and evaluation take them."""

import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType, ModelType
from torch import Tensor, nn

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.training.trainer import safe_trainer


class Untrained(SequentialRecommender):
    """A model whose `full_sort_predict` is all there is; subclasses give it.

    Args:
        config: RecBole's config. dataset: the training part of the data set.
    """

    input_type = InputType.POINTWISE

    def __init__(self, config: Config, dataset: Dataset):
        super().__init__(config, dataset)
        self._nothing = nn.Parameter(torch.zeros(1))  # RecBole's trainers want something to train

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Zero: there is nothing to learn."""
        return self._nothing.sum() * 0

    def predict(self, interaction: Interaction) -> Tensor:
        """Score of one given item a row, shape (B,)."""
        return self.full_sort_predict(interaction).gather(1, interaction[self.ITEM_ID][:, None])[:, 0]


# One epoch that does nothing, as RecBole's own models without training have it.
UntrainedTrainer = safe_trainer(ModelType.TRADITIONAL, "Untrained")

"""Any finished run with all that it was made of, as RecBole's `load_data_and_model` gives it."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import torch
from recbole.utils import init_seed

from recbole_navigen.artefacts import read_record
from recbole_navigen.config import Config
from recbole_navigen.config.calls import checks
from recbole_navigen.config.models import parts_of
from recbole_navigen.config.settings import RunSettings
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.devices import AUTO, resolve_device
from recbole_navigen.runs.layout import CHECKPOINT, STARTED
from recbole_navigen.runs.load import refuse_other_data, run_config
from recbole_navigen.runs.result import read_result
from recbole_navigen.runs.user_code import code_hash
from recbole_navigen.training.checkpoint import load_checkpoint, take_state
from recbole_navigen.training.trainer import build_model

logger = logging.getLogger(__name__)


class LoadedRun(NamedTuple):
    """A finished run, in the order in which RecBole's `load_data_and_model` returns it.

    Attributes:
        config: settings of the run; `config["run_dir"]` is its folder. model: at its best epoch, in evaluation mode.
        dataset: the whole data set. train_data, valid_data, test_data: the loaders of its split.
    """

    config: Config
    model: torch.nn.Module
    dataset: Any
    train_data: Any
    valid_data: Any
    test_data: Any


@checks(run_dir="path", device="str")
def load_run(run_dir: str | Path, device: str = AUTO, model: type | None = None) -> LoadedRun:
    """Load a finished run of any model: `config, model, dataset, train_data, valid_data, test_data = load_run(folder)`.

    Args:
        run_dir: the folder of the run, `saved/RUN`.
        device: auto (CUDA if there is any), cpu, cuda, cuda:1, ...: where the model computes.
        model: the class, where the run was given one that no file defines, such as that of a notebook.

    Raises:
        InputError: no finished run, or its data files are not what it was trained on.
    """
    run_dir = Path(run_dir)
    record = read_result(run_dir)
    config = run_config(run_dir, model)
    config["run_dir"], config["device"] = str(run_dir), torch.device(resolve_device(device))
    run = RunSettings.of(config)
    then = read_record(run_dir / STARTED, f"run {record['model']} again") if (run_dir / STARTED).is_file() else {}
    if then.get("code_hash") != code_hash(config.model_class):
        logger.warning(
            "the code of %s is not what %s was trained with; its numbers may differ", record["model"], run_dir
        )
    # The split of a run, where it is drawn, is drawn by its seed.
    init_seed(run.seed, run.reproducibility)
    dataset = create_dataset(config)
    refuse_other_data(dataset, record["dataset_hash"], run.data_path)
    train_data, valid_data, test_data = data_preparation(config, dataset)
    if (load := parts_of(run.model).load) is not None:
        net = load(config, train_data._dataset, run_dir)
    else:
        init_seed(run.seed, run.reproducibility)
        net = build_model(config, train_data._dataset)
        take_state(net, load_checkpoint(run_dir / CHECKPOINT), run_dir / CHECKPOINT)
    return LoadedRun(config, net.eval(), dataset, train_data, valid_data, test_data)

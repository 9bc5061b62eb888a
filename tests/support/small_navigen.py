"""A NaviGen over a tiny data set, built and not yet trained."""

from pathlib import Path

from synthetic import make_config
from tiny_settings import NAVIGEN

from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.pipeline.train import build_navigen
from recbole_navigen.runs.stages import Stages


def build(data_path, run_dir="run", **settings):
    """Config, data parts and an untrained model with its trainer."""
    config = make_config("NaviGen", data_path, **{**NAVIGEN, **settings})
    config["run_dir"] = str(Path(data_path) / run_dir)
    dataset = create_dataset(config)
    train, valid, test = data_preparation(config, dataset)
    model, trainer = build_navigen(config, train, valid, Stages())
    return config, (train, valid, test), model, trainer

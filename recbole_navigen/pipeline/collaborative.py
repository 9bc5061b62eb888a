"""The collaborative model of a run, whose item vectors become codes."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from recbole.utils import init_seed

from recbole_navigen.artefacts import content_hash
from recbole_navigen.config import Config
from recbole_navigen.config.locate import cache_folder
from recbole_navigen.config.shipped import dataset_arguments
from recbole_navigen.data import NaviGenDataset, create_dataset, data_preparation, read_item_text
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.embeddings import (
    cached_embeddings,
    item_embeddings,
    refuse_without_embeddings,
    text_embeddings,
)
from recbole_navigen.pipeline.identifiers import sentence_vectors
from recbole_navigen.processes import alone
from recbole_navigen.runs.identity import trained_by
from recbole_navigen.training.progress import Progress
from recbole_navigen.training.trainer import build_model, get_trainer

# What the collaborative model shares with NaviGen beside how data are read.
_SHARED = ("seed", "reproducibility", "eval_args", "shuffle_ties", "gpu_id", "use_gpu", "show_progress")
_SHARED += ("checkpoint_dir",)


def collaborative_vectors(config: Config, train_part: NaviGenDataset) -> tuple[np.ndarray, bool, float]:
    """Item embeddings of `collaborative_model` trained on the training split, True if they were cached, and the seconds
    that the cache spared.

    The number of epochs is fixed and validation targets are not looked at, so nothing in the identifiers can know them.
    """
    if config["collaborative_model"] == "text":
        texts = read_item_text(config, train_part).text[1:]
        sentences = sentence_vectors(config["text_vectors"], texts)
        return (text_embeddings(texts, config["seed"]) if sentences is None else sentences), False, 0.0
    name, section = config["collaborative_model"], collaborative_config(config)
    settings = {key: value for key, value in section.items() if key != "steps"}
    settings["data_path"] = str(Path(config["data_path"]).parent)
    try:
        with alone():  # its device is this process's own already
            sub = Config(name, config["dataset"], None, settings)
    except InputError as error:
        raise InputError(f"collaborative_model={name} cannot be used here: {error}") from error
    inputs = {
        **trained_by(sub),
        "seed": sub["seed"],
        "steps": section.get("steps"),
        "train": train_part.sequences.content_hash(),
        "items": content_hash([str(token) for token in train_part.field2id_token[train_part.iid_field]]),
    }

    def train(progress: Path) -> tuple[np.ndarray, float]:
        start = time.perf_counter()
        data = create_dataset(sub)
        if list(data.field2id_token[data.iid_field]) != list(train_part.field2id_token[train_part.iid_field]):
            raise InputError(f"collaborative_model={name} loads other items than NaviGen; give both the same filters.")
        train_data, _, _ = data_preparation(sub, data)
        if "steps" in section:
            sub["epochs"] = math.ceil(section["steps"] / len(train_data))
        init_seed(sub["seed"], sub["reproducibility"])
        model = build_model(sub, train_data._dataset)
        refuse_without_embeddings(model)
        with alone():
            trainer = get_trainer(sub, model)(sub, model)
            trainer.stage = f"collaborative {name}"
            trainer.go_on(Progress(progress))
            trainer.fit(train_data, None, saved=False, show_progress=sub["show_progress"])
        return item_embeddings(model), time.perf_counter() - start + trainer.seconds_before

    return cached_embeddings(cache_folder(config), inputs, train)


def collaborative_config(config: Config) -> dict[str, Any]:
    """Settings of the collaborative model: `collaborative_config` for it, and what it must share with NaviGen."""
    name = config["collaborative_model"]
    section = (config["collaborative_config"] or {}).get(name, {})
    rows = ("autocast",) if section.get("train_rows") == "user" else ()
    own = {key: config[key] for key in (*dataset_arguments(), *_SHARED, *rows) if key in config}
    return {**own, **section}

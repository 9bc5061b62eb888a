"""What can be refused once the data are loaded, before anything is trained: settings that do not fit the data, and
pretrained models that do not fit the settings.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from recbole.data.dataloader import AbstractDataLoader
from transformers import PreTrainedModel

from recbole_navigen.artefacts import content_hash, plain
from recbole_navigen.config import Config
from recbole_navigen.config.reinforcement import reinforces_items
from recbole_navigen.config.settings import RunSettings
from recbole_navigen.config.shipped import dataset_arguments
from recbole_navigen.config.teachers import SupervisionSettings, asks_teachers
from recbole_navigen.data import NaviGenDataset, create_dataset, data_preparation, read_item_text
from recbole_navigen.encoders.sentences import SentenceSpace
from recbole_navigen.errors import InputError
from recbole_navigen.language.adapters import LORA_KEYS, prepare
from recbole_navigen.language.backbone import empty_lm, pretrained_tokenizer, revision_of
from recbole_navigen.language.tags import SCRATCH
from recbole_navigen.reinforcement.scorers import refuse_unknown_scorer
from recbole_navigen.sources import refuse_broken_weights
from recbole_navigen.supervision.chat.local_chat import LocalChat, LocalSettings
from recbole_navigen.supervision.settings import learns_instructions, refuse_textless, settings_of

# What decides beside the reading of data whether a run can be made of them.
_ALSO_READ = (
    "shuffle_ties",
    "item_text_fields",
    "topk",
    "text_vectors",
    "levels",
    "codes",
    "backbone",
    "writer_backbone",
)
SMALL_CATALOGUE, SMALL_K, LARGE_K = 5_000, 64, 512


def code_count(config: Config, n_items: int) -> int:
    """K: the setting `codes`, or the default for a catalogue of N items (see benchmarks/codes.py)."""
    return config["codes"] or (SMALL_K if n_items < SMALL_CATALOGUE else LARGE_K)


def refuse_deep_topk(config: Config, n_items: int) -> None:
    """Refuse lists that are longer than the catalogue.

    Args:
        config: settings of the run. n_items: N.
    """
    if (deepest := max(config["topk"])) > n_items:
        raise InputError(
            f"topk={config['topk']} asks for {deepest} items, and {config['dataset']} has {n_items}; lower topk (and "
            "valid_metric with it)."
        )


def refuse_bad_data(configs: Sequence[Config]) -> None:
    """Refuse data that runs could not be trained on, before the first of them is started. What several of them read
    alike is loaded once.

    Args:
        configs: settings of the runs. They stay as they are: data sets write into theirs.
    """
    seen = set()
    for config in configs:
        run = RunSettings.of(config)
        navigen = run.model == "NaviGen"
        reading = {key: config[key] for key in (*dataset_arguments(), *_ALSO_READ)}
        key = content_hash(plain(reading), str(run.MODEL_TYPE), run.user_rows, navigen)
        if key in seen:
            continue
        seen.add(key)
        config_copy = copy.deepcopy(config)
        data = create_dataset(config_copy)
        refuse_deep_topk(config_copy, data.item_num - 1)
        if navigen:
            read_item_text(config_copy, data)
            train_data, valid_data, _ = data_preparation(config_copy, data)
            refuse_unfit_navigen(config_copy, train_data.dataset, valid_data)


def refuse_broken_teachers(supervision: SupervisionSettings) -> None:
    """Refuse local language models that could not be loaded when a run asks them."""
    for kind, options in supervision.language_models.values():
        if kind == "transformers":
            LocalChat(LocalSettings(**options)).refuse_broken()


def _body(source: str, revision: str | None, settings: Mapping[str, Any]) -> PreTrainedModel:
    """A pretrained language model without its weights, refused if it could not be used: its tokenizer, its kind, its
    adapters, and of its weights the headers.

    Args:
        source: folder or hub id. revision: of the hub. settings: see `prepare`.
    """
    pretrained_tokenizer(source, revision)
    with torch.device("meta"):
        lm = prepare(empty_lm(source, revision), settings, True)
    if Path(source).is_dir():
        refuse_broken_weights(source)
    return lm


def refuse_unfit_navigen(config: Config, part: NaviGenDataset, valid_data: AbstractDataLoader | bool) -> None:
    """Refuse a NaviGen that could not be built, or whose later stages could not run.

    Args:
        config: settings of the run. part: the training split. valid_data: of it only whether there is any.
    """
    # 1. Codes.
    n_items = part.item_num - 1
    levels, codes = config["levels"], code_count(config, n_items)
    if codes > n_items:
        raise InputError(
            f"codes={codes} is more than the {n_items} items of {config['dataset']}; lower it with --codes=K."
        )
    if codes**levels < n_items:
        raise InputError(
            f"{levels} levels of {codes} codes spell {codes**levels} identifiers, too few for {n_items} items; "
            "raise the number of levels or the codebook size."
        )
    # 2. What is to be written, and pretrained language models.
    if learns_instructions(config):
        refuse_textless(config)
    if config["backbone"] != SCRATCH:
        lm = _body(config["backbone"], revision_of(config), config)
        tokens = config["MAX_ITEM_LIST_LENGTH"] * (1 if config["history"] == "pooled" else levels) + levels
        if tokens > (most := getattr(lm.config, "max_position_embeddings", None) or tokens):
            raise InputError(
                f"backbone={config['backbone']} reads {most} tokens, and histories of {config['MAX_ITEM_LIST_LENGTH']} "
                f"items have {tokens}; lower MAX_ITEM_LIST_LENGTH or set --history=pooled."
            )
    if (own_body := config["writer_backbone"]) is not None:
        _body(own_body, None, {key: config[key] for key in LORA_KEYS} | {"lora": True})
    # An encoder of texts is small enough to be tried.
    if (encoder := config["text_vectors"]) not in ("terms", "none", "sentences"):
        try:
            SentenceSpace(encoder)(["a text"])
        except InputError:
            raise
        except Exception as error:  # malformed files make transformers raise whatever there is
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise InputError(f"text_vectors={encoder} cannot encode a text ({reason}); name another folder.") from error
    if asks_teachers(config, supervision := settings_of(config)):
        refuse_broken_teachers(supervision)
    # 3. Reinforcement.
    refuse_unknown_scorer(config)
    if not reinforces_items(config):
        return
    if part.sequences.lengths.max(initial=0) < 2:
        raise InputError("no user has two training interactions, so there is nothing to reinforce.")
    if not valid_data:
        raise InputError(
            "reinforce validates the ranking model, and eval_args leave no validation split; set split: {LS: "
            "valid_and_test}, or take cid2cid out of reinforce: tasks."
        )

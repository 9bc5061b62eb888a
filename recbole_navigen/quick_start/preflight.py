"""What can be refused once the data are loaded, before anything is trained: settings that do not fit the data, and
pretrained models that do not fit the settings.
"""

from typing import Any

import torch

from recbole_navigen.config import Config
from recbole_navigen.config.reinforcement import reinforces_items
from recbole_navigen.errors import InputError
from recbole_navigen.language.adapters import prepare
from recbole_navigen.language.backbone import empty_lm, pretrained_tokenizer, revision_of
from recbole_navigen.model.build import SCRATCH
from recbole_navigen.quick_start.training_stages import refuse_unknown_scorer

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


def refuse_unfit_navigen(config: Config, n_items: int, part: Any, valid_data: Any) -> None:
    """Refuse a NaviGen that could not be built, or whose later stages could not run.

    Args:
        config: settings of the run. n_items: N. part: the training split. valid_data: of it only whether there is any.
    """
    # 1. Codes.
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
    # 2. A pretrained backbone: its tokenizer, its kind, its adapters; without its weights.
    if config["backbone"] != SCRATCH:
        revision = revision_of(config)
        pretrained_tokenizer(config["backbone"], revision)
        with torch.device("meta"):
            lm = prepare(empty_lm(config["backbone"], revision), config, True)
        tokens = config["MAX_ITEM_LIST_LENGTH"] * (1 if config["history"] == "pooled" else levels) + levels
        if tokens > (most := getattr(lm.config, "max_position_embeddings", None) or tokens):
            raise InputError(
                f"backbone={config['backbone']} reads {most} tokens, and histories of {config['MAX_ITEM_LIST_LENGTH']} "
                f"items have {tokens}; lower MAX_ITEM_LIST_LENGTH or set --history=pooled."
            )
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

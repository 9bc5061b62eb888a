"""A `Recommender` over a small catalogue with text, whose weights are drawn and not trained."""

from typing import Any

import numpy as np
import torch
from places import ROOT
from small_model import random_codes

from recbole_navigen.config.reading import read_settings
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.vocabulary import train_tokenizer
from recbole_navigen.network.build import build_lm
from recbole_navigen.runs.trained import TrainedModel
from recbole_navigen.serving.recommender import Recommender

GENRES = ("drama", "comedy night", "space opera", "western", "horror", "noir")
NOUNS = ("river", "robot", "castle", "war", "love", "train", "island", "doctor")
SMALL = {"hidden_size": 16, "inner_size": 16, "n_layers": 1, "n_heads": 2, "MAX_ITEM_LIST_LENGTH": 8, "codes": 6}
SMALL |= {"seed": 0, "dataset": "tiny", "sampled_softmax": None, "item_text_fields": ["title", "genre"]}
SMALL |= {"thought_tokens": 20, "instruction_tokens": 30}


DEFAULTS = read_settings(ROOT / "properties" / "model" / "NaviGen.yaml")


def small_recommender(n_items: int = 40, sentences: int = 0, **own: Any) -> Recommender:
    """A recommender of items i0, i1, ... whose vectors lean on their terms.

    Args:
        sentences: width of text embeddings, 0 for none. own: settings.
    """
    rng = np.random.default_rng(7)
    terms = tuple((GENRES[item % len(GENRES)], NOUNS[item * 5 % len(NOUNS)], f"tale{item}") for item in range(n_items))
    themes = {term: rng.standard_normal(8) for term in (*GENRES, *NOUNS)}
    vectors = np.array([themes[genre] + themes[noun] for genre, noun, _ in terms])
    table = DualIdentifierTable(
        item_tokens=tuple(f"i{item}" for item in range(n_items)),
        codes=random_codes(n_items, 3, 6, 5),
        codebook_size=6,
        codebooks=rng.standard_normal((3, 6, 8)).astype(np.float32) / 4,
        terms=terms,
        report={"codes": {}, "terms": {}},
        residuals=(vectors + 0.1 * rng.standard_normal(vectors.shape)).astype(np.float32),
        sentences=rng.standard_normal((n_items, sentences)).astype(np.float32) if sentences else None,
    )
    settings = {**DEFAULTS, **SMALL, **own}
    torch.manual_seed(3)
    lm, renderer = build_lm(settings, table, train_tokenizer([" ".join(own) for own in terms], 300))
    with torch.no_grad():
        for parameter in lm.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    lm.memory.learn(rng.integers(1, n_items + 1, 120), np.arange(0, 121, 6), terms)
    lm.memory.share.fill_(0.4)
    return Recommender(TrainedModel(table, lm, renderer, settings, "hash"))

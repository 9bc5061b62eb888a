"""Which items are popular in training, and with those who are new: what is recommended to somebody of whom nothing is
known. What users do first is often not what they do most: ml-100k asked newcomers for films that everybody knows.

Symbols: N items.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from recbole_navigen.serving.evidence import FIRST

COUNTS = "popularity"  # in the report of a saved table: raw id -> first events in training
HELD_OUT = 2  # last events of each user, which validate and test


def training_counts(histories: Iterable[Sequence[str]]) -> dict[str, int]:
    """How many training events each item has, by raw id. histories: everything that each user did, oldest first."""
    return dict(Counter(item for history in histories for item in history[:-HELD_OUT]))


def first_counts(histories: Iterable[Sequence[str]]) -> dict[str, int]:
    """As `training_counts`, of the FIRST events of each user alone."""
    return dict(Counter(item for history in histories for item in history[:-HELD_OUT][:FIRST]))


def log_popularity(counts: Mapping[str, int], item_tokens: Sequence[str]) -> Tensor:
    """The items' shares of the events, one event added to each, as logarithms. (N,), float32."""
    events = torch.tensor([counts.get(item, 0) + 1.0 for item in item_tokens], dtype=torch.float64)
    return (events / events.sum()).log().float()

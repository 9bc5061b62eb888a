"""What the renderer makes: a batch of token streams, each token with its origin.

Symbols: B rows, T tokens, R targets a row, O options.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import torch
from torch import Tensor


class Origin(IntEnum):
    """Where a token comes from."""

    PROMPT = 0
    TARGET = 1
    FORCED = 2
    PAD = 3


@dataclass(frozen=True, slots=True)
class Rendered:
    """A batch of token streams, right-padded.

    Attributes:
        tokens: token ids; 0 under pooled slots and padding. Shape (B, T), int64.
        items: internal item id of a pooled slot, or of the code token that bears its other vectors; else 0. Shape
            (B, T), int64.
        origin: `Origin` of each token. Shape (B, T), int64.
        lengths: tokens that are not padding. Shape (B,), int64.
        anchors: place of the token after which each target item is decoded. Shape (B, R), int64.
        targets: internal id of each target item, 0 for none. Shape (B, R), int64.
        in_stream: True if the targets' codes are themselves the tokens behind their anchors.
        choices: for TARGET text tokens, the row of `Grammar.legal` they were chosen from; None without text.
            Shape (B, T), int64.
        options: for TARGET tokens of plans, the outputs they were chosen from, -1 behind the last of them; None
            without plans. Shape (B, T, O), int64.
    """

    tokens: Tensor
    items: Tensor
    origin: Tensor
    lengths: Tensor
    anchors: Tensor
    targets: Tensor
    in_stream: bool = False
    choices: Tensor | None = None
    options: Tensor | None = None

    def rows(self, part: slice | Tensor) -> "Rendered":
        """Some of the rows, a slice or their numbers, without the padding that only the others need."""
        tokens = int(self.lengths[part].max())
        wide = ("tokens", "items", "origin", *self._present("choices", "options"))
        trimmed = {name: getattr(self, name)[part, :tokens] for name in wide}
        kept = {name: getattr(self, name)[part] for name in ("lengths", "anchors", "targets")}
        return replace(self, **trimmed, **kept)

    def to(self, device: torch.device | str) -> "Rendered":
        """The same batch on another device."""
        names = ("tokens", "items", "origin", "lengths", "anchors", "targets")
        names += self._present("choices", "options")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def _present(self, *names: str) -> tuple[str, ...]:
        return tuple(name for name in names if getattr(self, name) is not None)


class Row:
    """One stream while it is put together."""

    __slots__ = ("items", "origin", "tokens")

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.items: list[int] = []
        self.origin: list[int] = []

    def add(self, tokens: Sequence[int], origin: Origin = Origin.PROMPT, items: Sequence[int] | None = None) -> "Row":
        self.tokens += tokens
        self.items += [0] * len(tokens) if items is None else items
        self.origin += [int(origin)] * len(tokens)
        return self


def pad(rows: Sequence[Row]) -> Rendered:
    """Right-pad streams; the batch has no target items."""
    lengths = torch.tensor([len(row.tokens) for row in rows])
    shape = (len(rows), int(lengths.max()))
    tokens, items, origin = (torch.full(shape, fill) for fill in (0, 0, int(Origin.PAD)))
    for place, row in enumerate(rows):
        for padded, own in ((tokens, row.tokens), (items, row.items), (origin, row.origin)):
            padded[place, : len(own)] = torch.tensor(own)
    none = torch.zeros(len(rows), 0, dtype=torch.long)
    return Rendered(tokens, items, origin, lengths, none, none)

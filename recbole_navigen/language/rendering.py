"""The one renderer: every task, in training and in inference, becomes token ids here and nowhere else.

Each token carries its origin. Losses look at TARGET only; nothing is ever learned on PROMPT, FORCED or PAD.

A history is written in one of two ways, both under the task token `<|cid2cid|>`:

- ``pooled``: one slot an item. The slot's embedding is the sum of the item's code rows and its TID vector, so the
  stream stays L times shorter; the codes of a *next* item hang below the slot they follow as a branch (see
  `model/lm.py`).
- ``tokens``: the item's L codes one after another; the codes of the next item are simply the next tokens.

Symbols: B rows, T tokens, R targets a row, L levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from recbole_navigen.errors import InputError
from recbole_navigen.language.vocabulary import END, Vocabulary

HISTORIES = ("pooled", "tokens")


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
        items: internal item id of a pooled slot, else 0. Shape (B, T), int64.
        origin: `Origin` of each token. Shape (B, T), int64.
        lengths: tokens that are not padding. Shape (B,), int64.
        anchors: place of the token after which each target item is decoded. Shape (B, R), int64.
        targets: internal id of each target item, 0 for none. Shape (B, R), int64.
        in_stream: True if the targets' codes are themselves the tokens behind their anchors.
    """

    tokens: Tensor
    items: Tensor
    origin: Tensor
    lengths: Tensor
    anchors: Tensor
    targets: Tensor
    in_stream: bool = False

    def rows(self, part: slice) -> "Rendered":
        """Some of the rows, without the padding that only the others need."""
        tokens = int(self.lengths[part].max())
        trimmed = {name: getattr(self, name)[part, :tokens] for name in ("tokens", "items", "origin")}
        kept = {name: getattr(self, name)[part] for name in ("lengths", "anchors", "targets")}
        return replace(self, **trimmed, **kept)

    def to(self, device: torch.device | str) -> "Rendered":
        """The same batch on another device."""
        names = ("tokens", "items", "origin", "lengths", "anchors", "targets")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


class Renderer:
    """Renders tasks for one catalogue.

    Args:
        vocabulary: token ids.
        codes: CIDs by internal item id; row 0 is unused. Shape (N + 1, L), int64.
        terms: TIDs by item index, N tuples.
        history: `pooled` or `tokens`.
    """

    def __init__(self, vocabulary: Vocabulary, codes: np.ndarray, terms: Sequence[Sequence[str]], history: str):
        if history not in HISTORIES:
            raise InputError(f"history={history} is not known; use one of {', '.join(HISTORIES)}.")
        self.vocabulary = vocabulary
        self.history = history
        offsets = vocabulary.first_code + np.arange(vocabulary.levels) * vocabulary.codebook_size
        self.code_tokens = torch.from_numpy(codes + offsets)
        self.term_tokens = [vocabulary.encode_terms(item) for item in terms]

    def cid2cid(self, histories: Tensor, lengths: Tensor, targets: bool = False) -> Rendered:
        """History -> next item.

        Args:
            histories: internal item ids in order of time, right-padded with 0. Shape (B, W).
            lengths: items in each row. Shape (B,).
            targets: True for training: every item but the first is a target, decoded from what stands before it.
                False for inference: the target is unknown and is decoded after the last token.
        """
        rows, width = histories.shape
        read = (lengths - 1 if targets else lengths).clamp(min=0)
        streamed = self.history == "tokens" and targets
        shown = lengths if streamed else read
        items = torch.where(torch.arange(width) < shown[:, None], histories, 0)
        if self.history == "pooled":
            items = items[:, : max(int(shown.max()), 0)]
            slots, per_item = torch.zeros_like(items), 1
            origin = torch.where(items > 0, Origin.PROMPT, Origin.PAD)
        else:
            per_item = self.vocabulary.levels
            slots = self.code_tokens[items].flatten(1)
            real = (items > 0).repeat_interleave(per_item, dim=1)
            origin = torch.where(real, Origin.TARGET if streamed else Origin.PROMPT, Origin.PAD)
            slots = torch.where(real, slots, 0)
            origin[:, :per_item] = torch.where(real[:, :per_item], Origin.PROMPT, Origin.PAD)
            items = torch.zeros_like(slots)
        head = torch.full((rows, 1), self.vocabulary.task("cid2cid"))
        if targets:
            anchors = (torch.arange(1, width) * per_item).expand(rows, -1)
            wanted = torch.where(torch.arange(1, width) < lengths[:, None], histories[:, 1:], 0)
        else:
            anchors, wanted = (read * per_item)[:, None], torch.zeros(rows, 1, dtype=torch.long)
        return Rendered(
            tokens=torch.cat([head, slots], dim=1),
            items=torch.cat([torch.zeros_like(head), items], dim=1),
            origin=torch.cat([torch.full_like(head, Origin.PROMPT), origin], dim=1),
            lengths=1 + shown * per_item,
            anchors=anchors,
            targets=wanted,
            in_stream=streamed,
        )

    def tid2cid(self, items: Tensor) -> Rendered:
        """TID -> CID: the item's terms, after which the item itself is decoded. items (B,) internal ids."""
        prompts = [self._prompt("tid2cid", self.term_tokens[item - 1]) for item in items.tolist()]
        tokens, origin, lengths = _pad([(tokens, [Origin.PROMPT] * len(tokens)) for tokens in prompts])
        return Rendered(tokens, torch.zeros_like(tokens), origin, lengths, (lengths - 1)[:, None], items[:, None])

    def cid2tid(self, items: Tensor) -> Rendered:
        """CID -> TID: the item's codes, then its terms as target tokens. items (B,) internal ids."""
        end = self.vocabulary.special(END)
        rows = []
        for item in items.tolist():
            prompt = self._prompt("cid2tid", self.code_tokens[item].tolist())
            target = [*self.term_tokens[item - 1], end]
            rows.append((prompt + target, [Origin.PROMPT] * len(prompt) + [Origin.TARGET] * len(target)))
        tokens, origin, lengths = _pad(rows)
        none = torch.zeros(len(rows), 0, dtype=torch.long)
        return Rendered(tokens, torch.zeros_like(tokens), origin, lengths, none, none)

    def _prompt(self, task: str, body: list[int]) -> list[int]:
        return [self.vocabulary.task(task), *body]


def _pad(rows: Sequence[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor, Tensor]:
    """Right-pad (tokens, origin) rows: tokens (B, T), origin (B, T), lengths (B,)."""
    lengths = torch.tensor([len(tokens) for tokens, _ in rows])
    tokens = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    origin = torch.full_like(tokens, Origin.PAD)
    for row, (ids, origins) in enumerate(rows):
        tokens[row, : len(ids)] = torch.tensor(ids)
        origin[row, : len(ids)] = torch.tensor(origins, dtype=torch.long)
    return tokens, origin, lengths

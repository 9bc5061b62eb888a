"""Users' training sequences, flat, and the windows cut out of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import LongTensor

from recbole_navigen.artefacts import content_hash
from recbole_navigen.errors import InputError


@dataclass(frozen=True, slots=True)
class UserSequences:
    """One row a user: the items of the training split in exact order of time.

    Attributes:
        users: internal user ids. Shape (B,), int64.
        items: internal item ids of all users, one after the other. Shape (S,), int64.
        offsets: user b has items[offsets[b]:offsets[b + 1]]. Shape (B + 1,), int64.
    """

    users: np.ndarray
    items: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.users) + 1 or self.offsets[0] != 0 or self.offsets[-1] != len(self.items):
            raise ValueError(
                f"offsets must start at 0, have one entry more than the {len(self.users)} users "
                f"and end at {len(self.items)}"
            )
        if (np.diff(self.offsets) < 0).any():
            raise ValueError("offsets must not decrease")

    @property
    def lengths(self) -> np.ndarray:
        """Items of each user. Shape (B,), int64."""
        return np.diff(self.offsets)

    def content_hash(self) -> str:
        """sha256 over users, items and their order."""
        return content_hash(self.users, self.items, self.offsets)


def padded(histories: Sequence[Sequence[int] | np.ndarray]) -> tuple[LongTensor, LongTensor]:
    """Histories as one table: internal item ids, right-padded with 0, (B, W), and how many they are, (B,)."""
    lengths = torch.tensor([len(history) for history in histories])
    table = torch.zeros(len(histories), int(lengths.max()), dtype=torch.long)
    for row, history in enumerate(histories):
        table[row, : len(history)] = torch.as_tensor(history)
    return table, lengths


def windows(
    sequences: UserSequences, length: int, stride: int | None = None, offset_rng: np.random.Generator | None = None
) -> LongTensor:
    """Cut each user's training sequence into windows of at most length + 1 items.

    Args:
        sequences: the training sequences.
        length: inputs a window holds; it holds one target more than that, T = length + 1.
        stride: items from one window's end to the next one's; None means `length`.
        offset_rng: draws where the last cut of each user falls, so that items change their context from epoch to epoch.

    Returns:
        Windows, padded on the right with 0. Shape (R, T): inputs are row[:-1], targets row[1:].

    Neighbours overlap by T - stride items, so with stride == length every item but a user's first is a target exactly
    once. A user's last window ends at the last training item. Users that fit into one window are never cut; users with
    fewer than 2 items give no window. Rows follow the users, and in time within a user.
    """
    stride = length if stride is None else stride
    if length < 1 or not 1 <= stride <= length:
        raise InputError(f"windows need length >= 1 and 1 <= stride <= length, not length={length} and stride={stride}")
    width = length + 1
    overlap = width - stride

    # 1. Where each user's last window starts. Users with one window keep it whole; the others may be shifted.
    lengths = sequences.lengths
    shift = np.full(len(lengths), stride)
    if offset_rng is not None:
        shift = offset_rng.integers(1, stride, size=len(lengths), endpoint=True)
    last_start = np.where(lengths > width, lengths - shift - overlap, 0)

    # 2. How many windows: count back by `stride` from the last start until the user's first item is covered.
    counts = np.where(lengths < 2, 0, 1 + np.maximum(0, -(-last_start // stride)))
    rows = np.repeat(np.arange(len(lengths)), counts)
    # Windows that are still to come before the user's last one: 0 for the last, counts - 1 for the first.
    to_last = np.repeat(np.cumsum(counts), counts) - np.arange(len(rows)) - 1
    starts = last_start[rows] - to_last * stride
    ends = np.where(to_last == 0, lengths[rows], starts + width)
    starts = np.maximum(starts, 0)

    # 3. Gather, with 0 after each window's end.
    place = starts[:, None] + np.arange(width)
    inside = place < ends[:, None]
    flat = sequences.items[np.where(inside, sequences.offsets[rows][:, None] + place, 0)] if len(rows) else place
    return torch.from_numpy(np.where(inside, flat, 0).astype(np.int64, copy=False))


def blurred(cut: LongTensor, noise: float, rng: np.random.Generator) -> LongTensor:
    """The items of each window in a nearby order: by their places, each later by up to a share `noise` of the window.

    In a long history much of the order is chance, as that of the ratings of one sitting; in a short one it is most of
    what there is to know. So a window of fewer than 1 / noise items stays as it is. (R, T) -> (R, T), padding kept.
    """
    held = cut.numpy() > 0
    place = np.where(held, np.arange(cut.shape[1]), np.inf)
    later = noise * held.sum(axis=1, keepdims=True) * rng.random(cut.shape)
    order = np.argsort(place + later, axis=1, kind="stable")
    return cut.gather(1, torch.from_numpy(order))

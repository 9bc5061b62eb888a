"""All interactions of a data set by user and exact time, and the histories before them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Timeline:
    """All interactions of a data set, by user and then by exact time.

    Attributes:
        users: internal user ids, not decreasing. Shape (S,), int64.
        items: internal item ids. Shape (S,), int64.
        ranks: place in time among all interactions. Shape (S,), int64.
        starts: where the row's user begins. Shape (S,), int64.
    """

    users: np.ndarray
    items: np.ndarray
    ranks: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, users: np.ndarray, items: np.ndarray) -> "Timeline":
        """Build it from interactions in exact order of time.

        Args:
            users: internal user ids. Shape (S,).
            items: internal item ids. Shape (S,).
        """
        ranks = np.argsort(users, kind="stable")
        users = users[ranks]
        first = np.concatenate(([True], users[1:] != users[:-1]))[: len(users)]
        return cls(users, items[ranks], ranks, np.maximum.accumulate(np.where(first, np.arange(len(users)), 0)))

    def targets(self) -> np.ndarray:
        """Positions of all interactions but each user's first. Shape (S - B,), int64."""
        return np.flatnonzero(self.starts != np.arange(len(self.starts)))

    def last(self) -> np.ndarray:
        """Position of each user's last interaction. Shape (B,), int64, by internal user id."""
        return np.flatnonzero(np.append(self.users[1:] != self.users[:-1], True))

    def history(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """List everything a user did before some targets.

        Args:
            positions: places of the targets. Shape (R,).

        Returns:
            Row number and item of each earlier interaction, without the items that equal the row's target: an item that
            is consumed again stays a target. Two arrays of one length.
        """
        lengths = positions - self.starts[positions]
        rows = np.repeat(np.arange(len(positions)), lengths)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        items = self.items[self.starts[positions][rows] + within]
        other = items != self.items[positions][rows]
        return rows[other], items[other]

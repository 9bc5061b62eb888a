"""The state of a training in progress: what a training that was killed goes on from."""

import time
from pathlib import Path
from typing import Any

from recbole_navigen.artefacts import restore
from recbole_navigen.leftovers import remove_whole
from recbole_navigen.training.checkpoint import load_checkpoint, save_checkpoint

WRITING_SHARE = 0.25  # of the time between two states, at most, goes into writing one


class Progress:
    """A checkpoint that is written now and then, read after a kill, and removed at the end.

    It is replaced as a whole, so a kill at any moment leaves the old state or the new one.

    Args:
        folder: the checkpoint. seconds: that lie between two states at least; where writing takes long, four times as
            much as it takes.
    """

    def __init__(self, folder: str | Path, seconds: float = 0.0):
        self.folder = Path(folder)
        self._seconds = seconds
        self._next = time.perf_counter() + seconds

    @property
    def due(self) -> bool:
        """Whether enough time has passed to write again."""
        return time.perf_counter() >= self._next

    def save(self, **state: object) -> None:
        """Write a state as `save_checkpoint` does."""
        start = time.perf_counter()
        save_checkpoint(self.folder, **state)
        end = time.perf_counter()
        self._next = end + max(self._seconds, (end - start) / WRITING_SHARE)

    def load(self) -> dict[str, Any] | None:
        """The state that a killed training left; None if it left none."""
        return load_checkpoint(self.folder) if restore(self.folder) else None

    def remove(self) -> None:
        """The training is through: nothing is to be gone on from."""
        remove_whole(self.folder)

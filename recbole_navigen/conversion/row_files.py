"""Interactions as arrays of numbers, in memory or, past a limit, in files by ranges of users."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

ROW_BYTES = 160  # of one row while a bucket is sorted, index and keys included
CHUNK = 1 << 20  # rows handled at once where they only pass through
TYPES = {"user": np.uint32, "item": np.uint32, "time": np.int64, "time_decimals": np.int8}
TYPES |= {"value": np.int64, "value_decimals": np.int8, "fate": np.uint8}


@dataclass(slots=True)
class Rows:
    """S interactions, in the order of the source.

    Attributes:
        user, item: codes or ranks. Shape (S,), uint32.
        time, value: digits, int64, and their decimals, int8, as numbers.py writes them. Shape (S,).
        fate: 0, or why the row was left out on reading (reduce.FATES). Shape (S,), uint8.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    time_decimals: np.ndarray
    value: np.ndarray
    value_decimals: np.ndarray
    fate: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: np.ndarray) -> "Rows":
        """Some of the rows, by mask or by number."""
        return Rows(*(getattr(self, column.name)[rows] for column in fields(self)))


class RowFiles:
    """Rows in one file a column, written at the end and read in chunks."""

    def __init__(self, folder: Path, name: str):
        self.name = name
        self._paths = {column: folder / f"{name}.{column}" for column in TYPES}
        self.count = 0

    def append(self, rows: Rows) -> None:
        """Write rows behind the others."""
        for column, path in self._paths.items():
            with open(path, "ab") as file:
                np.ascontiguousarray(getattr(rows, column), dtype=TYPES[column]).tofile(file)
        self.count += len(rows)

    def read(self, start: int = 0, count: int = -1) -> Rows:
        """Read rows from a place on."""
        if not self.count:
            return Rows(*(np.zeros(0, dtype=kind) for kind in TYPES.values()))
        return Rows(
            *(
                np.fromfile(path, TYPES[column], count, offset=start * np.dtype(TYPES[column]).itemsize)
                for column, path in self._paths.items()
            )
        )

    def chunks(self) -> Iterator[Rows]:
        """All rows, a chunk at a time."""
        for start in range(0, self.count, CHUNK):
            yield self.read(start, CHUNK)

    def remove(self) -> None:
        """Delete the files."""
        for path in self._paths.values():
            path.unlink(missing_ok=True)


class Buckets:
    """All rows, cut by ranges of users so that each part fits in memory; a single part stays there.

    Every user's rows lie in one bucket, in the order of the source, and buckets follow one another in order of users.
    """

    def __init__(self, folder: Path, bounds: list[int]):
        """`bounds`: the first user of each bucket but the first, rising."""
        self._bounds = np.array(bounds, dtype=np.int64)
        self._folder = folder
        self._files = [RowFiles(folder, f"bucket-{number}") for number in range(len(bounds) + 1)]
        self._whole: Rows | None = None

    @classmethod
    def by_users(cls, folder: Path, counts: np.ndarray, memory: int) -> "Buckets":
        """Cut so that no bucket takes more than `memory` bytes, if no user does. `counts`: rows a user. Shape (U,)."""
        ends = np.cumsum(counts)
        most = max(1, memory // ROW_BYTES)
        bounds, start = [], 0
        while len(ends) and ends[-1] - start > most:
            bound = max(int(np.searchsorted(ends, start + most, "right")), (bounds[-1] if bounds else 0) + 1)
            if bound >= len(ends):
                break
            bounds.append(bound)
            start = int(ends[bound - 1])
        return cls(folder, bounds)

    def append(self, rows: Rows) -> None:
        """Share rows out."""
        if not len(self._bounds):
            self._files[0].append(rows)
            return
        place = np.searchsorted(self._bounds, rows.user, "right")
        for number in np.unique(place).tolist():
            self._files[number].append(rows.take(place == number))

    def __iter__(self) -> Iterator[Rows]:
        for number in range(len(self._files)):
            yield self._read(number)

    def _read(self, number: int) -> Rows:
        if len(self._files) > 1:
            return self._files[number].read()
        if self._whole is None:
            self._whole = self._files[0].read()
            self._files[0].remove()
        return self._whole

    def change(self, change: Callable[[Rows], Rows]) -> None:
        """Put other rows in the place of each bucket's."""
        for number in range(len(self._files)):
            rows = change(self._read(number))
            if len(self._files) == 1:
                self._whole = rows
                continue
            before = self._files[number].name
            after = RowFiles(self._folder, before.removesuffix("+") if before.endswith("+") else f"{before}+")
            after.append(rows)
            self._files[number].remove()
            self._files[number] = after

    def __len__(self) -> int:
        return len(self._whole) if self._whole is not None else sum(files.count for files in self._files)

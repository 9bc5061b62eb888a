"""Ids as numbers, in the order of their text. What does not fit in memory is spilled in sorted runs and merged.

While rows are read, an id gets the next code. When the table is full, it is written out sorted and begun anew, so that
an id may have several codes; the merge gives all of them one rank. Ranks are exact: no hash stands for a text.
"""

import heapq
import math
import mmap
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

MISSING, BAD = -1, -2
_ENTRY = 150  # bytes of a dictionary's entry beside its text
# Words that RecBole's own reader, which is pandas', takes for missing, and what it takes for a quoted cell.
_MISSING = "NA|N/A|n/a|NULL|null|NaN|nan|-NaN|-nan|None|#N/A|#NA|<NA>|1.#IND|-1.#IND|1.#QNAN|-1.#QNAN|#N/A N/A"
_RECBOLE = re.compile(rf'_*(?:"[\s\S]*|{"|".join(map(re.escape, _MISSING.split("|")))})')


def id_text(raw: object) -> str | None:
    """An id as text: whole numbers without a dot, everything else as it stands.

    Returns:
        The text; None where there is none.

    Raises:
        ValueError: it cannot stand in an atomic file, with the reason.
    """
    if raw is None:
        return None
    if isinstance(raw, str):
        text = raw
    elif isinstance(raw, float):
        if math.isnan(raw):
            return None
        if not raw.is_integer() or abs(raw) > 2**53:
            raise ValueError(f"the id {raw!r} is no whole number")
        text = str(int(raw))
    elif isinstance(raw, int) and not isinstance(raw, bool):
        text = str(raw)
    else:
        raise ValueError(f"the id {str(raw)[:60]!r} is neither text nor a whole number")
    if not text or text.isspace():
        return None
    if "\t" in text or "\n" in text:
        raise ValueError(f"the id {text[:60]!r} holds a tab or a line feed, which atomic files cannot hold")
    if text == "[PAD]":
        raise ValueError("the id [PAD] is RecBole's own")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the id {text[:60]!r} is half a character") from None
    return text


def escaped(raw: object) -> str | None:
    """An id as text, with a `_` before it if stock RecBole would lose it, and one more if it already looks so."""
    text = id_text(raw)
    return f"_{text}" if text is not None and _RECBOLE.fullmatch(text) else text


def is_escaped(text: str) -> bool:
    """Whether an id is one that `escaped` has changed."""
    return text.startswith("_") and _RECBOLE.fullmatch(text) is not None


class IdTable(dict):
    """Raw id -> code, `MISSING` or `BAD`."""

    def __init__(self, folder: Path, name: str, limit: int, text_of: Callable[[Any], str | None] = id_text):
        """Begin an empty table.

        Args:
            folder, name: of the runs on disk. limit: bytes of memory that the table may take. text_of: `id_text` or
                `escaped`.
        """
        super().__init__()
        self._folder, self._name, self._limit, self._text_of = folder, name, limit, text_of
        self._base, self._new, self._bytes = 0, [], 0
        self._runs: list[tuple[Path, Path]] = []

    def __missing__(self, raw: object) -> int:
        try:
            code = self._code(raw)
        except ValueError:
            code = BAD
        if isinstance(raw, str | int | float | None):
            self[raw] = code
        return code

    def _code(self, raw: object) -> int:
        plain = id_text(raw)
        if plain is None:
            return MISSING
        if plain is not raw:  # the number 5 is the id `5`
            return self[plain]
        text = plain if self._text_of is id_text else self._text_of(raw)
        self._new.append(text)
        self._bytes += _ENTRY + len(text)
        return self._base + len(self._new) - 1

    def codes(self, raw: list) -> np.ndarray:
        """Codes of ids. Shape (S,), int64."""
        try:
            return np.fromiter(map(self.__getitem__, raw), np.int64, len(raw))
        except TypeError:  # a list or a dictionary where an id should be
            return np.array([BAD if isinstance(v, list | dict) else self[v] for v in raw], dtype=np.int64)

    def relieve(self) -> None:
        """Write the table out if it is full. Called between batches."""
        if self._bytes >= self._limit:
            self._spill()

    def _spill(self) -> None:
        order = sorted(range(len(self._new)), key=self._new.__getitem__)
        texts = self._folder / f"{self._name}-{len(self._runs)}.txt"
        codes = texts.with_suffix(".codes")
        with open(texts, "wb") as file:
            file.writelines(self._new[place].encode() + b"\n" for place in order)
        (np.array(order, dtype=np.uint32) + np.uint32(self._base)).tofile(codes)
        self._runs.append((texts, codes))
        self._base += len(self._new)
        self._new, self._bytes = [], 0
        self.clear()

    def finish(self) -> tuple[np.ndarray, "Texts"]:
        """Put all ids in order and forget the table.

        Returns:
            The rank of each code, int32 or a file of it. Shape (codes,). And the ids by rank.
        """
        if not self._runs:
            order = sorted(range(len(self._new)), key=self._new.__getitem__)
            ranks = np.empty(len(order), dtype=np.int32)
            ranks[order] = np.arange(len(order), dtype=np.int32)
            texts = Texts([self._new[place] for place in order])
            self.clear()
            self._new = []
            return ranks, texts
        if self._new:
            self._spill()
        ranks = np.memmap(self._folder / f"{self._name}.ranks", np.int32, "w+", shape=(self._base,))
        path, last, rank, place = self._folder / f"{self._name}.txt", None, -1, 0
        with open(path, "wb") as file, open(path.with_suffix(".ends"), "wb") as ends:
            ended: list[int] = []
            for text, code in heapq.merge(*map(_run, self._runs)):
                if text != last:
                    last, rank = text, rank + 1
                    file.write(text)
                    place += len(text)
                    ended.append(place)
                    if len(ended) >= 1 << 16:
                        np.array(ended, dtype=np.int64).tofile(ends)
                        ended = []
                ranks[code] = rank
            np.array(ended, dtype=np.int64).tofile(ends)
        for files in self._runs:
            for file in files:
                file.unlink()
        return ranks, Texts.on_disk(path, path.with_suffix(".ends"))


def _run(files: tuple[Path, Path]) -> Iterator[tuple[bytes, int]]:
    codes = np.memmap(files[1], np.uint32, "r")
    with open(files[0], "rb") as file:
        for place, line in enumerate(file):
            yield line[:-1], int(codes[place])


class Texts:
    """The ids by rank: a list, or a file of them."""

    def __init__(self, texts: list[str]):
        self._texts, self._ends, self._map = texts, None, None

    @classmethod
    def on_disk(cls, path: Path, ends: Path) -> "Texts":
        """Ids that lie one behind the other in a file, with the place where each ends."""
        result = cls([])
        result._ends = np.memmap(ends, np.int64, "r")
        with open(path, "rb") as file:
            result._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return result

    def __len__(self) -> int:
        return len(self._texts) if self._ends is None else len(self._ends)

    def __getitem__(self, rank: int) -> str:
        if self._ends is None:
            return self._texts[rank]
        start = int(self._ends[rank - 1]) if rank else 0
        return self._map[start : int(self._ends[rank])].decode()

    def of(self, ranks: np.ndarray) -> list[str]:
        """Ids of several ranks. Shape (S,) -> S texts."""
        one = self._texts.__getitem__ if self._ends is None else self.__getitem__
        return list(map(one, ranks.tolist()))

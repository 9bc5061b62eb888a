"""Rows of `.item` and `.user`: exactly the items and users of the interactions, in order of their ids.

The first row of an item counts, and its cells stay empty where there is none. Ids are looked up in a table of as many
of them as fit in memory; past that, the files are read once for each part of the ids.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

import numpy as np

from recbole_navigen.conversion.ids import Texts
from recbole_navigen.conversion.ingest import Assignment
from recbole_navigen.conversion.layouts import Reading
from recbole_navigen.conversion.numbers import Numbers
from recbole_navigen.conversion.options import Options
from recbole_navigen.conversion.spec import Attributes, Field
from recbole_navigen.conversion.text import plain

_ITEM_BYTES = 1000  # of one item: its id in the table, and its cells


@dataclass(slots=True)
class Description:
    """The attributes of all items, or of all users.

    Attributes:
        fields: columns beside the id, those of all files together. counts: for the report. words: words in titles.
        examples: the first ids without metadata and without title.
    """

    fields: list[Field]
    counts: Counter = field(default_factory=Counter)
    words: int = 0
    examples: dict[str, str] = field(default_factory=dict)


def describe(
    assignments: Sequence[tuple[Assignment, Attributes]],
    ids: Texts,
    there: np.ndarray,
    options: Options,
    write: Callable[[str, dict[str, str]], None],
    seen: Callable[[int], None] | None = None,
) -> Description:
    """Read descriptions and write one row for each id.

    Args:
        assignments: the files. ids: all that were read, by rank. there: which of them are written. Shape (N,), bool.
        options: of the command. write: takes an id and its cells by name of column.
    """
    fields = list({one.name: one for _, part in assignments for one in part.fields}.values())
    result = Description(fields)
    ranks = np.flatnonzero(there)
    size = max(1, options.memory // 2 // _ITEM_BYTES)
    unused, titles = None, array("q")
    for start in range(0, len(ranks), size):
        chosen = _Slice({ids[rank]: place for place, rank in enumerate(ranks[start : start + size].tolist())})
        counts: Counter = Counter()
        for one, part in assignments:
            chosen.read(one, part, options, counts, seen)
        for text, place in chosen.places.items():
            cells = chosen.cells[place]
            if cells is None:
                result.counts["without_metadata"] += 1
                result.examples.setdefault("without_metadata", text)
            if title := (cells or {}).get("title", ""):
                titles.append(hash(title))
                result.words += len(title.split())
            else:
                result.counts["without_title"] += 1
                result.examples.setdefault("without_title", text)
            write(text, cells or {})
        result.counts["conflicts"] += len(chosen.conflicts)
        result.counts["rows_bad"] = counts["rows_bad"]
        result.counts["rows_without_id"] = counts["rows_without_id"]
        others = np.unique(np.frombuffer(chosen.others, dtype=np.int64)) if chosen.others else np.zeros(0, np.int64)
        unused = others if unused is None else np.intersect1d(unused, others)
    result.counts["unused"] = len(unused)
    if titles:
        result.counts["titles_shared"] = int(
            (np.unique(np.frombuffer(titles, np.int64), return_counts=True)[1] > 1).sum()
        )
    return result


class _Slice:
    """Some of the ids, and what the files say of them."""

    def __init__(self, places: dict[str, int]):
        self.places = places
        self.cells: list[dict[str, str] | None] = [None] * len(places)
        self.conflicts: set[int] = set()
        self.others = array("q")  # hashes of ids that are not among them
        self._raw: dict[int, tuple] = {}
        self._earliest: dict[int, tuple[int, ...]] = {}

    def read(
        self, one: Assignment, part: Attributes, options: Options, counts: Counter, seen: Callable[[int], None] | None
    ) -> None:
        """Take the rows of one file."""
        reading = Reading(one.file.label, one.encoding, options.bad_lines == "refuse", block=options.block)
        names = list(dict.fromkeys(name for one_field in part.fields for name in one_field.columns))
        extra = [name for name in ((part.where or ("",))[0], part.earliest) if name]
        self._raw.clear()
        with one.file.open(seen) as stream:
            for batch in part.layout.read(stream, reading, list(dict.fromkeys([part.key, *names, *extra]))):
                columns = batch.columns
                described = list(zip(*(columns[name] for name in names), strict=True))
                for row, raw in enumerate(columns[part.key]):
                    try:
                        text = options.id_text(raw)
                    except ValueError as error:
                        if not part.repeated:  # of interactions, such rows were dealt with
                            reading.reject(batch.lines[row], str(error))
                        continue
                    if text is None:
                        counts["rows_without_id"] += not part.repeated
                    elif (place := self.places.get(text)) is not None:
                        values = dict(zip(names, described[row], strict=True))
                        if part.where and plain(columns[part.where[0]][row]) != part.where[1]:
                            self.cells[place] = self.cells[place] or {}
                        elif not part.earliest or self._earlier(place, columns[part.earliest][row]):
                            self._take(place, part, values)
                    elif not part.repeated:
                        self.others.append(hash(text))
        counts["rows_bad"] += 0 if part.repeated else reading.bad

    def _earlier(self, place: int, time: object) -> bool:
        """Whether a row's time lies before those seen so far of the same id; if so, what they said is forgotten."""
        numbers = Numbers()
        key = tuple(int(part[0]) for part in numbers.keys(*numbers.encode([time])) if part is not None)
        if place in self._earliest and self._earliest[place] <= key:
            return False
        self._earliest[place] = key
        self.cells[place] = None
        return True

    def _take(self, place: int, part: Attributes, values: dict[str, object]) -> None:
        """Take a row if it is the first of its kind, else see whether it agrees with that."""
        known = self.cells[place]
        first = known is None or part.fields[0].name not in known
        if not first and not part.repeated:
            return
        raw = tuple(values.values())
        if not first and self._raw.get(place) == raw:
            return
        cells = {f.name: f.cell(*(values[name] for name in f.columns)) for f in part.fields}
        if first:
            self.cells[place] = {**(known or {}), **cells}
            if part.repeated:
                self._raw[place] = raw
        elif any(known[name] != cell for name, cell in cells.items()):
            self.conflicts.add(place)


def header(id_name: str, fields: Sequence[Field]) -> str:
    """First line of an atomic file."""
    return "\t".join([f"{id_name}:token", *(f"{one.name}:{one.kind}" for one in fields)]) + "\n"


def line(text: str, fields: Sequence[Field], cells: dict[str, str]) -> str:
    """One row of an atomic file."""
    return "\t".join([text, *(cells.get(one.name, "") for one in fields)]) + "\n"


def writer(file: TextIO, fields: Sequence[Field]) -> Callable[[str, dict[str, str]], None]:
    """A function that writes the row of an id."""

    def write(text: str, cells: dict[str, str]) -> None:
        file.write(line(text, fields, cells))

    return write

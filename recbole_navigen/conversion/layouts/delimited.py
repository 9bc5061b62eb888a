"""Lines with separators between columns, with or without quoting and header."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from recbole_navigen.conversion.layouts.base import ROWS, Batch, Layout, Reading, matched, texts
from recbole_navigen.errors import InputError

csv.field_size_limit(1 << 24)

_HEADS = {
    "item",
    "items",
    "item_id",
    "itemid",
    "user",
    "user_id",
    "userid",
    "use_id",
    "user-id",
    "video_id",
    "id",
    "isbn",
}


@dataclass(frozen=True, slots=True)
class Delimited(Layout):
    """Columns with a separator between them.

    Attributes:
        separator: between columns. quote: what a cell may stand in, None where quotation marks are text.
        escape: what stands before a quotation mark inside quotes (`\\`); None if it is doubled.
        names_given: the columns in order, for files without a header; None if the first line names them.
        header: with `names_given`: whether the first line may still be a header, known by its first word.
        splits: cut at the first so many separators only: what is left over belongs to the last column, which may as a
            whole stand in quotation marks.
    """

    separator: str = ","
    quote: str | None = '"'
    escape: str | None = None
    names_given: tuple[str, ...] | None = None
    header: bool = False
    splits: int = -1

    def _records(self, stream: BinaryIO, reading: Reading) -> Iterator[tuple[list[int], list[list[str]]]]:
        if self.quote is None:
            for numbers, lines in texts(stream, reading):
                rows = [line.split(self.separator, self.splits) for line in lines]
                if self.splits > 0:
                    rows = [[*row[:-1], _unquoted(row[-1])] for row in rows]
                yield numbers, rows
            return
        lines = _Kept(texts(stream, reading))
        options: dict[str, Any] = {"delimiter": self.separator, "quotechar": self.quote, "strict": True}
        if self.escape:
            options |= {"escapechar": self.escape, "doublequote": True}
        reader = csv.reader(lines, **options)
        numbers, rows = [], []
        while True:
            try:
                row = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                reading.reject(lines.first, f"its quotation marks do not fit ({error})")
                lines.again()
                reader = csv.reader(lines, **options)
                continue
            if row:
                numbers.append(lines.first)
                rows.append(row)
            lines.forget()
            if len(rows) >= ROWS:
                yield numbers, rows
                numbers, rows = [], []
        yield numbers, rows

    def read(self, stream: BinaryIO, reading: Reading, wanted: Sequence[str]) -> Iterator[Batch]:
        header = self.names_given
        first = True
        for numbers, rows in self._records(stream, reading):
            if first and rows:
                first = False
                if header is None or (self.header and rows[0][0].strip().lower() in {*_HEADS, header[0].lower()}):
                    names = [cell.strip() for cell in rows[0]]
                    header = header or tuple(names)
                    numbers, rows = numbers[1:], rows[1:]
            if header is None:
                continue
            width = len(header)
            if not set(map(len, rows)) <= {width}:
                for number, row in zip(numbers, rows, strict=True):
                    if len(row) != width:
                        reading.reject(number, f"it has {len(row)} columns and not {width} ({', '.join(header)[:120]})")
                fit = [len(row) == width for row in rows]
                numbers = [number for number, ok in zip(numbers, fit, strict=True) if ok]
                rows = [row for row, ok in zip(rows, fit, strict=True) if ok]
            columns = list(zip(*rows, strict=True)) if rows else [()] * width
            places = dict(zip(header, columns, strict=False))
            present = matched(wanted, header, reading)
            empty = [""] * len(rows)
            values = {n: list(places[m]) if m else empty for n, m in zip(wanted, present, strict=True)}
            yield Batch(values, numbers, len(rows))

    def names(self, stream: BinaryIO, reading: Reading) -> set[str]:
        if self.names_given is not None:
            return set()
        try:
            numbers_rows = next(
                self._records(stream, Reading(reading.label, reading.encoding, refuse=False, block=1 << 16))
            )
        except (StopIteration, InputError):
            return set()
        return {cell.strip() for cell in numbers_rows[1][0]} if numbers_rows[1] else set()


_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


def _unquoted(text: str) -> str:
    match = _QUOTED.fullmatch(text)
    return match[1].replace('""', '"') if match else text


class _Kept:
    """Lines for csv.reader, which remembers those of the record at hand: a broken one gives back all but its first."""

    def __init__(self, batches: Iterator[tuple[list[int], list[str]]]):
        self._lines = (pair for numbers, lines in batches for pair in zip(numbers, lines, strict=True))
        self._record: list[tuple[int, str]] = []
        self._back: list[tuple[int, str]] = []

    def __iter__(self) -> "_Kept":
        return self

    def __next__(self) -> str:
        pair = self._back.pop() if self._back else next(self._lines)
        self._record.append(pair)
        return pair[1] + "\n"

    @property
    def first(self) -> int:
        return self._record[0][0] if self._record else 0

    def forget(self) -> None:
        self._record.clear()

    def again(self) -> None:
        self._back += self._record[:0:-1]
        self._record.clear()

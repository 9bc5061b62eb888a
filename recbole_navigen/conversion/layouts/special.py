"""Files of a layout of their own: parquet, Netflix, lists of items, MIND, Tmall, paragraphs."""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from recbole_navigen.conversion.layouts.base import ROWS, Batch, Layout, Reading, blocks, matched, texts
from recbole_navigen.conversion.layouts.delimited import Delimited
from recbole_navigen.errors import InputError

if TYPE_CHECKING:
    from pyarrow import ChunkedArray


@dataclass(frozen=True, slots=True)
class Parquet(Layout):
    """A parquet file, read by pyarrow a row group at a time. Ids that are whole numbers become text without a dot."""

    def read(self, stream: BinaryIO, reading: Reading, wanted: Sequence[str]) -> Iterator[Batch]:
        file = self._open(stream, reading)
        present = matched(wanted, file.schema_arrow.names, reading)
        number = 1
        try:
            for batch in file.iter_batches(batch_size=ROWS, columns=sorted(set(filter(None, present)))):
                absent = [None] * batch.num_rows
                columns = {
                    name: _arrow(batch.column(column)) if column else absent
                    for name, column in zip(wanted, present, strict=True)
                }
                yield Batch(columns, range(number, number + batch.num_rows), batch.num_rows)
                number += batch.num_rows
        except (OSError, ValueError) as error:
            if isinstance(error, InputError) or getattr(error, "errno", None) is not None:
                raise
            raise InputError(f"{reading.label} is cut off or damaged ({error}); get it again") from error

    def names(self, stream: BinaryIO, reading: Reading) -> set[str]:
        return set(self._open(stream, reading).schema_arrow.names)

    @staticmethod
    def _open(stream: BinaryIO, reading: Reading) -> Any:
        import pyarrow
        import pyarrow.parquet

        source = stream if stream.seekable() else io.BytesIO(stream.read())
        try:
            return pyarrow.parquet.ParquetFile(pyarrow.PythonFile(source, mode="r"))
        except (OSError, ValueError) as error:
            raise InputError(f"{reading.label} is cut off or damaged ({error}); get it again") from error


def _arrow(column: "ChunkedArray") -> list:
    """Values of a column: times as texts in ISO form, whole numbers that missing ones have made floats as integers."""
    import pyarrow

    if pyarrow.types.is_timestamp(column.type) or pyarrow.types.is_date(column.type):
        return [None if value is None else value.isoformat() for value in column.to_pylist()]
    values = column.to_pylist()
    if pyarrow.types.is_floating(column.type):
        return [None if v is None or v != v else v for v in values]
    return values


@dataclass(frozen=True, slots=True)
class Netflix(Layout):
    """`movie:` heads, and `user,rating,date` rows below each. Gives movie, user, rating, date."""

    columns: ClassVar = ("movie", "user", "rating", "date")

    def read(self, stream: BinaryIO, reading: Reading, wanted: Sequence[str]) -> Iterator[Batch]:
        movie = None
        for numbers, found in texts(stream, reading):
            lines, rows = [], []
            for number, text in zip(numbers, found, strict=True):
                if text[-1] == ":":
                    movie = text[:-1]
                    continue
                cells = text.split(",")
                if len(cells) != 3 or movie is None:
                    reading.reject(number, "it is neither `movie:` nor `user,rating,date` below one")
                    continue
                lines.append(number)
                rows.append((movie, *cells))
            columns = dict(zip(self.columns, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
            yield Batch({name: columns.get(name, []) for name in wanted}, lines, len(rows))

    def names(self, stream: BinaryIO, reading: Reading) -> set[str]:
        return set(self.columns) if re.match(rb"\d+:\r?\n", stream.readline()) else set()


@dataclass(frozen=True, slots=True)
class Timelines(Layout):
    """One user a line with a list of items in order. Gives user and item, a row an item.

    Attributes:
        separator: between columns, of which the first two are the user and the items. inner: between items.
        width: columns a line. once: the same list of the same user again is a duplicate of the line.
    """

    separator: str
    inner: str
    width: int
    once: bool = False
    columns: ClassVar = ("user", "item")

    def read(self, stream: BinaryIO, reading: Reading, wanted: Sequence[str]) -> Iterator[Batch]:
        seen: set[int] = set()
        for numbers, found in texts(stream, reading):
            users, items, lines, records = [], [], [], 0
            for number, text in zip(numbers, found, strict=True):
                cells = text.split(self.separator)
                if len(cells) != self.width:
                    reading.reject(number, f"it has {len(cells)} columns and not {self.width}")
                    continue
                records += 1
                key = hash((cells[0], cells[1]))
                if self.once and key in seen:
                    reading.counts["exact_duplicates"] += 1
                    continue
                if self.once:
                    seen.add(key)
                row = [item for item in cells[1].split(self.inner) if item]
                users += [cells[0]] * len(row)
                items += row
                lines += [number] * len(row)
            values = {"user": users, "item": items}
            yield Batch({name: values[name] for name in wanted}, lines, records)

    def names(self, stream: BinaryIO, reading: Reading) -> set[str]:
        cells = stream.readline().decode(reading.encoding, "replace").rstrip("\r\n").split(self.separator)
        return set(self.columns) if len(cells) == self.width and self.inner in cells[1] else set()


@dataclass(frozen=True, slots=True)
class Actions(Layout):
    """Tmall's data_format2: a user a line, whose last column lists `item:category:brand:MMDD:action` with `#` between.

    Gives user, item, category, brand, time and action.
    """

    columns: ClassVar = ("user", "item", "category", "brand", "time", "action")

    def read(self, stream: BinaryIO, reading: Reading, wanted: Sequence[str]) -> Iterator[Batch]:
        for batch in Delimited().read(stream, reading, ("user_id", "merchant_id", "activity_log")):
            rows, lines = [], []
            for number, user, log in zip(
                batch.lines, batch.columns["user_id"], batch.columns["activity_log"], strict=True
            ):
                for action in log.split("#") if log else ():
                    cells = action.split(":")
                    if len(cells) != 5:
                        reading.reject(
                            number, f"the action {action[:60]!r} has {len(cells)} parts and not 5", counted=True
                        )
                        continue
                    rows.append((user, *cells))
                    lines.append(number)
            columns = dict(zip(self.columns, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
            yield Batch({name: columns.get(name, []) for name in wanted}, lines, batch.records)

    def names(self, stream: BinaryIO, reading: Reading) -> set[str]:
        return set(self.columns) if "activity_log" in Delimited().names(stream, reading) else set()


@dataclass(frozen=True, slots=True)
class Impressions(Layout):
    """MIND's behaviors.tsv. Gives user, item, time: the clicks, and once a user the history before all of them.

    The history has no times, so its items come one second apart before the user's earliest impression. What was shown
    and not clicked is no interaction.
    """

    clock: Callable[[str], int]
    columns: ClassVar = ("user", "item", "time")

    def read(self, stream: BinaryIO, reading: Reading, wanted: Sequence[str]) -> Iterator[Batch]:
        table = Delimited("\t", None, names_given=("impression", "user", "time", "history", "shown"))
        first: dict[str, tuple[int, str, int]] = {}
        for batch in table.read(stream, reading, ("user", "time", "history", "shown")):
            rows: list[tuple[str, str, int]] = []
            lines: list[int] = []
            for number, user, when, history, shown in zip(batch.lines, *batch.columns.values(), strict=True):
                try:
                    time = self.clock(when)
                except ValueError:
                    reading.reject(number, f"{when[:60]!r} is no time such as 11/15/2019 8:30:58 AM", counted=True)
                    continue
                if user not in first or time < first[user][0]:
                    first[user] = (time, history, number)
                for item in shown.split():
                    name, dash, click = item.rpartition("-")
                    if not dash or click not in ("0", "1"):
                        reading.reject(
                            number, f"{item[:60]!r} is not a piece of news with -0 or -1 behind it", counted=True
                        )
                    elif click == "0":
                        reading.counts["not_clicked_dropped"] += 1
                    else:
                        rows.append((user, name, time))
                        lines.append(number)
            yield self._batch(rows, lines, batch.records, wanted)
        rows, lines = [], []
        for user, (time, history, number) in first.items():
            items = history.split()
            reading.counts["clicks_from_history"] += len(items)
            rows += [(user, item, time - len(items) + place) for place, item in enumerate(items)]
            lines += [number] * len(items)
        yield self._batch(rows, lines, 0, wanted)

    def _batch(self, rows: list, lines: list[int], records: int, wanted: Sequence[str]) -> Batch:
        columns = dict(zip(self.columns, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
        return Batch({name: columns.get(name, []) for name in wanted}, lines, records)

    def names(self, stream: BinaryIO, reading: Reading) -> set[str]:
        cells = stream.readline().decode("utf-8", "replace").rstrip("\r\n").split("\t")
        return set(self.columns) if len(cells) == 5 and re.search(r"-[01]$", cells[4]) else set()


@dataclass(frozen=True, slots=True)
class Paragraphs(Layout):
    """Records of `name: value` lines with a blank line between them (Stanford's BeerAdvocate)."""

    def read(self, stream: BinaryIO, reading: Reading, wanted: Sequence[str]) -> Iterator[Batch]:
        rows: list[tuple[int, dict[str, str]]] = []
        row: dict[str, str] = {}
        start = 0
        for first, lines in blocks(stream, reading.block):
            for number, line in enumerate(lines, first):
                try:
                    text = line.decode(reading.encoding).removesuffix("\r")
                except UnicodeDecodeError as error:
                    reading.reject(number, f"it is no {reading.encoding.upper()} text ({error.reason})")
                    continue
                if not text.strip():
                    if row:
                        rows.append((start, row))
                    row = {}
                    continue
                name, colon, value = text.partition(":")
                if not colon:
                    reading.reject(number, "it is not `name: value`")
                    continue
                start = start if row else number
                row[name] = value.removeprefix(" ")
            yield self._batch(rows, wanted)
            rows = []
        yield self._batch([(start, row)] if row else [], wanted)

    @staticmethod
    def _batch(rows: Iterable[tuple[int, dict[str, str]]], wanted: Sequence[str]) -> Batch:
        rows = list(rows)
        columns = {name: [row.get(name.rstrip("?")) for _, row in rows] for name in wanted}
        return Batch(columns, [number for number, _ in rows], len(rows))

    def names(self, stream: BinaryIO, reading: Reading) -> set[str]:
        names = set()
        for line in islice(stream, 40):
            text = line.decode("latin-1").rstrip("\r\n")
            if not text:
                break
            names.add(text.partition(":")[0])
        return names

"""From source files to rows of numbers: which file is which part of a format, and every row's fate."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recbole_navigen.conversion.archives import SourceFile
from recbole_navigen.conversion.clocks import CLOCKS, EARLIEST, PER_SECOND, AnyTime, pattern, today, unit_of
from recbole_navigen.conversion.ids import BAD, MISSING, IdTable, id_text
from recbole_navigen.conversion.layouts import Batch, Reading
from recbole_navigen.conversion.numbers import BAD as BAD_NUMBER
from recbole_navigen.conversion.numbers import MISSING as MISSING_NUMBER
from recbole_navigen.conversion.numbers import Numbers
from recbole_navigen.conversion.options import Options
from recbole_navigen.conversion.row_files import RowFiles, Rows
from recbole_navigen.conversion.spec import Attributes, Format, Interactions, Part, shown
from recbole_navigen.errors import InputError

# Why a row of a user and an item was left out on reading, by number: the name in the report and in words.
FATES = {
    1: ("rows_without_time", "without time"),
    2: ("rows_with_impossible_time", "before 1990 or after today"),
    3: ("rows_filtered", "other events"),
    4: ("rows_filtered", "rated too low"),
}
_DAY = 86400


@dataclass(frozen=True, slots=True)
class Assignment:
    """A file, and the part of a format that it is."""

    file: SourceFile
    part: Part
    encoding: str


def assign(files: Sequence[SourceFile], entry: Format) -> tuple[list[Assignment], list[str]]:
    """Say which file is which part: by name, confirmed by content; by content alone if the user named the file.

    Returns:
        The assignments, interactions first and in the order they are to be read, and the labels of files left out.
    """
    pairs: list[tuple[SourceFile, Part]] = []
    left_out: list[str] = []
    for file in files:
        by_name = [part for part in entry.parts if re.fullmatch(part.files, file.name, re.IGNORECASE)]
        if not by_name and not file.named:
            left_out.append(file.label)
            continue
        fitting = [part for part in by_name if _fits(file, part)]
        if not fitting and file.named:
            fitting = next(([part] for part in entry.parts if _fits(file, part, sure=True)), by_name)
        if not fitting and not by_name:
            raise InputError(
                f"{file.label} is no file of {entry.name}, by its name and its content; its files are "
                f"{', '.join(sorted({shown(part.files) for part in entry.parts}))}; see navigen-convert "
                f"--show {entry.name}"
            )
        interactions = [part for part in fitting if isinstance(part, Interactions)][:1]
        described = [part for part in fitting if isinstance(part, Attributes) and (part.repeated or not interactions)]
        pairs += [(file, part) for part in (*interactions, *described)]
        if not interactions and not described:
            left_out.append(file.label)
    # Of the same interactions in several files, a folder or archive gives the first variant that is there.
    variants = [part.variant for file, part in pairs if isinstance(part, Interactions) and not file.named]
    if variants:
        others = {
            file.label
            for file, part in pairs
            if isinstance(part, Interactions) and not file.named and part.variant != min(variants)
        }
        left_out += sorted(others)
        pairs = [(file, part) for file, part in pairs if file.label not in others]
    for part in entry.interactions:
        same = [file.label for file, other in pairs if other is part and not file.named]
        if len(same) > 1 and not part.several:
            raise InputError(
                f"several files hold interactions of {entry.name}: {', '.join(same[:4])}; name those that are meant"
            )
    if not any(isinstance(part, Interactions) for _, part in pairs):
        wanted = " or ".join(shown(part.files) for part in entry.interactions)
        raise InputError(
            f"no file holds interactions: {entry.name} needs {wanted}; see navigen-convert --show {entry.name}"
        )
    order = sorted(
        range(len(pairs)), key=lambda n: (isinstance(pairs[n][1], Attributes), getattr(pairs[n][1], "place", 0), n)
    )
    return [Assignment(*pairs[n], _encoding(*pairs[n])) for n in order], left_out


def _fits(file: SourceFile, part: Part, sure: bool = False) -> bool:
    """Whether the beginning of a file shows a part's columns; without a header it fits, unless it must be sure."""
    with file.open() as stream:
        names = part.layout.names(stream, Reading(file.label, "latin-1", refuse=False))
    if not names:
        return not sure
    options = [needed.rstrip("?").split("|") for needed in part.needs]
    if isinstance(part, Attributes):  # of the fields, some may be absent
        return any(o in names for o in options[0]) and any(o in names for option in options[1:] for o in option)
    return all(any(option in names for option in needed) for needed in options)


def _encoding(file: SourceFile, part: Part) -> str:
    """The encoding of a part, where files of an old one may have been saved as UTF-8 since: the bytes tell."""
    if part.encoding == "utf-8":
        return "utf-8"
    with file.open() as stream:
        data = stream.read()
    if data.isascii():
        return part.encoding
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return part.encoding
    return "utf-8"


@dataclass(slots=True)
class Ingest:
    """Reads interactions into numbers.

    Attributes:
        options: of the command. folder: for temporary files. users, items: ids and codes.
        times, values: numbers as written. rows: all rows that have a user and an item. counts: for the report.
        unit: of the times. has_value: whether the format has a value. first_bad: the first bad line, in words.
    """

    options: Options
    folder: Path
    counts: Counter = field(default_factory=Counter)
    times: Numbers = field(default_factory=Numbers)
    values: Numbers = field(default_factory=Numbers)
    unit: str = ""
    has_value: bool = False
    first_bad: str | None = None
    users: IdTable = field(init=False)
    items: IdTable = field(init=False)
    rows: RowFiles = field(init=False)

    def __post_init__(self) -> None:
        share = self.options.memory // 4
        self.users = IdTable(self.folder, "users", share, self.options.id_text)
        self.items = IdTable(self.folder, "items", share, self.options.id_text)
        self.rows = RowFiles(self.folder, "rows")

    def read(self, entry: Format, assignments: Sequence[Assignment], seen: Callable[[int], None] | None = None) -> None:
        """Read all interactions of a format."""
        parts = [(one, one.part) for one in assignments if isinstance(one.part, Interactions)]
        units = {unit_of(part.clock) for _, part in parts}
        if len(units) > 1:
            raise InputError(
                f"the files have times of different units ({' and '.join(sorted(units))}); convert one kind"
            )
        self.unit = units.pop()
        self.has_value = any(part.value for _, part in parts)
        files = [part.clock == "file" for _, part in parts]
        if any(files) and self.options.order != "file":
            raise InputError(
                f"{entry.title.partition(':')[0]} has no times: leave-one-out by time is not possible; "
                "--order=file takes the order of the file"
            )
        if self.options.order == "file" and not any(files):
            raise InputError(f"--order=file is for data without times, and {entry.name} has them; leave it out")
        if self.options.events and not any(part.events or part.event for _, part in parts):
            raise InputError(
                f"--events does not fit: {entry.name} has no events; of a table, --event=COLUMN names them"
            )
        if self.options.min_rating is not None and not self.has_value:
            raise InputError(f"--min_rating does not fit: {entry.name} has no ratings")
        for one, part in parts:
            self._read_file(one, part, seen)
        if not self.rows.count:
            raise InputError(
                f"{', '.join(one.file.label for one, _ in parts)[:300]}: no row has a user and an item; check "
                "the format and the names of the columns"
            )

    def _read_file(self, one: Assignment, part: Interactions, seen: Callable[[int], None] | None) -> None:
        refuse = self.options.bad_lines == "refuse"
        reading = Reading(one.file.label, one.encoding, refuse, block=self.options.block)
        clock = AnyTime() if part.clock == "any" else CLOCKS[part.clock]
        self.times.use(pattern(self.options.time_format) if self.options.time_format else clock)
        self.values.use(None)
        chosen = self._events(part)
        columns = dict.fromkeys((part.user, part.item, *(part.time or "").split("+"), part.value, *chosen))
        wanted = [name for name in columns if name]
        check = part.check
        with one.file.open(seen) as stream:
            for batch in part.layout.read(stream, reading, wanted):
                if check and len(batch.lines):
                    try:
                        check(batch.columns[part.user], batch.columns[part.item])
                    except ValueError as error:
                        raise InputError(f"{reading.label}: {error}") from error
                    check = None
                self.counts["rows_read"] += batch.records
                if len(batch.lines):
                    self._add(part, batch, reading, chosen)
        self.counts["rows_bad"] += reading.bad
        self.counts["rows_read"] += reading.uncounted
        self.first_bad = self.first_bad or reading.first
        self.counts.update(reading.counts)

    def _events(self, part: Interactions) -> dict[str, set[str] | None]:
        """Columns that tell of the wanted events, and the values that mean them; None: any number but 0."""
        if not self.options.events:
            return {}
        unknown = [name for name in self.options.events if name not in part.events and name not in part.events.values()]
        if unknown and part.events:
            raise InputError(f"unknown event {unknown[0]}; the events are {', '.join(part.events)}")
        values = [part.events.get(name, name) for name in self.options.events]
        return {part.event: set(values)} if part.event else dict.fromkeys(values)

    def _add(self, part: Interactions, batch: Batch, reading: Reading, chosen: dict[str, set[str] | None]) -> None:
        columns, count = batch.columns, len(batch.lines)
        users, items = self.users.codes(columns[part.user]), self.items.codes(columns[part.item])
        if part.time is None:
            times, decimals = np.zeros(count, np.int64), np.zeros(count, np.int8)
        else:
            names = part.time.split("+")
            raw = columns[names[0]] if len(names) == 1 else list(zip(*(columns[name] for name in names), strict=True))
            times, decimals = self.times.encode(raw)
        if part.value is None:
            values, value_decimals = np.zeros(count, np.int64), np.full(count, MISSING_NUMBER, np.int8)
        else:
            values, value_decimals = self.values.encode(columns[part.value])

        # Bad lines: an id, a time or a value that cannot be meant.
        bad = (users == BAD) | (items == BAD) | (decimals == BAD_NUMBER) | (value_decimals == BAD_NUMBER)
        for row in np.flatnonzero(bad):
            reading.reject(batch.lines[row], self._reason(part, columns, int(row)), counted=True)
        self.counts["rows_without_user"] += int((~bad & (users == MISSING)).sum())
        self.counts["rows_without_item"] += int((~bad & (users >= 0) & (items == MISSING)).sum())
        keep = ~bad & (users >= 0) & (items >= 0)

        # The fate of the others: the first reason counts.
        fate = np.zeros(count, dtype=np.uint8)
        if chosen:
            wanted = np.zeros(count, dtype=bool)
            for name, values_wanted in chosen.items():
                if values_wanted is None:
                    wanted |= np.array([str(value) not in ("0", "", "None", "0.0", "False") for value in columns[name]])
                else:
                    wanted |= np.array([str(value).removesuffix(".0") in values_wanted for value in columns[name]])
            fate[~wanted] = 3
        if self.options.min_rating is not None:
            fate[~(self.values.floats(values, value_decimals) >= self.options.min_rating)] = 4
        if (factor := PER_SECOND.get(self.unit)) and part.time is not None:
            seconds = self.times.floats(times, decimals) / factor
            latest = (today().toordinal() - 719163 + 2) * _DAY
            fate[~((seconds >= EARLIEST) & (seconds < latest))] = 2
        missing = decimals == MISSING_NUMBER
        if missing.any() and self.options.missing_times == "refuse":
            line = batch.lines[int(np.flatnonzero(missing)[0])]
            raise InputError(
                f"{reading.label} line {line} has no time; mend it, or leave such rows out with --missing_times=drop"
            )
        fate[missing] = 1
        self.rows.append(Rows(users, items, times, decimals, values, value_decimals, fate).take(keep))
        self.users.relieve()
        self.items.relieve()

    @staticmethod
    def _reason(part: Interactions, columns: dict[str, list], row: int) -> str:
        for name in (part.user, part.item):
            try:
                id_text(columns[name][row])
            except ValueError as error:
                return str(error)
        shown = [f"{columns[name][row]!r}"[:80] for name in (*(part.time or "").split("+"), part.value) if name]
        return f"its time or value is no number or date of this format: {', '.join(shown)}"


def open_all(assignments: Sequence[Assignment]) -> int:
    """Bytes on disk that all passes will read, for the progress bar."""
    return sum(one.file.size for one in assignments)


def described(assignments: Sequence[Assignment], of: str) -> list[tuple[Assignment, Any]]:
    """The files that describe items or users."""
    return [(one, one.part) for one in assignments if isinstance(one.part, Attributes) and one.part.of == of]

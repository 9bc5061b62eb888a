"""What all layouts share: batches of columns, lines and their numbers, and what becomes of bad lines."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from recbole_navigen.errors import InputError

BLOCK = 1 << 22  # bytes read at once
ROWS = 20_000  # records of a csv or parquet file in a batch
BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Batch:
    """Some records as columns.

    Attributes:
        columns: name -> one raw value a row. lines: where each row stands, 1 for the first line of a file.
        records: how many records of the source these rows come from.
    """

    columns: dict[str, list]
    lines: Sequence[int]
    records: int


@dataclass(slots=True)
class Reading:
    """One pass over one file: what to call it, how its text is encoded, and what becomes of bad lines.

    Attributes:
        refuse: whether a bad line ends the conversion. bad: lines left out. uncounted: those of them that no batch
            counts as records. first: the first of them, in words.
        counts: what a layout counts beside rows. block: bytes read at once.
    """

    label: str
    encoding: str = "utf-8"
    refuse: bool = True
    bad: int = 0
    uncounted: int = 0
    first: str | None = None
    counts: Counter = field(default_factory=Counter)
    block: int = BLOCK

    def reject(self, line: int, why: str, counted: bool = False) -> None:
        """A line that cannot be meant: refused, or left out. `counted`: a batch counts it among its records."""
        words = f"{self.label} line {line}: {why}"
        if self.refuse:
            raise InputError(f"{words}; mend the file, or leave such lines out with --bad_lines=skip")
        self.bad += 1
        self.uncounted += not counted
        self.first = self.first or words


def blocks(stream: BinaryIO, size: int) -> Iterator[tuple[int, list[bytes]]]:
    """Lines without their ends, a block at a time, with the number of the first. A line feed alone ends a line."""
    number, rest, start = 1, b"", True
    while block := stream.read(size):
        if start:
            block, start = block.removeprefix(BOM), False
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if lines:
            yield number, lines
            number += len(lines)
    if rest:
        yield number, [rest]


def texts(stream: BinaryIO, reading: Reading) -> Iterator[tuple[list[int], list[str]]]:
    """Decoded lines that are not blank, without carriage returns at their ends, with their numbers."""
    for first, lines in blocks(stream, reading.block):
        try:
            decoded = b"\n".join(lines).decode(reading.encoding).split("\n")
        except UnicodeDecodeError:
            decoded = []
            for number, line in enumerate(lines, first):
                try:
                    decoded.append(line.decode(reading.encoding))
                except UnicodeDecodeError as error:
                    reading.reject(number, f"it is no {reading.encoding.upper()} text ({error.reason})")
                    decoded.append("")
        numbers = list(range(first, first + len(decoded)))
        if any(not text or text[-1] == "\r" or text.isspace() for text in decoded):
            decoded = [text.removesuffix("\r") for text in decoded]
            numbers = [number for number, text in zip(numbers, decoded, strict=True) if text and not text.isspace()]
            decoded = [text for text in decoded if text and not text.isspace()]
        yield numbers, decoded


class Layout:
    """Base of all layouts."""

    def read(self, stream: BinaryIO, reading: Reading, wanted: Sequence[str]) -> Iterator[Batch]:
        """Read a file.

        Args:
            stream: its bytes. reading: of this pass. wanted: names of the columns to give.
        """
        raise NotImplementedError

    def names(self, stream: BinaryIO, reading: Reading) -> set[str]:
        """Names of the columns that the beginning of a file shows."""
        raise NotImplementedError


def matched(wanted: Sequence[str], present: Sequence[str], reading: Reading) -> list[str | None]:
    """For each wanted column (`a|b`: either; `a?`: may be absent) its name in the file."""
    result = []
    for name in wanted:
        options = name.rstrip("?").split("|")
        match = next((option for option in options if option in present), None)
        if match is None and not name.endswith("?"):
            raise InputError(
                f"{reading.label} has no column {' or '.join(options)}; its columns are "
                f"{', '.join(map(str, present))[:300]}"
            )
        result.append(match)
    return result

"""Atomic files, read as they stand: the one reader of `.inter`, `.item`, `.user` and every other file of a data set.

A cell is what stands between two separators. There is no quoting and no word that means "missing": only an empty cell
is missing. A line feed ends a row, and a carriage return before it belongs to the line's end; every other character is
text, those included that Unicode takes for line ends. Lines of nothing but blanks are left out, as RecBole does.

The cells are cut by pandas' C parser. What it cannot take is written otherwise first: other encodings as UTF-8, a
separator that is not one ASCII character as a character that the file does not hold, and NUL, which would end a cell,
as `NUL_MARK`.
"""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_navigen.errors import InputError

FIELD_TYPES = ("token", "token_seq", "float", "float_seq")
NUL_MARK = "\ue000NUL\ue001"  # stands for NUL in frames: pandas' hash tables would end a token there too

_BLOCK = 1 << 24  # bytes decoded at once
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_STAND_INS = [9, *range(31, 0, -1), *range(33, 127)]  # for separators, the first that the file does not hold
_UNFIT = {0, 10, 13, 34}


def read_header(path: str | Path, separator: str = "\t", encoding: str | None = None) -> dict[str, str]:
    """Read the first line of an atomic file.

    Args:
        path: a RecBole atomic file, e.g. `ml-100k.inter`.
        separator: what stands between columns.
        encoding: of the file; None means UTF-8.

    Returns:
        Column name -> type (`token`, `token_seq`, `float` or `float_seq`), in the file's order.
    """
    path = Path(path)
    _check_reading(separator, encoding)
    if not path.is_file():
        raise InputError(f"there is no file {path.absolute()}; a data set needs its atomic files in that folder")
    try:
        with open(path, encoding=encoding or "utf-8", newline="\n") as file:
            line = file.readline().removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")
            empty = not line and not file.read(1)
    except UnicodeError as error:
        raise _undecodable(path, encoding) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if empty:
        raise InputError(f"{path} is empty; it needs a header such as user_id:token and at least one row")
    pairs = [column.rpartition(":") for column in line.split(separator)]
    if not all(name and kind in FIELD_TYPES for name, _, kind in pairs):
        raise _no_header(path, line, separator)
    repeated = [name for name, count in Counter(name for name, _, _ in pairs).items() if count > 1]
    if repeated:
        raise InputError(f"{path} names column {repeated[0]} twice; keep one")
    return {name: kind for name, _, kind in pairs}


def _check_reading(separator: object, encoding: object) -> None:
    if not isinstance(separator, str) or not separator or set(separator) & {"\n", "\r", "\0"}:
        raise InputError(f"field_separator must be characters that stand within a line, such as ',', not {separator!r}")
    try:
        "".encode(encoding or "utf-8")
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"encoding must be one that Python knows, such as utf-8, not {encoding!r}") from error


def _undecodable(path: Path, encoding: str | None, line: int | None = None) -> InputError:
    with open(path, "rb") as file:
        wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    advice = "it looks like UTF-16: set encoding: utf-16" if wide else "save it as UTF-8 or set encoding"
    where = "" if line is None else f" in line {line}"
    return InputError(f"{path} is not {encoding or 'UTF-8'} text{where}; {advice}")


def _no_header(path: Path, line: str, separator: str) -> InputError:
    """What to say about a first line that is no header; files as spreadsheets write them are known by their look."""
    columns = line.split(separator)
    wrong = next((c for c in columns if not c.rpartition(":")[0] or c.rpartition(":")[2] not in FIELD_TYPES), line)
    delimiter = max((separator, ",", ";", "\t"), key=line.count)
    cells = next(csv.reader([line], delimiter=delimiter), []) if len(delimiter) == 1 and "\r" not in line else []
    typed = all(cell.rpartition(":")[0] and cell.rpartition(":")[2] in FIELD_TYPES for cell in cells)
    if '"' in line and cells and typed:
        return InputError(
            f"{path} has no atomic-file header: its cells stand in quotation marks, as spreadsheets write them, and "
            f'atomic files have no quoting; write it anew with tabs and without quotation marks by python -c "import '
            f"pandas as p; p.read_csv(r'{path}', sep='{delimiter}', dtype=str, keep_default_na=False).to_csv("
            f"r'{path}', sep='\\t', index=False, quoting=3)\" and leave out field_separator"
        )
    has = f"has {repr(wrong[:60])[:70]}"
    if "\r" in line:
        has = "its lines end in carriage returns; save it with line feeds"
    elif len(cells) > 1 and separator not in line:
        has += f" (its columns seem to be {', '.join(cells)[:120]}, separated by {delimiter!r})"
    advice = ""
    if len(cells) > 1 and not any(":" in cell for cell in cells):
        advice = (
            f"; a table becomes a data set by navigen-convert csv {path.name} --user=COLUMN --item=COLUMN "
            f"--time=COLUMN --name={path.stem}"
        )
    return InputError(
        f"{path} has no atomic-file header: its first line must name every column as name:type with a type out of "
        f"{', '.join(FIELD_TYPES)}, separated by {separator!r} (user_id:token{separator}item_id:token, for example), "
        f"and {has}{advice}"
    )


class AtomicFile:
    """The cells of one atomic file. Lines are counted as editors do: the header is line 1."""

    def __init__(self, path: str | Path, separator: str = "\t", encoding: str | None = None):
        """Read the file; a row with more cells than the header is refused, and so is a file without rows.

        Args:
            path: a RecBole atomic file.
            separator: what stands between columns; not a pattern.
            encoding: of the file; None means UTF-8.
        """
        self.path = Path(path)
        self.header = read_header(path, separator, encoding)
        data = self._decoded(self.path.read_bytes(), encoding)
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").removesuffix(b"\r")
        self.holds_nul = b"\0" in data
        if self.holds_nul:
            data = data.replace(b"\0", NUL_MARK.encode())
        self._separator = separator
        if len(separator) > 1 or ord(separator) in _UNFIT or not separator.isascii():
            free = [byte for byte in _STAND_INS if byte not in data and byte not in _UNFIT]
            if not free:
                raise InputError(f"{self.path} holds every ASCII character; use one of them as field_separator")
            self._separator = chr(free[0])
            data = data.replace(separator.encode(), bytes(free[:1]))
        self._data = data
        self._blank = self._check_rows(separator)

    def _decoded(self, data: bytes, encoding: str | None) -> bytes:
        """The content as UTF-8 without byte-order mark."""
        utf8 = codecs.lookup(encoding or "utf-8").name == "utf-8"
        decoder = codecs.getincrementaldecoder(encoding or "utf-8")()
        pieces = []
        for start in range(0, len(data), _BLOCK):
            try:
                text = decoder.decode(data[start : start + _BLOCK], final=start + _BLOCK >= len(data))
                if not utf8:
                    pieces.append(text.encode())
            except UnicodeError as error:
                before = error.object[: error.start] if isinstance(error, UnicodeDecodeError) else b""
                line = data[:start].count(b"\n") + before.count(b"\n") + 1
                raise _undecodable(self.path, encoding, line) from error
        return (data if utf8 else b"".join(pieces)).removeprefix(codecs.BOM_UTF8)

    def _check_rows(self, separator: str) -> np.ndarray:
        """Refuse rows that are too wide; returns the numbers of blank lines, counted from 0 at the header."""
        others = bytes(set(range(256)) - {10, ord(self._separator)})
        marks = np.frombuffer(self._data.translate(None, others), np.uint8)
        ends = np.flatnonzero(marks == 10)
        if not self._data.endswith(b"\n"):
            ends = np.append(ends, len(marks))
        cells = np.diff(ends, prepend=-1)
        wide = np.flatnonzero(cells > len(self.header))
        if len(wide):
            raise InputError(
                f"{self.path} line {wide[0] + 1} has {cells[wide[0]]} columns and its header {len(self.header)}; "
                f"remove the extra separator {separator!r}"
            )
        single = np.flatnonzero(cells[1:] == 1) + 1
        blank = single
        if len(single):
            breaks = np.flatnonzero(np.frombuffer(self._data, np.uint8) == 10)
            breaks = np.append(breaks, len(self._data))
            blank = [line for line in single if not self._data[breaks[line - 1] + 1 : breaks[line]].strip()]
        if len(blank) == len(cells) - 1:
            raise InputError(f"{self.path} is empty: it has a header and no rows")
        self._lines = len(cells)
        return np.asarray(blank, dtype=np.int64)

    @cached_property
    def lines(self) -> pd.Index:
        """The line of each row. Shape (S,)."""
        everything = pd.RangeIndex(2, self._lines + 1)
        return pd.Index(np.delete(everything, self._blank - 1)) if len(self._blank) else everything

    def frame(self, columns: Iterable[str]) -> pd.DataFrame:
        """Read columns: `float` ones as float64, any other as text, both with NaN for an empty cell.

        Args:
            columns: names out of the header.

        Returns:
            One row a row of the file, indexed by its line; columns in the file's order. `NUL_MARK` stands for NUL.

        Raises:
            InputError: a cell of a float column that is no finite number, by line and column.
        """
        columns = [name for name in self.header if name in set(columns)]
        floats = [name for name in columns if self.header[name] == "float"]
        try:
            frame = self._parsed(columns, floats)
        except (ValueError, OverflowError):
            frame = self._parsed(columns, [])
            for name in floats:
                frame[name] = self._numbers(frame[name])
        for name in floats:
            odd = ~np.isfinite(frame[name].to_numpy())
            if odd.any():
                texts = self._parsed([name], [])[name]
                self._refuse_numbers(texts[odd & texts.notna().to_numpy()])
        return frame

    def texts(self, columns: Iterable[str]) -> pd.DataFrame:
        """Read columns of any type as text, "" for an empty cell, with NUL as it is; indexed by line."""
        frame = self._parsed(columns, []).fillna("")
        if self.holds_nul:
            for name in frame:
                frame[name] = frame[name].str.replace(NUL_MARK, "\0", regex=False)
        return frame

    def _parsed(self, columns: Iterable[str], floats: Iterable[str]) -> pd.DataFrame:
        frame = pd.read_csv(
            io.BytesIO(self._data),
            sep=self._separator,
            header=0,
            names=list(self.header),
            usecols=list(columns),
            index_col=False,
            dtype={name: np.float64 if name in floats else object for name in columns},
            engine="c",
            low_memory=False,
            lineterminator="\n",
            quoting=csv.QUOTE_NONE,
            skip_blank_lines=False,
            keep_default_na=False,
            na_values=[""],
            float_precision="round_trip",
            encoding="utf-8",
        )
        if len(self._blank):
            frame = frame.drop(index=self._blank - 1)
        frame.index = self.lines
        return frame

    def _numbers(self, texts: pd.Series) -> pd.Series:
        """Cells of a float column as float64, where the parser did not take them all."""
        bare = texts.str.strip()
        self._refuse_numbers(texts[texts.notna() & ~bare.str.fullmatch(_NUMBER).fillna(True).astype(bool)])
        return bare.astype(np.float64)

    def _refuse_numbers(self, wrong: pd.Series) -> None:
        if len(wrong):
            raise _no_number(self.path, wrong.index[0], wrong.iloc[0], wrong.name, "float")


def sequences(path: Path, cells: pd.Series, kind: str, separator: str) -> tuple[list[np.ndarray], int]:
    """Cut the cells of a sequence column, as RecBole does: parts that are empty are left out.

    Args:
        path: of the file, for the message.
        cells: text, NaN for an empty cell, indexed by line. Shape (S,).
        kind: `token_seq` or `float_seq`.
        separator: what stands between the parts of a cell.

    Returns:
        One array of text or float64 a cell, and the length of the longest.
    """
    if not isinstance(separator, str) or not separator:
        raise InputError(f"seq_separator must be one or more characters, such as ' ', not {separator!r}")
    parts = [list(filter(None, cell.split(separator))) for cell in cells.fillna("")]
    if kind == "float_seq":
        for line, cell in zip(cells.index, parts, strict=True):
            for part in cell:
                if not _NUMBER.fullmatch(part.strip()) or not np.isfinite(float(part)):
                    raise _no_number(path, line, part, cells.name, kind)
        parts = [list(map(float, cell)) for cell in parts]
    return [np.array(cell) for cell in parts], max(map(len, parts))


def _no_number(path: Path, line: int, text: str, column: str, kind: str) -> InputError:
    text = text.replace(NUL_MARK, "\0")
    return InputError(
        f"{path} line {line} has {text[:60]!r} in column {column}, which is of type {kind}: write a plain number "
        f"such as 4.5, or leave the cell empty"
    )

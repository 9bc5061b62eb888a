"""Lines that are objects: JSON, and literals of Python. Nothing is evaluated.

Literals are taken by `ast.literal_eval`, or by a pattern for the plain ones among them, which says the same faster.
"""

import ast
import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, BinaryIO

from recbole_navigen.conversion.layouts.base import BOM, Batch, Layout, Reading, blocks

try:
    from orjson import loads as _fast_loads
except ImportError:
    _fast_loads = json.loads

_STRING = r"[uU]?'(?:[^'\\\n]|\\.)*'|[uU]?\"(?:[^\"\\\n]|\\.)*\""
_TOKEN = re.compile(rf"({_STRING})|(True|False|None)\b|([\s{{}}\[\],:]+|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)")
_WORDS = {"True": "true", "False": "false", "None": "null"}


def literal(text: str) -> Any:
    """A literal of Python (`u'...'` of Python 2 among them), without evaluating it.

    Plain ones are written as JSON token by token; whatever is not plain goes to `ast.literal_eval`.
    """
    pieces, place = [], 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return ast.literal_eval(text.strip())
        place = match.end()
        string, word, other = match.groups()
        if string:
            body = string[2:-1] if string[0] in "uU" else string[1:-1]
            if "\\" in body or '"' in body or not body.isprintable():
                body = ast.literal_eval(string)
                pieces.append(json.dumps(body))
            else:
                pieces.append(f'"{body}"')
        else:
            pieces.append(_WORDS[word] if word else other)
    try:
        return _fast_loads("".join(pieces))
    except ValueError:
        return ast.literal_eval(text.strip())


def _strict(line: bytes | str) -> Any:
    """JSON by the fast reader, and by the standard one what that refuses (lone surrogates, NaN)."""
    try:
        return _fast_loads(line)
    except ValueError:
        return json.loads(line)


def _columns(rows: list[dict], wanted: Sequence[str]) -> dict[str, list]:
    """Values by name; None where a row has none."""
    with contextlib.suppress(KeyError):  # nearly always every row has every name
        if len(wanted) > 1 and rows:
            cells = zip(*map(itemgetter(*wanted), rows), strict=True)
            return {name: list(values) for name, values in zip(wanted, cells, strict=True)}
    columns = {}
    for name in wanted:
        first, *others = name.rstrip("?").split("|")
        columns[name] = [row.get(first) for row in rows]
        for other in others:
            pairs = zip(columns[name], rows, strict=True)
            columns[name] = [row.get(other) if value is None else value for value, row in pairs]
    return columns


class Json(Layout):
    """One JSON object a line. Nested values are lists and dictionaries."""

    def _loads(self, line: bytes) -> Any:
        return _strict(line)

    def _rows(self, first: int, lines: list[bytes], reading: Reading) -> tuple[Sequence[int], list[dict]]:
        try:
            rows = list(map(_fast_loads, lines)) if type(self) is Json else None
        except ValueError:
            rows = None
        if rows is not None and set(map(type, rows)) == {dict}:
            return range(first, first + len(rows)), rows
        numbers, rows = [], []
        for number, line in enumerate(lines, first):
            if not line or line.isspace():
                continue
            try:
                row = self._loads(line)
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
                reading.reject(number, f"it is not one whole object ({str(error)[:120]})")
                continue
            if not isinstance(row, dict):
                reading.reject(number, "it is no object with names and values")
                continue
            numbers.append(number)
            rows.append(row)
        return numbers, rows

    def read(self, stream: BinaryIO, reading: Reading, wanted: Sequence[str]) -> Iterator[Batch]:
        for first, lines in blocks(stream, reading.block):
            numbers, rows = self._rows(first, lines, reading)
            yield Batch(_columns(rows, wanted), numbers, len(rows))

    def names(self, stream: BinaryIO, reading: Reading) -> set[str]:
        names: set[str] = set()
        for number, line in enumerate(islice(stream, 20)):
            line = line.removeprefix(BOM) if number == 0 else line
            if line.strip():
                try:
                    row = self._loads(line.rstrip(b"\r\n"))
                except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                    return names
                if not isinstance(row, dict):
                    return names
                names |= row.keys()
        return names


class Literal(Json):
    """One dictionary a line, as Python prints it. Lines of JSON are taken, too."""

    def _loads(self, line: bytes) -> Any:
        if line.lstrip()[:2] == b'{"':
            try:
                return _strict(line)
            except ValueError:
                pass
        return literal(line.decode())

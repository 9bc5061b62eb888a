"""Any table as a format: csv, tsv, JSON lines, Python literals or parquet, with the columns that the command names."""

import csv
from collections.abc import Sequence

from recbole_navigen.conversion.archives import SourceFile
from recbole_navigen.conversion.layouts import Delimited, Json, Layout, Literal, Parquet, Reading
from recbole_navigen.conversion.options import Columns, Options
from recbole_navigen.conversion.spec import Attributes, Field, Format, Interactions
from recbole_navigen.conversion.text import clean, parts
from recbole_navigen.errors import InputError

_SEPARATORS = (",", "\t", ";", "|")
_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


def table_format(kind: str, options: Options, files: Sequence[SourceFile], items: Sequence[SourceFile]) -> Format:
    """Declare the format of a table.

    Args:
        kind: csv, tsv, jsonl or parquet, as the command says; the content decides between them. options: of the
        command.
        files: of interactions. items: of items.
    """
    columns = options.columns
    for name in ("user", "item"):
        if getattr(columns, name) is None:
            raise InputError(f"--{name}=COLUMN is missing: say which column holds the {name}")
    if columns.time is None and options.order != "file":
        raise InputError(
            "--time=COLUMN is missing: leave-one-out by time needs times; --order=file takes the order of the "
            "file instead"
        )
    if columns.time is not None and options.order == "file":
        raise InputError("--time and --order=file exclude each other; leave one of them out")
    wanted = [name for name in (columns.user, columns.item, columns.time, columns.rating, columns.event) if name]
    declarations: list[Interactions | Attributes] = []
    for file in files:
        layout = _layout(kind, file, columns, wanted)
        declarations.append(
            Interactions(
                _exactly(file),
                layout,
                columns.user,
                columns.item,
                columns.time,
                columns.rating,
                event=columns.event,
                clock="any" if columns.time else "file",
            )
        )
    fields = _fields(columns)
    if fields and not items:
        raise InputError("--title and --item_columns describe items; name their file with --items=FILE")
    for file in items:
        key = columns.key or columns.item
        layout = _layout(kind, file, columns, [key, *(name for one in fields for name in one.columns)])
        if not fields:
            raise InputError("--items needs --title=COLUMN, or --item_columns, to say what of the items is written")
        declarations.append(Attributes("items", _exactly(file), layout, key, fields))
    return Format(kind, tuple(declarations), repeats="first" if columns.rating else "all")


def _exactly(file: SourceFile) -> str:
    import re

    return re.escape(file.name)


def _fields(columns: Columns) -> tuple[Field, ...]:
    fields = [Field("title", "token_seq", (columns.title,), clean, "name")] if columns.title else []
    for text in columns.others:
        name, colon, separator = text.partition(":")
        if colon:
            fields.append(
                Field(_plain(name), "token_seq", (name,), parts(_NAMES.get(separator, separator) or ","), "tag")
            )
        else:
            fields.append(Field(_plain(name), "token_seq", (name,), clean, "kind"))
    names = [one.name for one in fields]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"the item file would have two columns {repeated}; name each once")
    return tuple(fields)


def _plain(name: str) -> str:
    return "_".join(name.replace(":", " ").split()) or "column"


def _layout(kind: str, file: SourceFile, columns: Columns, wanted: Sequence[str]) -> Layout:
    """What a table is, by its first bytes; the separator of columns by the names that must be in the header."""
    with file.open() as stream:
        head = stream.peek(1 << 16) if hasattr(stream, "peek") else stream.read(1 << 16)
        if head.startswith(b"PAR1"):
            return Parquet()
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if start.startswith(b"{"):
            line = start.partition(b"\n")[0]
            return Literal() if b"'" in line[:3] or line[1:3] == b"u'" else Json()
        if kind in ("jsonl", "parquet"):
            raise InputError(f"{file.label} is no {kind}; take csv for a table with separators")
    if columns.separator or not columns.header:
        separator = _NAMES.get(columns.separator or "", columns.separator) or ("\t" if kind == "tsv" else ",")
        return _delimited(file, separator, columns)
    candidates = [_delimited(file, separator, columns) for separator in _SEPARATORS]
    headers = []
    for layout in candidates:
        with file.open() as stream:
            headers.append(layout.names(stream, Reading(file.label, "utf-8", refuse=False)))
    fitting = [n for n, names in enumerate(headers) if set(wanted) <= names]
    if len(fitting) == 1 or (fitting and len(wanted) > 1):
        return candidates[fitting[0]]
    widest = max(headers, key=len)
    absent = next((name for name in wanted if name not in widest), wanted[0])
    raise InputError(f"{file.label} has no column {absent}; its columns are {', '.join(sorted(widest))[:300]}")


def _delimited(file: SourceFile, separator: str, columns: Columns) -> Delimited:
    quote = '"' if len(separator) == 1 else None
    if columns.header:
        return Delimited(separator, quote)
    with file.open() as stream:
        line = stream.readline().decode("utf-8", "replace").rstrip("\r\n")
    width = len(next(csv.reader([line], delimiter=separator))) if quote else len(line.split(separator))
    return Delimited(separator, quote, names_given=tuple(str(number + 1) for number in range(width)))

"""Bad atomic files, and good ones that look odd: every fault of every file, by tables of faults."""

import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bad_input.world import BASE, DATASET, FILES, SPACE, Input, World, write_lines

FILE = f"{DATASET}.{{}}"
LOAD = {
    "inter": ["user_id", "item_id", "rating", "timestamp"],
    "item": ["item_id", "title", "genre", "year"],
    "user": ["user_id", "age", "city"],
}
COLUMNS = f"--load_col={json.dumps(LOAD)}"
# Models of each kind read the files, each by each command that trains.
READERS = [
    ("navigen", "--model=NaviGen"),
    ("navigen", "--model=BPR"),
    ("navigen", "--model=SASRec"),
    ("compare", "--models=Pop,SASRec"),
    ("hyper", "--model=NaviGen", "--n_trials=1", SPACE),
    ("generate", *("--n_users=2", "--drafts=1")),
]
_readers = itertools.cycle(READERS)

Lines = list[str]


def _head(change: Callable[[str], str]) -> Callable[[Lines], Lines]:
    return lambda lines: [change(lines[0]), *lines[1:]]


def one_row(change: Callable[[str], str]) -> Callable[[Lines], Lines]:
    """Change the row in the middle of a file."""
    return lambda lines: [change(line) if place == len(lines) // 2 else line for place, line in enumerate(lines)]


def _first(name: str) -> Callable[[str], str]:
    """Put another name or type of the first column."""
    return lambda header: "\t".join([name, *header.split("\t")[1:]])


# What can be wrong with any atomic file: fault -> its lines changed.
FAULTS: dict[str, Callable[[Lines], Lines]] = {
    "no lines": lambda lines: [],
    "one blank line": lambda lines: [""],
    "only spaces": lambda lines: ["   ", "  "],
    "a header and no rows": lambda lines: lines[:1],
    "a header and blank lines": lambda lines: [lines[0], "", ""],
    "no header": lambda lines: lines[1:],
    "a blank line before the header": lambda lines: ["", *lines],
    "a header without types": _head(lambda head: head.replace(":token", "").replace(":float", "").replace("_seq", "")),
    "a column without a type": _head(lambda head: head.replace(":token", "", 1)),
    "an unknown type": _head(lambda head: head.replace(":token", ":text", 1)),
    "a type in capitals": _head(lambda head: head.replace(":token", ":Token", 1)),
    "a type with a space": _head(lambda head: head.replace(":token", ": token", 1)),
    "two colons": _head(lambda head: head.replace(":token", "::", 1)),
    "a column without a name": _head(_first(":token")),
    "a column twice": _head(
        lambda head: "\t".join([head.split("\t")[0], *head.split("\t")[:1], *head.split("\t")[2:]])
    ),
    "the id column missing": _head(lambda head: head.replace("_id", "_number", 1)),
    "the id column in capitals": _head(lambda head: head.replace("item_id", "ITEM_ID").replace("user_id", "USER_ID")),
    "a header with commas": _head(lambda head: head.replace("\t", ",")),
    "a file with commas": lambda lines: [line.replace("\t", ",") for line in lines],
    "a file with semicolons": lambda lines: [line.replace("\t", ";") for line in lines],
    "a file with spaces": lambda lines: [line.replace("\t", " ") for line in lines],
    "a csv in quotes": lambda lines: [",".join(f'"{cell}"' for cell in line.split("\t")) for line in lines],
    "a row with a column too many": one_row(lambda row: f"{row}\t5"),
    "a row with a column too few": one_row(lambda row: row.rpartition("\t")[0]),
    "a row of one cell": one_row(lambda row: row.partition("\t")[0]),
    "every row with a separator at its end": lambda lines: [lines[0], *(f"{line}\t" for line in lines[1:])],
    "an empty id": one_row(lambda row: "\t" + row.partition("\t")[2]),
    "the id [PAD]": one_row(lambda row: "[PAD]\t" + row.partition("\t")[2]),
}
MAY_BE_MISSING = ("a row with a column too few", "a row of one cell", "an empty id", "the id [PAD]")
# What can be wrong with its bytes.
BYTES: dict[str, Callable[[bytes], bytes]] = {
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "Latin-1 in a row": lambda data: data.replace(b"\n", b"\xe9\n", 5),
    "Latin-1 in the header": lambda data: b"\xe9" + data,
    "a picture": lambda data: b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
    "zero bytes": lambda data: b"\0" * 300,
    "packed by gzip": gzip.compress,
    "lines that end as on an old Mac": lambda data: data.replace(b"\n", b"\r"),
}
NUMBERS = (
    "",
    "morning",
    "5 stars",
    "1,5",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "0x1f",
    "1_000",
    "--3",
    "3.1.4",
    "five",
    "2020-10-10",
)


def atomic_inputs(world: World) -> Iterator[Input]:
    """Faults of atomic files."""
    for suffix, make in FILES.items():
        for what, change in FAULTS.items():
            # Cells may be missing at the end of what is said about items and users, and an id of an interaction, which
            # is then left out with a warning.
            may = ("an empty id", "a row of one cell") if suffix == "inter" else MAY_BE_MISSING
            right = None if what in may else False
            yield _of_file("atomic: lines", suffix, what, lines_of(suffix, change(make())), right=right)
        for what, change in BYTES.items():
            yield _of_file("atomic: bytes", suffix, what, bytes_of(suffix, change))
        header = make()[0].split("\t")
        for place, column in enumerate(header):
            if column.endswith(":float"):
                for number in NUMBERS:
                    changed = one_row(lambda row, place=place, number=number: with_cell(row, place, number))
                    # An empty cell is a missing value, but no row can do without its time.
                    right = None if not number and column != "timestamp:float" else False
                    about = (FILE.format(suffix), column.partition(":")[0])
                    yield _of_file(
                        "atomic: numbers",
                        suffix,
                        f"{column} {number!r}",
                        lines_of(suffix, changed(make())),
                        about=about,
                        right=right,
                    )
        yield from _places(suffix)
    yield from _histories()
    yield from _missing_items()
    yield from _filters()
    yield from _columns()


def with_cell(row: str, place: int, text: str) -> str:
    cells = row.split("\t")
    cells[place] = text
    return "\t".join(cells)


def lines_of(suffix: str, lines: Lines) -> Callable[[World], None]:
    return lambda world: write_lines(suffix, lines)


def bytes_of(suffix: str, change: Callable[[bytes], bytes]) -> Callable[[World], None]:
    def files(world: World) -> None:
        path = _path(suffix)
        path.write_bytes(change(path.read_bytes()))

    return files


def _path(suffix: str) -> Path:
    return Path("dataset", DATASET, FILE.format(suffix))


def _of_file(
    kind: str,
    suffix: str,
    what: str,
    files: Callable[[World], None],
    *arguments: str,
    about: tuple[str, ...] = (),
    right: bool | None = False,
    check: Callable[[Any], Any] | None = None,
) -> Input:
    name, *own = next(_readers)
    given = (name, *own, f"--dataset={DATASET}", COLUMNS, "--config_files", BASE, *arguments)
    words = about or (FILE.format(suffix), *(["[PAD]"] if "[PAD]" in what else []))
    return Input(kind, f".{suffix}: {what}", given, words, files, right, check)


def _places(suffix: str) -> Iterator[Input]:
    def folder(world: World) -> None:
        _path(suffix).unlink()
        _path(suffix).mkdir()

    def dangling(world: World) -> None:
        _path(suffix).unlink()
        _path(suffix).symlink_to("nowhere")

    places = {"missing": lambda world: _path(suffix).unlink(), "a folder": folder, "a link to nothing": dangling}
    for what, files in places.items():
        yield _of_file("atomic: places", suffix, what, files)


def _histories() -> Iterator[Input]:
    lines = FILES["inter"]()
    short = [lines[0], *lines[1:], "new\ti1\t3\t5", "new\ti2\t3\t6"]
    once = [lines[0], *(f"u{number}\ti{number}\t3\t{number}" for number in range(20))]
    alone = [lines[0], *(f"u{number}\ti0\t3\t{number * 9 + step}" for number in range(9) for step in range(4))]
    for what, own in {"a user with two rows": short, "users with one row": once, "one row": lines[:2]}.items():
        yield _of_file("atomic: histories", "inter", what, lines_of("inter", own), about=("interactions", "tiny.inter"))
    yield _of_file(
        "atomic: histories", "inter", "one item alone", lines_of("inter", alone), about=("item",), right=None
    )


def _missing_items() -> Iterator[Input]:
    for command, model in (("navigen", "--model=Pop"), ("navigen", "--model=SASRec"), ("navigen", "--model=NaviGen")):
        for place, column in enumerate(("user", "item")):
            lines = one_row(lambda line, place=place: with_cell(line, place, "[PAD]"))(FILES["inter"]())
            given = (command, model, f"--dataset={DATASET}", "--config_files", BASE)
            files = lines_of("inter", lines)
            yield Input("atomic: ids", f"the {column} [PAD], {model[8:]}", given, ("[PAD]", "tiny.i"), files)
    for suffix in ("item", "user"):
        lines = FILES[suffix]()
        right = False if suffix == "item" else None
        for what, own in {
            "one id missing": lines[:-1],
            "all ids others": [lines[0], f"x\t{lines[1].partition(chr(9))[2]}"],
        }.items():
            yield _of_file("atomic: ids", suffix, what, lines_of(suffix, own), right=right)
        twice = [*lines, with_cell(lines[-1], 1, "1" if suffix == "user" else "Another title")]
        yield _of_file("atomic: ids", suffix, "an id twice", lines_of(suffix, twice), right=None)


INTERVALS = (
    "10",
    "[10;inf)",
    "10,inf",
    ">=10",
    "[10,5]",
    "[a,b]",
    "[]",
    "[1,2,3]",
    "[5",
    "(,)",
    "5-10",
    "[nan,inf)",
    "[3,inf",
    "[3 inf)",
)


def _filters() -> Iterator[Input]:
    empty = ("filter", "interval", "empty", "no interactions", "none")
    for key in ("user_inter_num_interval", "item_inter_num_interval"):
        yield _of_file(
            "atomic: filters", "inter", f"{key} leaves nothing", nothing, f"--{key}=[99,inf)", about=(*empty, key)
        )
        for text in INTERVALS:
            yield _of_file("atomic: intervals", "inter", f"{key}={text}", nothing, f"--{key}={text}", about=(key,))
    for value in ("{rating: '[99,inf)'}", "{timestamp: '[0,1]'}"):
        yield _of_file(
            "atomic: filters",
            "inter",
            f"val_interval={value}",
            nothing,
            f"--val_interval={value}",
            about=(*empty, "val_interval"),
        )
    for value in (
        "{rating: 4}",
        "{rating: '[a,b]'}",
        "{nosuch: '[1,2]'}",
        "4",
        "[1,2]",
        "{rating: }",
        "{rating: '[5,1]'}",
        "{rating: '4,5'}",
    ):
        yield _of_file(
            "atomic: intervals",
            "inter",
            f"val_interval={value}",
            nothing,
            f"--val_interval={value}",
            about=("val_interval", "nosuch"),
        )


def nothing(world: World) -> None:
    """Leave the files as they are."""


def _columns() -> Iterator[Input]:
    texts = {
        "no such text column": ("--item_text_fields=[title,colour]", "colour"),
        "a text column of numbers": ("--item_text_fields=5", "item_text_fields"),
        "a user column that is not there": ("--USER_ID_FIELD=member", "member"),
        "an item column that is not there": ("--ITEM_ID_FIELD=product", "product"),
        "a time column that is not there": ("--TIME_FIELD=when", "when"),
        "an empty separator": ("--field_separator=", "field_separator"),
        "another separator": ("--field_separator=;", "tiny"),
        "an unknown encoding": ("--encoding=klingon", "encoding"),
        "another encoding": ("--encoding=utf-16", "tiny"),
        "a label threshold of no column": ("--threshold={nosuch: 3}", "nosuch"),
        "data in no folder": ("--data_path=nowhere", "nowhere"),
        "data in a file": (f"--data_path={BASE}", BASE),
        "parts that are not there": ("--benchmark_filename=[train,valid,test]", "train"),
        "a column to normalize that is not there": ("--normalize_field=[colour]", "colour"),
        "an unknown text": ("--rm_dup_inter=middle", "rm_dup_inter"),
    }
    for what, (argument, about) in texts.items():
        yield _of_file("atomic: columns", "inter", what, nothing, argument, about=(about,))
    loads = {
        "{inter: [user_id, item_id, timestamp, colour]}": "colour",
        "{inter: [user_id, item_id]}": "timestamp",
        "{inter: [item_id, timestamp]}": "user_id",
        "{inter: user_id}": "load_col",
        "{item: [item_id, colour]}": "load_col",
        "{inter: [user_id, item_id, timestamp], itme: [item_id]}": "itme",
        "{inter: [user_id, item_id, timestamp], item: [item_id, colour]}": "colour",
        "[user_id, item_id]": "load_col",
        "5": "load_col",
    }
    for value, about in loads.items():
        given = ("navigen", "--model=SASRec", f"--dataset={DATASET}", f"--load_col={value}", "--config_files", BASE)
        yield Input("atomic: columns", f"load_col={value}", given, (about,))
    for name in ("tinny", "", "../dataset/tiny", "tiny.inter", "Tiny", "tiny/", "5"):
        given = ("navigen", "--model=BPR", f"--dataset={name}", "--config_files", BASE)
        # A name that leads to the same folder on another way is no other data set.
        yield Input(
            "atomic: places", f"dataset={name!r}", given, ("data set", "dataset"), right=None if "/" in name else False
        )

"""Atomic files that look odd and are right: every row and every id must come back."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from bad_input.files import LOAD, Lines, bytes_of, lines_of, nothing, one_row, with_cell
from bad_input.world import BASE, DATASET, FILES, Input, World, write_lines


def good_files(world: World) -> Iterator[Input]:
    """Files that look odd and must be read as they stand, and some that may be refused instead."""

    def rows(count: int, column: str = "", values: tuple[str, ...] = ()) -> Callable[[Any], Any]:
        def check(seen: Any) -> None:
            data = seen.result
            assert len(data.inter_feat) == count, f"{len(data.inter_feat)} of {count} rows"
            known = set(map(str, data.field2id_token[column])) if column else set()
            assert set(values) <= known, f"{set(values) - known} are lost"

        return check

    lines, items = FILES["inter"](), FILES["item"]()
    words = (
        "NA",
        "null",
        "None",
        "nan",
        "N/A",
        "",
        "NULL",
        "-nan",
        "#N/A",
        "<NA>",
        "True",
        "1e5",
        "007",
        "0x1",
        '"',
        "'",
        " x",
        "é",
        "日本",
        "=1+1",
    )
    names = [word or "n/a" for word in words]
    renamed = [
        lines[0],
        *(f"{names[number % len(names)]}\ti{number % 24}\t3\t{1000 + number}" for number in range(120)),
    ]
    as_items = [
        lines[0],
        *(f"u{number // 6}\t{names[number % len(names)]}\t3\t{1000 + number}" for number in range(120)),
    ]
    quoted = [
        items[0],
        *(
            with_cell(line, 1, f'"Tale {number}' if number % 2 else f'Tale" {number}')
            for number, line in enumerate(items[1:])
        ),
    ]
    count = len(lines) - 1
    cases: dict[str, tuple[Any, ...]] = {
        "as it is": (nothing, {}, rows(count)),
        "CRLF": (lambda world: write_lines("inter", lines, "\r\n"), {}, rows(count)),
        "no line end behind the last row": (bytes_of("inter", lambda data: data.rstrip(b"\n")), {}, rows(count)),
        "a byte-order mark and utf-8-sig": (
            lambda world: write_lines("inter", lines, "\n", "utf-8-sig"),
            {"encoding": "utf-8-sig"},
            rows(count),
        ),
        "NA words as users": (lines_of("inter", renamed), {}, rows(120, "user_id", tuple(names))),
        "NA words as items": (
            _both(as_items, [items[0], *(f"{name}\tTale\tdrama\t1990" for name in names)]),
            {},
            rows(120, "item_id", tuple(names)),
        ),
        "quotation marks in titles": (
            lines_of("item", quoted),
            {"load_col": {"inter": LOAD["inter"], "item": LOAD["item"]}},
            rows(count),
        ),
        "two colons as separator": (_separated("::"), {"field_separator": "::"}, rows(count)),
        "commas as separator": (_separated(","), {"field_separator": ","}, rows(count)),
        "bars as separator": (_separated("|"), {"field_separator": "|"}, rows(count)),
        "Latin-1 with its encoding": (
            lambda world: write_lines("item", [line.replace("Tale", "Mär") for line in items], "\n", "latin-1"),
            {"encoding": "latin-1"},
            rows(count),
        ),
        "columns of other names": (
            _renamed,
            {
                "USER_ID_FIELD": "member",
                "ITEM_ID_FIELD": "product",
                "TIME_FIELD": "when",
                "load_col": {"inter": ["member", "product", "when"]},
            },
            rows(count),
        ),
        "an interval": (nothing, {"user_inter_num_interval": "[3,inf)"}, rows(count)),
        "an open interval": (
            nothing,
            {"val_interval": {"rating": "(0,9]"}, "load_col": {"inter": LOAD["inter"]}},
            rows(count),
        ),
        "numbers in every spelling": (
            lines_of("inter", one_row(lambda row: with_cell(row, 2, "1e0"))(lines)),
            {"load_col": {"inter": LOAD["inter"]}},
            rows(count),
        ),
    }
    for (what, (files, settings, check)), model in zip(cases.items(), itertools.cycle(("BPR", "SASRec", "NaviGen"))):
        yield Input("atomic: good", f"{what}, {model}", _loads(model, settings), (), files, True, check)
    for what, change in {
        "a byte-order mark": b"\xef\xbb\xbf".__add__,
        "a blank line": lambda data: data.replace(b"\n", b"\n\n", 3),
        "form feeds": lambda data: data.replace(b"i3\t", b"i3\x0c\t"),
    }.items():
        yield Input(
            "atomic: good",
            what,
            _loads("SASRec", {}),
            ("tiny.inter", "tiny.item"),
            bytes_of("inter", change),
            None,
            rows(count),
        )


def _both(inter: Lines, item: Lines) -> Callable[[World], None]:
    def files(world: World) -> None:
        write_lines("inter", inter)
        write_lines("item", item)

    return files


def _separated(separator: str) -> Callable[[World], None]:
    def files(world: World) -> None:
        for suffix, make in FILES.items():
            write_lines(suffix, [line.replace("\t", separator) for line in make()])

    return files


def _renamed(world: World) -> None:
    for suffix, make in FILES.items():
        head, *rest = make()
        for old, new in (("user_id", "member"), ("item_id", "product"), ("timestamp", "when")):
            head = head.replace(old, new)
        write_lines(suffix, [head, *rest])


def _loads(model: str, settings: dict[str, Any]) -> Callable[[World], Any]:
    def load(world: World) -> Any:
        from recbole_navigen.config import Config
        from recbole_navigen.data import create_dataset, read_item_text

        config = Config(model, DATASET, [BASE], settings)
        data = create_dataset(config)
        read_item_text(config, data)
        return data

    return load

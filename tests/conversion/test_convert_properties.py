"""Properties of the converter, on drawn rows, ids and texts."""

import ast
import gzip
import itertools
import json
import os
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_navigen.conversion.convert_source import convert
from recbole_navigen.conversion.ids import IdTable, escaped, id_text, is_escaped
from recbole_navigen.conversion.layouts import literal, objects
from recbole_navigen.conversion.numbers import Numbers
from recbole_navigen.conversion.options import Columns, Options
from recbole_navigen.conversion.text import clean, film_title, film_year, listed, price
from recbole_navigen.data.reader import AtomicFile
from recbole_navigen.errors import InputError

ROW = st.tuples(st.integers(0, 7), st.integers(0, 7), st.integers(0, 9), st.integers(1, 5))
ROWS = st.lists(ROW, min_size=1, max_size=60)
TABLE = Columns(user="u", item="i", time="t", rating="r")
# Ids that a csv file and an atomic file can hold.
IDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\t\n\r\0"), min_size=1, max_size=8).filter(
    lambda text: text.strip() and text != "[PAD]"
)


def converted(files: list[str], **options: object) -> tuple[list[list[str]], dict]:
    """Rows that come of tables, and the report; None where nothing is left."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.chdir(name)
        patch.setattr(os, "fsync", lambda _: None)
        for number, text in enumerate(files):
            Path(f"{number}.csv").write_text(text, encoding="utf-8")
        names = [f"{number}.csv" for number in range(len(files))]
        report = convert("csv", names, Options("t", columns=TABLE, **options), show_progress=False)
        lines = Path("dataset/t/t.inter").read_text(encoding="utf-8").split("\n")[1:-1]
        return [line.split("\t") for line in lines], report


def csv(rows: list[tuple]) -> str:
    return "u,i,t,r\n" + "".join(f"{u},{i},{t},{r}\n" for u, i, t, r in rows)


def peeled(rows: list[tuple], of_user: int, of_item: int) -> list[tuple]:
    """The core, by dropping one row at a time whose user or item has too few."""
    rows = list(rows)
    while True:
        users, items = Counter(row[0] for row in rows), Counter(row[1] for row in rows)
        weak = next((row for row in rows if users[row[0]] < of_user or items[row[1]] < of_item), None)
        if weak is None:
            return rows
        rows.remove(weak)


@settings(max_examples=30)
@given(ROWS, st.integers(1, 4), st.integers(1, 4), st.sampled_from(["first", "last", "all"]), st.randoms())
def test_rows_are_those_of_brute_force(rows, of_user, of_item, repeats, random) -> None:
    """Duplicates, repeats, core and order, against a program that does one row at a time."""
    kept: list[tuple] = []
    for row in rows:
        if not any(row[:3] == other[:3] for other in kept):
            kept.append(row)
    if repeats != "all":
        best: dict[tuple, tuple] = {}
        for row in kept:
            other = best.get(row[:2])
            if other is None or (row[2] < other[2] if repeats == "first" else row[2] >= other[2]):
                best[row[:2]] = row
        kept = [row for row in kept if best[row[:2]] == row]
    core = peeled(kept, of_user, of_item)
    options = {"user_core": of_user, "item_core": of_item, "repeats": repeats}
    if not core:
        with pytest.raises(InputError, match="core"):
            converted([csv(rows)], **options)
        return
    order = sorted(core, key=lambda row: (str(row[0]), row[2]))
    expected = [[str(u), str(i), str(r), str(t)] for u, i, t, r in order]
    result, report = converted([csv(rows)], **options)
    assert result == expected
    assert report["core_dropped"] == len(kept) - len(core) and report["interactions"] == len(core)

    # The order of the rows does not change what the core is.
    shuffled = list(kept)
    random.shuffle(shuffled)
    again, _ = converted([csv(shuffled)], **{**options, "repeats": "all"})
    assert sorted(again) == sorted(expected)


@settings(max_examples=20)
@given(ROWS, st.lists(st.integers(0, 60), max_size=3), st.integers(20, 200), st.sampled_from([1, 300, 3000]))
def test_output_does_not_depend_on_how_the_source_is_cut(rows, cuts, block, memory) -> None:
    """Into files, blocks of bytes, runs of ids and buckets of users."""
    whole, report = converted([csv(rows)])
    ends = sorted({0, *(min(cut, len(rows)) for cut in cuts), len(rows)})
    pieces = [csv(rows[a:b]) for a, b in itertools.pairwise(ends)]
    assert len(pieces) == len(ends) - 1
    cut, other = converted(pieces, block=block, memory=memory)
    assert cut == whole
    same = ("users", "items", "interactions", "users_last_two_tied", "steps", "time_step", "sparsity")
    assert {name: report[name] for name in same} == {name: other[name] for name in same}


@settings(max_examples=30)
@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=12, unique=True), st.booleans())
def test_ids_survive_the_way_into_the_product(pairs: list[tuple[str, str]], memory: bool) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.chdir(name)
        patch.setattr(os, "fsync", lambda _: None)
        with gzip.open("rows.gz", "wt", encoding="utf-8", newline="\n") as file:
            file.writelines(
                json.dumps({"u": user, "i": item, "t": time}) + "\n" for time, (user, item) in enumerate(pairs)
            )
        options = Options("t", columns=Columns("u", "i", "t"), memory=400 if memory else 10**8)
        convert("jsonl", ["rows.gz"], options, show_progress=False)
        texts = AtomicFile(Path("dataset/t/t.inter")).texts(["user_id", "item_id", "timestamp"])
    expected = sorted((user, time, item) for time, (user, item) in enumerate(pairs))
    found = [(u, int(t), i) for u, i, t in texts.itertuples(index=False, name=None)]
    assert found == expected


@given(st.lists(st.sampled_from(["null", "_null", "__null", "NA", "_NA", '"a', '_"a', "x", "_x"]), unique=True))
def test_escaped_ids_stay_different(ids: list[str]) -> None:
    texts = [escaped(text) for text in ids]
    assert len(set(texts)) == len(ids)
    assert [is_escaped(text) for text in texts] == [text.lstrip("_") not in ("x", "") for text in ids]


@given(st.lists(st.one_of(IDS, st.integers(), st.none()), max_size=40), st.integers(1, 2000))
def test_ranks_follow_the_order_of_text(raw: list, limit: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        table = IdTable(Path(name), "ids", limit)
        codes = []
        for value in raw:
            codes += table.codes([value]).tolist()
            table.relieve()
        ranks, texts = table.finish()
        present = sorted({id_text(value) for value in raw if value is not None})
        assert [texts[rank] for rank in range(len(texts))] == present
        found = [texts[int(ranks[code])] if code >= 0 else None for code in codes]
    assert found == [id_text(value) for value in raw]


NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=6).map(str),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15).map(repr),
    st.sampled_from(["007", "+4", "5.", ".5", "-0", "-0.0", "-0.5", "1e5", "4.50", "0"]),
)


@given(st.lists(NUMBERS, min_size=1, max_size=30))
def test_numbers_are_written_as_they_were_and_sort_exactly(texts: list[str]) -> None:
    numbers = Numbers()
    digits, decimals = numbers.encode(texts)
    assert numbers.texts(digits, decimals) == texts
    whole, fraction = numbers.keys(digits, decimals)
    small = [
        n for n, text in enumerate(texts) if abs(Decimal(text)) < 2**62 and Decimal(text).as_tuple().exponent > -19
    ]
    order = np.lexsort((whole,) if fraction is None else (fraction, whole))
    ordered = [Decimal(texts[n]) for n in order.tolist() if n in small]
    assert ordered == sorted(ordered)


LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=6), LITERALS, max_size=5))
def test_literals_are_what_python_says(value: dict) -> None:
    assert literal(repr(value)) == value == ast.literal_eval(repr(value))
    python2 = repr(value).replace("{'", "{u'").replace(": '", ": u'")
    try:
        expected = ast.literal_eval(python2)
    except (ValueError, SyntaxError):
        return
    assert literal(python2) == expected


@pytest.mark.parametrize(
    "text", ["__import__('os')", "{'a': open('x')}", "{'a': 1 + 1j * 2, 'b': x}", "{'a': (lambda: 1)()}"]
)
def test_code_is_no_literal(text: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        literal(text)


def test_without_the_extra_lines_mean_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [b'{"a": 1.50, "b": "\xc3\xa9\\ud800", "c": [1, null]}', b'{"a": NaN}', b'{"a": 12345678901234567}']
    with_extra = [repr(objects._strict(line)) for line in lines]
    monkeypatch.setattr(objects, "_fast_loads", json.loads)
    assert [repr(objects._strict(line)) for line in lines] == with_extra


@given(st.text(st.characters(codec="utf-8")))
def test_a_clean_text_stays_and_fits_a_cell(text: str) -> None:
    once = clean(text)
    assert "\t" not in once and "\n" not in once and not once.startswith('"') and once == once.strip()
    if "&" not in text and "<" not in text:
        assert clean(once) == once
        if not text.strip().startswith('"') and text.isascii():
            assert once.split() == text.split()  # nothing is lost


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tom &amp;amp;amp; Jerry", "Tom & Jerry"),
        ("AT&T, Q&A &notan entity", "AT&T, Q&A &notan entity"),
        ("I <3 you > me, List<String>", "I <3 you > me, List<String>"),
        ("a<br/>b <i>c</i>d<script>x()</script>", "a b cd"),
        ("&lt;b&gt;bold&lt;/b&gt;", "bold"),
        ('"Big" and "small"', '“Big” and "small"'),
        ('"open', "“open"),
        ("Cafe\u0301\u3000x\u00a0y", "Café x y"),
        (None, ""),
        (float("nan"), ""),
        (["a", "b"], "a b"),
        ("half \ud800", "half \ufffd"),
    ],
)
def test_texts_are_cleaned(text: object, expected: str) -> None:
    assert clean(text) == expected


def test_cells_of_other_kinds() -> None:
    assert listed([["Toys & Games", "Kites"], ["Toys & Games"], "", "</span>", None]) == "Toys_&_Games Kites"
    prices = ["$1,299.00", "$5.00 - $9.00", ".a{color:#fff}", 3, 12.99, None, "from 3", "1,5", True]
    assert [price(value) for value in prices] == ["1299.00", "", "", "3", "12.99", "", "", "", ""]
    titles = {
        "Le Café (Noir) (1993)": ("Le Café (Noir)", "1993"),
        "Land III (1995) (V)": ("Land III", "1995"),
        "Theory (2007-)": ("Theory", "2007"),
        "Series (2007\u20132019)": ("Series", "2007"),
        "2001": ("2001", ""),
        "(1995)": ("(1995)", ""),
        "September (2002) ": ("September", "2002"),
    }
    assert {text: (film_title(text), film_year(text)) for text in titles} == titles


@settings(max_examples=10)
@given(ROWS, st.integers(1, 8), st.integers(0, 3), st.integers(1, 3))
def test_users_are_drawn_by_seed_and_last_rows_kept(rows, count: int, seed: int, last: int) -> None:
    everything, _ = converted([csv(rows)], repeats="all")
    drawn, _ = converted([csv(rows)], repeats="all", users=count, seed=seed)
    again, _ = converted([csv(sorted(rows))], repeats="all", users=count, seed=seed)
    users = {row[0] for row in drawn}
    assert len(users) == min(count, len({row[0] for row in everything})) and users == {row[0] for row in again}
    assert drawn == [row for row in everything if row[0] in users]
    ends, _ = converted([csv(rows)], repeats="all", last=last)
    expected = [
        row for user in sorted({r[0] for r in everything}) for row in [r for r in everything if r[0] == user][-last:]
    ]
    assert ends == expected


def test_the_core_that_counts_once_counts_on_rows_as_read() -> None:
    """SASRec's script: user 1 keeps a row although item 9 goes, and is not counted again."""
    rows = [(1, 1, 1, 5), (1, 9, 2, 5), (2, 1, 3, 5), (2, 2, 4, 5), (3, 2, 5, 5), (3, 1, 6, 5)]
    once, report = converted([csv(rows)], core=2, core_rule="once")
    assert ["1", "1", "5", "1"] in once and len(once) == 5 and report["core_rounds"] == 1
    iterative, _ = converted([csv(rows)], core=2)
    assert len(iterative) == 4

"""Data files are read as they stand: the same rows for every model, and RecBole's own result where RecBole is right."""

import logging
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from recbole.data import dataset as stock
from recbole.data.dataset import Dataset
from synthetic import make_config, write_atomic, write_files

from recbole_navigen.data import create_dataset, read_item_text
from recbole_navigen.data.reader import AtomicFile
from recbole_navigen.errors import InputError

HEADER = "user_id:token\titem_id:token\ttimestamp:float"
COLUMNS = {"inter": ["user_id", "item_id", "timestamp"]}
MODELS = (("Pop", {}), ("SASRec", {}), ("NaviGen", {}))  # RecBole's Dataset, its SequentialDataset, and ours
NA_WORDS = ["NA", "None", "null", "nan", "N/A", "n/a", "<NA>", "-nan", "#N/A"]

# Without what separates cells and rows. A carriage return at the end of a line belongs to the line's end.
cells = st.text(st.characters(exclude_characters="\t\n", exclude_categories=["Cs"]), min_size=1, max_size=8)
cells = cells.filter(lambda text: not text.endswith("\r") and text != "[PAD]")
cells |= st.sampled_from([*NA_WORDS, '"', "'", '""', '"a', "a\0", "\ufeff", "\u2028", "\x85", " ", "\\", "#", "a\0b"])


def rows_of(dataset: Dataset, *fields: str) -> list[tuple[str, ...]]:
    """The raw tokens of all interactions, in exact order of time."""
    feat = dataset.rows_in_order()
    columns = [[str(token) for token in dataset.id2token(field, feat[field].to_numpy())] for field in fields]
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize(("model", "own"), MODELS)
@given(
    users=st.lists(cells, min_size=1, max_size=3, unique=True),
    items=st.lists(cells, min_size=3, max_size=6, unique=True),
    notes=st.lists(cells | st.just(""), min_size=6, max_size=6),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_comes_back_in_order(
    model: str, own: dict, users: list[str], items: list[str], notes: list[str], tmp_path: Path
) -> None:
    rows = [(user, item) for user in users for item in items]
    lines = [
        f"{user}\t{notes[place % 6]}\t{item}\t{notes[-place % 6]}\t{100 - place}"
        for place, (user, item) in enumerate(rows)
    ]
    header = "user_id:token\tnote:token\titem_id:token\treview:token\ttimestamp:float"
    titles = [f"{item}\t{title}" for item, title in zip(items, notes, strict=False)]
    write_files(tmp_path, "any", [header, *lines], ["item_id:token\ttitle:token_seq", *titles])
    columns = {"inter": ["user_id", "item_id", "note", "timestamp"]}
    config = make_config(model, tmp_path, "any", load_col=columns, item_text_fields=["title"], **own)
    dataset = create_dataset(config)
    written = [
        (user, item, notes[place % 6] or "[PAD]") for place, (user, item) in enumerate(rows)
    ]  # an empty token is missing, which RecBole calls [PAD]
    assert rows_of(dataset, "user_id", "item_id", "note") == written[::-1]
    shown = dict(zip(dataset.field2id_token["item_id"], read_item_text(config, dataset).title, strict=True))
    assert {item: shown[item] for item in items} == {
        item: " ".join(title.split()) for item, title in zip(items, notes, strict=False)
    }


def reference(text: str, separator: str, width: int) -> list[tuple[int, list[str]]]:
    """Line and cells of each row."""
    rows = []
    for number, line in enumerate(text.split("\n")[1:], start=2):
        found = line.removesuffix("\r").split(separator)
        if len(found) > 1 or found[0].encode().strip():
            rows.append((number, found + [""] * (width - len(found))))
    return rows


@given(
    rows=st.lists(st.lists(cells | st.sampled_from(["", "\r"]), min_size=1, max_size=3), min_size=1, max_size=8),
    separator=st.sampled_from(["\t", "::", "|", "||", "^", ".", " ", ",", "\\s+", "→", '"', "\x1f"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    last=st.sampled_from(["", "\n", "\r\n", "\n\n", "\n  \n\n"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_separator_and_encoding(
    rows: list[list[str]], separator: str, encoding: str, last: str, tmp_path: Path
) -> None:
    for character in separator:
        rows = [[cell.replace(character, "") for cell in row] for row in rows]
    lines = [separator.join(row) for row in (["a:token", "b:token", "c:token_seq"], *rows)]
    text = "\n".join(lines) + last
    expected = reference(text, separator, 3)
    assume(expected)
    (tmp_path / "x.inter").write_bytes(text.encode(encoding))
    file = AtomicFile(tmp_path / "x.inter", separator, encoding)
    read = file.texts(["a", "b", "c"])
    assert list(zip(read.index, read.to_numpy().tolist(), strict=True)) == expected
    missing = file.frame(["a", "c"]).isna().to_numpy().tolist()
    assert missing == [[not row[0], not row[2]] for _, row in expected]


def same_frames(ours: pd.DataFrame | None, theirs: pd.DataFrame | None) -> None:
    assert (ours is None) == (theirs is None)
    if ours is None:
        return
    assert list(ours) == list(theirs) and len(ours) == len(theirs) and ours.dtypes.equals(theirs.dtypes)
    for name in ours:
        for mine, other in zip(ours[name], theirs[name], strict=True):
            mine, other = np.asarray(mine), np.asarray(other)
            assert mine.dtype == other.dtype and mine.tobytes() == other.tobytes()


EVERYTHING = {
    "inter": ["user_id", "item_id", "rating", "timestamp"],
    "item": ["item_id", "movie_title", "release_year", "class"],
    "user": ["user_id", "age", "gender", "occupation"],
}
KNOWLEDGE = {"kg": ["head_id", "relation_id", "tail_id"], "link": ["item_id", "entity_id"]}


@pytest.mark.parametrize(
    ("model", "recbole_class", "own"),
    [
        ("BPR", "Dataset", {"load_col": EVERYTHING}),
        ("BPR", "Dataset", {"load_col": EVERYTHING, "user_inter_num_interval": "[30,50];(100,inf)"}),
        (
            "BPR",
            "Dataset",
            {"load_col": EVERYTHING, "val_interval": {"rating": "[4,inf)", "gender": ["F"]}, "seq_len": {"class": 2}},
        ),
        (
            "FM",
            "Dataset",
            {"load_col": EVERYTHING, "threshold": {"rating": 4}, "normalize_all": True, "valid_metric": "AUC"},
        ),
        ("SASRec", "SequentialDataset", {"load_col": {**EVERYTHING, "item": "*"}}),
        ("SASRec", "SequentialDataset", {"load_col": None, "unload_col": {"item": ["movie_title"]}}),
        ("CKE", "KnowledgeBasedDataset", {"load_col": {**EVERYTHING, **KNOWLEDGE}}),
    ],
)
def test_ml_100k_is_read_as_recbole_reads_it(model: str, recbole_class: str, own: dict, tmp_path: Path) -> None:
    def config():
        return make_config(model, tmp_path, "ml-100k", **own)

    ours, theirs = create_dataset(config()), getattr(stock, recbole_class)(config())
    for name in ("field2type", "field2source", "field2seqlen", "field2bucketnum", "field2token_id", "feat_name_list"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert list(ours.field2id_token) == list(theirs.field2id_token)
    for name, tokens in ours.field2id_token.items():
        other = theirs.field2id_token[name]
        assert tokens.dtype == other.dtype and tokens.tobytes() == other.tobytes()
    for name in ours.feat_name_list:
        same_frames(getattr(ours, name), getattr(theirs, name))


def many(item: str = "i{}") -> list[str]:
    """480 rows: 40 users, 12 of 30 items each."""
    return [
        f"u{user}\t{item.format((user + 7 * step) % 30)}\t{1_600_000_000 + 60 * step}"
        for user in range(40)
        for step in range(12)
    ]


@pytest.mark.parametrize(("model", "own"), MODELS)
def test_quotation_marks_in_a_column_that_is_not_loaded(model: str, own: dict, tmp_path: Path) -> None:
    lines = [line + ("\tindeed" + '"' if place % 2 else "\t" + '"Great') for place, line in enumerate(many())]
    write_files(tmp_path, "half", [HEADER + "\treview:token", *lines])
    dataset = create_dataset(make_config(model, tmp_path, "half", load_col=COLUMNS, **own))
    assert dataset.inter_num == 480 and dataset.item_num == 31


@pytest.mark.parametrize(("model", "own"), MODELS)
def test_words_for_nothing_are_ordinary_ids(model: str, own: dict, tmp_path: Path, caplog) -> None:
    names = [*NA_WORDS, *(f"i{number}" for number in range(21))]
    lines = [line.split("\t") for line in many("{}")]
    lines = [f"{user.replace('u1', 'NA')}\t{names[int(item)]}\t{time}" for user, item, time in lines]
    items = ["item_id:token\ttitle:token", *(f"{name}\t{name}" for name in names)]
    write_files(tmp_path, "na", [HEADER, *lines], items)
    config = make_config(model, tmp_path, "na", load_col={**COLUMNS, "item": "*"}, item_text_fields=["title"], **own)
    dataset = create_dataset(config)
    assert (dataset.inter_num, dataset.item_num, dataset.user_num) == (480, 31, 41)
    assert set(dataset.field2id_token["title"]) == {"[PAD]", *names}
    text = read_item_text(config, dataset)
    assert text.title == ("", *dataset.field2id_token["item_id"][1:])
    assert "left out" not in caplog.text


@pytest.mark.parametrize(("model", "own"), MODELS)
@pytest.mark.parametrize("suffix", ["inter", "item"])
def test_rows_without_ids_alone_are_left_out(model: str, own: dict, suffix: str, tmp_path: Path, caplog) -> None:
    """Also behind repeated items and a blank line, where RecBole drops other rows or stops."""
    items = ["item_id:token\ttitle:token", *(f"i{number}\tt{number}" for number in range(30))]
    lines = [HEADER, *many()]
    if suffix == "inter":
        lines[3:3] = ["", "\ti5\t7", "u1\t\t7", "\t\t"]
        expected = "2 of 483 rows of .*e.inter have no user_id and are left out \\(the first is line 5\\)"
    else:
        items[3:3] = ["i0\tagain", "", "\tnobody", "i1\tagain"]
        items += ["\tnobody"]
        expected = "2 of 34 rows of .*e.item have no item_id and are left out \\(the first is line 6\\)"
    write_files(tmp_path, "e", lines, items)
    with caplog.at_level(logging.WARNING):
        dataset = create_dataset(make_config(model, tmp_path, "e", load_col={**COLUMNS, "item": "*"}, **own))
    assert pd.Series(caplog.messages).str.contains(expected).any(), caplog.text
    assert (dataset.inter_num, dataset.item_num) == (480, 31)
    titles = dataset.field2id_token["title"][dataset.item_feat["title"].to_numpy(int)]
    assert titles.tolist() == [token.replace("i", "t") for token in dataset.field2id_token["item_id"]]


@pytest.mark.parametrize(
    ("change", "encoding"),
    [
        (lambda text: text.encode("utf-8-sig"), None),
        (lambda text: text.encode("utf-16"), "utf-16"),
        (lambda text: text.encode("utf-16-le"), "utf-16-le"),
        (lambda text: text.replace("u1\t", "é\t").encode("latin-1"), "latin-1"),
        (lambda text: text.replace("\n", "\r\n").encode(), None),
        (lambda text: text.removesuffix("\n").encode(), None),
        (lambda text: text.replace("\n", "\r\n").removesuffix("\n").encode(), None),
        (lambda text: (text + "\n\n  \n").encode(), None),
        (lambda text: text.replace("\n", "\n\n", 7).encode(), None),
        (lambda text: text.replace("u1\t", "u\0\t").encode(), None),
    ],
    ids=["bom", "utf-16", "utf-16-le", "latin-1", "crlf", "no-end", "crlf-no-end", "blank-end", "blank", "nul"],
)
def test_spellings_of_one_file(change, encoding: str | None, tmp_path: Path) -> None:
    write_files(tmp_path, "s", [HEADER, *many()])
    plain = create_dataset(make_config("Pop", tmp_path, "s"))
    path = tmp_path / "s/s.inter"
    path.write_bytes(change(path.read_text()))
    read = create_dataset(make_config("Pop", tmp_path, "s", encoding=encoding))
    assert read.tied_last_rows == (0, 40) and (read.inter_feat == plain.inter_feat).all(axis=None)
    names = [token for token in read.field2id_token["user_id"] if token not in plain.field2token_id["user_id"]]
    assert names in ([], ["é"], ["u\0"])


def test_short_rows_miss_their_last_cells(tmp_path: Path) -> None:
    lines = [line + ("" if place % 3 else f"\t{place % 5}") for place, line in enumerate(many())]
    write_files(tmp_path, "short", [HEADER + "\trating:float", *lines])
    dataset = create_dataset(make_config("Pop", tmp_path, "short", load_col=None))
    ratings = np.array([np.nan if place % 3 else place % 5 for place in range(480)])
    ratings[np.isnan(ratings)] = np.nanmean(ratings)  # as RecBole does
    assert dataset.inter_feat["rating"].to_numpy() == pytest.approx(ratings)


@pytest.mark.parametrize(
    "text",
    [
        "5 stars",
        "1,5",
        "nan",
        "inf",
        "-Infinity",
        "NaN",
        "1e999",
        "1_0",
        "--5",
        "0x10",
        "True",
        "NA",
        "5\x00",
        "\u0661",
    ],
)
@pytest.mark.parametrize("kind", ["float", "float_seq"])
def test_bad_numbers_are_named(text: str, kind: str, tmp_path: Path) -> None:
    header = "user_id:token\titem_id:token\tprice:" + kind + "\ttimestamp:float"
    lines = [line.replace("\t16", "\t3\t16") for line in many()]
    lines[4:4] = ["", f"u1\ti1\t{text}\t5"]
    write_files(tmp_path, "n", [header, *lines])
    config = make_config("Pop", tmp_path, "n", load_col=None, seq_separator="/")
    with pytest.raises(InputError, match=rf"n\.inter line 7 has .* in column price, which is of type {kind}") as caught:
        create_dataset(config)
    assert repr(text) in str(caught.value)
    # Nobody reads a column that is not loaded.
    assert create_dataset(make_config("Pop", tmp_path, "n", load_col=COLUMNS)).inter_num == 481


def test_sequences_of_numbers_and_words(tmp_path: Path) -> None:
    lines = [f'i{number}\t{number}/ 2.5//1e1\ta/NA/"/{number}' for number in range(30)]
    write_files(tmp_path, "q", [HEADER, *many()], ["item_id:token\tsize:float_seq\ttags:token_seq", *lines, "i30"])
    dataset = create_dataset(make_config("Pop", tmp_path, "q", load_col={**COLUMNS, "item": "*"}, seq_separator="/"))
    row = dataset.item_feat.iloc[dataset.token2id("item_id", "i7")]
    assert row["size"].tolist() == [7, 2.5, 10]
    assert dataset.field2id_token["tags"][row["tags"]].tolist() == ["a", "NA", '"', "7"]
    assert dataset.field2seqlen["size"] == 3 and dataset.field2seqlen["tags"] == 4
    assert len(dataset.item_feat["tags"].iloc[dataset.token2id("item_id", "i30")]) == 0


def test_quoted_csv_is_refused_with_a_command_that_mends_it(tmp_path: Path, monkeypatch) -> None:
    lines = [HEADER + "\ttitle:token", *(f"{line}\ta, b" for line in many())]
    write_files(tmp_path, "csv", ['"' + line.replace("\t", '","') + '"' for line in lines])
    with pytest.raises(InputError, match="its cells stand in quotation marks, as spreadsheets write them") as caught:
        create_dataset(make_config("Pop", tmp_path, "csv", field_separator=","))
    command = shlex.split(str(caught.value).partition(" by python ")[2].partition(" and leave out")[0])
    subprocess.run([sys.executable, *command], check=True)
    dataset = create_dataset(make_config("Pop", tmp_path, "csv", load_col=None))
    assert dataset.inter_num == 480 and dataset.field2id_token["title"].tolist() == ["[PAD]", "a, b"]


@pytest.mark.parametrize(
    ("first", "own", "message"),
    [
        ("userId,movieId,time", {}, r"columns seem to be userId, movieId, time, separated by ','"),
        ("user_id:token\rU\r", {}, r"its lines end in carriage returns"),
        (HEADER, {"encoding": "utf-99"}, r"encoding must be .*not 'utf-99'"),
        (HEADER, {"encoding": "ascii"}, r"is not ascii text in line 482; save it as UTF-8 or set encoding"),
        (HEADER, {"field_separator": ""}, r"field_separator must be characters that stand within a line"),
        (
            HEADER.replace("user_id:token", "user_id:float"),
            {},
            r"has user_id as float; its type in the header must",
        ),
        (HEADER.replace("item_id:token", "item_id:token_seq"), {}, r"has item_id as token_seq; its type"),
        (HEADER, {"load_col": None, "unload_col": {"inter": ["ratng"]}}, r"no column ratng, which unload_col asks"),
        (HEADER, {"load_col": None, "unload_col": {"inter": ["item_id"]}}, r"unload_col must not list item_id"),
    ],
)
def test_what_cannot_be_read(first: str, own: dict, message: str, tmp_path: Path) -> None:
    write_files(tmp_path, "bad", [first, *many(), "é\ti1\t5"])
    with pytest.raises(InputError, match=message):
        create_dataset(make_config("Pop", tmp_path, "bad", **own))


def test_bytes_that_are_no_text_are_named_by_line(tmp_path: Path) -> None:
    write_files(tmp_path, "b", [HEADER, *many()])
    path = tmp_path / "b/b.inter"
    path.write_bytes(path.read_bytes().replace(b"u3\t", b"\xff\t", 1))
    line = next(number for number, text in enumerate(path.read_bytes().split(b"\n"), 1) if b"\xff" in text)
    with pytest.raises(InputError, match=rf"b\.inter is not UTF-8 text( in line {line})?; save it as UTF-8 or set enc"):
        create_dataset(make_config("Pop", tmp_path, "b"))
    path.write_bytes("\n".join([HEADER, *many()]).encode("utf-16"))
    with pytest.raises(InputError, match=r"it looks like UTF-16: set encoding: utf-16"):
        create_dataset(make_config("Pop", tmp_path, "b"))


def test_ids_that_recbole_keeps_for_itself(tmp_path: Path) -> None:
    write_files(tmp_path, "pad", [HEADER, *many(), "u1\t[PAD]\t5"])
    with pytest.raises(InputError, match=r"column item_id of data set pad holds the id '\[PAD\]'"):
        create_dataset(make_config("Pop", tmp_path, "pad"))


def test_users_and_columns_without_values(tmp_path: Path) -> None:
    write_atomic(tmp_path, "tiny")
    (tmp_path / "tiny/tiny.user").write_text("user_id:token\tage:float\n" + "".join(f"u{n}\t\n" for n in range(29)))
    with pytest.raises(InputError, match=r"every cell of column age of .*tiny\.user is empty; leave it"):
        create_dataset(make_config("Pop", tmp_path, load_col={**COLUMNS, "user": ["user_id", "age"]}))
    with pytest.raises(InputError, match=r"1 users of the interactions are missing from .*tiny\.user"):
        create_dataset(make_config("Pop", tmp_path, load_col={**COLUMNS, "user": ["user_id"]}))


def test_knowledge_models_name_what_they_lack(tmp_path: Path) -> None:
    write_files(tmp_path, "kg", [HEADER, *many()])
    with pytest.raises(InputError, match=r"load_col must list head_id for kg"):
        create_dataset(make_config("CKE", tmp_path, "kg", load_col=COLUMNS))
    with pytest.raises(InputError, match=r"there is no file .*kg\.kg"):
        create_dataset(make_config("CKE", tmp_path, "kg", load_col={**COLUMNS, **KNOWLEDGE}))

"""Item text comes back as it was written, whatever it looks like."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import make_config, write_atomic, write_files

from recbole_navigen.data import create_dataset, read_item_text
from recbole_navigen.errors import InputError

INTER = [
    "user_id:token\titem_id:token\ttimestamp:float",
    *(f"u{u}\ti{(u + t) % 6}\t{t}" for u in range(6) for t in range(4)),
]
HEADER = "item_id:token\ttitle:token_seq\tgenre:token_seq"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory):
    """Six items i0 to i5; the item file is written by each test."""
    path = write_files(tmp_path_factory.mktemp("text"), "text", INTER)
    config = make_config("BPR", path, "text", item_text_fields=["title", "genre"])
    return config, create_dataset(config)


def read(dataset, lines: list[str]):
    config, data = dataset
    write_files(Path(config["data_path"]).parent, "text", INTER, [HEADER, *lines])
    return read_item_text(config, data), [str(token) for token in data.field2id_token["item_id"]]


def test_hard_titles(dataset) -> None:
    titles = ['"Weird Al" Yankovic', "None", "NA", "", "l'été à 2\u2028fois  NULL", "nan"]
    text, tokens = read(dataset, [f"i{number}\t{title}\tdrama" for number, title in enumerate(titles)])
    by_token = dict(zip(tokens, text.title, strict=True))
    assert by_token == {"[PAD]": "", **{f"i{n}": " ".join(title.split()) for n, title in enumerate(titles)}}
    assert text.fields["title"] == text.title and text.fields["genre"][1:] == ("drama",) * 6
    joined = dict(zip(tokens, text.text, strict=True))
    assert joined["i0"] == '"Weird Al" Yankovic. drama' and joined["i3"] == "drama" and joined["[PAD]"] == ""


@given(
    st.lists(
        st.text(st.characters(blacklist_characters="\t\n", blacklist_categories=["Cs"]), max_size=20),
        min_size=6,
        max_size=6,
    )
)
def test_any_title(dataset, titles: list[str]) -> None:
    lines = [f"i{number}\t{title}\tx" for number, title in enumerate(titles)]
    config, data = dataset
    path = Path(config["data_path"]) / "text.item"
    path.write_bytes("\n".join([HEADER, *lines]).encode())
    text = read_item_text(config, data)
    for number, title in enumerate(titles):
        assert text.title[data.token2id("item_id", f"i{number}")] == " ".join(title.split())


def test_short_rows_unused_items_and_repeats(dataset) -> None:
    lines = ["i9\tnobody saw it\tdrama", "i0", "i1\tfirst", "i1\tsecond", "i2\t\t", "i3\tc\td\r", "", "i4\te", "i5\tf"]
    text, tokens = read(dataset, lines)
    assert dict(zip(tokens, text.text, strict=True)) == {
        "[PAD]": "", "i0": "", "i1": "first", "i2": "", "i3": "c. d", "i4": "e", "i5": "f",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "fields", "message"),
    [
        (["i0\ta\tb"], ["title"], r"5 items of the interactions are missing from .*text\.item \(the first is i\d\)"),
        (["i0\ta\tb\tc"], ["title"], r"text\.item line 2 has 4 columns and its header 3"),
        (
            ["i0\ta\tb"],
            ["name"],
            r"text\.item has no column name, which item_text_fields asks for; its columns are item_id, ti",
        ),
        (["i0\ta\tb"], None, r"item_text_fields is empty; name the text columns of .*text\.yaml"),
        (["i0\ta\tb"], [], r"item_text_fields is empty"),
    ],
)
def test_bad_files(dataset, lines: list[str], fields: list[str] | None, message: str) -> None:
    config, data = dataset
    before = config["item_text_fields"]
    config["item_text_fields"] = fields
    try:
        with pytest.raises(InputError, match=message):
            read((config, data), lines)
    finally:
        config["item_text_fields"] = before


def test_missing_file(tmp_path: Path) -> None:
    write_atomic(tmp_path, "tiny")
    (tmp_path / "tiny/tiny.item").unlink()
    config = make_config("BPR", tmp_path, item_text_fields=["title"])
    with pytest.raises(InputError, match=r"there is no file .*tiny\.item"):
        read_item_text(config, create_dataset(config))


def test_ml_100k_has_text_for_every_movie(tmp_path: Path) -> None:
    config = make_config("BPR", tmp_path, "ml-100k", item_text_fields="movie_title")
    data = create_dataset(config)
    text = read_item_text(config, data)
    assert len(text.title) == data.item_num == 1683
    assert text.title[data.token2id("item_id", "1")] == "Toy Story" and list(text.fields) == ["movie_title"]

"""`--check`: planted faults are found, each alone, and whole data sets pass."""

from collections.abc import Callable
from pathlib import Path

import pytest

from recbole_navigen.cli.convert import convert
from recbole_navigen.conversion.audit import LEAKS, check

CLICKS = "u,i,t\n" + "".join(
    f"u{n},i{(n + k) % 5},{1600000000 + 60 * (5 * n + k)}\n" for n in range(6) for k in range(4)
)
ITEMS = "i,name\n" + "".join(f"i{n},Tale {n}\n" for n in range(5))


@pytest.fixture
def whole(own_folder: Path) -> Path:
    """A data set without faults, whose report is gone, so that files may be changed."""
    (own_folder / "clicks.csv").write_text(CLICKS)
    (own_folder / "items.csv").write_text(ITEMS)
    arguments = ["csv", "clicks.csv", "--user=u", "--item=i", "--time=t", "--items=items.csv", "--title=name"]
    assert convert([*arguments, "--name=mine"]) == 0
    folder = own_folder / "dataset" / "mine"
    for file in folder.glob("*.report.*"):
        file.unlink()
    return folder


def line(suffix: str, place: int, change: Callable[[str], str | None]) -> Callable[[Path], None]:
    """A change of one line of a file; None removes it."""

    def plant(folder: Path) -> None:
        path = folder / f"mine{suffix}"
        lines = path.read_text().split("\n")[:-1]
        changed = change(lines[place])
        lines[place : place + 1] = [] if changed is None else changed.split("\n")
        path.write_text("\n".join(lines) + "\n")

    return plant


def cell(column: int, value: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        cells = text.split("\t")
        cells[column] = value
        return "\t".join(cells)

    return change


def rows(change: Callable[[str], str]) -> Callable[[Path], None]:
    """A change of every line of `.item`."""

    def plant(folder: Path) -> None:
        path = folder / "mine.item"
        path.write_text("".join(change(text) + "\n" for text in path.read_text().split("\n")[:-1]))

    return plant


def leaking(text: str) -> str:
    return f"{text}\t{'average_rating:float' if text.startswith('item_id') else '4.5'}"


def untitled(text: str) -> str:
    return text if text.startswith("item_id") else text.split("\t")[0] + "\t"


FAULTS = {
    "no user": (line(".inter", 3, cell(0, "")), "mine.inter line 4: 1 rows have no user"),
    "no time": (line(".inter", 3, cell(2, "")), "mine.inter line 4: 1 rows have no timestamp"),
    "a time that is no number": (line(".inter", 3, cell(2, "soon")), "line 4 has 'soon' in column timestamp"),
    "milliseconds among seconds": (line(".inter", 3, cell(2, "1600000000123")), "is in ms and s"),
    "a time before 1990": (line(".inter", 3, cell(2, "86400")), "before 1990 or after today"),
    "an exact copy": (line(".inter", 3, lambda text: f"{text}\n{text}"), "line 5: 1 rows repeat the user, item"),
    "an extra column": (line(".inter", 3, lambda text: f"{text}\t1"), "line 4 has 4 columns and its header 3"),
    "no header": (line(".inter", 0, lambda _: None), "has no atomic-file header"),
    "the item [PAD]": (line(".inter", 3, cell(1, "[PAD]")), "has the item [PAD]"),
    "an item without row": (line(".item", 1, lambda _: None), "1 items of the interactions have no row"),
    "an item twice": (line(".item", 1, lambda text: f"{text}\n{text}"), "line 3: 1 rows repeat an id, the first 'i0'"),
    "a column that leaks": (rows(leaking), "column average_rating sums over all time"),
    "no titles": (rows(untitled), "column title is empty in every row"),
    "blanks make two users": (line(".inter", 3, lambda text: f"{text}\nu0 {text[2:]}"), "blanks make two ids of one"),
    "a short user": (
        line(".inter", 24, lambda text: f"{text}\nu9{text[2:]}"),
        "1 users have fewer than 3 interactions",
    ),
    "no UTF-8": (
        lambda folder: (folder / "mine.item").write_bytes(b"item_id:token\ttitle:token_seq\ni0\t\xe9\n"),
        "UTF-8",
    ),
}


def test_a_whole_data_set_passes(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(whole).faults == []
    capsys.readouterr()
    assert convert(["--check", str(whole)]) == 0
    shown = capsys.readouterr().out
    assert "users: 6" in shown and "users whose last two rows tie: 0 of 6" in shown and shown.endswith("no fault\n")


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant, words = FAULTS[name]
    plant(whole)
    assert any(words in fault for fault in check(whole).faults), check(whole).faults
    assert convert(["--check", str(whole)]) == 1
    assert words in capsys.readouterr().out


def test_settings_that_name_what_is_not_there(whole: Path, own_folder: Path) -> None:
    settings = own_folder / "properties" / "dataset" / "mine.yaml"
    settings.write_text("load_col:\n  inter: [user_id, item_id, timestamp, rating]\nitem_text_fields: [title, brand]\n")
    faults = check(whole).faults
    assert any("no column rating, which load_col" in fault for fault in faults)
    assert any("no column brand, which item_text_fields" in fault for fault in faults)


def test_files_that_changed_after_their_conversion(own_folder: Path, whole: Path) -> None:
    arguments = ["csv", "clicks.csv", "--user=u", "--item=i", "--time=t", "--items=items.csv", "--title=name"]
    assert convert([*arguments, "--name=mine", "--overwrite"]) == 0
    assert check(whole).faults == []
    with open(whole / "mine.item", "a") as file:
        file.write("i9\tnew\n")
    assert any("mine.item was changed after its conversion" in fault for fault in check(whole).faults)
    (whole / "mine.item").unlink()
    assert any("mine.item is missing" in fault for fault in check(whole).faults)


def test_a_bare_item_file_of_ml_100k_is_checked_beside_its_interactions(own_folder: Path) -> None:
    (own_folder / "media").mkdir()
    (own_folder / "media" / "ml-100k.item").write_text(
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tToy\tx\n"
    )
    assert any("1,681 items of the interactions have no row" in fault for fault in check(own_folder / "media").faults)


@pytest.mark.parametrize("words", [["--check", "nowhere"], ["--check", "."]])
def test_what_is_no_data_set_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(words) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_names_of_columns_that_leak() -> None:
    leaks = [
        "average_rating",
        "rating_number",
        "views",
        "likes",
        "review_count",
        "view_number",
        "num_ratings",
        "n_views",
    ]
    assert [name for name in leaks if LEAKS.fullmatch(name)] == leaks[:-1]
    assert not any(LEAKS.fullmatch(name) for name in ("title", "rating", "price", "view_angle", "likeness", "count"))

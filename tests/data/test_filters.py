"""Filters do what they say, or are refused with the form that is right."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import make_config, write_files

from recbole_navigen.config.intervals import COUNTS, check_filters, parse_intervals
from recbole_navigen.data import create_dataset
from recbole_navigen.errors import InputError

HEADER = "user_id:token\titem_id:token\trating:float\tmood:token\tsizes:float_seq\ttimestamp:float"
# User n has n rows, 3 to 9.
ROWS = [
    f"u{user}\ti{step}\t{step % 5 + 1}\t{'ab'[step % 2]}\t1 2\t{step}" for user in range(3, 10) for step in range(user)
]
WRONG = [
    5,
    True,
    {"min": 5},
    [1, 2, 3],
    "",
    " ",
    "10",
    "10,inf",
    "[10;inf)",
    ">=10",
    "10-20",
    "[10,inf",
    "10,inf)",
    "[a,10]",
    "[nan,10]",
    "[1,2];",
    "[1,2],[3,4]",
    "[1,2,3]",
    "{1,2}",
    "\uff3b5,inf)",
    "[5,3]",
    "(5,5]",
    "(5,6)",
    "[0,0]",
    "[1,2];[9,8]",
    "[-5,-1]",
    "(inf,inf)",
]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("key", COUNTS)
def test_intervals_that_would_not_filter_are_refused(key: str, wrong: object) -> None:
    with pytest.raises(InputError, match=rf"{key}.*write '\[5,inf\)' for 5 or more"):
        check_filters({key: wrong})


ends = st.integers(-5, 30) | st.sampled_from([0.5, 2.5, float("-inf"), float("inf")])
parts = st.tuples(st.sampled_from("[("), ends, ends, st.sampled_from("])"))


def inside(number: float, part: tuple) -> bool:
    left, low, high, right = part
    return (number >= low if left == "[" else number > low) and (number <= high if right == "]" else number < high)


@given(st.lists(parts, min_size=1, max_size=3))
def test_unions_hold_what_they_say(union: list[tuple]) -> None:
    text = " ; ".join(f"{left}{low}, {high}{right}" for left, low, high, right in union)
    if not all(any(inside(count, part) for count in range(1, 40)) for part in union):
        with pytest.raises(InputError, match="no whole number above zero lies in"):
            parse_intervals("x", text, whole=True)
        return
    read = parse_intervals("x", text, whole=True)
    for count in range(40):
        assert any(inside(count, part) for part in read) == any(inside(count, part) for part in union)
    assert read == sorted(read, key=lambda part: part[1])


@pytest.mark.parametrize(
    ("interval", "kept"),
    [
        ("[5,inf)", {5, 6, 7, 8, 9}),
        ("(5,7]", {6, 7}),
        ([5, 6], {5, 6}),
        ("[8,inf);[3,4]", {3, 4, 8, 9}),
        ("[0,inf)", set(range(3, 10))),
    ],
)
@pytest.mark.parametrize("model", ["Pop", "NaviGen"])
def test_users_are_kept_by_their_rows(model: str, interval: object, kept: set[int], tmp_path: Path) -> None:
    write_files(tmp_path, "iv", [HEADER, *ROWS])
    # With a user file RecBole takes the lower end of the first part for the least of all.
    (tmp_path / "iv/iv.user").write_text("user_id:token\n" + "".join(f"u{user}\n" for user in range(3, 10)))
    columns = {"inter": ["user_id", "item_id", "timestamp"], "user": ["user_id"]}
    dataset = create_dataset(make_config(model, tmp_path, "iv", load_col=columns, user_inter_num_interval=interval))
    counts = Counter(dataset.field2id_token["user_id"][dataset.inter_feat["user_id"]])
    assert counts == {f"u{user}": user for user in kept}


@pytest.mark.parametrize(
    ("wanted", "kept"), [({"rating": "[4,inf)"}, "45"), ({"rating": [2, 3]}, "23"), ({"mood": ["a"]}, "135")]
)
def test_rows_are_kept_by_their_values(wanted: dict, kept: str, tmp_path: Path) -> None:
    write_files(
        tmp_path,
        "iv",
        [HEADER, *[f"u{u}\ti{r}\t{r}\t{'ba'[r % 2]}\t1\t{r}" for u in range(4) for r in range(1, 6)] * 2],
    )
    ratio = {"split": {"RS": [0.8, 0.1, 0.1]}}
    dataset = create_dataset(make_config("Pop", tmp_path, "iv", load_col=None, val_interval=wanted, eval_args=ratio))
    assert sorted(set(dataset.inter_feat["rating"])) == [float(rating) for rating in kept]
    assert dataset.inter_num == 8 * len(kept)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"val_interval": {"rating": 4}}, r"val_interval.*rating must be an interval.*not 4"),
        ({"val_interval": {"rating": "4"}}, r"val_interval.*rating must be an interval.*not '4'"),
        ({"val_interval": {"rating": "[5,3]"}}, r"val_interval.*rating.*\[5,3\]"),
        ({"val_interval": {"mood": "a"}}, r"val_interval.*mood must be .*not 'a'"),
        ({"val_interval": {"mood": "[1,2]"}}, r"val_interval of mood must be a list of tokens.*holds tokens, not num"),
        ({"val_interval": {"mood": [1, 2]}}, r"val_interval of mood must list tokens as text; write \['1', '2'\]"),
        ({"val_interval": {"sizes": "[1,2]"}}, r"val_interval cannot choose rows by sizes, which holds sequences"),
        ({"val_interval": {"ratng": "[4,5]"}}, r"val_interval names column ratng, which is not loaded"),
        ({"threshold": {"ratng": 4}}, r"Field \[ratng\] not in inter_feat"),
        ({"user_inter_num_interval": "[10;inf)"}, r"user_inter_num_interval must be an interval.*not '\[10;inf\)'"),
        ({"item_inter_num_interval": 5}, r"item_inter_num_interval must be an interval"),
    ],
)
def test_filters_that_are_none(own: dict, message: str, tmp_path: Path) -> None:
    write_files(tmp_path, "iv", [HEADER, *ROWS])
    with pytest.raises(InputError, match=message):
        create_dataset(make_config("Pop", tmp_path, "iv", load_col=None, **own))


def test_items_that_a_filter_leaves_out_take_their_rows_along(tmp_path: Path) -> None:
    items = ["item_id:token\tprice:float", *(f"i{number}\t{number}" for number in range(10))]
    write_files(tmp_path, "iv", [HEADER, *ROWS], items)
    columns = {"inter": ["user_id", "item_id", "timestamp"], "item": "*"}
    cheap = make_config("Pop", tmp_path, "iv", load_col=columns, val_interval={"price": "[0,3)"})
    assert create_dataset(cheap).inter_num == 7 * 3


@pytest.mark.parametrize(("interval", "accepted"), [("[1,inf)", True), ("(-inf,inf)", True), ("(1,inf)", False)])
def test_only_filters_that_keep_everything_go_with_files_that_are_split(interval: str, accepted: bool) -> None:
    settings = {"benchmark_filename": ["train", "valid", "test"], "user_inter_num_interval": interval}
    if accepted:
        check_filters(settings)
    else:
        with pytest.raises(InputError, match="are not filtered; unset"):
            check_filters(settings)

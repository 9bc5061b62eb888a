"""Each kind of bad data gives one clear sentence."""

from pathlib import Path

import pytest
from synthetic import make_config, write_atomic, write_files

from recbole_navigen.config.locate import bundled_folder, dataset_folder
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import InputError

HEADER = "user_id:token\titem_id:token\ttimestamp:float"
ROWS = [f"u{user}\ti{step}\t{step}" for user in range(4) for step in range(5)]


def refused(path: Path, message: str, inter: list[str], item: list[str] | None = None, **settings) -> None:
    """The data set is refused with a one-line message, for a sequential and a general model."""
    write_files(path, "bad", inter, item)
    for model, rows in (("SASRec", "user"), ("SASRec", None), ("BPR", None)):
        with pytest.raises(InputError, match=message) as caught:
            create_dataset(make_config(model, path, "bad", train_rows=rows, **settings))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("inter", "message"),
    [
        ([], r"bad\.inter is empty; it needs a header"),
        ([HEADER], r"bad\.inter is empty: it has a header and no rows"),
        (ROWS, r"bad\.inter has no atomic-file header.* has 'u0'"),
        (["user_id,item_id", *ROWS], r"bad\.inter has no atomic-file header"),
        (["user_id:token\titem_id:text\ttimestamp:float", *ROWS], r"has no atomic-file header.*'item_id:text'"),
        (
            [HEADER.replace("user_id", "user"), *ROWS],
            r"bad\.inter has no column user_id.*columns are user, item_id, timestamp",
        ),
        ([HEADER.replace("item_id", "item"), *ROWS], r"bad\.inter has no column item_id"),
        ([HEADER.replace("timestamp", "time"), *ROWS], r"bad\.inter has no column timestamp"),
        ([HEADER.replace("item_id", "user_id"), *ROWS], r"bad\.inter has no column item_id|names column user_id twice"),
        ([HEADER, *ROWS, "u1\ti1\t5\t6"], r"bad\.inter line 22 has 4 columns and its header 3"),
        (
            [HEADER, *ROWS, "u1\ti1\tmorning"],
            r"bad\.inter line 22 has 'morning' in column timestamp, which is of type float",
        ),
        ([HEADER, *ROWS, "u1\ti1\t"], r"line 22 has '' as timestamp"),
    ],
)
def test_interaction_files(inter: list[str], message: str, tmp_path: Path) -> None:
    refused(tmp_path, message, inter)


def test_columns_of_load_col(tmp_path: Path) -> None:
    columns = {"inter": ["user_id", "item_id", "timestamp", "rating"]}
    refused(tmp_path, r"no column rating, which load_col asks for", [HEADER, *ROWS], load_col=columns)
    refused(
        tmp_path, r"load_col must list timestamp for inter", [HEADER, *ROWS], load_col={"inter": ["user_id", "item_id"]}
    )
    items = ["item_id:token\ttitle:token_seq", *(f"i{n}\tx" for n in range(5))]
    columns = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "genre"]}
    refused(
        tmp_path, r"bad\.item has no column genre, which load_col asks for", [HEADER, *ROWS], items, load_col=columns
    )


def test_items_missing_from_the_item_file(tmp_path: Path) -> None:
    items = ["item_id:token\ttitle:token_seq", *(f"i{n}\tx" for n in (0, 1, 4))]
    columns = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "title"]}
    message = r"2 items of the interactions are missing from .*bad\.item \(the first is i2\)"
    refused(tmp_path, message, [HEADER, *ROWS], items, load_col=columns)


def test_short_histories(tmp_path: Path) -> None:
    message = r"1 of 5 users have fewer than 3 interactions \(user new has 2\).*user_inter_num_interval: \"\[3,inf\)\""
    rows = [HEADER, *ROWS, "new\ti1\t5", "new\ti2\t6"]
    refused(tmp_path, message, rows)
    kept = create_dataset(make_config("SASRec", tmp_path, "bad", train_rows="user", user_inter_num_interval="[3,inf)"))
    assert kept.user_num == 5
    ratios = {"eval_args": {"split": {"RS": [0.5, 0.25, 0.25]}}}
    assert create_dataset(make_config("BPR", tmp_path, "bad", **ratios)).user_num == 6


def test_filters_that_leave_nothing(tmp_path: Path) -> None:
    refused(
        tmp_path,
        r"data set bad in .*empty, please check the filtering",
        [HEADER, *ROWS],
        user_inter_num_interval="[99,inf)",
    )


@pytest.mark.parametrize("key", ["save_dataset", "dataset_save_path", "save_dataloaders", "dataloaders_save_path"])
def test_pickles_are_refused(key: str, tmp_path: Path) -> None:
    value = True if key.startswith("save") else "x.pth"
    refused(tmp_path, f"{key} is not available: RecBole stores data as pickles", [HEADER, *ROWS], **{key: value})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eval_args": {"split": {"LS": "last_two"}}}, r"eval_args\.split must be .*last_two"),
        ({"eval_args": {"split": {"XX": 1}}}, r"eval_args\.split must be .*XX"),
        ({"eval_args": {"order": "RO"}}, r"cannot be split as eval_args says: .*has to be 'TO'"),
        ({"exclude_history": True, "eval_args": {"mode": "uni5"}}, r"exclude_history works with full ranking only"),
        ({"select_on": "unseen", "eval_args": {"mode": "uni5"}}, r"select_on works with full ranking only; .* None"),
        ({"eval_args": {"split": {"RS": [0.0, 1.0, 0.0]}}}, r"eval_args\.split must be "),
    ],
)
def test_splits(settings: dict, message: str, tmp_path: Path) -> None:
    path = write_atomic(tmp_path, "tiny")
    with pytest.raises(InputError, match=message):
        config = make_config("SASRec", path, train_rows="user", **settings)
        data_preparation(config, create_dataset(config))


def test_pre_split_files_that_cannot_be_read(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        write_files(tmp_path, "bad", [HEADER, *ROWS])
        (tmp_path / "bad/bad.inter").rename(tmp_path / f"bad/bad.{part}.inter")
    settings = {"benchmark_filename": ["train", "valid", "test"]}
    config = make_config("BPR", tmp_path, "bad", **settings)
    assert [len(part) for part in create_dataset(config).build()] == [20, 20, 20]
    with pytest.raises(InputError, match=r"\(benchmark_filename\) are not filtered; unset user_inter_num_interval, "):
        create_dataset(make_config("BPR", tmp_path, "bad", **settings, user_inter_num_interval="[5,inf)"))
    with pytest.raises(InputError, match=r"must name the three parts in order"):
        make_config("SASRec", tmp_path, "bad", benchmark_filename=["train", "test"])
    untimed = {**settings, "load_col": {"inter": ["user_id", "item_id"]}}
    with pytest.raises(InputError, match=r"sequential models need times: load column timestamp of bad\.\{train,valid"):
        create_dataset(make_config("SASRec", tmp_path, "bad", **untimed))
    for part in ("train", "valid", "test"):
        file = tmp_path / f"bad/bad.{part}.inter"
        lines = [f"{HEADER}\titem_id_list:token_seq", *(f"{row}\ti1 i2" for row in ROWS)]
        file.write_text("".join(f"{line}\n" for line in lines))
    listed = {**settings, "load_col": {"inter": ["user_id", "item_id", "item_id_list", "timestamp"]}}
    with pytest.raises(InputError, match=r"leave item_id_list out of load_col, and load timestamp"):
        create_dataset(make_config("SASRec", tmp_path, "bad", train_rows="user", **listed))


def test_data_sets_are_found(tmp_path: Path) -> None:
    write_atomic(tmp_path, "games")
    assert dataset_folder(tmp_path, "games") == tmp_path / "games"
    assert dataset_folder(tmp_path, "ml-100k") == bundled_folder() and (bundled_folder() / "ml-100k.inter").is_file()
    own = write_atomic(tmp_path, "ml-100k") / "ml-100k"
    assert dataset_folder(tmp_path, "ml-100k") == own
    dataset = create_dataset(
        make_config("BPR", tmp_path, "ml-100k", load_col={"inter": ["user_id", "item_id", "timestamp"]})
    )
    assert dataset.user_num == 31


def test_unknown_data_sets(tmp_path: Path) -> None:
    write_atomic(tmp_path, "games")
    with pytest.raises(InputError, match=r"unknown data set `gamse`: there is no folder .*gamse; nearest names: games"):
        dataset_folder(tmp_path, "gamse")
    with pytest.raises(InputError, match=r"nearest names: ml-100k"):
        dataset_folder(tmp_path / "nowhere", "ml-1ook")
    with pytest.raises(InputError, match=r"unknown data set ``"):
        dataset_folder(tmp_path, "")
    (tmp_path / "hollow").mkdir()
    with pytest.raises(InputError, match=r"there is no file .*hollow\.inter"):
        create_dataset(make_config("BPR", tmp_path, "hollow"))

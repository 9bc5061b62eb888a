"""Exact order of time: for every model, on any data."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recbole.data.dataset import SequentialDataset
from synthetic import BASE_SECOND, make_config, write_files

from recbole_navigen.config.locate import bundled_folder
from recbole_navigen.data import create_dataset
from recbole_navigen.data.order import exact_rank, exact_times, tied_last_rows
from recbole_navigen.data.reader import AtomicFile
from recbole_navigen.errors import InputError

HEADER = "user_id:token\titem_id:token\ttimestamp:float"
NANOSECOND = 1_700_000_000_000_000_000


def held_out(dataset) -> list[dict[str, str]]:
    """Raw user -> raw target item of the validation and of the test part."""
    targets = []
    for part in dataset.build()[1:]:
        users, items = (dataset.id2token(field, part.inter_feat[field]) for field in ("user_id", "item_id"))
        targets.append(dict(zip(users, items, strict=True)))
    return targets


def test_ml_100k_targets_are_exact_for_every_model(tmp_path: Path) -> None:
    file = bundled_folder() / "ml-100k.inter"
    frame = pd.read_csv(file, sep="\t", dtype={"user_id:token": str, "item_id:token": str, "timestamp:float": np.int64})
    ordered = frame.sort_values("timestamp:float", kind="stable").groupby("user_id:token")
    truth = []
    for place in (-2, -1):
        rows = ordered.nth(place)
        truth.append(dict(zip(rows["user_id:token"], rows["item_id:token"], strict=True)))
    assert len(truth[0]) == len(truth[1]) == 943

    short = {"MAX_ITEM_LIST_LENGTH": 2, "load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
    for model, settings in (("SASRec", {"train_rows": "user"}), ("SASRec", {}), ("BPR", {})):
        dataset = create_dataset(make_config(model, tmp_path, "ml-100k", **short, **settings))
        assert dataset.tied_last_rows == (415, 943) and held_out(dataset) == truth, model
    stock = held_out(SequentialDataset(make_config("SASRec", tmp_path, "ml-100k", **short)))[1]
    assert sum(stock[user] != item for user, item in truth[1].items()) == 149


times = st.lists(st.integers(0, 5).map(lambda step: NANOSECOND + step) | st.integers(-(2**63), 2**63 - 1), max_size=40)


@given(times)
def test_rank_is_the_stable_order_of_integers(values: list[int]) -> None:
    rank = exact_rank(np.array(values, dtype=np.int64))
    assert np.argsort(rank).tolist() == sorted(range(len(values)), key=lambda row: (values[row], row))


@given(times, st.integers(0, 5))
def test_shuffled_ties_move_only_ties(values: list[int], seed: int) -> None:
    array = np.array(values, dtype=np.int64)
    rank = exact_rank(array, seed)
    assert sorted(rank.tolist()) == list(range(len(values)))
    assert array[np.argsort(rank)].tolist() == sorted(values)
    assert (rank == exact_rank(array, seed)).all()


def test_shuffled_ties_are_spread() -> None:
    orders = {tuple(exact_rank(np.zeros(3, dtype=np.int64), seed)) for seed in range(60)}
    assert len(orders) == 6


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=30))
def test_ties_of_last_rows_are_counted(rows: list[tuple[int, int]]) -> None:
    rows = sorted(rows, key=lambda row: row[1])
    times_by_user = [[time for other, time in rows if other == user] for user in {user for user, _ in rows}]
    tied = sum(len(times) > 1 and times[-1] == times[-2] for times in times_by_user)
    assert tied_last_rows(*np.array(rows).T) == (tied, len(times_by_user))


def times_of(path: Path) -> np.ndarray:
    file = AtomicFile(path)
    return exact_times(file, file.frame(["timestamp"])["timestamp"])


@pytest.mark.parametrize(
    ("texts", "expected", "dtype"),
    [
        ([str(NANOSECOND + 1), str(NANOSECOND)], [NANOSECOND + 1, NANOSECOND], np.int64),
        (["881250949.0", "+881250950", " 7 ", "-3."], [881250949, 881250950, 7, -3], np.int64),
        (["1.5", "8e8", "3"], [1.5, 8e8, 3.0], np.float64),
    ],
)
def test_times_are_read_exactly(texts: list[str], expected: list, dtype: type, tmp_path: Path) -> None:
    write_files(tmp_path, "t", [HEADER, *(f"u\ti\t{text}" for text in texts)])
    read = times_of(tmp_path / "t/t.inter")
    assert read.dtype == dtype and read.tolist() == expected


@pytest.mark.parametrize("text", ["", "yesterday", "nan", "inf", "99999999999999999999", "1.5x"])
def test_times_that_are_none_are_refused(text: str, tmp_path: Path) -> None:
    write_files(tmp_path, "t", [HEADER, "u\ti\t5", f"u\tj\t{text}"])
    with pytest.raises(
        InputError, match=r"t\.inter line 3 has .* (as timestamp; times must be|in column timestamp.*) plain"
    ):
        times_of(tmp_path / "t/t.inter")


def nanosecond_data(path: Path, kind: str = "float") -> Path:
    """Six users whose times differ by nanoseconds, in shuffled file order; items are named after their true order."""
    rng = np.random.default_rng(3)
    lines = [f"u{user}\ti{user}_{step}\t{NANOSECOND + 3 * step + user}" for user in range(6) for step in range(7)]
    rng.shuffle(lines)
    return write_files(path, "nano", [HEADER.replace("float", kind), *lines])


@pytest.mark.parametrize("kind", ["float", "token"])
@pytest.mark.parametrize(
    ("model", "settings"), [("SASRec", {"train_rows": "user"}), ("SASRec", {}), ("BPR", {}), ("FPMC", {})]
)
def test_nanoseconds(model: str, settings: dict, kind: str, tmp_path: Path) -> None:
    config = make_config(model, nanosecond_data(tmp_path, kind), "nano", **settings)
    expected = [{f"u{user}": f"i{user}_{step}" for user in range(6)} for step in (5, 6)]
    assert held_out(create_dataset(config)) == expected


def test_ratio_split_over_all_rows_cuts_at_the_same_time_for_all_models(tmp_path: Path) -> None:
    order = {"eval_args": {"split": {"RS": [0.6, 0.2, 0.2]}, "order": "TO", "group_by": None, "mode": "full"}}
    for model, settings in (("SASRec", {"train_rows": "user"}), ("SASRec", {}), ("FPMC", {}), ("BPR", {})):
        dataset = create_dataset(make_config(model, nanosecond_data(tmp_path), "nano", **order, **settings))
        parts = dataset.build()
        steps = [
            [token.split("_") for token in dataset.id2token("item_id", part.inter_feat["item_id"])] for part in parts
        ]
        clock = [[3 * int(step) + int(user[1:]) for user, step in part] for part in steps]
        assert max(clock[0]) <= min(clock[1]) and max(clock[1]) <= min(clock[2]), model


@pytest.mark.parametrize(("keep", "step"), [("first", 0), ("last", 3)])
def test_duplicates_are_removed_in_exact_order(keep: str, step: int, tmp_path: Path) -> None:
    # Item a comes at second 0 and again at second 3 of one float32 step, in a file that is sorted backwards.
    lines = [f"u{user}\t{item}\t{BASE_SECOND + time}" for user in range(4) for time, item in enumerate("abcade")][::-1]
    config = make_config("SASRec", write_files(tmp_path, "dup", [HEADER, *lines]), "dup", rm_dup_inter=keep)
    dataset = create_dataset(config)
    dataset._change_feat_format()
    timeline = dataset.timeline
    for user in range(1, 5):
        sequence = "".join(dataset.id2token("item_id", timeline.items[timeline.users == user]))
        assert sequence == ("abcde" if step == 0 else "bcade")


def test_shuffle_ties_setting(tmp_path: Path) -> None:
    lines = [f"u{user}\ti{item}\t{BASE_SECOND}" for user in range(5) for item in range(6)]
    write_files(tmp_path, "ties", [HEADER, *lines])
    plain, one, same, two = (
        create_dataset(make_config("SASRec", tmp_path, "ties", shuffle_ties=seed)) for seed in (None, 1, 1, 2)
    )
    assert len({plain.content_hash, one.content_hash, two.content_hash}) == 3 and one.content_hash == same.content_hash
    stable, drawn, again = (held_out(dataset)[1] for dataset in (plain, one, same))
    assert set(stable.values()) == {"i5"} and drawn == again != stable
    with pytest.raises(InputError, match="shuffle_ties must be a whole number of at least 0"):
        create_dataset(make_config("SASRec", tmp_path, "ties", shuffle_ties=-1))


def test_hash_names_the_data_not_the_file_order(tmp_path: Path) -> None:
    lines = [f"u{user}\ti{(user + step) % 7}\t{BASE_SECOND + step}" for user in range(5) for step in range(5)]
    hashes = []
    for name, changed in (("a", lines), ("b", lines), ("c", [*lines[:-1], f"u4\ti5\t{BASE_SECOND + 4}"])):
        write_files(tmp_path, name, [HEADER, *changed])
        hashes.append(create_dataset(make_config("BPR", tmp_path, name)).content_hash)
    assert hashes[0] == hashes[1] != hashes[2]
    assert create_dataset(make_config("SASRec", tmp_path, "a", train_rows="user")).content_hash == hashes[0]


def test_knowledge_models_filter_by_links_and_keep_exact_order(tmp_path: Path) -> None:
    nanosecond_data(tmp_path)
    linked = [f"i{user}_{step}" for user in range(6) for step in range(7) if step not in (2, 6)]
    (tmp_path / "nano/nano.link").write_text(
        "item_id:token\tentity_id:token\n" + "".join(f"{i}\te{i}\n" for i in linked)
    )
    triples = "".join(f"e{i}\tr\te{linked[0]}\n" for i in linked)
    (tmp_path / "nano/nano.kg").write_text(f"head_id:token\trelation_id:token\ttail_id:token\n{triples}")
    columns = {"kg": ["head_id", "relation_id", "tail_id"], "link": ["item_id", "entity_id"]}
    columns["inter"] = ["user_id", "item_id", "timestamp"]
    dataset = create_dataset(make_config("CKE", tmp_path, "nano", load_col=columns))
    assert held_out(dataset) == [{f"u{user}": f"i{user}_{step}" for user in range(6)} for step in (4, 5)]


def test_random_order_needs_no_times(tmp_path: Path) -> None:
    lines = [f"u{user}\ti{item}" for user in range(5) for item in range(6)]
    write_files(tmp_path, "plain", ["user_id:token\titem_id:token", *lines])
    columns = {"inter": ["user_id", "item_id"]}
    random_order = {"order": "RO", "split": {"RS": [0.6, 0.2, 0.2]}}
    dataset = create_dataset(make_config("BPR", tmp_path, "plain", load_col=columns, eval_args=random_order))
    parts = dataset.build()
    users, items = (parts[0].inter_feat[column].numpy() for column in ("user_id", "item_id"))
    trained = [items[users == user].tolist() for user in range(1, 6)]
    assert sum(map(len, parts)) == 30 and trained != [sorted(own) for own in trained]
    with pytest.raises(InputError, match="has no column timestamp"):
        create_dataset(make_config("SASRec", tmp_path, "plain"))

"""NaviGenDataset: RecBole's evaluation rows, one row a user for training, nothing from the future."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from recbole.data.dataset import Dataset, SequentialDataset
from synthetic import make_config, write_atomic, write_files

from recbole_navigen.config import Config
from recbole_navigen.data import NaviGenDataset, UserRowLoader, create_dataset, data_preparation
from recbole_navigen.data.dataset import TARGET_POSITION, ExactSequence, ExactSequentialDataset, exact

SPLITS = [
    {"LS": "valid_and_test"},
    {"LS": "valid_only"},
    {"LS": "test_only"},
    {"RS": [0.6, 0.2, 0.2]},
    {"TS": [0.7, 0.15, 0.15]},
]
RecBoleInExactOrder = type("SequentialDataset", (ExactSequence, SequentialDataset), {})


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_atomic(tmp_path, "tiny")


def by_target(rows) -> dict[int, dict[str, list]]:
    """Columns of each row, by the place of its target."""
    places = rows[TARGET_POSITION].tolist()
    columns = {name: rows[name].tolist() for name in rows.columns if name != TARGET_POSITION}
    return {place: {name: column[i] for name, column in columns.items()} for i, place in enumerate(places)}


def user_settings(split: dict, **more):
    return {
        "eval_args": {"split": split, "order": "TO", "group_by": "user", "mode": "full"},
        "MAX_ITEM_LIST_LENGTH": 4,
        **more,
    }


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_evaluation_rows_are_those_of_recboles_own_code(split: dict, tiny: Path) -> None:
    config = make_config("SASRec", tiny, **user_settings(split))
    expected = RecBoleInExactOrder(config).build()
    prefixes = ExactSequentialDataset(config).build()
    users = NaviGenDataset(config).build()
    for part in (0, 1, 2):
        reference = expected[part].inter_feat
        assert set(reference.columns) == set(prefixes[part].inter_feat.columns)
        for name in reference.columns:
            assert torch.equal(reference[name], prefixes[part].inter_feat[name]), name
        if part:
            assert by_target(users[part].inter_feat) == by_target(reference)
    assert len(expected[1].inter_feat) + len(expected[2].inter_feat) > 0


def test_evaluation_rows_equal_stock_recbole_where_float32_can_order(tmp_path: Path) -> None:
    # The same interactions with their exact places in time as time stamps: RecBole's float32 can order those.
    write_atomic(tmp_path, "tiny", seed=4)
    frame = pd.read_csv(tmp_path / "tiny/tiny.inter", sep="\t", dtype=str)
    order = frame["timestamp:float"].astype(np.int64).argsort(kind="stable")
    frame.loc[order, "timestamp:float"] = np.arange(len(frame)).astype(str)
    write_files(
        tmp_path, "ranked", ["\t".join(frame.columns), *("\t".join(row) for row in frame.itertuples(index=False))]
    )
    columns = {"inter": ["user_id", "item_id", "rating", "timestamp"]}
    stock = SequentialDataset(make_config("SASRec", tmp_path, "ranked", load_col=columns)).build()
    ours = create_dataset(make_config("SASRec", tmp_path, train_rows="user", load_col=columns)).build()
    for part in (1, 2):
        rows = ours[part].inter_feat
        for name in ("user_id", "item_id", "item_length", "item_id_list", "rating_list"):
            first, second = stock[part].inter_feat, rows
            sort = [torch.argsort(feat["user_id"]) for feat in (first, second)]
            assert torch.equal(first[name][sort[0]], second[name][sort[1]]), name


def test_training_sequences_are_everything_but_the_held_out(tiny: Path) -> None:
    dataset = create_dataset(make_config("SASRec", tiny, train_rows="user"))
    train = dataset.build()[0]
    frame = pd.read_csv(tiny / "tiny/tiny.inter", sep="\t")
    frame = frame.sort_values("timestamp:float", kind="stable")
    sequences = train.sequences
    assert len(sequences.users) == 30 and (sequences.lengths == np.diff(sequences.offsets)).all()
    for row, user in enumerate(sequences.users):
        expected = frame[frame["user_id:token"] == dataset.id2token("user_id", user)]["item_id:token"].tolist()
        items = sequences.items[sequences.offsets[row] : sequences.offsets[row + 1]]
        assert dataset.id2token("item_id", items).tolist() == expected[:-2]
    # Flat training interactions, no prefixes, and the whole data set for samplers.
    assert len(train.inter_feat) == len(sequences.items) == len(frame) - 60
    assert "item_id_list" not in train.inter_feat and len(dataset.inter_feat) == len(frame)
    matrix = train.inter_matrix(form="csr")
    assert matrix.sum() == len(sequences.items) and matrix.shape == (31, 26)
    assert train.item_counter[int(sequences.items[0])] == int((sequences.items == sequences.items[0]).sum())


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_train_valid_and_test_partition_the_targets(split: dict, tiny: Path) -> None:
    dataset = create_dataset(make_config("SASRec", tiny, **user_settings(split, train_rows="user")))
    train, valid, test = dataset.build()
    held_out = np.concatenate([part.inter_feat[TARGET_POSITION].numpy() for part in (valid, test)])
    assert len(np.unique(held_out)) == len(held_out)
    assert len(train.inter_feat) - len(train.sequences.users) + len(held_out) == len(dataset.timeline.targets())


def test_training_part_does_not_see_the_future(tmp_path: Path) -> None:
    write_atomic(tmp_path, "tiny")
    lines = (tmp_path / "tiny/tiny.inter").read_text().splitlines()
    frame = pd.DataFrame([line.split("\t") for line in lines[1:]], columns=["user", "item", "rating", "time"])
    held_out = (
        frame.assign(time=frame.time.astype(int)).sort_values("time", kind="stable").groupby("user").tail(2).index
    )
    changed = frame.copy()
    changed.loc[held_out, "item"] = changed.loc[held_out, "item"].map(lambda item: f"i{(int(item[1:]) + 7) % 25}")
    write_files(tmp_path, "changed", [lines[0], *("\t".join(row) for row in changed.itertuples(index=False))])
    raw = []
    for name in ("tiny", "changed"):
        dataset = create_dataset(make_config("SASRec", tmp_path, name, train_rows="user"))
        train = dataset.build()[0]
        raw.append((dataset.id2token("item_id", train.sequences.items).tolist(), train.sequences.offsets.tolist()))
    assert raw[0] == raw[1]


def test_users_with_three_interactions_have_a_test_row_only(tmp_path: Path) -> None:
    lines = [f"u{user}\ti{user + step}\t{step}" for user in range(4) for step in range(3 + (user > 0))]
    write_files(tmp_path, "short", ["user_id:token\titem_id:token\ttimestamp:float", *lines])
    train, valid, test = create_dataset(make_config("SASRec", tmp_path, "short", train_rows="user")).build()
    assert (len(valid), len(test), train.sequences.lengths.tolist()) == (3, 4, [2, 2, 2, 2])


def test_item_features_join_evaluation_rows(tiny: Path) -> None:
    columns = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "genre"]}
    config = make_config("SASRec", tiny, train_rows="user", load_col=columns)
    _, valid, _ = data_preparation(config, create_dataset(config))
    batch = next(iter(valid))[0]
    assert batch["genre"].shape == (30, 2)


def test_classes_keep_recboles_names() -> None:
    assert exact(Dataset).__name__ == "Dataset" and exact(Dataset) is exact(Dataset)
    assert exact(SequentialDataset) is ExactSequentialDataset


def loader(path: Path, **settings) -> UserRowLoader:
    config = make_config(
        "SASRec", path, **{"train_rows": "user", "MAX_ITEM_LIST_LENGTH": 3, "train_batch_size": 7, **settings}
    )
    return data_preparation(config, create_dataset(config))[0]


def batches(rows: UserRowLoader) -> list[list[list[int]]]:
    return [batch["item_id_list"].tolist() for batch in rows]


def test_loader_batches(tiny: Path) -> None:
    rows = loader(tiny)
    sequences = rows.dataset.sequences
    expected = len(rows)
    seen, targets = 0, []
    for batch in rows:
        items, lengths = batch["item_id_list"], batch["item_length"]
        assert items.shape[1] == lengths.max() <= 4 and items.dtype == torch.int64
        assert ((items != 0).sum(dim=1) == lengths).all()
        assert all((row[:length] > 0).all() for row, length in zip(items, lengths, strict=True))
        targets += [item for row in items[:, 1:].tolist() for item in row if item]
        seen += 1
    assert seen == expected == -(-rows_in(rows) // 7)
    firsts = sequences.items[sequences.offsets[:-1]].tolist()
    assert sorted(targets + firsts) == sorted(sequences.items.tolist())


def rows_in(rows: UserRowLoader) -> int:
    return sum(map(len, batches(rows)))


def test_batches_hold_equally_many_targets_whatever_the_lengths(tmp_path: Path) -> None:
    """A mean over a batch of short windows must not count each target more than a mean over one of long windows."""
    write_atomic(tmp_path, "tiny", users=200, items=40)
    rows = loader(tmp_path, MAX_ITEM_LIST_LENGTH=12, train_batch_size=16)
    targets = [int((batch["item_length"] - 1).sum()) for batch in rows]
    assert len({batch["item_id_list"].shape[1] for batch in rows}) > 1
    assert max(targets) - min(targets) <= 2 * 12


def test_loader_is_a_function_of_seed_and_epoch(tiny: Path) -> None:
    first, again, other = loader(tiny), loader(tiny), loader(tiny, seed=1)
    epochs = [batches(first) for _ in range(3)]
    assert epochs[0] != epochs[1] != epochs[2]
    again.set_epoch(2)
    assert len(again) == len(epochs[2]) and batches(again) == epochs[2] and batches(other) != epochs[0]
    again.set_epoch(0)
    assert batches(again) == epochs[0]


def test_order_noise_moves_items_within_their_windows_alone(tiny: Path) -> None:
    """Each window holds what it held, padding stays behind, and nothing moves further than the noise."""
    rows, blurry = loader(tiny, MAX_ITEM_LIST_LENGTH=12), loader(tiny, MAX_ITEM_LIST_LENGTH=12, order_noise=0.2)
    changed = 0
    for (plain, _), (moved, _) in zip(map(rows._batches, range(3)), map(blurry._batches, range(3)), strict=True):
        assert torch.equal(plain.sort(dim=1).values, moved.sort(dim=1).values) and torch.equal(plain > 0, moved > 0)
        changed += int((plain != moved).sum())
        for before, after in zip(plain.tolist(), moved.tolist(), strict=True):
            reach = 0 if sum(map(bool, before)) < 5 else 2  # 0.2 of 13 items at most
            assert all(item in before[max(0, place - reach) : place + reach + 1] for place, item in enumerate(after))
    assert changed and blurry.shuffle
    still = loader(tiny, MAX_ITEM_LIST_LENGTH=12, order_noise=0.2, shuffle=False)
    assert torch.equal(still._batches(0)[0], loader(tiny, MAX_ITEM_LIST_LENGTH=12, shuffle=False)._batches(0)[0])


def test_loader_without_shuffling_repeats_itself(tiny: Path) -> None:
    rows = loader(tiny, shuffle=False)
    epochs = [batches(rows) for _ in range(2)]
    assert epochs[0] == epochs[1]
    lengths = [len(row) - row.count(0) for batch in epochs[0] for row in batch]
    assert lengths == sorted(lengths)


def test_loader_batches_similar_lengths(tmp_path: Path) -> None:
    write_atomic(tmp_path, "tiny", users=200, items=40)
    rows = loader(tmp_path, MAX_ITEM_LIST_LENGTH=12, train_batch_size=16)
    carried = sum(batch["item_id_list"].numel() for batch in rows)
    needed = len(rows.dataset.sequences.items)
    assert needed <= carried < 1.35 * needed


def test_overlapping_windows_by_setting(tiny: Path) -> None:
    assert sum(map(len, batches(loader(tiny, window_stride=1)))) > sum(map(len, batches(loader(tiny))))


@pytest.mark.parametrize(
    ("model", "exclude"), [("BPR", False), ("SASRec", False), ("SASRec", True), ("NaviGen", False)]
)
def test_a_sample_of_users_validates_and_all_are_tested(tiny, model, exclude):
    def users(limit):
        config = make_config(model, tiny, validation_users=limit, exclude_history=exclude)
        _, valid, test = data_preparation(config, create_dataset(config))
        return [loader._dataset.inter_feat["user_id"].tolist() for loader in (valid, test)]

    (valid, test), (sample, whole), (again, _) = users(None), users(7), users(7)
    assert len(valid) == len(test) > 7 and whole == test
    assert len(sample) == 7 and sample == again and sample == [user for user in valid if user in sample]
    assert users(len(valid))[0] == valid


def test_a_batch_holds_about_as_many_items_as_asked_for(tiny):
    def batch_size(**settings):
        config = Config("NaviGen", "tiny", config_dict={"data_path": str(tiny), "MAX_ITEM_LIST_LENGTH": 8, **settings})
        train, _, _ = data_preparation(config, create_dataset(config))
        sizes = [int(batch["item_length"].sum()) for batch in train]
        return train.step, np.mean(sizes[:-1])

    windows, items = batch_size(batch_items=50)
    assert 1 < windows < 16 and 35 < items < 65
    assert batch_size(batch_items=50, train_batch_size=3)[0] == 3
    assert batch_size(batch_items=None, train_batch_size=4)[0] == 4

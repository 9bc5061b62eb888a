"""Any split, for NaviGen as for RecBole's models: what is held out is in no training step; files may be split."""

from pathlib import Path

import numpy as np
import pytest
from recbole.data.dataset import Dataset
from synthetic import make_config
from tiny_settings import BASELINES, NAVIGEN

from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import InputError
from recbole_navigen.quick_start import load_run, run_navigen

QUIET = {"state": "ERROR", "show_progress": False, "epochs": 1, "use_gpu": False, "MAX_ITEM_LIST_LENGTH": 8}
MODELS = {"NaviGen": NAVIGEN, "SASRec": BASELINES["SASRec"], "BPR": BASELINES["BPR"]}
SPLITS = {
    "ratio": {"split": {"RS": [0.6, 0.2, 0.2]}},
    "ratio of all rows": {"split": {"RS": [0.6, 0.2, 0.2]}, "group_by": "none"},
    "time": {"split": {"TS": [0.6, 0.2, 0.2]}},
    "leave one out of the training part": {"split": {"LS": "test_only"}},
}
HEADER = "user_id:token\titem_id:token\ttimestamp:float"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("split", SPLITS)
def test_every_split_runs(name: str, split: str, tiny: Path) -> None:
    result = run_navigen(name, "tiny", config_dict={**QUIET, **MODELS[name], "eval_args": SPLITS[split]})
    assert 0 <= result["test_result"]["ndcg@10"] <= 1
    run = load_run(result["run_dir"])
    assert run.config["eval_args"]["split"] == SPLITS[split]["split"] and len(run.test_data._dataset.inter_feat) > 0


@pytest.mark.parametrize("split", SPLITS)
def test_training_holds_what_the_split_gives_it_and_no_more(split: str, tiny: Path) -> None:
    """Rows of each part are those of SASRec on RecBole's own rows; training sequences hold the training items alone."""
    parts = {}
    for name in ("NaviGen", "SASRec"):
        config = make_config(name, tiny, eval_args=SPLITS[split], **MODELS[name])
        parts[name] = create_dataset(config).build()
    for ours, theirs in zip(parts["NaviGen"][1:], parts["SASRec"][1:], strict=True):
        for field in ("user_id", "item_id", "item_id_list", "item_length"):
            assert np.array_equal(ours.inter_feat[field].numpy(), theirs.inter_feat[field].numpy())
    train, sequences = parts["SASRec"][0].inter_feat, parts["NaviGen"][0].sequences
    for number, user in enumerate(sequences.users):
        own = sequences.items[sequences.offsets[number] : sequences.offsets[number + 1]]
        assert own[1:].tolist() == train["item_id"][train["user_id"] == user].tolist()
    assert set(sequences.users) == set(train["user_id"].tolist())


def test_a_split_with_gaps_leaves_them_out(tiny: Path) -> None:
    """Files that are split already may hold out what stands between training items."""
    lines = [line.split("\t") for line in (tiny / "tiny" / "tiny.inter").read_text().splitlines()[1:]]
    for number, part in enumerate(("train", "valid", "test")):
        rows = [f"{u}\t{i}\t{t}" for n, (u, i, _, t) in enumerate(lines) if (0, 0, 0, 1, 2)[n % 5] == number]
        (tiny / "tiny" / f"tiny.{part}.inter").write_text("\n".join([HEADER, *rows]) + "\n")
    config = make_config("NaviGen", tiny, benchmark_filename=["train", "valid", "test"], **NAVIGEN)
    train, valid, test = create_dataset(config).build()
    held_out: set[tuple[int, int]] = set()
    for part in (valid, test):
        feat = part.inter_feat
        held_out |= set(zip(feat["user_id"].tolist(), feat["target_position"].tolist(), strict=True))
    timeline = train.timeline
    trained = np.setdiff1d(np.arange(len(timeline.items)), [position for _, position in held_out])
    users = np.repeat(train.sequences.users, train.sequences.lengths)
    pairs = set(zip(users.tolist(), train.sequences.items.tolist(), strict=True))
    assert pairs <= set(zip(timeline.users[trained].tolist(), timeline.items[trained].tolist(), strict=True))
    assert len(valid.inter_feat) + len(test.inter_feat) > 100
    assert run_navigen(
        "NaviGen", "tiny", config_dict={**QUIET, **NAVIGEN, "benchmark_filename": ["train", "valid", "test"]}
    )


@pytest.mark.parametrize("name", MODELS)
def test_files_that_are_split_already_are_the_split(name: str, tiny: Path) -> None:
    """The leave-one-out split written as three files gives the numbers of the split itself."""
    by_settings = run_navigen(name, "tiny", config_dict={**QUIET, **MODELS[name]})
    config = make_config("BPR", tiny)
    dataset = create_dataset(config)
    times = dict(enumerate(dataset._times.to_numpy()))
    rows = dataset.rows_in_order()
    left = rows.groupby("user_id").cumcount(ascending=False)
    for number, part in enumerate(("test", "valid", "train")):
        own = rows[left == number] if number < 2 else rows[left >= 2]
        columns = zip(
            dataset.id2token("user_id", own["user_id"]),
            dataset.id2token("item_id", own["item_id"]),
            own.index,
            strict=True,
        )
        text = [f"{user}\t{item}\t{times[index]}" for user, item, index in columns]
        (tiny / "tiny" / f"tiny.{part}.inter").write_text("\n".join([HEADER, *text]) + "\n")
    settings = {**QUIET, **MODELS[name], "benchmark_filename": ["train", "valid", "test"]}
    by_files = run_navigen(name, "tiny", config_dict=settings)
    data = {key: load_run(run["run_dir"]).dataset for key, run in (("settings", by_settings), ("files", by_files))}
    if name == "BPR":  # internal ids are those of the files' order, so that other random vectors belong to an item
        assert data["files"].inter_num == data["settings"].inter_num
        return
    test = {key: load_run(run["run_dir"]).test_data._dataset for key, run in (("s", by_settings), ("f", by_files))}

    def targets(part) -> set[tuple[str, str, tuple[str, ...]]]:
        feat = part.inter_feat
        users, items = (part.id2token(field, feat[field].numpy()) for field in ("user_id", "item_id"))
        histories = [tuple(part.id2token("item_id", row[row > 0].numpy())) for row in feat["item_id_list"]]
        return set(zip(users, items, histories, strict=True))

    assert targets(test["s"]) == targets(test["f"])


def test_a_ranking_among_sampled_items_is_right_and_says_so(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = {"eval_args": {"mode": {"valid": "full", "test": "uni20"}}, "topk": [5], "valid_metric": "NDCG@5"}
    result = run_navigen(
        "NaviGen", "tiny", config_dict={**QUIET, **NAVIGEN, **own, "metric_decimal_place": 9, "state": "INFO"}
    )
    assert "These metrics are sampled: among 20 items drawn at random (uni20), not the" in capsys.readouterr().out
    from recbole.utils import init_seed

    run = load_run(result["run_dir"])
    init_seed(run.config["seed"], run.config["reproducibility"])
    hits = []
    for interaction, rows, _, _ in run.test_data:
        # From the scores of the whole catalogue, without `predict`.
        scores = run.model.full_sort_predict(interaction)
        for row in np.unique(rows):
            mine = np.flatnonzero(np.asarray(rows) == row)
            items = interaction["item_id"][mine]  # the target first; one may be drawn twice
            assert len(items) == 21
            above = scores[mine[0]][items.unique()] > scores[mine[0], items[0]]
            hits.append(int(above.sum()) < 5)
    assert np.mean(hits) == pytest.approx(result["test_result"]["hit@5"])


def test_the_split_by_time_is_recboles_with_exact_times(tmp_path: Path) -> None:
    """Where float32 keeps the times apart, the parts are RecBole's own; where it does not, they are by exact time."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 9, size=300), rng.integers(0, 30, size=300)
    for begin in (0, 1_500_000_000):
        times = begin + rng.permutation(300)
        rows = [f"u{user}\ti{item}\t{time}" for user, item, time in zip(users, items, times, strict=True)]
        folder = tmp_path / str(begin) / "tiny"
        folder.mkdir(parents=True)
        (folder / "tiny.inter").write_text("\n".join([HEADER, *rows]) + "\n")
        config = make_config("BPR", folder.parent, eval_args={"split": {"TS": [7, 1, 2]}})
        ours = create_dataset(config).build()
        assert [len(part.inter_feat) for part in ours][2] == 60
        if begin == 0:
            dataset = create_dataset(config)
            dataset._change_feat_format()
            dataset.sort(by=dataset.time_field)
            theirs = Dataset.time_based_split(dataset, [7, 1, 2], "user_id")
            for own, other in zip(ours, theirs, strict=True):
                pairs = (sorted(part.inter_feat["timestamp"].tolist()) for part in (own, other))
                assert next(pairs) == next(pairs)
    with pytest.raises(InputError, match="leaves nothing to test"):
        same = [row.rsplit("\t", 1)[0] + "\t5" for row in rows]
        (folder / "tiny.inter").write_text("\n".join([HEADER, *same]) + "\n")
        data_preparation(config, create_dataset(config))

"""Runs of any model in use: what they recommend is what their test ranked."""

from pathlib import Path

import numpy as np
import pytest
from synthetic import write_atomic
from tiny_settings import BASELINES, NAVIGEN

from recbole_navigen.errors import InputError
from recbole_navigen.quick_start import Recommender, load_run, run_navigen

QUIET = {"state": "ERROR", "show_progress": False, "epochs": 2, "use_gpu": False, "MAX_ITEM_LIST_LENGTH": 8}
QUIET |= {"metrics": ["Recall", "NDCG"], "topk": [5], "valid_metric": "NDCG@5", "metric_decimal_place": 9}
MODELS = {**BASELINES, "FPMC": {"embedding_size": 8}, "DIN": {}, "NaviGen": NAVIGEN}
BY_HISTORY = ("GRU4Rec", "SASRec", "BERT4Rec", "NaviGen")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A finished run of each model; nobody takes an item twice, so that hidden items are the same to all."""
    folder = tmp_path_factory.mktemp("runs")
    write_atomic(folder / "dataset", "tiny", users=40, items=60)
    file = folder / "dataset" / "tiny" / "tiny.inter"
    seen, lines = set(), []
    for line in file.read_text().splitlines():
        pair = tuple(line.split("\t")[:2])
        lines += [] if pair in seen else [line]
        seen.add(pair)
    file.write_text("\n".join(lines) + "\n")
    places = {"data_path": str(folder / "dataset"), "checkpoint_dir": str(folder / "saved")}
    return {
        name: run_navigen(name, "tiny", config_dict={**QUIET, **places, **own})["run_dir"]
        for name, own in MODELS.items()
    }


@pytest.mark.parametrize("name", sorted({*MODELS} - {"Pop", "DIN"}))  # with ties; not ranked in full
def test_what_is_recommended_is_what_was_tested(name: str, runs: dict[str, str]) -> None:
    recommender = Recommender.load(runs[name])
    answers = recommender.recommend_users(recommender.users, k=5, held_out=1)
    targets = [recommender.history_of(user)[-1] for user in recommender.users]
    hits = [target in [each.item for each in answer] for target, answer in zip(targets, answers, strict=True)]
    result = run_record(runs[name])["test_result"]
    assert np.mean(hits) == pytest.approx(result["recall@5"])
    assert all(answer.certified and len(answer) == 5 for answer in answers)
    for answer in answers:
        assert [each.score for each in answer] == sorted((each.score for each in answer), reverse=True)


@pytest.mark.parametrize("name", MODELS)
def test_a_run_is_loaded_whole_and_evaluates_as_it_did(name: str, runs: dict[str, str]) -> None:
    from recbole_navigen.training.trainer import get_trainer

    config, model, dataset, train_data, _, test_data = load_run(runs[name])
    assert dataset.item_num == 61 and not model.training and config["run_dir"] == runs[name]
    trainer = get_trainer(config, model)(config, model)
    trainer.eval_collector.data_collect(train_data)
    again = trainer.evaluate(test_data, load_best_model=False)
    assert dict(again) == pytest.approx(run_record(runs[name])["test_result"])


@pytest.mark.parametrize("name", MODELS)
def test_histories_and_exclusions(name: str, runs: dict[str, str]) -> None:
    recommender = Recommender.load(runs[name])
    user = recommender.users[3]
    history = recommender.history_of(user)
    if name not in BY_HISTORY:
        with pytest.raises(InputError, match="use recommend_users"):
            recommender.recommend(history)
    else:
        plain = recommender.recommend(history, k=6)
        assert plain == recommender.recommend_users([user], k=6, exclude_history=False)[0]
        left = recommender.recommend(history, k=5, exclude=[plain[0].item])
        assert [each.item for each in left] == [each.item for each in plain[1:]]
    (hidden,) = recommender.recommend_users([user], k=20, exclude_history=True)
    assert not {each.item for each in hidden} & set(history)
    (seen,) = recommender.recommend_users([user], k=60, exclude_history=False)
    assert {each.item for each in seen} == {f"i{number}" for number in range(60)}
    with pytest.raises(InputError, match="k=60 items were asked for but only"):
        recommender.recommend_users([user], k=60, exclude_history=True)
    with pytest.raises(InputError, match="unknown user 'nobody'"):
        recommender.recommend_users(["nobody"])


def test_ids_may_be_numbers(tmp_path: Path) -> None:
    rows = [f"{user}\t{(user + step) % 9 + 100}\t{step}" for user in range(1, 9) for step in range(5)]
    folder = tmp_path / "dataset" / "numbers"
    folder.mkdir(parents=True)
    (folder / "numbers.inter").write_text("\n".join(["user_id:token\titem_id:token\ttimestamp:float", *rows]) + "\n")
    run = run_navigen("SASRec", "numbers", config_dict={**QUIET, **BASELINES["SASRec"]})["run_dir"]
    recommender = Recommender.load(run)
    text = recommender.recommend(["101", "102"], k=5, exclude=["105"])
    assert recommender.recommend([101, 102], k=5, exclude=[105]) == text
    assert recommender.recommend(np.array([101.0, 102.0]), k=5, exclude=np.array([105])) == text
    assert recommender.history_of(3) == recommender.history_of("3") == [str((3 + step) % 9 + 100) for step in range(5)]
    for wrong in (True, 101.5, None, "0101"):
        with pytest.raises(InputError, match="history 0 has the unknown item"):
            recommender.recommend([wrong])


def test_changed_data_and_writers_of_nothing_are_refused(runs: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Pop writes no instructions"):
        Recommender.load(runs["Pop"]).instruct([["i1"]])
    file = Path(runs["Pop"]).parents[1] / "dataset" / "tiny" / "tiny.inter"
    text = file.read_text()
    try:
        file.write_text("\n".join(text.splitlines()[:-1]) + "\n")
        with pytest.raises(InputError, match="is not what the run was trained on"):
            load_run(runs["Pop"])
    finally:
        file.write_text(text)
    with pytest.raises(InputError, match="not the folder of a finished run"):
        load_run(tmp_path)


def run_record(folder: str) -> dict:
    from recbole_navigen.runs.result import read_result

    return read_result(folder)

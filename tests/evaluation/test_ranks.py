"""Ranks of test users against brute force and RecBole's evaluator, and how they are kept."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from synthetic import make_config
from tiny_settings import BASELINES

from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import DamagedArtefact
from recbole_navigen.evaluation.ranks import METRICS, full_sort_ranks, metric_values, rank_among
from recbole_navigen.evaluation.user_ranks import FILE, FOLDER, UserRanks, rank_users
from recbole_navigen.training.trainer import get_trainer


def prepared(model: str, data_path: Path, **given):
    """Config, loaders and a model with random weights (or counts)."""
    config = make_config(model, data_path, **BASELINES.get(model, {}), **given)
    loaders = data_preparation(config, create_dataset(config))
    torch.manual_seed(0)
    net = config.model_class(config, loaders[0]._dataset)
    trainer = get_trainer(config, net)(config, net)
    if model in ("Pop", "ItemKNN"):
        trainer.fit(loaders[0], saved=False)
    return config, loaders, net, trainer


@given(st.lists(st.integers(0, 3), min_size=2, max_size=9), st.data())
def test_a_rank_is_what_stands_above_and_half_of_the_ties(scores: list[int], data: st.DataObject) -> None:
    own = data.draw(st.sampled_from(scores))
    above, tied = sum(score > own for score in scores), scores.count(own) - 1
    row = torch.tensor([scores], dtype=torch.float32)
    assert rank_among(row, torch.tensor([[float(own)]])).item() == above + tied // 2
    assert rank_among(torch.full_like(row, torch.nan), torch.tensor([[torch.nan]])).item() == (len(scores) - 1) // 2


@pytest.mark.parametrize("model", ["SASRec", "GRU4Rec"])
def test_ranks_of_the_validation_part_are_those_of_its_own_targets(model: str, tiny: Path) -> None:
    _, (_, valid, _), net, trainer = prepared(model, tiny, metrics=["NDCG"], topk=[5], metric_decimal_place=8)
    rank, rank_unseen = full_sort_ranks(net, valid)
    result = trainer.evaluate(valid, load_best_model=False)
    assert metric_values("ndcg@5", rank).mean() == pytest.approx(result["ndcg@5"], abs=1e-6)
    assert (rank_unseen <= rank).all() and (rank_unseen < rank).any()


@pytest.mark.parametrize("model", ["Pop", "BPR", "ItemKNN", "LightGCN", "GRU4Rec", "SASRec", "BERT4Rec"])
def test_both_protocols_equal_brute_force_and_recboles_evaluator(model: str, tiny: Path) -> None:
    metrics = {"metrics": ["NDCG", "Recall", "MRR", "Hit", "Precision", "MAP"], "topk": [3, 5]}
    settings = {**metrics, "metric_decimal_place": 8}
    config, (_, _, test), net, trainer = prepared(model, tiny, **settings)
    rank, rank_unseen = full_sort_ranks(net, test)
    ranks = rank_users(config, test, net)
    assert (ranks.rank == rank).all() and (ranks.rank_unseen == rank_unseen).all()

    # 1. Brute force, from the file: who did what in which order.
    lines = [line.split("\t") for line in (tiny / "tiny" / "tiny.inter").read_text().splitlines()[1:]]
    data = test._dataset
    histories: dict[str, list[str]] = {}
    for user, item, _, _ in sorted(lines, key=lambda line: int(line[3])):
        histories.setdefault(user, []).append(item)
    trained = [item for history in histories.values() for item in history[:-2]]
    rows = {user: row for row, user in enumerate(ranks.user)}
    assert set(rows) == set(histories)
    for interaction, *_ in test:
        scores = net.full_sort_predict(interaction).view(-1, net.n_items)
        for user, row_scores in zip(data.id2token("user_id", interaction["user_id"]), scores, strict=True):
            history, row = histories[user], rows[user]
            *before, target = history
            assert ranks.target[row] == target and ranks.history_length[row] == len(before)
            assert ranks.popularity[row] == trained.count(target)
            own = row_scores[data.token2id("item_id", target)]
            for hidden, found in ((set(), rank[row]), (set(before) - {target}, rank_unseen[row])):
                kept = [item for item in data.field2id_token["item_id"][1:] if item not in hidden]
                among = row_scores[torch.from_numpy(data.token2id("item_id", np.array(kept)))]
                assert found == (among > own).sum() + ((among == own).sum() - 1) // 2

    # 2. RecBole's evaluator: general models hide what was consumed, sequential ones do not. Ties it breaks its own way.
    if model in ("Pop", "ItemKNN"):
        return
    sequential = config.public()["MODEL_TYPE"] == "SEQUENTIAL"
    other = {"exclude_history": True} if sequential else {"repeatable": True}
    for rule, expected in (({}, rank if sequential else rank_unseen), (other, rank_unseen if sequential else rank)):
        _, (_, _, test), _, trainer = prepared(model, tiny, **settings, **rule)
        result = trainer.evaluate(test, load_best_model=False)
        for name in METRICS:
            for k in (3, 5):
                value = metric_values(f"{name}@{k}", expected).mean()
                assert result[f"{name}@{k}"] == pytest.approx(value, abs=1e-6), name


def test_models_agree_on_everything_but_the_ranks(tiny: Path) -> None:
    found = [
        rank_users(config, test, net)
        for config, (_, _, test), net, _ in (prepared(model, tiny) for model in ("Pop", "BPR", "SASRec"))
    ]
    for ranks in found[1:]:
        assert ranks.split_hash == found[0].split_hash and ranks.catalogue == found[0].catalogue
        for name in ("user", "target", "history_length", "popularity", "item_third"):
            assert (getattr(ranks, name) == getattr(found[0], name)).all()
    thirds = found[0].catalogue
    assert sum(third["items"] for third in thirds.values()) == 80
    for number, third in enumerate(thirds.values()):
        assert (found[0].popularity[found[0].item_third == number] >= third["from"]).all()


def test_ranks_survive_the_disk_and_damage_is_noticed(tiny: Path) -> None:
    config, (_, _, test), net, _ = prepared("SASRec", tiny)
    ranks = rank_users(config, test, net)
    ranks.save("run")
    again = UserRanks.load("run")
    assert again.split_hash == ranks.split_hash and again.catalogue == ranks.catalogue
    assert (again.rank == ranks.rank).all() and (again.rank_unseen == ranks.rank_unseen).all()
    file = Path("run") / FOLDER / FILE
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DamagedArtefact, match=FILE):
        UserRanks.load("run")


@pytest.mark.parametrize(
    ("model", "given", "why"),
    [
        ("BPR", {"eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}}}, "does not leave one item"),
        ("BPR", {"eval_args": {"order": "RO"}}, "not that of time"),
        ("BPR", {"eval_args": {"mode": "uni20"}}, "does not rank the whole catalogue"),
    ],
)
def test_other_evaluations_keep_no_ranks_and_say_so(
    model: str, given: dict, why: str, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, (_, _, test), net, _ = prepared(model, tiny, **given)
    with caplog.at_level(logging.INFO):
        assert rank_users(config, test, net) is None
    assert why in caplog.text


def test_leaving_out_for_test_only_counts_more_training_interactions(tiny: Path) -> None:
    sums = []
    for split in ("valid_and_test", "test_only"):
        config, (_, _, test), net, _ = prepared("BPR", tiny, eval_args={"split": {"LS": split}})
        sums.append(sum(third["interactions"] for third in rank_users(config, test, net).catalogue.values()))
    assert sums[1] == sums[0] + 60

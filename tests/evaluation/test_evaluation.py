"""Ranks against RecBole's own evaluator, and intervals with known coverage."""

import numpy as np
import pytest
import torch
from recbole.utils import init_seed
from synthetic import make_config

from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.ranks import full_sort_ranks, ndcg, rank_among, recall
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.training.checkpoint import load_checkpoint
from recbole_navigen.training.trainer import get_trainer


@pytest.mark.parametrize("exclude", [False, True])
def test_metrics_from_ranks_equal_recboles(tiny, exclude):
    config = make_config("SASRec", tiny, train_rows="user", exclude_history=exclude, metric_decimal_place=8)
    train_data, _, test_data = data_preparation(config, create_dataset(config))
    torch.manual_seed(0)
    model = config.model_class(config, train_data._dataset)
    trainer = get_trainer(config, model)(config, model)
    result = trainer.evaluate(test_data, load_best_model=False)
    ranks = full_sort_ranks(model, test_data)[1 if exclude else 0]  # among unseen or among all items
    assert len(ranks) == 60 and ranks.min() >= 0
    assert ndcg(ranks, 5).mean() == pytest.approx(result["ndcg@5"], abs=1e-6)
    assert recall(ranks, 5).mean() == pytest.approx(result["recall@5"], abs=1e-6)


def evaluated(model: str, folder, **settings) -> tuple[dict, dict, object, object]:
    """Results of validation and test of an untrained model, the model, and its loader of the validation part."""
    config = make_config(model, folder, metric_decimal_place=8, topk=[5, 40], **settings)
    train_data, valid_data, test_data = data_preparation(config, create_dataset(config))
    torch.manual_seed(0)
    net = config.model_class(config, train_data._dataset)
    trainer = get_trainer(config, net)(config, net)
    valid, test = (trainer.evaluate(part, load_best_model=False) for part in (valid_data, test_data))
    return valid, test, net, valid_data


@pytest.mark.parametrize("rows", ["user", "prefix"])
def test_select_on_decides_what_validation_ranks_and_leaves_the_test_alone(tiny, rows):
    _, default, *_ = evaluated("SASRec", tiny, train_rows=rows)
    found = {}
    for column, select_on in enumerate(("all", "unseen")):
        valid, test, net, loader = evaluated("SASRec", tiny, train_rows=rows, select_on=select_on)
        assert test == default
        found[select_on] = valid["ndcg@5"]
        assert ndcg(full_sort_ranks(net, loader)[column], 5).mean() == pytest.approx(valid["ndcg@5"], abs=1e-6)
    assert found["unseen"] > found["all"]


def test_select_on_holds_for_general_models_too(tiny):
    hidden, shown = evaluated("BPR", tiny), evaluated("BPR", tiny, repeatable=True)
    assert hidden[0] != shown[0] and hidden[1] != shown[1]
    for own, expected in (
        ({"select_on": "unseen"}, (hidden[0], hidden[1])),
        ({"select_on": "all"}, (shown[0], hidden[1])),
        ({"select_on": "unseen", "repeatable": True}, (hidden[0], shown[1])),
        ({"select_on": "all", "exclude_history": True}, (shown[0], hidden[1])),
    ):
        assert evaluated("BPR", tiny, **own)[:2] == expected


@pytest.mark.parametrize("model", ["BPR", "SASRec"])
def test_epochs_are_chosen_by_scores_that_are_not_rounded(tiny, model):
    """Rounding is for the eye: with one decimal place all epochs look alike, and the same one is kept as with eight."""
    runs = []
    for places in (1, 8):
        settings = {"epochs": 6, "stopping_step": 2, "metric_decimal_place": places, "reproducibility": True}
        config = make_config(model, tiny, **settings)
        train_data, valid_data, _ = data_preparation(config, create_dataset(config))
        init_seed(1, True)
        net = config.model_class(config, train_data._dataset)
        trainer = get_trainer(config, net)(config, net)
        score, result = trainer.fit(train_data, valid_data, saved=True, show_progress=False)
        assert result["ndcg@5"] == round(score, places)
        epoch = load_checkpoint(trainer.saved_model_file)["epoch"]
        runs.append((score, epoch, [row["score"] for row in trainer.validations]))
    assert runs[0] == runs[1]
    score, epoch, scores = runs[0]
    assert score == max(scores) and scores[epoch] == score and len({round(one, 1) for one in scores}) < len(set(scores))


def test_equal_scores_do_not_put_the_target_first():
    scores = torch.zeros(2, 11)
    scores[:, 0] = -torch.inf  # the padding item
    assert rank_among(scores, scores[[0, 1], [3, 10]][:, None]).tolist() == [4, 4]


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = [
        interval.low <= 0.3 <= interval.high
        for interval in (bootstrap(rng.exponential(0.3, 200), resamples=400, seed=draw) for draw in range(200))
    ]
    assert 0.88 <= np.mean(covered) <= 0.99


def test_pairing_finds_what_unpaired_users_hide():
    rng = np.random.default_rng(1)
    ours = rng.normal(0, 1, 300)
    theirs = ours - 0.05 + rng.normal(0, 0.1, 300)
    assert bootstrap(ours - theirs).low > 0
    assert bootstrap(ours).low < 0


def test_one_user_has_no_interval():
    with pytest.raises(InputError, match="at least two users"):
        bootstrap(np.array([1.0]))

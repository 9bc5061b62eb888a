"""Ranks against RecBole's own evaluator, and intervals with known coverage."""

import numpy as np
import pytest
import torch
from synthetic import make_config

from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.ranks import ndcg, recall, target_ranks
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.training.trainer import get_trainer


@pytest.mark.parametrize("exclude", [False, True])
def test_metrics_from_ranks_equal_recboles(tiny, exclude):
    config = make_config("SASRec", tiny, train_rows="user", exclude_history=exclude, metric_decimal_place=8)
    train_data, _, test_data = data_preparation(config, create_dataset(config))
    torch.manual_seed(0)
    model = config.model_class(config, train_data._dataset)
    trainer = get_trainer(config, model)(config, model)
    result = trainer.evaluate(test_data, load_best_model=False)
    users, ranks = target_ranks(model, test_data)
    assert len(set(users.tolist())) == len(users) == 60
    assert ndcg(ranks, 5).mean() == pytest.approx(result["ndcg@5"], abs=1e-6)
    assert recall(ranks, 5).mean() == pytest.approx(result["recall@5"], abs=1e-6)


def test_equal_scores_do_not_put_the_target_first():
    class Flat:
        n_items, device = 11, torch.device("cpu")

        def eval(self):
            return self

        def full_sort_predict(self, interaction):
            return torch.zeros(2, 11)

    class Rows(dict):
        def to(self, device):
            return self

    class Loader:
        _dataset = type("Data", (), {"uid_field": "user"})

        def __iter__(self):
            yield Rows(user=torch.tensor([1, 2])), None, torch.tensor([0, 1]), torch.tensor([3, 10])

    assert target_ranks(Flat(), Loader())[1].tolist() == [4, 4]


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

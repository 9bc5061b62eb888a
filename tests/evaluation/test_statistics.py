"""Resampling, p-values, alone and of all pairs, and thirds by their properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.statistics import (
    all_pairs_p,
    interval,
    resampled_choice,
    resampled_means,
    thirds,
    two_sided_p,
)


def test_resamples_are_means_of_users_drawn_with_replacement() -> None:
    values = np.eye(4)  # the mean of row u is the share of user u in the resample
    shares = resampled_means(values, resamples=4000, seed=1) * 4
    assert np.allclose(shares, np.round(shares)) and np.allclose(shares.sum(axis=0), 4)
    assert np.allclose(shares.mean(axis=1), 1, atol=0.06)  # every user is drawn once on average,
    assert np.allclose(shares.var(axis=1), 3 / 4, atol=0.06)  # as often as a binomial variable says


def test_all_rows_are_resampled_alike() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(300), rng.random(300)
    draws = resampled_means(np.array([ours, theirs, ours - theirs, np.zeros(300)]), resamples=50_000 // 300)
    assert np.allclose(draws[0] - draws[1], draws[2]) and (draws[3] == 0).all()
    # Chunks do not show: the same draws as all at once.
    assert np.allclose(resampled_means(ours[None], 30, seed=5)[0, :10], resampled_means(ours[None], 10, seed=5)[0])


def test_p_values_are_uniform_when_nothing_differs() -> None:
    rng = np.random.default_rng(3)
    p = np.sort([two_sided_p(resampled_means(rng.normal(size=(1, 150)), 400, seed)[0]) for seed in range(400)])
    # Kolmogorov's distance from the uniform distribution stays below its 1% bound, 1.63 / sqrt(n).
    assert np.abs(p - (np.arange(400) + 0.5) / 400).max() < 1.63 / 20
    assert 0.02 <= (p < 0.05).mean() <= 0.09


@given(arrays(np.float64, st.integers(20, 60), elements=st.floats(-1, 1)))
@settings(max_examples=60, deadline=None)
def test_p_and_interval_agree(draws: np.ndarray) -> None:
    p, slack = two_sided_p(draws), 4 / len(draws)  # quantiles are interpolated between two draws
    assert 2 / (len(draws) + 1) <= p <= 1 and two_sided_p(-draws) == p
    found = interval(draws.mean(), draws)
    if found.low > 0 or found.high < 0:
        assert p <= 0.05 + slack
    if found.low < 0 < found.high:
        assert p > 0.05 - slack


def test_equal_models_and_clear_winners() -> None:
    assert two_sided_p(np.zeros(99)) == 1
    assert two_sided_p(np.full(9999, 0.1)) == 2 / 10_000


def equal_models(rng: np.random.Generator, models: int, users: int) -> np.ndarray:
    """NDCG@10 of models that are equally good for every user, and correlated as models of one data set are. (M, B)."""
    ease = rng.beta(0.4, 4.0, size=users)  # most users' targets are found by no model, some by all
    places = rng.integers(0, 10, size=(models, users))
    return (rng.random((models, users)) < ease) / np.log2(places + 2)


def test_equal_models_are_told_apart_in_at_most_one_world_of_twenty() -> None:
    rng, models, worlds, family, against_best = np.random.default_rng(11), 6, 400, 0, 0
    for world in range(worlds):
        values = equal_models(rng, models, 300)
        draws = resampled_means(values, 400, seed=world)
        best = values.mean(axis=1).argmax()
        others = [model for model in range(models) if model != best]
        family += all_pairs_p(values, draws)[best, others].min() < 0.05
        # What it is there for: the same worlds, corrected by Bonferroni over the models beside the observed best.
        alone = min(two_sided_p(resampled_means(values[[model]] - values[best], 400, world)[0]) for model in others)
        against_best += alone * len(others) < 0.05
    assert family / worlds <= 0.05
    assert against_best / worlds > 0.05


def test_a_better_model_is_told_from_all_others_and_from_no_copy_of_itself() -> None:
    rng = np.random.default_rng(2)
    equal = equal_models(rng, 3, 2000)
    better = equal[0] + 0.05 * (rng.random(2000) < 0.5)
    values = np.stack([*equal, better, better])
    p = all_pairs_p(values, resampled_means(values, 1000))
    assert (p == p.T).all() and (np.diag(p) == 1).all() and p[3, 4] == 1
    assert (p[3, :3] == 1 / 1001).all() and (p[:3, :3] > 0.05).all()


@given(st.integers(2, 5), st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_more_models_never_make_a_pair_clearer(models: int, seed: int) -> None:
    values = equal_models(np.random.default_rng(seed), models + 1, 60)
    draws = resampled_means(values, 200)
    many, few = all_pairs_p(values, draws), all_pairs_p(values[:-1], draws[:-1])
    assert (many[:-1, :-1] >= few).all() and (few > 0).all() and (few <= 1).all()


def test_a_difference_without_error_is_certain() -> None:
    values = np.stack([np.zeros(50), np.full(50, 0.25)])
    assert all_pairs_p(values, resampled_means(values, 99))[0, 1] == 1 / 100


def test_the_noise_of_a_choice_is_in_its_interval() -> None:
    rng = np.random.default_rng(4)
    valid, test = rng.random((2, 300)), rng.random((2, 300))
    plain = resampled_means(test, 2000)
    # One trial, or one that validation is sure of and that is always drawn: the plain bootstrap of its test.
    assert np.allclose(resampled_choice(valid[:1], test[:1], 2000), plain[0])
    chosen = resampled_choice(np.stack([valid[0] + 1, valid[0]]), test, 2000)
    first, second = (np.isclose(chosen, own) for own in plain)
    assert (first ^ second).all() and abs(second.mean() - 1 / 4) < 0.04  # a quarter of the draws lack the better trial
    # Trials that validation cannot tell apart and whose tests differ: the interval spans both.
    apart = np.stack([test[0], test[0] + 0.5])
    wide = interval(0, resampled_choice(np.stack([valid[0], valid[0][::-1]]), apart, 2000))
    assert wide.low < test[0].mean() + 0.05 and wide.high > test[0].mean() + 0.45


@given(arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 9)))
def test_thirds_keep_equal_values_together_and_in_order(values: np.ndarray) -> None:
    groups = thirds(values, np.ones(len(values)))
    assert set(groups) <= {0, 1, 2}
    order = np.argsort(values, kind="stable")
    assert (np.diff(groups[order]) >= 0).all()
    assert all(len(set(groups[values == value])) == 1 for value in set(values))


def test_thirds_hold_a_third_of_the_mass_each() -> None:
    rng = np.random.default_rng(0)
    popularity = np.sort(rng.zipf(1.7, 3000).clip(max=400))
    groups = thirds(popularity, popularity)
    shares = np.bincount(groups, weights=popularity) / popularity.sum()
    assert np.allclose(shares, 1 / 3, atol=0.1)
    assert (np.bincount(groups)[:-1] > np.bincount(groups)[1:]).all()  # few items are as popular as many
    assert thirds(np.array([0, 0]), np.array([0, 0])).tolist() == [0, 0]


def test_bad_shapes_are_refused() -> None:
    for shape in ((3,), (3, 1)):
        with pytest.raises(InputError, match="at least two users"):
            resampled_means(np.zeros(shape))

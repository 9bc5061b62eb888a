"""Resampling, p-values, Holm's correction and thirds by their properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.statistics import holm, interval, resampled_means, thirds, two_sided_p

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8).map(np.array)


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


def test_holm_by_hand() -> None:
    # .01 x 4, .02 x 3, .03 x 2 = .06, .04 x 1, which may not fall below .06.
    assert np.allclose(holm(np.array([0.04, 0.01, 0.03, 0.02])), [0.06, 0.04, 0.06, 0.06])
    assert np.allclose(holm(np.array([0.6, 0.5])), [1, 1])
    assert holm(np.array([])).size == 0


@given(P_VALUES)
def test_holm_lies_between_nothing_and_bonferroni_and_keeps_the_order(p: np.ndarray) -> None:
    adjusted = holm(p)
    assert (adjusted >= p).all() and (adjusted <= np.minimum(1, len(p) * p) + 1e-12).all() and adjusted.max() <= 1
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert np.isclose(adjusted.min(), min(1, len(p) * p.min()))


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

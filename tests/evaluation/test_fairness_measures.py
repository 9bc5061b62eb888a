"""Measures of fairness against their definitions and their known limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_navigen.evaluation.fairness_measures import (
    PERSONS,
    amplification,
    diversity_ratio,
    entropy,
    exposure,
    largest_gap,
    mentions,
)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), users=st.integers(2, 20), k=st.integers(1, 12))
def test_exposure_is_shared_out_and_falls_with_the_rank(seed: int, users: int, k: int) -> None:
    groups = np.random.default_rng(seed).integers(0, 3, (users, k))
    shares = exposure(groups, 3)
    assert shares.sum(axis=1) == pytest.approx(np.ones(users)) and (shares >= 0).all()
    first, last = np.zeros((1, k), int), np.zeros((1, k), int)
    first[0, 0], last[0, -1] = 1, 1
    if k > 1:
        assert exposure(first, 2)[0, 1] > exposure(last, 2)[0, 1]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_is_handed_out_as_it_was_chosen_is_amplified_by_1(seed: int) -> None:
    draws = np.random.default_rng(seed)
    before = draws.random((30, 3)) + 0.1
    for ratio in amplification(before * 2, before):
        assert ratio.mean == ratio.low == ratio.high == pytest.approx(1)
    own, history, ratio = diversity_ratio(before, before)
    assert own == history and ratio.low == pytest.approx(1) == ratio.high
    # Twice the share of the first value: its ratio is above 1, and the interval knows.
    more = before * np.array([3.0, 1.0, 1.0])
    first, *others = amplification(more, before)
    assert first.low > 1 and all(other.high < 1 for other in others)


def test_entropy_and_what_nobody_had() -> None:
    assert entropy(np.array([0.25] * 4)) == pytest.approx(2) and entropy(np.array([1.0, 0.0])) == 0
    given, before = np.array([[1.0, 1.0]] * 5), np.array([[0.0, 1.0]] * 5)
    new, old = amplification(given, before)
    assert np.isnan(new.mean) and old.mean == pytest.approx(0.5)


def test_persons_are_found_by_whole_words() -> None:
    texts = ["A woman and two boys at sea", "The manor of her Mother", "humane menace"]
    assert mentions(texts, PERSONS["gender"]).tolist() == [[1, 1], [2, 0], [0, 0]]


def test_the_largest_gap_is_of_the_best_and_the_worst_group() -> None:
    values, groups = np.r_[np.full(50, 0.5), np.full(50, 0.2), np.full(50, 0.3)], np.repeat([0, 1, 2], 50)
    gap = largest_gap(values, groups)
    assert [gap.mean, gap.low, gap.high] == pytest.approx([0.3] * 3)
    noisy = largest_gap(np.random.default_rng(0).random(150), groups)
    assert noisy.low < 0.1 and noisy.mean >= 0

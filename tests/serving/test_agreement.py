"""Items that agree with the next one more than with the catalogue at large."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_navigen.serving import agreement
from recbole_navigen.serving.agreement import Agreement

TERMS = st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True), min_size=1, max_size=12)


def test_an_item_gains_by_what_the_probable_ones_share_and_loses_by_what_all_do() -> None:
    terms = [("film", "war"), ("film", "crime", "noir"), ("film", "crime", "heist"), ("film",), ("film", "love")]
    agree = Agreement(terms, np.zeros((5, 1)))
    # By hand: F1 with war 2/4 or 2/5, crimes 4/6, film 2/3 or 2/4.
    noir = 0.4 * 2 / 5 + 0.3 * 1 + 0.3 * 4 / 6 - (2 / 5 + 1 + 4 / 6 + 2 / 4 + 2 / 5) / 5
    found = agree.gains([0, 1, 2], [0.4, 0.3, 0.3])
    assert found[1] == pytest.approx(noir, abs=1e-8) == found[2]
    assert found.argmax() == 1
    # `film` agrees with everything: among all items it is expected to agree best, and gains nothing.
    everything = agree.gains(range(5), [1.0] * 5)
    assert agree.between(np.arange(5), np.arange(5)).mean(axis=1).argmax() == 3
    assert everything == pytest.approx(np.zeros(5), abs=1e-7)


def test_vectors_count_beside_terms() -> None:
    vectors = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    found = Agreement([("a",), ("b",), ("c",)], vectors).between(np.array([0]), np.arange(3))
    assert found[0] == pytest.approx([2.0, 0.8, 0.0])


@given(TERMS, st.data())
def test_gains_are_differences_of_mean_agreements(terms, data) -> None:
    items = data.draw(st.lists(st.integers(0, len(terms) - 1), min_size=1, unique=True))
    probabilities = data.draw(st.lists(st.floats(1e-6, 1.0), min_size=len(items), max_size=len(items)))
    vectors = np.random.default_rng(len(terms)).normal(size=(len(terms), 3)) / 3
    found = Agreement(terms, vectors).gains(items, probabilities)
    share = np.array(probabilities) / sum(probabilities)
    for own, value in zip(items, found, strict=True):
        one = set(terms[own])
        u = [
            2 * len(one & set(other)) / (len(one) + len(other)) + vectors[own] @ vector
            for other, vector in zip(terms, vectors, strict=True)
        ]
        assert value == pytest.approx(float(share @ np.array(u)[items]) - np.mean(u), abs=1e-7)


def test_blocks_change_nothing(monkeypatch) -> None:
    draws = np.random.default_rng(3)
    terms = [draws.choice(list("abcdefgh"), size=draws.integers(1, 5), replace=False).tolist() for _ in range(40)]
    vectors = draws.normal(size=(40, 4)) / 4
    probabilities = draws.random(40) + 0.01
    whole = Agreement(terms, vectors).gains(range(40), probabilities)
    monkeypatch.setattr(agreement, "BLOCK", 7)
    parts = Agreement(terms, vectors)
    parts.gains([5, 3], [0.5, 0.5])  # some are known before
    np.testing.assert_allclose(parts.gains(range(40), probabilities), whole)


def test_expected_terms_go_together_and_need_no_item_that_has_them_all() -> None:
    terms = [("red", "box"), ("box", "sea"), ("red", "sea"), ("blue", "ball"), ("blue", "sea")]
    agree = Agreement(terms, np.zeros((5, 1)))
    # Each at 2/3 and above its share of the catalogue; in the order in which TIDs have them.
    assert agree.expected_terms([2, 0, 1], [1, 1, 1], 3) == ("red", "box", "sea")
    # Gains in shares: ball .45 - .2, red and box .55 - .4, blue .45 - .4; nothing is a red or a box and a ball.
    assert agree.expected_terms([0, 3], [0.55, 0.45], 3) == ("blue", "ball")
    # What all items have tells nothing of the next one, but something must be said.
    assert Agreement([("film",)] * 3, np.zeros((3, 1))).expected_terms([0, 1], [0.6, 0.4], 2) == ("film",)


@given(TERMS, st.data())
def test_expected_terms_gain_the_most_of_all_that_go_together(terms, data) -> None:
    items = data.draw(st.lists(st.integers(0, len(terms) - 1), min_size=1, unique=True))
    probabilities = data.draw(st.lists(st.floats(1e-3, 1.0), min_size=len(items), max_size=len(items)))
    count = data.draw(st.integers(1, 3))
    sets = [*map(set, terms), set("abcdef")]  # one that has all, so that none is left out for others
    found = Agreement([*terms, list("abcdef")], np.zeros((len(sets), 1))).expected_terms(items, probabilities, count)
    shares = np.full(len(sets), -1 / len(sets))
    shares[items] += np.array(probabilities) / sum(probabilities)

    def gain(some) -> float:
        return sum(
            share * 2 * len(set(some) & own) / (count + len(own)) for share, own in zip(shares, sets, strict=True)
        )

    known = sorted(set().union(*(sets[item] for item in items)))
    best = max(gain(some) for size in range(1, count + 1) for some in itertools.combinations(known, size))
    assert gain(found) == pytest.approx(best, abs=1e-6) and 1 <= len(found) <= count

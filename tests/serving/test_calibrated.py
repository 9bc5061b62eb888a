"""A calibrated choice keeps a user's proportions, and says what that costs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_navigen.serving.calibrated import ALPHA, SHARE, calibrated, divergence
from recbole_navigen.supervision.template.term_space import TermSpace

ITEMS = [("comedy", "office"), ("war", "tank"), ("comedy", "wedding"), ("war", "soldier"), ("western", "horse")] * 3
SPACE = TermSpace(ITEMS, domain="film")
TEXTS = ["a comedy at an office", "a war scene with a tank", "a western with a horse", "nothing known"]


@settings(max_examples=40)
@given(
    history=st.lists(st.sampled_from(ITEMS), max_size=6),
    scores=st.lists(st.floats(0, 10), min_size=4, max_size=4),
)
def test_no_draft_is_better_by_the_formula(history: list, scores: list[float]) -> None:
    (chosen,), (changed,) = calibrated(SPACE, [history], [TEXTS], np.array([scores]))
    best = int(np.argmax(scores))
    if not history:
        assert chosen == best and changed.price == 0
        return
    read = SPACE.kind_mass(SPACE.encode([" ".join(own) for own in history])).sum(axis=0)
    divergences = divergence(read / read.sum(), SPACE.kind_mass(SPACE.encode(TEXTS)))
    worth = (1 - SHARE) * np.array(scores) / 10 - SHARE * divergences
    assert worth[chosen] >= worth.max() - 1e-7 and (divergences >= -1e-9).all()
    assert changed.price == pytest.approx(scores[best] - scores[chosen]) and changed.price >= 0
    assert changed.divergence <= changed.uncalibrated + 1e-9  # what is paid for is nearer to the user's own


def test_divergence_is_0_at_the_users_own_proportions_and_finite_elsewhere() -> None:
    wanted = np.array([0.25, 0.75, 0.0])
    found = divergence(wanted, np.stack([wanted, [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert found[0] == pytest.approx(0) and 0 < found[1] < found[2] == pytest.approx(-np.log(ALPHA))


def test_who_likes_two_things_equally_is_not_shown_one_that_is_only_likelier() -> None:
    history = [ITEMS[0], ITEMS[1]]
    both = "a comedy of war"
    (chosen,), (changed,) = calibrated(SPACE, [history], [[TEXTS[0], both]], np.array([[7.0, 6.8]]))
    assert chosen == 1 and changed.price == pytest.approx(0.2) and changed.divergence < changed.uncalibrated

"""Parity with the released rewards: every worked value of their code."""

import itertools
from collections.abc import Collection, Sequence

import numpy as np
import pytest

from recbole_navigen.reinforcement.released import (
    CID,
    IN_CATALOGUE,
    LEVEL_CREDIT,
    _unfenced,
    cid2ins_reward,
    heuristic_scores,
    parts,
    recover,
)
from recbole_navigen.reinforcement.rewards import CODE_REWARDS, released_reward

GOLD = (3, 7, 1)
CATALOGUE = {(3, 7, 1), (3, 7, 2), (3, 0, 0), (3, 0, 1), (0, 7, 1), (0, 7, 0), (0, 0, 1), (5, 5, 5)}
THOUGHT = "<think>\nthis user likes quiet games\n</think>\n\n"


def cid(codes):
    return "<|cid_begin|>" + "".join(f"<s_{a}_{c}>" for a, c in zip("abc", codes, strict=True)) + "<|cid_end|>"


def answer(codes=GOLD):
    return f'{{"target_cid":"{cid(codes)}"}}'


def cid_credit(predicted: Sequence[int] | None, target: Sequence[int], in_catalogue: bool) -> float:
    """C: each level on its own, and a bonus for any code of the catalogue. Codes of three levels, or None."""
    if predicted is None:
        return 0.0
    credit = sum(share for share, ours, theirs in zip(LEVEL_CREDIT, predicted, target, strict=True) if ours == theirs)
    return min(credit, 1.0) if credit else IN_CATALOGUE * in_catalogue


def cid2cid_reward(text: str, target: Sequence[int], catalogue: Collection[tuple[int, ...]]) -> float:
    """R of a raw next-item answer as the released code computes it; ours are drawn and never written.

    Args:
        target: three codes. catalogue: those of all items.
    """
    value = recover(_unfenced(text), "cid2cid").get("target_cid")
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    found = CID.fullmatch(value.strip()) if isinstance(value, str) else None
    codes = tuple(map(int, found.groups())) if found else None
    return parts(text, "cid2cid").total(0.9 * cid_credit(codes, target, codes in catalogue))


@pytest.mark.parametrize(
    "text, reward",
    [
        (THOUGHT + answer(), 1.000),
        (answer(), 0.280),
        ("this user likes quiet games\n</think>\n\n" + answer(), 0.1722),
        (THOUGHT + "```json\n" + answer() + "\n```", 0.860),
        (THOUGHT + answer() + " and more", 0.685),
        ('<think>\nthe field "target_cid": comes next\n</think>\n\n' + answer(), 0.837),
        (THOUGHT + answer((3, 0, 0)), 0.55),
        (THOUGHT + answer((3, 7, 2)), 0.82),
        (THOUGHT + answer((0, 7, 1)), 0.55),
        (THOUGHT + answer((0, 7, 0)), 0.37),
        (THOUGHT + answer((0, 0, 1)), 0.28),
        (THOUGHT + answer((5, 5, 5)), 0.235),
        (THOUGHT + answer((9, 9, 9)), 0.100),
        (THOUGHT + "no idea", 0.0),
    ],
)
def test_next_item_rewards(text, reward):
    assert cid2cid_reward(text, GOLD, CATALOGUE) == pytest.approx(reward, abs=1e-9)


def test_drawn_items_earn_what_their_answers_would():
    """Bit for bit, whichever levels match; the code is in the catalogue, since no other can be drawn."""
    for right in itertools.product((True, False), repeat=3):
        codes = tuple(code if hit else code + 4 for code, hit in zip(GOLD, right, strict=True))
        ours = released_reward(np.array([codes]), np.array([GOLD]))
        assert ours.tolist() == [cid2cid_reward(THOUGHT + answer(codes), GOLD, {codes})]
    assert CODE_REWARDS["paper"] is released_reward


@pytest.mark.parametrize("wrapped", ['{"target_cid":["%s"]}', '{"target_cid":"%s","more":1}', '{"target_cid":"%s"} x'])
def test_the_format_reward_is_as_lenient_as_the_released_one(wrapped):
    """All of these keep F = 1; only the penalty tells them apart."""
    reward = cid2cid_reward(THOUGHT + wrapped % cid(GOLD), GOLD, CATALOGUE)
    assert reward == pytest.approx(0.685 if wrapped.endswith("x") else 1.0)


INSTRUCTION = '{"target_tid":["dress"],"target_ins":"a red dress in the sun"}'
EVEN = dict.fromkeys(("quality", "ins_gold", "ins_pred", "pred_gold"), 0.6)


@pytest.mark.parametrize(
    "text, scores, reward",
    [
        (THOUGHT + INSTRUCTION, EVEN, 0.640),
        (THOUGHT + INSTRUCTION, None, 0.200),
        (INSTRUCTION, None, 0.120),
        (THOUGHT + '{"target_tid":[],"target_ins":"x"}', EVEN, 0.0),
        (THOUGHT + '{"target_tid":"red, dress","target_ins":"x"}', EVEN, 0.640),
    ],
)
def test_instruction_rewards(text, scores, reward):
    assert cid2ins_reward(text, scores) == pytest.approx(reward)


def test_scores_without_a_judge():
    text = "Airy floral dress for a summer street, bright fabric, clean shop front, soft shade today."
    text = text.ljust(93, ".")
    assert len(text.split()) == 15 and len(text) == 93
    scores = heuristic_scores(["dress"], ["floral dress", "summer"], text)
    assert scores == pytest.approx(
        {"quality": (0.75 + 0.6 + 93 / 160 + 1.0) / 4, "ins_gold": 1.0, "ins_pred": 1.0, "pred_gold": 0.0}
    )
    assert round(93 / 160, 4) == 0.5813

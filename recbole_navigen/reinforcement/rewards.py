"""Rewards of reinforcement learning: small pure functions, composed by one table.

`reward: prefix` (default)

- next item: level l is credited only if all coarser levels match, since a residual code says nothing below another
  parent; nothing is earned by merely being in the catalogue.
- instruction: the table INSTRUCTION_WEIGHTS, or one's own weights, over what a scorer says of it. Its self-consistency
  triangle is instruction against the target's terms, instruction against the terms the model itself expects, and those
  against the target's. Naming the target's terms costs (`copied`) where a writer may not (`name_terms: False`); the
  stage takes that weight out for others. What a sample says that no other does counts as well (`novelty`): without it,
  samples drift to the wording that a scorer likes best. Answers that the strict parser refuses earn nothing; a thought
  that was asked for and is missing costs THINK_GATE.

`reward: paper` is the released formula, for comparisons (`released`).

A scorer that cannot judge an answer says None: the sample is left out of its group and counted, and no constant stands
in for it.

Symbols: M samples, L levels.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from recbole_navigen.errors import InputError
from recbole_navigen.language.answer import Answer, InvalidAnswer, parse_answer
from recbole_navigen.reinforcement.released import (
    IN_CATALOGUE,
    LEVEL_CREDIT,
    Parts,
    cid2ins_reward,
    heuristic_scores,
    term_f1,
)
from recbole_navigen.supervision.interfaces import Draft, Judge, Review, Sample
from recbole_navigen.supervision.naming import names_target

REWARDS = ("prefix", "paper")
TRIANGLE = ("ins_gold", "ins_pred", "pred_gold")
INSTRUCTION_WEIGHTS = {"quality": 0.25, **dict.fromkeys(TRIANGLE, 0.25), "copied": -0.25, "novel": 0.25}
UNSCORED = ("copied", "novel")  # parts that no scorer gives
RELEASED_PARTS = ("quality", *TRIANGLE)
THINK_GATE = 0.5  # what is left of the reward without the thought that was asked for
LEAST_THOUGHT = 10  # characters that are not blank


def level_credit(levels: int) -> np.ndarray:
    """Return each level's share of the reward, (L,), adding up to 1; three levels have the released shares."""
    if levels == len(LEVEL_CREDIT):
        return np.array(LEVEL_CREDIT)
    shares = 0.6 ** np.arange(levels)
    return shares / shares.sum()


def prefix_credit(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Share of a code that is right, from the coarsest level down to the first error. (M, L), (M, L) -> (M,)."""
    right = np.logical_and.accumulate(predicted == target, axis=1)
    return right @ level_credit(predicted.shape[1])


def released_credit(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The released credit: levels on their own, and a bonus for every code, since all drawn ones are in the catalogue.

    (M, L), (M, L) -> (M,).
    """
    credit = (predicted == target) @ level_credit(predicted.shape[1])
    return np.where(credit > 0, credit, IN_CATALOGUE)


def released_reward(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The whole released reward of drawn items: as answers of the right form behind a thought, which all released
    rollouts have. (M, L), (M, L) -> (M,).
    """
    return Parts(format=1.0, think=1.0, penalty=0.0).total(0.9 * released_credit(predicted, target))


CODE_REWARDS = {"prefix": prefix_credit, "paper": released_reward}


@dataclass(frozen=True, slots=True)
class Case:
    """One instruction to be scored.

    Attributes:
        text: the raw answer. think: whether a thought was asked for.
        target: terms of the true next item.
        domain, media: as in `Sample`.
    """

    text: str
    think: bool
    target: tuple[str, ...]
    domain: str
    media: str


class Scorer(Protocol):
    """Says what answers are worth."""

    def __call__(self, answers: Sequence[Answer], cases: Sequence[Case]) -> list[dict[str, float] | None]:
        """`quality` and the names of TRIANGLE, each in 0..1, and whatever else there is a weight for; None for an
        answer that could not be judged.
        """


class TermScorer:
    """Literal terms and lengths, the released fallback. Cheap, and easily pleased by naming terms."""

    def __call__(self, answers: Sequence[Answer], cases: Sequence[Case]) -> list[dict[str, float] | None]:
        """See `Scorer`; never None."""
        pairs = zip(answers, cases, strict=True)
        return [heuristic_scores(case.target, answer.target_tid, answer.target_ins) for answer, case in pairs]


class JudgeScorer:
    """A judge of the supervision: consistency with the target's terms, and with the answer's own; the rest is quality.

    With the template judge it is the scorer `embedding`, offline; any other judge is the scorer `judge`.

    Args:
        judge: answers None for a review it could not serve.
    """

    def __init__(self, judge: Judge):
        self.judge = judge

    def __call__(self, answers: Sequence[Answer], cases: Sequence[Case]) -> list[dict[str, float] | None]:
        """See `Scorer`."""
        reviews = []
        for answer, case in zip(answers, cases, strict=True):
            for terms in (case.target, answer.target_tid):
                sample = Sample("", (), tuple(terms), case.domain, case.media, True)
                reviews.append(Review(sample, (Draft(answer.target_ins),), ((),)))
        judged = self.judge.judge(reviews) if reviews else []
        scores: list[dict[str, float] | None] = []
        for place, (answer, case) in enumerate(zip(answers, cases, strict=True)):
            gold, pred = judged[2 * place : 2 * place + 2]
            if gold is None or pred is None:
                scores.append(None)
                continue
            scores.append(
                {
                    "quality": (gold[0].aesthetic + gold[0].executability) / 20,
                    "ins_gold": gold[0].consistency / 10,
                    "ins_pred": pred[0].consistency / 10,
                    "pred_gold": term_f1(answer.target_tid, case.target),
                }
            )
        return scores


class MediaScorer:
    """Another scorer's scores, and beside them how well what an instruction makes fits the target: the part `clip`,
    which counts as `reinforce: {weights: {clip: ...}}` says.

    Args:
        scorer: gives everything else.
        fit: makes an image or a video of each instruction and compares it with the target's terms, such as by CLIP;
            instructions, terms with commas and media -> a value in 0..1 each, None for one that could not be made.
    """

    def __init__(
        self, scorer: Scorer, fit: Callable[[Sequence[str], Sequence[str], Sequence[str]], Sequence[float | None]]
    ):
        self.scorer, self.fit = scorer, fit

    def __call__(self, answers: Sequence[Answer], cases: Sequence[Case]) -> list[dict[str, float] | None]:
        """See `Scorer`."""
        scores = self.scorer(answers, cases)
        terms, media = [", ".join(case.target) for case in cases], [case.media for case in cases]
        fits = self.fit([answer.target_ins for answer in answers], terms, media)
        return [
            None if score is None or fit is None else {**score, "clip": fit}
            for score, fit in zip(scores, fits, strict=True)
        ]


def novelty(texts: Sequence[Sequence[str]]) -> np.ndarray:
    """Share of each text's neighbouring words that stand together in no other text, what the text adds to distinct-2.

    texts: their words, M of them -> (M,), float64; 0 for a text without two words.
    """
    pairs = [Counter(pairwise(text)) for text in texts]
    holders = Counter(pair for own in pairs for pair in own)
    return np.array([sum(holders[pair] == 1 for pair in own) / max(own.total(), 1) for own in pairs])


@dataclass(frozen=True, slots=True)
class Scored:
    """Rewards of M instructions.

    Attributes:
        rewards: NaN where the scorer failed. Shape (M,), float64.
        parts: name -> what went into them, NaN where there is nothing. Each (M,).
        failed: samples that the scorer could not judge.
    """

    rewards: np.ndarray
    parts: dict[str, np.ndarray]
    failed: int


def instruction_rewards(
    cases: Sequence[Case],
    scorer: Scorer,
    reward: str = "prefix",
    triangle: bool = True,
    weights: Mapping[str, float] | None = None,
) -> Scored:
    """Rewards of some raw answers.

    Args:
        cases: M answers, rolled out together. scorer: says what they are worth. reward: one of REWARDS.
        triangle: False leaves the self-consistency triangle out of `prefix`, for comparisons.
        weights: of parts of `prefix`, above those of INSTRUCTION_WEIGHTS; further ones are the scorer's.
    """
    if reward not in REWARDS:
        raise InputError(f"reward={reward!r} is unknown; use {' or '.join(REWARDS)}.")
    table = {name: weight for name, weight in INSTRUCTION_WEIGHTS.items() if triangle or name not in TRIANGLE}
    table = RELEASED_PARTS if reward == "paper" else {**table, **(weights or {})}
    answers: list[Answer | None] = []
    for case in cases:
        try:
            answers.append(parse_answer(case.text))
        except InvalidAnswer:
            answers.append(None)
    valid = [place for place, answer in enumerate(answers) if answer is not None]
    scored = scorer([answers[place] for place in valid], [cases[place] for place in valid])
    names = dict.fromkeys([*INSTRUCTION_WEIGHTS, *(name for scores in scored if scores for name in scores)])
    parts = {name: np.full(len(cases), np.nan) for name in names}
    parts["valid"], parts["thought"] = np.zeros(len(cases)), np.zeros(len(cases))
    rewards, failed = np.zeros(len(cases)), 0
    scores_of = dict(zip(valid, scored, strict=True))
    parts["novel"][valid] = novelty([answers[place].target_ins.lower().split() for place in valid])
    for place, case in enumerate(cases):
        answer, scores = answers[place], scores_of.get(place)
        if answer is None:
            continue
        parts["valid"][place] = 1.0
        parts["thought"][place] = len("".join((answer.reasoning or "").split())) > LEAST_THOUGHT
        if scores is None:
            rewards[place], failed = np.nan, failed + 1
            continue
        for name, value in {**scores, "copied": names_target(answer.target_ins, case.target)}.items():
            parts[name][place] = value
        if missing := [name for name in table if name not in scores and name not in UNSCORED]:
            raise InputError(
                f"the reward weighs {missing[0]!r}, but the scorer gives only {', '.join(scores)}; drop its weight or "
                "use a scorer that knows it."
            )
        if reward == "paper":
            rewards[place] = cid2ins_reward(case.text, scores)
            continue
        total = sum(weight * parts[name][place] for name, weight in table.items())
        rewards[place] = total * (THINK_GATE if case.think and not parts["thought"][place] else 1.0)
    return Scored(rewards, parts, failed)

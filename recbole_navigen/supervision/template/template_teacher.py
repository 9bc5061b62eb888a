"""The template teacher: offline, deterministic, no model. A draft is a plan (`plans.py`), realised as a sentence or
two.

Founders differ in how strictly they keep to what is expected first: a conservative one takes the first label and the
first works, a balanced one nearly always, an exploratory one draws. All else is drawn from the candidates of the label.
"""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.terms import extract_terms
from recbole_navigen.language.budget import CLIP_LENGTH
from recbole_navigen.supervision.interfaces import CROSSOVER, FOUNDERS, MUTATION, Draft, Order, Sample, Task
from recbole_navigen.supervision.plans import THOUGHTS, Brief
from recbole_navigen.supervision.template.term_space import TermSpace
from recbole_navigen.supervision.wording import realise

CRAFT = ("palette", "light", "style", "composition", "motion", "wording")
MUTABLE = ("subject", "setting", "mood", *CRAFT)
FIRST = dict(zip(FOUNDERS, (1.0, 0.8, 0.5), strict=True))  # how often the first label and works are taken
RECENT_ITEMS, RECENT_HALF_LIFE = 10, 3.0
LEADING = 0.3  # share of a text from which on a kind is one of its terms


def focus_vectors(space: TermSpace, samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of targets and of histories. Two arrays of shape (S, M + D); an empty history is 0."""
    targets = space.encode([" ".join(sample.target) for sample in samples])
    recent = [sample.history[-RECENT_ITEMS:][::-1] for sample in samples]
    items = space.encode([" ".join(terms) for history in recent for terms in history])
    histories, begin = np.zeros_like(targets), 0
    for row, history in enumerate(recent):
        weights = 0.5 ** (np.arange(len(history)) / RECENT_HALF_LIFE)
        if len(history):
            histories[row] = weights @ items[begin : begin + len(history)] / weights.sum()
        begin += len(history)
    return targets, histories


class TemplateTeacher:
    """Implements `Teacher`. The draws of a sample depend on the seed and on that sample alone.

    Args:
        space: for the terms of texts. seed: of the draws. budget: CLIP tokens of a prompt.
    """

    def __init__(self, space: TermSpace, seed: int = 0, budget: int = CLIP_LENGTH):
        self.space, self.seed, self.budget = space, seed, budget

    def write(self, tasks: Sequence[Task]) -> list[tuple[Draft, ...] | None]:
        """See `Teacher`; never None."""
        return [tuple(self._draft(task, order, place) for place, order in enumerate(task.orders)) for task in tasks]

    def _draft(self, task: Task, order: Order, place: int) -> Draft:
        sample = task.sample
        if sample.brief is None:
            raise InputError(f"the sample of user {sample.user} has no facts; make samples with a planner.")
        key = (self.seed, sample.user, sample.target, sample.media, task.round, place, order.operator)
        rng = random.Random(repr(key))
        if order.operator == CROSSOVER:
            plan, why = _crossover(rng, *(dict(parent.genome) for parent in order.parents))
        elif order.operator == MUTATION:
            plan, why = _mutation(rng, dict(order.parents[0].genome), sample.brief)
        else:
            plan, why = _founder(rng, order.operator, sample.brief)
        # What was taken over may not go with what now stands before it.
        plan = sample.brief.fitted(plan, rng.choice)
        return Draft(realise(plan, sample.brief, self.budget), why, plan)

    def terms(self, texts: Sequence[str], read: Callable[[str], Any]) -> list[Any | None]:
        """See `Teacher`: the kinds that lead in a text, strongest first, then the terms of its own words."""
        masses = self.space.kind_mass(self.space.encode(texts)).round(8)
        answers = []
        for mass, own in zip(masses, extract_terms(texts).terms, strict=True):
            leading = [self.space.kinds[place] for place in np.argsort(-mass, kind="stable") if mass[place] >= LEADING]
            answers.append(json.dumps({"terms": list(dict.fromkeys([*leading, *own]))}))
        return [read(answer) for answer in answers]


def _founder(rng: random.Random, direction: str, brief: Brief) -> tuple[dict[str, str], str]:
    plan: dict[str, str] = {}
    for aspect in brief.aspects:
        candidates = brief.candidates(aspect, plan)
        first = aspect in ("label", "works") and rng.random() < FIRST[direction]
        plan[aspect] = candidates[0] if first else rng.choice(candidates)
    for aspect in THOUGHTS:
        candidates = brief.candidates(aspect, plan)
        plan[aspect] = candidates[0] if rng.random() < FIRST[direction] else rng.choice(candidates)
    return plan, f"A {direction} draft: {plan['label']}, shown by {plan['subject']}."


def _crossover(rng: random.Random, elite: dict[str, str], mate: dict[str, str]) -> tuple[dict[str, str], str]:
    """The elite with some of the mate's craft, and with its subject and setting where both are of one label."""
    child, taken = dict(elite), []
    groups = [("subject", "setting"), ("mood",), *((aspect,) for aspect in CRAFT if aspect in elite)]
    groups = [group for group in groups if any(mate[aspect] != elite[aspect] for aspect in group)]
    if mate["label"] != elite["label"]:
        groups = [group for group in groups if group[0] in ("composition", "motion", "wording")]
    for group in rng.sample(groups, rng.randint(min(1, len(groups)), (len(groups) + 1) // 2)):
        child |= {aspect: mate[aspect] for aspect in group}
        taken += group
    return child, f"Keeps the stronger picture and takes {', '.join(taken) or 'nothing'} from the other draft."


def _mutation(rng: random.Random, elite: dict[str, str], brief: Brief) -> tuple[dict[str, str], str]:
    aspect = rng.choice([name for name in MUTABLE if name in elite])
    rest = {name: phrase for name, phrase in elite.items() if name != aspect}
    others = [phrase for phrase in brief.candidates(aspect, rest) if phrase != elite[aspect]]
    child = {**elite, aspect: rng.choice(others)} if others else elite
    return child, f"Changes the {aspect}, from {elite[aspect]} to {child[aspect]}."

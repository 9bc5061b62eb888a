"""The template teacher: offline, deterministic, no model. It composes prompts from a genome over the lexicons.

How the target's meaning is carried when its terms may not be written (`Sample.name_target` is False):

1. target and history are placed in the `TermSpace`: focus = .8 target + .2 history (recent items count more);
2. the themes of the focus are the odds with which subject, scene, details and mood are drawn from the themes'
   phrases; founders differ in how strictly they follow them (conservative: odds squared; exploratory: their root);
3. up to two `motif` words, common words of the catalogue that are near the focus and are not terms of the target.

Every phrase and sentence that would contain a term of the target is passed over. With `name_target` the motif is the
target's own first terms. What no theme knows is carried by the motif alone; without a known word the odds are equal.
"""

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recbole_navigen.identifiers.textual import extract_terms
from recbole_navigen.supervision.grammar import realise
from recbole_navigen.supervision.lexicons import CONTENT_GENES, CRAFT_GENES, VIDEO_GENES, content_words, lexicons
from recbole_navigen.supervision.protocol import CROSSOVER, FOUNDERS, MUTATION, Draft, Order, Sample, Task
from recbole_navigen.supervision.scoring import term_pattern
from recbole_navigen.supervision.space import TermSpace

MUTABLE = ("scene", "details", "composition", "camera", "lighting", "mood")
STRICTNESS = dict(zip(FOUNDERS, (2.0, 1.0, 0.5), strict=True))
RECENT_ITEMS, RECENT_HALF_LIFE = 10, 3.0
MOTIF_POOL = 12
LEADING = 0.3  # share of a text from which on a theme is one of its terms


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
    """Implements `Teacher`. The draws of a sample depend on the seed and on that sample alone."""

    def __init__(self, space: TermSpace, seed: int = 0):
        self.space, self.seed, self.lexicons = space, seed, lexicons()
        self._common = np.array(space.words)
        phrases = [
            phrase for theme in self.lexicons.themes.values() for gene in CONTENT_GENES for phrase in theme[gene]
        ]
        # Of all that an aspect may be taken from.
        self.vectors = dict(zip((*phrases, *space.words), (*space.encode(phrases), *space.word_vectors), strict=True))

    def write(self, tasks: Sequence[Task]) -> list[tuple[Draft, ...] | None]:
        """See `Teacher`. None if no sentence can be written without naming the target."""
        targets, histories = focus_vectors(self.space, [task.sample for task in tasks])
        focus = 0.8 * targets + 0.2 * histories
        # Matrix products differ in their last bits with the number of rows; rounding keeps that out of the draws.
        odds = self.space.theme_mass(focus).round(8)
        near = (focus @ self.space.word_vectors.T).round(8)
        pool = (
            np.argsort(-near, axis=1, kind="stable")[:, : 3 * MOTIF_POOL]
            if near.size
            else np.zeros((len(tasks), 0), int)
        )
        written = []
        for row, task in enumerate(tasks):
            writer = _Writer(self, task.sample, focus[row], odds[row], self._common[pool[row]].tolist())
            drafts = tuple(writer.draft(order, task.round, place) for place, order in enumerate(task.orders))
            written.append(drafts if all(draft.prompt for draft in drafts) else None)
        return written

    def terms(self, texts: Sequence[str], read: Callable[[str], Any]) -> list[Any | None]:
        """See `Teacher`: the themes that lead in a text, strongest first, then the terms of its own words."""
        masses = self.space.theme_mass(self.space.encode(texts)).round(8)
        answers = []
        for mass, own in zip(masses, extract_terms(texts).terms, strict=True):
            leading = [self.space.themes[place] for place in np.argsort(-mass, kind="stable") if mass[place] >= LEADING]
            answers.append(json.dumps({"terms": list(dict.fromkeys([*leading, *own]))}))
        return [read(answer) for answer in answers]


class _Writer:
    """Draws and writes for one sample."""

    def __init__(self, teacher: TemplateTeacher, sample: Sample, focus: np.ndarray, odds: np.ndarray, near: list[str]):
        self.teacher, self.sample, self.focus = teacher, sample, focus
        self.forbidden: re.Pattern | None = None if sample.name_target else term_pattern(sample.target)
        self.themes = [theme for theme, mass in zip(teacher.space.themes, odds, strict=True) if mass > 0]
        self.odds = [float(mass) for mass in odds if mass > 0]
        if not self.themes:
            self.themes, self.odds = list(teacher.space.themes), [1.0] * len(teacher.space.themes)
        own = set(content_words(" ".join(sample.target)))
        self.near = [word for word in near if word not in own and self._free(word)][:MOTIF_POOL]

    def draft(self, order: Order, round_: int, place: int) -> Draft:
        """Write what one order asks for; an empty prompt if nothing can be written."""
        key = (
            self.teacher.seed,
            self.sample.user,
            self.sample.target,
            self.sample.media,
            round_,
            place,
            order.operator,
        )
        rng = random.Random(repr(key))
        if order.operator == CROSSOVER:
            genome, why = self._crossover(rng, *(dict(parent.genome) for parent in order.parents))
        elif order.operator == MUTATION:
            genome, why = self._mutation(rng, dict(order.parents[0].genome))
        else:
            genome, why = self._founder(rng, order.operator)
        return Draft(realise(genome, self.sample.media, self.forbidden), why, genome)

    def _founder(self, rng: random.Random, direction: str) -> tuple[dict, str]:
        strictness = STRICTNESS[direction]
        genome = {gene: self._draw(rng, gene, strictness) for gene in (*CONTENT_GENES, "more_details")}
        if genome["more_details"] == genome["details"]:
            genome["more_details"] = self._draw(rng, "more_details", strictness, besides=genome["details"])
        craft = (*CRAFT_GENES, "medium") if self.sample.media == "image" else CRAFT_GENES + VIDEO_GENES
        genome |= {gene: self._draw(rng, gene, strictness) for gene in craft}
        named = self.sample.name_target
        genome["motif"] = list(self.sample.target[:2]) if named else self._motif(rng, strictness)
        genome["wording"] = rng.getrandbits(32)
        leading = self.themes[max(range(len(self.odds)), key=self.odds.__getitem__)]
        return genome, f"A {direction} draft: {leading} leads, shown by {genome['subject'] or 'its surroundings'}."

    def _crossover(self, rng: random.Random, elite: dict, mate: dict) -> tuple[dict, str]:
        """Of subject, scene, details, mood and motif what is nearer to the focus; of the craft some of the mate's."""
        content = (*CONTENT_GENES, "more_details", *(() if self.sample.name_target else ("motif",)))
        taken = [gene for gene in content if self._fit(mate[gene]) > self._fit(elite[gene])]
        craft = [
            gene for gene in elite if gene not in (*content, "wording") and elite[gene] != mate[gene] and mate[gene]
        ]
        taken += rng.sample(craft, rng.randint(min(1, len(craft)), (len(craft) + 1) // 2))
        child = {**elite, **{gene: mate[gene] for gene in taken}}
        if child["details"] == child["more_details"]:
            child["more_details"] = elite["more_details" if "more_details" in taken else "details"]
        return child, f"Keeps the stronger anchor and takes {', '.join(taken) or 'nothing'} from the other draft."

    def _fit(self, found: str | list[str] | None) -> float:
        """How near a phrase or the words of a motif are to the focus; below everything for what is missing."""
        if not found:
            return -1.0
        words = [found] if isinstance(found, str) else found
        return round(float(sum(self.teacher.vectors[word] @ self.focus for word in words)) / len(words), 8)

    def _mutation(self, rng: random.Random, elite: dict) -> tuple[dict, str]:
        gene = rng.choice(MUTABLE)
        strictness = STRICTNESS["conservative"]
        new = {gene: self._draw(rng, gene, strictness, besides=elite[gene]) or elite[gene]}
        if gene == "details":
            new["more_details"] = self._draw(rng, "more_details", strictness, besides=new[gene])
        elif gene == "mood" and not self.sample.name_target:
            new["motif"] = self._motif(rng, strictness)
        return {**elite, **new}, f"Changes only the {gene}, from {elite[gene]} to {new[gene]}."

    def _motif(self, rng: random.Random, strictness: float) -> list[str]:
        """Up to two of the nearest words; the stricter, the nearer."""
        reach = self.near[: max(3, int(MOTIF_POOL / strictness / 2))]
        return rng.sample(reach, min(len(reach), 2))

    def _draw(self, rng: random.Random, gene: str, strictness: float, besides: str | None = None) -> str | None:
        """A phrase for an aspect that does not name the target; None if there is none."""
        if gene in self.teacher.lexicons.aspects:
            groups = [self.teacher.lexicons.phrases(gene, self.sample.domain)]
        else:
            # Themes in a random order by their odds (Efraimidis and Spirakis, 2006), the first that has a phrase left.
            keys = [rng.random() ** (1 / max(mass**strictness, 1e-6)) for mass in self.odds]
            ranked = sorted(range(len(keys)), key=lambda theme: -keys[theme])
            list_name = "details" if gene == "more_details" else gene
            groups = [self.teacher.lexicons.themes[self.themes[theme]][list_name] for theme in ranked]
        for phrases in groups:
            for phrase in rng.sample(phrases, len(phrases)):
                if phrase != besides and self._free(phrase):
                    return phrase
        return None

    def _free(self, phrase: str) -> bool:
        return self.forbidden is None or self.forbidden.search(phrase) is None

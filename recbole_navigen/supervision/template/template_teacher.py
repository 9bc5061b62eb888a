"""The template teacher: offline, deterministic, no model. It composes prompts from a genome over the lexicons.

How the target's meaning is carried when its terms may not be written (`Sample.name_target` is False):

1. target and history are placed in the `TermSpace`: focus = .8 target + .2 history (recent items count more);
2. the themes of the focus are the odds with which subject, scene and details are drawn from the themes' phrases;
   founders differ in how strictly they follow them (conservative: odds squared; exploratory: their root);
3. two `motif` nouns, of all themes' those nearest to the focus; the mood is one of the first one's theme.

Every phrase and sentence that would contain a term of the target is passed over, and so is every phrase that would
contradict another one by the pairs of `exclusive`. With `name_target` the motif is the target's own first terms and
the mood is drawn like the rest. Without a known word the odds are equal.
"""

import json
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from recbole_navigen.identifiers.terms import extract_terms
from recbole_navigen.supervision.fitness import term_pattern
from recbole_navigen.supervision.interfaces import CROSSOVER, FOUNDERS, MUTATION, Draft, Order, Sample, Task
from recbole_navigen.supervision.template.lexicons import CONTENT_GENES, CRAFT_GENES, VIDEO_GENES, lexicons, sides
from recbole_navigen.supervision.template.term_space import TermSpace
from recbole_navigen.supervision.template.wordings import realise

CONTENT = (("subject",), ("scene",), ("details",), ("more_details",), ("mood", "motif"))  # handed on together
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
        themes = self.lexicons.themes
        phrases = [phrase for theme in themes.values() for gene in CONTENT_GENES for phrase in theme[gene]]
        self.vectors = dict(zip(phrases, space.encode(phrases), strict=True))  # of all that content is taken from
        self.owners: dict[str, list[str]] = {}  # motif -> its themes
        for name, theme in themes.items():
            for motif in theme["motif"]:
                self.owners.setdefault(motif, []).append(name)
        self._motifs = np.array(list(self.owners))
        self._motif_vectors = np.array([self.vectors[motif] for motif in self.owners])

    def write(self, tasks: Sequence[Task]) -> list[tuple[Draft, ...] | None]:
        """See `Teacher`. None if no sentence can be written without naming the target."""
        targets, histories = focus_vectors(self.space, [task.sample for task in tasks])
        focus = 0.8 * targets + 0.2 * histories
        # Matrix products differ in their last bits with the number of rows; rounding keeps that out of the draws.
        odds = self.space.theme_mass(focus).round(8)
        near = (focus @ self._motif_vectors.T).round(8)
        pool = self._motifs[np.argsort(-near, axis=1, kind="stable")]
        written = []
        for row, task in enumerate(tasks):
            writer = _Writer(self, task.sample, focus[row], odds[row], pool[row].tolist())
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
        self.near = [motif for motif in near if self._free(motif)]
        if self.themes:
            self.near = self.near[:MOTIF_POOL]
        else:
            self.themes, self.odds = list(teacher.space.themes), [1.0] * len(teacher.space.themes)

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
        genome: dict[str, Any] = {}
        for gene in ("subject", "scene", "details", "more_details"):
            genome[gene] = self._draw(rng, gene, strictness, genome, besides=genome.get("details"))
        genome |= self._feeling(rng, strictness, genome)
        craft = (*CRAFT_GENES, "medium") if self.sample.media == "image" else CRAFT_GENES + VIDEO_GENES
        for gene in craft:
            genome[gene] = self._draw(rng, gene, strictness, genome)
        genome["wording"] = rng.getrandbits(32)
        leading = self.themes[max(range(len(self.odds)), key=self.odds.__getitem__)]
        return genome, f"A {direction} draft: {leading} leads, shown by {genome['subject'] or 'its surroundings'}."

    def _crossover(self, rng: random.Random, elite: dict, mate: dict) -> tuple[dict, str]:
        """Of subject, scene, details and feeling what is nearer to the focus; of the craft some of the mate's."""
        child, taken = dict(elite), []
        for genes in CONTENT:
            new = {gene: mate[gene] for gene in genes}
            if self._fit(new) > self._fit({gene: elite[gene] for gene in genes}) and self._agrees(new, child):
                child |= new
                taken += genes
        content = {gene for genes in CONTENT for gene in genes}
        craft = [
            gene for gene in elite if gene not in (*content, "wording") and elite[gene] != mate[gene] and mate[gene]
        ]
        for gene in rng.sample(craft, rng.randint(min(1, len(craft)), (len(craft) + 1) // 2)):
            if self._agrees({gene: mate[gene]}, child):
                child[gene] = mate[gene]
                taken.append(gene)
        if child["details"] == child["more_details"]:
            child["more_details"] = elite["more_details" if "more_details" in taken else "details"]
        return child, f"Keeps the stronger anchor and takes {', '.join(taken) or 'nothing'} from the other draft."

    def _fit(self, genes: Mapping[str, Any]) -> float:
        """How near phrases are to the focus on average; below everything for what is missing."""
        vectors = [
            self.teacher.vectors[phrase] for phrase in _phrases(genes.values()) if phrase in self.teacher.vectors
        ]
        return round(float(sum(vectors) @ self.focus) / len(vectors), 8) if vectors else -1.0

    def _mutation(self, rng: random.Random, elite: dict) -> tuple[dict, str]:
        gene = rng.choice(MUTABLE)
        strictness = STRICTNESS["conservative"]
        if gene == "mood":
            new = self._feeling(rng, strictness, elite)
        else:
            new = {gene: self._draw(rng, gene, strictness, elite, besides=elite[gene])}
        if gene == "details":
            new["more_details"] = self._draw(rng, "more_details", strictness, elite, besides=new[gene])
        child = {**elite, **{name: phrase for name, phrase in new.items() if phrase}}
        return child, f"Changes only the {gene}, from {elite[gene]} to {child[gene]}."

    def _feeling(self, rng: random.Random, strictness: float, genome: Mapping[str, Any]) -> dict[str, Any]:
        """Two of the nearest motifs (the stricter, the nearer) and a new mood, of the first one's theme."""
        rest = {gene: phrase for gene, phrase in genome.items() if gene not in ("mood", "motif")}
        if self.sample.name_target:
            motif, first = list(self.sample.target[:2]), []
        else:
            reach = [phrase for phrase in self.near if self._agrees({"motif": phrase}, rest)]
            if len(self.near) <= MOTIF_POOL:  # otherwise nothing is known, and all are as near
                reach = reach[: max(3, int(MOTIF_POOL / strictness / 2))]
            motif = rng.sample(reach, min(len(reach), 2))
            first = self.teacher.owners[motif[0]] if motif else []
        rest["motif"] = motif
        return {"mood": self._draw(rng, "mood", strictness, rest, genome.get("mood"), first), "motif": motif}

    def _draw(
        self,
        rng: random.Random,
        gene: str,
        strictness: float,
        genome: Mapping[str, Any],
        besides: str | None = None,
        first: Sequence[str] = (),
    ) -> str | None:
        """A phrase for an aspect that neither names the target nor contradicts the genome; None if there is none.

        Args:
            besides: the one phrase not to take. first: themes to look in before those that are drawn.
        """
        if gene in self.teacher.lexicons.aspects:
            groups = [self.teacher.lexicons.phrases(gene, self.sample.domain)]
        else:
            # Themes in a random order by their odds (Efraimidis and Spirakis, 2006), the first that has a phrase left.
            keys = [rng.random() ** (1 / max(mass**strictness, 1e-6)) for mass in self.odds]
            ranked = sorted(range(len(keys)), key=lambda theme: -keys[theme])
            list_name = "details" if gene == "more_details" else gene
            order = [*first, *(self.themes[theme] for theme in ranked)]
            groups = [self.teacher.lexicons.themes[theme][list_name] for theme in order]
        for phrases in groups:
            for phrase in rng.sample(phrases, len(phrases)):
                if phrase != besides and self._free(phrase) and self._agrees({gene: phrase}, genome):
                    return phrase
        return None

    def _free(self, phrase: str) -> bool:
        return self.forbidden is None or self.forbidden.search(phrase) is None

    @staticmethod
    def _agrees(new: Mapping[str, Any], genome: Mapping[str, Any]) -> bool:
        """Whether new phrases contradict nothing of a genome in which they take the place of the old ones."""
        left, right = _sides(new.values())
        if not left | right:
            return True
        other_left, other_right = _sides(phrase for gene, phrase in genome.items() if gene not in new)
        return not (left & other_right | right & other_left)


def _phrases(values: Iterable[Any]) -> list[str]:
    """The phrases among the values of a genome, those of a motif one by one."""
    flat = (phrase for value in values for phrase in (value if isinstance(value, list) else (value,)))
    return [phrase for phrase in flat if isinstance(phrase, str)]


def _sides(values: Iterable[Any]) -> tuple[int, int]:
    """`sides` of all phrases together."""
    left = right = 0
    for phrase in _phrases(values):
        one, other = sides(phrase)
        left, right = left | one, right | other
    return left, right

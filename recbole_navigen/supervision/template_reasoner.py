"""The template reasoner: first-person paragraphs from a small grammar, offline and deterministic."""

import random
from collections.abc import Sequence

from recbole_navigen.supervision.evolution import SearchResult
from recbole_navigen.supervision.lexicons import lexicons
from recbole_navigen.supervision.protocol import Sample
from recbole_navigen.supervision.rationale import listed, plain_steps
from recbole_navigen.supervision.scoring import names_target
from recbole_navigen.supervision.space import TermSpace
from recbole_navigen.supervision.template import focus_vectors

RECENT = 5  # items that count as "lately"
STEPS_TOLD = 4

LOOK_BACK = (
    "Looking back over what I picked, I keep returning to {often}",
    "When I line up my history, I see {often} again and again",
    "My past choices circle around {often}",
    "What I have gone for so far has a clear thread: {often}",
    "If I read my own history honestly, I notice {often} most",
)
LATELY = (
    "lately I have leaned toward {lately}",
    "the last few items moved me to {lately}",
    "more recently it was {lately} that held me",
    "and the newest entries bring in {lately}",
)
NO_HISTORY = (
    "I have little history to go by, so I start from what I am curious about",
    "There is hardly a trail behind me yet, so I follow my first instinct",
)
NARROW = (
    "That makes me expect something {moods} rather than a plain repeat",
    "So the next step should feel {moods}, close to this trail but not a copy of it",
    "I can set aside what only appeared once; what remains points to something {moods}",
    "Putting these together, I look for something {moods}",
)
ARRIVE = (
    "All of this leads me to {target}",
    "In the end the trail converges on {target}",
    "So what I want next is {target}",
    "That is why I settle on {target}",
    "Everything fits when I name it: {target}",
)
BUILD = (
    "I will write the prompt around that, showing {subject} and letting my earlier taste for {often} stay in support",
    "The prompt then puts {subject} at its centre, with {often} from my history only as an undertone",
    "I let {subject} carry it, and what I liked before, {often}, merely colours the rest",
)
BUILD_PLAIN = (
    "I will write the prompt around that and let {often} stay in support",
    "The prompt is then built on it, with {often} from my history only as an undertone",
)


class TemplateReasoner:
    """Implements `Reasoner`. The draws of a sample depend on the seed and on that sample alone."""

    def __init__(self, space: TermSpace, seed: int = 0):
        self.space, self.seed = space, seed

    def identifier(self, samples: Sequence[Sample]) -> list[str | None]:
        """See `Reasoner`."""
        texts = []
        for sample, moods in self._with_moods(samples):
            before, arrive, _, _ = self._trail(sample, moods)
            texts.append(". ".join([*before, arrive]) + ".")
        return texts

    def distilled(self, results: Sequence[SearchResult], identifier: Sequence[str | None]) -> list[str | None]:
        """See `Reasoner`. Its draws are those of `identifier`, so its sentences stand here again, with more between."""
        texts = []
        pairs = self._with_moods([result.sample for result in results])
        for result, (sample, moods) in zip(results, pairs, strict=True):
            before, arrive, slots, rng = self._trail(sample, moods)
            steps = plain_steps(result.trace)
            # The first idea and the last gains: a long search must not drown the reasons.
            steps = steps[:1] + steps[1:][-(STEPS_TOLD - 1) :]
            subject = result.draft.genome.get("subject")
            close = rng.choice(BUILD if subject else BUILD_PLAIN).format(subject=subject, **slots)
            texts.append(". ".join([*before, *steps, arrive, close]) + ".")
        return texts

    def _with_moods(self, samples: Sequence[Sample]) -> list[tuple[Sample, list[str]]]:
        """Each sample with moods of the themes that its target is nearest to."""
        targets, _ = focus_vectors(self.space, samples)
        mass = self.space.theme_mass(targets).round(8)
        themes = [lexicons().themes[theme]["mood"] for theme in self.space.themes]
        paired = []
        for sample, row in zip(samples, mass, strict=True):
            nearest = sorted(range(len(row)), key=lambda theme: (-row[theme], theme))[:2]
            moods = [mood for theme in nearest for mood in themes[theme] if not names_target(mood, sample.target)]
            paired.append((sample, moods))
        return paired

    def _trail(self, sample: Sample, moods: list[str]) -> tuple[list[str], str, dict[str, str], random.Random]:
        """Sentences before the target is named, the one that names it, the words used, the sample's draws."""
        rng = random.Random(repr((self.seed, sample.user, sample.target)))
        often, lately = self._cues(sample)
        slots = {"often": listed(often) if often else "my own taste", "lately": listed(lately)}
        slots |= {"target": listed(sample.target), "moods": listed(rng.sample(moods, min(2, len(moods)))) or "familiar"}
        if often:
            first = rng.choice(LOOK_BACK).format(**slots)
            if lately:
                first += rng.choice(("; ", ", and ")) + rng.choice(LATELY).removeprefix("and ").format(**slots)
        else:
            first = rng.choice(NO_HISTORY)
        return [first, rng.choice(NARROW).format(**slots)], rng.choice(ARRIVE).format(**slots), slots, rng

    @staticmethod
    def _cues(sample: Sample) -> tuple[list[str], list[str]]:
        """The commonest terms of the history and the newest ones beside them, without the target's if possible."""
        weights: dict[str, float] = {}
        for age, terms in enumerate(reversed(sample.history)):
            for place, term in enumerate(terms):
                weights[term] = weights.get(term, 0.0) + 1 / (1 + place) / (1 + age / 20)
        target = {term.lower() for term in sample.target}
        news = {term: weight for term, weight in weights.items() if not names_target(term, sample.target)}
        if not news:
            news = {term: weight for term, weight in weights.items() if term.lower() in target}
        often = sorted(news, key=lambda term: (-news[term], term))[:3]
        recent = [term for terms in reversed(sample.history[-RECENT:]) for term in terms[:2]]
        lately = [term for term in dict.fromkeys(recent) if term in news and term not in often][:2]
        return often, lately

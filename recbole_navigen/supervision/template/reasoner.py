"""The template reasoner: first-person paragraphs from a small grammar, offline and deterministic.

What a paragraph says of the history is true of it: `often` are the terms that most of its items hold, `lately` those of
its newest items, `kept` the target's terms that it already holds. Only what the target adds waits for the end.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from recbole_navigen.supervision.evolution import SearchResult
from recbole_navigen.supervision.fitness import names_target
from recbole_navigen.supervision.interfaces import Sample
from recbole_navigen.supervision.reasoning import listed, plain_steps
from recbole_navigen.supervision.template.lexicons import lexicons
from recbole_navigen.supervision.template.template_teacher import focus_vectors
from recbole_navigen.supervision.template.term_space import TermSpace

RECENT = 5  # items that count as "lately"
STEPS_TOLD = 4

LOOK_BACK = (
    "Looking back over what I picked, I keep returning to {often}",
    "When I line up my history, I see {often} again and again",
    "My past choices circle around {often}",
    "What I have gone for so far has a clear thread: {often}",
    "If I read my own history honestly, I notice {often} most",
)
SHORT_LOOK = (  # nothing came twice
    "I have not picked much so far, only things around {often}",
    "My list is short and nothing in it repeats, but it holds {often}",
    "So far I have tried {often}, each of them once",
)
LATELY = (
    "lately I have also touched {lately}",
    "the last few items brought {lately}",
    "more recently {lately} came up too",
    "the newest entries bring in {lately}",
)
NO_HISTORY = (
    "I have little history to go by, so I start from what I am curious about",
    "There is hardly a trail behind me yet, so I follow my first instinct",
)
NARROW = (
    "That makes me expect something {moods} rather than a plain repeat",
    "So the next step should feel {moods}, close to this trail but not a copy of it",
    "None of it answers what I am after now, which is something {moods}",
    "Putting these together, I look for something {moods}",
)
NARROW_KEPT = (
    "Of all this it is {kept} that I am not done with, and I want it to feel {moods}",
    "I expect {kept} to stay with me, this time as something {moods}",
    "What I would pick up again is {kept}, in a way that feels {moods}",
    "The part I still want more of is {kept}, and it should feel {moods}",
)
ARRIVE = (  # nothing is kept
    "All of this leads me to something my list does not hold yet: {news}",
    "In the end I want a change, and it is {news}",
    "So what I want next is new to me: {news}",
    "That is why I settle on {news}, which I have not had before",
)
ARRIVE_KEPT = (  # nothing is new
    "In the end it is {kept} that I come back to",
    "So what I want next is more of {kept}",
    "That is why I settle on {kept} once more",
    "Everything fits when I name it: {kept} again",
)
ARRIVE_BOTH = (
    "In the end I come back to {kept}, now with {news}",
    "So what I want next is {kept} once more, joined by {news}",
    "That is why I settle on {kept}, which I know, and add {news}",
    "All of this leads me to {kept}, and from there to {news}",
    "Everything fits when I name it: {kept} as before, with {news} as the new part",
)
BUILD = (
    "I will write the prompt around that, showing {subject} and letting my taste for {rest} stay in support",
    "The prompt then puts {subject} at its centre, with {rest} from my history only as an undertone",
    "I let {subject} carry it, and what I liked before, {rest}, merely colours the image",
)
BUILD_ALONE = (
    "I will write the prompt around that, showing {subject}",
    "The prompt then puts {subject} at its centre and leaves everything else aside",
    "I let {subject} carry it from the first word to the last",
)


@dataclass(frozen=True, slots=True)
class _Cues:
    """Terms of a history and of a target, as the paragraphs speak of them.

    Attributes:
        often: at most three that most items hold, the commonest first. repeated: whether they come more than once.
        lately: at most two others of the newest items.
        kept: the target's terms that the history holds, the commonest first. news: its other ones.
    """

    often: list[str]
    repeated: bool
    lately: list[str]
    kept: list[str]
    news: list[str]


def cues(sample: Sample) -> _Cues:
    """What is said of a history: its terms without those that would give away what the target adds to them."""
    ages: dict[str, int] = {}  # of the newest item that holds a term; the order of the terms within an item is kept
    counts: Counter[str] = Counter()
    for age, terms in enumerate(reversed(sample.history)):
        for term in dict.fromkeys(terms):
            ages.setdefault(term, age)
            counts[term] += 1
    known = Counter(term.lower() for term in counts.elements())
    kept = sorted((term for term in sample.target if known[term.lower()]), key=lambda term: -known[term.lower()])
    news = [term for term in sample.target if not known[term.lower()]]
    told = [term for term in ages if not names_target(term, news)]
    repeated = [term for term in told if counts[term] > 1]
    often = sorted(repeated or told, key=lambda term: (-counts[term], ages[term]))[:3]
    recent = Counter(term for terms in sample.history[-RECENT:] for term in dict.fromkeys(terms))
    lately = [term for term in told if term in recent and term not in often]
    lately.sort(key=lambda term: (-recent[term], ages[term]))
    return _Cues(often, bool(repeated), lately[:2], kept, news)


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
            before, arrive, rest, rng = self._trail(sample, moods)
            steps = plain_steps(result.trace)
            # The first idea and the last gains: a long search must not drown the reasons.
            steps = steps[:1] + steps[1:][-(STEPS_TOLD - 1) :]
            subject = result.draft.genome.get("subject") or "what I have in mind"
            close = rng.choice(BUILD if rest else BUILD_ALONE).format(subject=subject, rest=listed(rest))
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
            moods = dict.fromkeys(mood for theme in nearest for mood in themes[theme])
            paired.append((sample, [mood for mood in moods if not names_target(mood, sample.target)]))
        return paired

    def _trail(self, sample: Sample, moods: list[str]) -> tuple[list[str], str, list[str], random.Random]:
        """Sentences before the target is named, the one that names it, what of the history is none of it, the draws."""
        rng = random.Random(repr((self.seed, sample.user, sample.target)))
        found = cues(sample)
        slots = {name: listed(getattr(found, name)) for name in ("often", "lately", "kept", "news")}
        slots["moods"] = listed(rng.sample(moods, min(2, len(moods)))) or "familiar"

        def choose(wordings: Sequence[str]) -> str:
            """One that does not happen to use a word of what the target adds."""
            return rng.choice([wording for wording in wordings if not names_target(wording, found.news)] or wordings)

        if found.often:
            first = choose(LOOK_BACK if found.repeated else SHORT_LOOK).format(**slots)
            if found.lately:
                first += rng.choice(("; ", ", and ")) + choose(LATELY).format(**slots)
        else:
            first = choose(NO_HISTORY)
        # Two of what is kept: more would be the target's list before its time.
        narrow = choose(NARROW_KEPT if found.kept else NARROW).format(**slots | {"kept": listed(found.kept[:2])})
        ways = ARRIVE_BOTH if found.kept and found.news else ARRIVE_KEPT if found.kept else ARRIVE
        own = {term.lower() for term in found.kept}
        rest = [term for term in (*found.often, *found.lately) if term.lower() not in own][:3]
        return [first, narrow], rng.choice(ways).format(**slots), rest, rng

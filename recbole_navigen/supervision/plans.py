"""What a plan of an instruction may say: candidates for each aspect, chosen from the facts of one user and the lexicon.

A plan is one candidate an aspect. `planner.py` finds the candidates, `wording.py` realises a plan as sentences.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from recbole_navigen.supervision.template.lexicons import SCENE, SHOWN, contradict, lexicons, phrase_words

# In the order in which they are chosen; a plan of a picture has no motion.
ASPECTS = (
    *("label", "works", "subject", "setting", "mood", "palette", "light", "style"),
    *("composition", "motion", "wording"),
)
THOUGHTS = ("thread", "lately")  # what a thought chooses to speak of
PICTURE = (*SHOWN, "style", "composition", "motion")  # aspects that could contradict each other
NOTHING, JOINT = "none", "; "  # no phrase for an aspect; between named works


@dataclass(frozen=True, slots=True)
class Trail:
    """What is true of a history.

    Attributes:
        items: how many. noun: what one is called.
        threads: phrase of a kind, in the plural -> items of it, and names of the newest.
        newest: names of the newest items. turns: phrases of kinds that most of them are of.
    """

    items: int
    noun: str
    threads: Mapping[str, tuple[int, tuple[str, ...]]]
    newest: tuple[str, ...]
    turns: tuple[str, ...]

    def lately(self, thread: str) -> tuple[str, ...]:
        """What may be said of the newest items beside a thread, without naming anything twice."""
        names = [name for name in self.newest if name not in self.threads.get(thread, (0, ()))[1]]
        return (*[listed(names[:2])] * bool(names), *(kind for kind in self.turns if kind != thread))


@dataclass(frozen=True, slots=True)
class Brief:
    """The phrases that a plan for one user at one moment may choose from.

    Attributes:
        domain, media: as in `Sample`.
        labels: how what comes next may be called, the likeliest first -> aspect -> its phrases, the likeliest first.
        trail: of the history, for the thought.
    """

    domain: str
    media: str
    labels: Mapping[str, Mapping[str, tuple[str, ...]]]
    trail: Trail

    @property
    def aspects(self) -> tuple[str, ...]:
        """The choices of a plan, in their order."""
        return tuple(aspect for aspect in ASPECTS if aspect != "motion" or self.media == "video")

    @property
    def thoughts(self) -> tuple[str, ...]:
        """The choices of a thought."""
        return THOUGHTS

    def candidates(self, aspect: str, plan: Mapping[str, str]) -> tuple[str, ...]:
        """What may be said of an aspect: without what contradicts or repeats the plan so far, if anything else is left.

        Args:
            aspect: one of ASPECTS or THOUGHTS. plan: what is chosen of the aspects before it.
        """
        if aspect == "thread":
            return tuple(self.trail.threads) or (NOTHING,)
        if aspect == "lately":
            return self.trail.lately(plan["thread"]) or (NOTHING,)
        if aspect == "label":
            return tuple(self.labels)
        said = [phrase for name, phrase in plan.items() if name in PICTURE]
        words = frozenset().union(*map(phrase_words, said))
        for phrases in self._phrases(aspect, plan):
            if free := tuple(phrase for phrase in phrases if not contradict((*said, phrase))):
                return tuple(phrase for phrase in free if words.isdisjoint(phrase_words(phrase))) or free
        return self.labels[plan["label"]][aspect]

    def _phrases(self, aspect: str, plan: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
        """Where candidates come from; a later source counts where all of an earlier one contradicts the plan."""
        phrases = self.labels[plan["label"]][aspect]
        if aspect in SCENE:  # a subject stands where those of its own kind do, and in their light
            fitting = lexicons().scenes[self.domain].get(plan["subject"], {}).get(aspect, phrases)
            yield tuple(phrase for phrase in phrases if phrase in fitting)
        yield phrases
        if aspect in SHOWN:
            kinds = lexicons().kinds[self.domain].values()
            yield tuple(dict.fromkeys(phrase for kind in kinds for phrase in kind.phrases[aspect]))

    def fitted(self, plan: Mapping[str, str], draw: Callable[[Sequence[str]], str]) -> dict[str, str]:
        """A plan whose every phrase is a candidate beside those before it; `draw` replaces those that are not."""
        fitted: dict[str, str] = {}
        for aspect in (*self.aspects, *self.thoughts):
            candidates = self.candidates(aspect, fitted)
            fitted[aspect] = plan[aspect] if plan.get(aspect) in candidates else draw(candidates)
        return fitted


def works_of(plan: Mapping[str, str]) -> list[str]:
    """The works that a plan names; the genome of a draft that is no plan names none."""
    works = plan.get("works", NOTHING)
    return [] if works == NOTHING else works.split(JOINT)


def listed(words: Sequence[str]) -> str:
    """Words as English lists them: "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

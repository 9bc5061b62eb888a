"""What a teacher and a judge are asked and what they answer. Every call takes many samples at once.

The search of `evolution.py` knows nothing else: a teacher may be a grammar, an endpoint or a local model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from recbole_navigen.errors import InputError
from recbole_navigen.language.tags import DOMAINS, MEDIA
from recbole_navigen.supervision.plans import Brief

FOUNDERS = ("conservative", "balanced", "exploratory")
CROSSOVER, MUTATION = "crossover", "mutation"
DIMENSIONS = ("consistency", "novelty", "aesthetic", "executability")


@dataclass(frozen=True, slots=True)
class Sample:
    """One user at one moment: what an instruction is to be written for.

    Attributes:
        user: raw user id.
        history: terms of each consumed item, the oldest item first.
        target: terms of the next item, most important first.
        domain: one of DOMAINS; decides lexicons and wording.
        media: `image` or `video`.
        name_terms: whether the instruction may use the target's terms literally. The released search forbids it.
        brief: what may be said, from facts; the template teacher and the planning writer need it.
        seen: the consumed items in words, the oldest first; language models read them.
    """

    user: str
    history: tuple[tuple[str, ...], ...]
    target: tuple[str, ...]
    domain: str = "generic"
    media: str = "image"
    name_terms: bool = True
    brief: Brief | None = None
    seen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value, known in (("domain", self.domain, DOMAINS), ("media", self.media, MEDIA)):
            if value not in known:
                raise InputError(f"user {self.user} has the {name} {value!r}; use one of {', '.join(known)}.")
        if not any(term.strip() for term in self.target):
            raise InputError(f"the target of user {self.user} has no terms; give every item at least one.")


@dataclass(frozen=True, slots=True)
class Draft:
    """One candidate instruction.

    Attributes:
        prompt: the text for an image or video model.
        why: one or two sentences of the writer's reasons.
        genome: aspect -> phrase, if the writer composes prompts from aspects; plain JSON values.
    """

    prompt: str
    why: str = ""
    genome: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judge's opinion of one draft: four scores in 0..10 and a short reason."""

    consistency: float
    novelty: float
    aesthetic: float
    executability: float
    reason: str = ""

    def __post_init__(self) -> None:
        for name in DIMENSIONS:
            value = getattr(self, name)
            if not 0 <= value <= 10:  # also refuses NaN
                raise InputError(f"a judge gave {name}={value}; scores lie between 0 and 10.")


@dataclass(frozen=True, slots=True)
class Order:
    """One draft to be written: a founder's direction without parents, or an operator with its parents, best first."""

    operator: str
    parents: tuple[Draft, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """All drafts that one sample needs in one round.

    Attributes:
        sample: for whom. orders: what to write.
        round: 0 for founders; children of different rounds differ also when their parents do not.
    """

    sample: Sample
    orders: tuple[Order, ...]
    round: int = 0


@dataclass(frozen=True, slots=True)
class Review:
    """Drafts of one sample to be judged.

    Attributes:
        sample: for whom. drafts: what to judge, each on its own.
        rivals: for each draft, the others of its round. The elite, a parent of each child, is none.
    """

    sample: Sample
    drafts: tuple[Draft, ...]
    rivals: tuple[tuple[Draft, ...], ...]

    @classmethod
    def of_round(cls, sample: Sample, drafts: tuple[Draft, ...]) -> "Review":
        """Drafts of one round, each beside the others."""
        return cls(sample, drafts, tuple((*drafts[:place], *drafts[place + 1 :]) for place in range(len(drafts))))


class Teacher(Protocol):
    """Writes drafts."""

    def write(self, tasks: Sequence[Task]) -> list[tuple[Draft, ...] | None]:
        """One draft for each order of each task, in order; None for a task that could not be served."""

    def terms(self, texts: Sequence[str], read: Callable[[str], Any]) -> list[Any | None]:
        """What `read` makes of an answer {"terms": [...]} for each item text; None where there is no usable one."""


class Judge(Protocol):
    """Scores drafts."""

    def judge(self, reviews: Sequence[Review]) -> list[tuple[Judgement, ...] | None]:
        """One judgement for each draft of each review, in order; None for a review that could not be served."""

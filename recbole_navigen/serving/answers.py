"""What a `Recommender` answers: recommended items, and instructions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from recbole_navigen.presentation.html_result import to_fragment
from recbole_navigen.presentation.tables import Cell, Table
from recbole_navigen.serving.calibrated import Calibration


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One recommended item.

    Attributes:
        item: its raw id. terms: that name it; only NaviGen knows some.
        probability, log_probability: its exact probability of being next; None of models without probabilities.
        score: by which items are ranked, the higher the better: NaviGen's is the log-probability.
    """

    item: str
    terms: tuple[str, ...]
    probability: float | None
    log_probability: float | None
    score: float


@dataclass(frozen=True, slots=True)
class Recommendations(Sequence[Recommendation]):
    """The exact top-k of one history, best first.

    Attributes:
        items: the k items.
        certified: True if every item of the catalogue was scored by a number, so that no other one can belong here.
        basis: what was known of the user: `history`, `history and preferences`, `preferences`, or, of nothing, the
            `popularity` of the items in training.
    """

    items: tuple[Recommendation, ...]
    certified: bool
    basis: str = "history"

    def __getitem__(self, index: int | slice) -> Any:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self.items)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        known = any(each.probability is not None for each in self.items)
        columns = ("rank", "item", *(("terms", "probability") if known else ("score",)))
        rows = []
        for rank, each in enumerate(self.items, start=1):
            own = (", ".join(each.terms), f"{each.probability:.2%}") if known else (f"{each.score:.4f}",)
            rows.append(tuple(map(Cell, (str(rank), each.item, *own))))
        title = "Recommended" if self.certified else "Recommended (some items have no score)"
        return to_fragment([Table(title, "recommended", columns, tuple(rows))])


class Aim(NamedTuple):
    """The pool of probable next items that an instruction is written from, and the item that stands for them.

    Attributes:
        best: the item. index: its own in the catalogue. items: indices of the pool, C. probabilities: theirs, C.
    """

    best: Recommendation
    index: int
    items: list[int]
    probabilities: list[float]


@dataclass(frozen=True, slots=True)
class Instruction:
    """What the model wrote for one history.

    Attributes:
        aim: the item that stands for what is expected next, see `Recommender.instruct`.
        domain, media: what it was told to write for.
        reasoning: its thought, None if it was asked for none.
        terms: what it expects of the next item. instruction: the text for an image or video model.
        answer: the raw text that these were read from.
        log_probability: of the answer behind its item, in nats, under the distribution it was drawn from.
        plan: aspect -> phrase, of which instruction and thought are made; None for free text.
        calibration: what a calibrated choice changed; None: the best draft was chosen.
    """

    aim: Recommendation
    domain: str
    media: str
    reasoning: str | None
    terms: tuple[str, ...]
    instruction: str
    answer: str
    log_probability: float
    plan: dict[str, str] | None = None
    calibration: Calibration | None = None

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        named = {self.media: self.instruction, "terms": ", ".join(self.terms), "for": self.aim.item}
        named |= {"thinks": self.reasoning} if self.reasoning else {}
        rows = tuple((Cell(name), Cell(text)) for name, text in named.items())
        return to_fragment([Table("Instruction", "instruction", ("", ""), rows)])

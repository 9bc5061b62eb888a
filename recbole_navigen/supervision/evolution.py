"""The evolutionary search for instructions (arXiv:2606.24196), for many samples at once.

    founders -> score -> [elite, mates -> crossover and mutation -> score the children -> elite + children] x rounds

A round is one call of the teacher and one of the judge for all samples that are still running. The elite stays with
the score it has: it is not judged, and not paid for, again. A sample stops when its best score stands still.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from recbole_navigen.bars import tqdm
from recbole_navigen.errors import InputError
from recbole_navigen.language.budget import CLIP_LENGTH
from recbole_navigen.supervision.fitness import Score, round_scores
from recbole_navigen.supervision.interfaces import (
    CROSSOVER,
    FOUNDERS,
    MUTATION,
    Draft,
    Judge,
    Order,
    Review,
    Sample,
    Task,
    Teacher,
)
from recbole_navigen.supervision.naming import MATCHES
from recbole_navigen.supervision.plans import works_of
from recbole_navigen.supervision.validity import draft_problem

REFUSED = 100.0  # what a refused draft loses: it is never taken, however few are left
CHUNK = 4096  # samples searched together: bounds memory and gives the progress bar its steps


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How long and how wide to search. The released search is population 3, rounds 1, patience 0, match substring.

    Attributes:
        population: drafts a round, 2 or more; one of them is the elite.
        rounds: generations after the founders; 0 keeps the best founder.
        patience: rounds without a gain after which a sample stops; 0 never stops early.
        min_gain: by how much the best overall score must rise to count as a gain.
        match: how target terms are found in a prompt, `word` or `substring`.
        instruction_budget: CLIP tokens that a prompt may have; a longer one is refused.
    """

    population: int = 6
    rounds: int = 8
    patience: int = 3
    min_gain: float = 0.01
    match: str = "word"
    instruction_budget: int = CLIP_LENGTH

    def __post_init__(self) -> None:
        for name, least in (
            ("population", 2),
            ("rounds", 0),
            ("patience", 0),
            ("min_gain", 0),
            ("instruction_budget", 8),
        ):
            if not getattr(self, name) >= least:
                raise InputError(f"{name}={getattr(self, name)} is too small for a search; use {least} or more.")
        if self.match not in MATCHES:
            raise InputError(f"match={self.match!r} is no rule for finding terms; use {' or '.join(MATCHES)}.")


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best draft of one sample.

    Attributes:
        sample: for whom. draft: the best one. score: its score.
        trace: plain JSON values. `candidates`: every draft with id, round, operator, parents (ids), prompt, why, genome
            and the fields of its score; `rounds`: ids of each population and its elite.
    """

    sample: Sample
    draft: Draft
    score: Score
    trace: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """Results in the order of the samples (None: the founders could not be written or judged), and counts."""

    results: tuple[SearchResult | None, ...]
    report: dict[str, Any]


class _Search:
    """The state of one sample: all candidates so far, who is alive, and how long nothing got better."""

    __slots__ = ("candidates", "drafts", "idle", "population", "rounds", "sample", "scores")

    def __init__(self, sample: Sample):
        self.sample = sample
        self.drafts: list[Draft] = []
        self.scores: list[Score] = []
        self.candidates: list[dict[str, Any]] = []
        self.population: list[int] = []  # ids, best first
        self.rounds: list[dict[str, Any]] = []
        self.idle = 0

    @property
    def usable(self) -> bool:
        """Whether there is a draft that was not refused."""
        return bool(self.population) and self.scores[self.population[0]].overall > -REFUSED / 2

    def task(self, settings: SearchSettings) -> Task:
        """What the next round needs from the teacher."""
        if not self.population:
            directions = (FOUNDERS[place % len(FOUNDERS)] for place in range(settings.population))
            return Task(self.sample, tuple(Order(direction) for direction in directions))
        orders = []
        for operator, parents in self._plan(settings.population - 1):
            orders.append(Order(operator, tuple(self.drafts[parent] for parent in parents)))
        return Task(self.sample, tuple(orders), len(self.rounds))

    def _plan(self, children: int) -> list[tuple[str, list[int]]]:
        """Operator and parents of each child: the elite with the next best in turn, or the elite alone. A lone child is
        by turns, round by round, the one and the other.
        """
        elite, *mates = self.population
        first = len(self.rounds) - 1 if children == 1 else 0
        return [
            (CROSSOVER, [elite, mates[child // 2 % len(mates)]]) if (first + child) % 2 == 0 else (MUTATION, [elite])
            for child in range(children)
        ]

    def review(self, drafts: tuple[Draft, ...]) -> Review:
        """What the judge is to score: the new drafts, each beside the others of its round.

        The elite is no rival: it is a parent of every child, and its kept score was given beside founders that are
        strangers to it, so a child would lose novelty for what it was meant to take over.
        """
        return Review.of_round(self.sample, drafts)

    def take(self, task: Task, drafts: tuple[Draft, ...], scores: list[Score], settings: SearchSettings) -> None:
        """Bring the scored children in, choose the elite and note what happened."""
        plan = self._plan(len(drafts)) if self.population else [(order.operator, []) for order in task.orders]
        best = self.scores[self.population[0]].overall if self.population else None
        first = len(self.drafts)
        for (operator, parents), draft, result in zip(plan, drafts, scores, strict=True):
            self.candidates.append(
                {
                    "id": len(self.drafts),
                    "round": len(self.rounds),
                    "operator": operator,
                    "parents": parents,
                    "prompt": draft.prompt,
                    "why": draft.why,
                    "genome": dict(draft.genome),
                    **asdict(result),
                }
            )
            self.drafts.append(draft)
            self.scores.append(result)
        alive = self.population[:1] + list(range(first, len(self.drafts)))
        # The older of two equals stays: the elite is only replaced by something better.
        self.population = sorted(alive, key=lambda one: (-self.scores[one].overall, one))
        self.rounds.append({"population": list(self.population), "elite": self.population[0]})
        if best is not None:
            gain = self.scores[self.population[0]].overall - best
            self.idle = 0 if gain > settings.min_gain else self.idle + 1

    def result(self) -> SearchResult:
        elite = self.population[0]
        trace = {"candidates": self.candidates, "rounds": self.rounds}
        return SearchResult(self.sample, self.drafts[elite], self.scores[elite], trace)


def evolve(
    samples: Sequence[Sample],
    teacher: Teacher,
    judge: Judge,
    settings: SearchSettings | None = None,
    show_progress: bool = False,
) -> SearchOutcome:
    """Search an instruction for each sample.

    Args:
        samples: any number; their order does not matter to anyone's result as long as teacher and judge look at each
            sample alone, as ours do.
        teacher: writes. judge: scores; may be another model. settings: see SearchSettings.
        show_progress: whether to show a bar.

    Returns:
        Results in the order of the samples. The report counts `samples`, `failed_samples` (no founders, or all drafts
        refused), `failed_rounds` (a sample ended early because children could not be written or judged), `drafts`,
        `plateaus`, and drafts `refused` by reason (`validity.py`).
    """
    settings = settings or SearchSettings()
    report: dict[str, Any] = dict.fromkeys(("samples", "failed_samples", "failed_rounds", "drafts", "plateaus"), 0)
    report["refused"] = Counter()
    results: list[SearchResult | None] = []
    steps = range(0, len(samples), CHUNK)
    with tqdm(total=len(samples) * (settings.rounds + 1), desc="search", disable=not show_progress) as bar:
        for begin in steps:
            searches = [_Search(sample) for sample in samples[begin : begin + CHUNK]]
            running = searches
            for _ in range(settings.rounds + 1):
                before, running = len(running), _one_round(running, teacher, judge, settings, report)
                bar.update(before)
                if not running:
                    break
            results += [search.result() if search.usable else None for search in searches]
            bar.update(len(results) * (settings.rounds + 1) - bar.n)  # rounds that a plateau saved
    report["samples"] = len(samples)
    report["failed_samples"] = results.count(None)
    report["refused"] = dict(report["refused"])
    return SearchOutcome(tuple(results), report)


def _one_round(
    running: list[_Search], teacher: Teacher, judge: Judge, settings: SearchSettings, report: dict[str, Any]
) -> list[_Search]:
    """Play one round for all running samples; returns those that go on."""
    tasks = [search.task(settings) for search in running]
    written = [entry for entry in zip(running, tasks, teacher.write(tasks), strict=True) if entry[2] is not None]
    reviews = [search.review(drafts) for search, _, drafts in written]
    going_on, served = [], 0
    for (search, task, drafts), review, judgements in zip(written, reviews, judge.judge(reviews), strict=True):
        if judgements is None:
            continue
        served += 1
        report["drafts"] += len(drafts)
        scores = round_scores(review, judgements, settings.match)
        for place, draft in enumerate(drafts):
            named = works_of(draft.genome)
            problem = draft_problem(draft.prompt, search.sample.media, settings.instruction_budget, named)
            if problem is not None:
                report["refused"][problem] += 1
                reason = f"refused: {problem}"
                scores[place] = replace(scores[place], overall=scores[place].overall - REFUSED, reason=reason)
        search.take(task, drafts, scores, settings)
        if settings.patience and search.idle >= settings.patience:
            report["plateaus"] += 1
        else:
            going_on.append(search)
    if any(task.round for task in tasks):
        report["failed_rounds"] += len(running) - served
    return going_on

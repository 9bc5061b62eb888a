"""Scores of several writers for the same users, as JSON values, tables and a plot."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recbole_navigen.evaluation.fluency import Fluency
from recbole_navigen.evaluation.instruction_scores import OTHERS, InstructionScores
from recbole_navigen.evaluation.simple_writers import ORACLE
from recbole_navigen.evaluation.statistics import Interval, interval, mean_interval, resampled_means
from recbole_navigen.presentation.plots import Plot, interval_plot
from recbole_navigen.presentation.tables import Cell, Table, interval_cell

# The columns of the page. A gap is the value with the user's own next item less that with other users'.
SHOWN = {
    "valid": "valid",
    "tid_f1": "term F1",
    "tid_f1_gap": "term F1, gap",
    "target_similarity": "similarity",
    "target_similarity_gap": "similarity, gap",
    "blanked_similarity": "without titles",
    "blanked_similarity_gap": "without titles, gap",
}
PLOTTED = {"target_similarity_gap": "similarity", "blanked_similarity_gap": "without titles", "tid_f1_gap": "term F1"}
DIVERSITY = {
    "openings": ("openings", ".0f"),
    "distinct_1": ("distinct words", ".3f"),
    "distinct_2": ("2-grams", ".3f"),
    "distinct_4": ("4-grams", ".3f"),
    "self_bleu": ("self-BLEU", ".3f"),
}


@dataclass(frozen=True, slots=True)
class WrittenScores:
    """Scores of B users' instructions and of what simple writers would have written for the same users.

    Attributes:
        space: what similarities are cosines of. kinds: where the kinds of items are from.
        writers: name -> scores; the instructions first, then simple writers.
        intervals: writer -> metric -> mean and interval over users.
        minus: simple writer -> metric -> instructions less that writer, paired by user.
        fluency: None where it was not measured. unmeasured: why not.
    """

    space: str
    kinds: str
    writers: dict[str, InstructionScores]
    intervals: dict[str, dict[str, Interval]]
    minus: dict[str, dict[str, Interval]]
    fluency: Fluency | None
    unmeasured: str

    @property
    def users(self) -> int:
        """The number of users, B."""
        return len(next(iter(self.writers.values())).values["valid"])

    def result(self) -> dict[str, Any]:
        """All of it as JSON values, for result.json."""
        writers = {}
        for name, scores in self.writers.items():
            writers[name] = {metric: _plain(mean) for metric, mean in self.intervals[name].items()}
            writers[name] |= {**scores.diversity, "refused": scores.refused}
        fluency: dict[str, Any] = {"unmeasured": self.unmeasured}
        if self.fluency is not None:
            fluency = {"model": self.fluency.model, "nats_a_token": {}}
            for name, values in self.fluency.nats.items():
                mean = _plain(_mean(values))
                fluency["nats_a_token"][name] = {
                    **mean,
                    "texts": len(values),
                    "tokens_a_text": self.fluency.tokens[name],
                }
        return {
            "users": self.users,
            "other_users": min(OTHERS, self.users - 1),
            "space": self.space,
            "kinds": self.kinds,
            "writers": writers,
            "minus": {
                name: {metric: _plain(mean) for metric, mean in means.items()} for name, means in self.minus.items()
            },
            "fluency": fluency,
        }

    def summary(self) -> Table:
        """The gaps alone, narrow enough for a terminal."""
        rows = tuple(
            (Cell(name), *(interval_cell(means[metric], digits=3) for metric in PLOTTED))
            for name, means in self.intervals.items()
        )
        note = (
            f"{self.users} held-out users, {self.space}: nearer to the user's own next item than to other users'. "
            "More in result.json and on the page."
        )
        return Table("Gaps of instructions and simple writers", "gaps", ("writer", *PLOTTED.values()), rows, (note,))

    def tables(self) -> list[Table]:
        """All of it, for the page."""
        rivals = [name for name in self.writers if name != ORACLE]
        best = {metric: max(rivals, key=lambda name: self.intervals[name][metric].mean) for metric in SHOWN}
        rows = []
        for name, means in self.intervals.items():
            cells = [interval_cell(means[metric], best[metric] == name) for metric in SHOWN if metric != "valid"]
            rows.append((Cell(name), Cell(f"{means['valid'].mean:.1%}"), *cells))
        notes = [
            f"{self.users} held-out users, means with 95% bootstrap intervals. Similarity: cosine with the text of the "
            f"user's next item, {self.space}. Without titles: names of works are left out of the instruction first.",
            "Gap: the value with the user's own next item less that with other users' next items; 0 for one "
            "instruction for everyone.",
            f"Kinds of items are from: {self.kinds}. The oracle knows the next item.",
        ]
        if self.fluency is None:
            notes.append(f"Fluency is not measured: {self.unmeasured}.")
        columns = ("writer", *SHOWN.values())
        tables = [Table("Instructions and simple writers", "instructions", columns, tuple(rows), tuple(notes))]

        compared = [metric for metric in SHOWN if metric != "valid"]
        gains = tuple(
            (Cell(name), *(interval_cell(means[metric]) for metric in compared)) for name, means in self.minus.items()
        )
        columns = ("writer", *(SHOWN[metric] for metric in compared))
        notes = ("The instructions less the writer, paired by user. An interval above 0: ahead beyond doubt.",)
        tables.append(Table("Instructions less simple writers", "minus", columns, gains, notes))
        rows = tuple(
            (Cell(name), *(Cell(f"{scores.diversity[key]:{form}}") for key, (_, form) in DIVERSITY.items()))
            for name, scores in self.writers.items()
        )
        columns = ("writer", *(title for title, _ in DIVERSITY.values()))
        notes = (
            "Openings: different first two words. Distinct n-grams: different ones over all, of all instructions.",
        )
        tables.append(Table("Diversity", "diversity", columns, rows, notes))
        if self.fluency is not None:
            rows = [
                (
                    Cell(name),
                    interval_cell(_mean(values)),
                    Cell(f"{self.fluency.tokens[name]:.1f}"),
                    Cell(str(len(values))),
                )
                for name, values in self.fluency.nats.items()
            ]
            notes = (
                f"Nats a token of {self.fluency.model}, which wrote none of them; less reads more like a sentence. "
                "Captions: of photographs, by people (COCO 2017). Longer texts are easier to foresee.",
            )
            columns = ("texts", "nats a token", "tokens a text", "number of texts")
            tables.append(Table("Fluency", "fluency", columns, tuple(rows), notes))
        return tables

    def plot(self) -> Plot:
        """Gaps of all writers but the oracle, which would hide the others."""
        panels = {
            title: {name: {"gap": means[metric]} for name, means in self.intervals.items() if name != ORACLE}
            for metric, title in PLOTTED.items()
        }
        return interval_plot("Gap: nearer to the user's own next item than to other users' by", panels)


def writer_intervals(
    writers: Mapping[str, InstructionScores],
) -> tuple[dict[str, dict[str, Interval]], dict[str, dict[str, Interval]]]:
    """Means with intervals of each writer, and of the first one less each other, over the same resamples of users."""
    values: dict[tuple[str, str], np.ndarray] = {}
    for writer, scores in writers.items():
        gaps = {f"{metric}_gap": scores.gap(metric) for metric in scores.control}
        values |= {(writer, metric): value for metric, value in {**scores.values, **gaps}.items()}
    means = dict(zip(values, resampled_means(np.stack(list(values.values()))), strict=True))
    metrics = dict.fromkeys(metric for _, metric in values)
    first, *others = writers
    own_intervals = {
        writer: {metric: interval(values[writer, metric].mean(), means[writer, metric]) for metric in metrics}
        for writer in writers
    }
    minus = {
        writer: {
            metric: interval(
                (values[first, metric] - values[writer, metric]).mean(), means[first, metric] - means[writer, metric]
            )
            for metric in metrics
        }
        for writer in others
    }
    return own_intervals, minus


def _mean(values: np.ndarray) -> Interval:
    return mean_interval(values[np.isfinite(values)])


def _plain(mean: Interval) -> dict[str, float | None]:
    values = {"mean": mean.mean, "low": mean.low, "high": mean.high}
    return {name: float(value) if np.isfinite(value) else None for name, value in values.items()}

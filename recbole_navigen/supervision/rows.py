"""Supervision of a data set: samples from training sequences, the search, the reasoning, and the rows they become."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recbole_navigen.artefacts import atomic_directory, read_json, verify_manifest, write_json
from recbole_navigen.data.sequences import UserSequences
from recbole_navigen.errors import InputError
from recbole_navigen.supervision.chat.prompts import ITEMS_SHOWN
from recbole_navigen.supervision.evolution import SearchSettings, evolve
from recbole_navigen.supervision.interfaces import MEDIA, Judge, Sample, Teacher
from recbole_navigen.supervision.planner import Planner
from recbole_navigen.supervision.reasoning import Reasoner, checked

ROWS_FILE, REPORT_FILE = "rows.parquet", "report.json"
MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class SampleSource:
    """A sample and where it comes from.

    Attributes:
        sample: what is searched for.
        row: row of the user in the training sequences. target: place of the target in that row, 0-based; the history is
            everything before it.
    """

    sample: Sample
    row: int
    target: int


@dataclass(frozen=True, slots=True)
class InstructionRow:
    """What the model learns to write for one moment of one user.

    Attributes:
        row, target: as in SampleSource: items[: target] of the row are the history, items[target] the next item.
        user, domain, media: as in Sample.
        target_tid: terms of the next item. target_ins: the instruction.
        identifier_reasoning: from history to target. reasoning: the distilled paragraph, which takes it up and goes on
            to the instruction. None where the paragraph was rejected.
        overall: score of the instruction in the search.
        plan: aspect -> phrase, of which `target_ins` and `reasoning` are made; None from teachers that write free text.
    """

    row: int
    target: int
    user: str
    domain: str
    media: str
    target_tid: tuple[str, ...]
    target_ins: str
    identifier_reasoning: str | None
    reasoning: str | None
    overall: float
    plan: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Supervision:
    """Rows in the order of their samples, without the failed ones; the report counts what was lost and why."""

    rows: tuple[InstructionRow, ...]
    report: dict[str, Any]

    def save(self, directory: str | Path, inputs: dict) -> None:
        """Write rows and report as one directory, atomically, with a manifest of what they were computed from."""
        names = InstructionRow.__slots__
        columns = {name: [getattr(row, name) for row in self.rows] for name in names}
        columns["plan"] = [None if plan is None else json.dumps(plan) for plan in columns["plan"]]
        types = {"row": pa.int64(), "target": pa.int64(), "overall": pa.float64(), "target_tid": pa.list_(pa.string())}
        table = pa.table({name: pa.array(columns[name], types.get(name, pa.string())) for name in names})
        with atomic_directory(directory, inputs) as folder:
            pq.write_table(table, folder / ROWS_FILE)
            write_json(folder / REPORT_FILE, self.report)

    @classmethod
    def load(cls, directory: str | Path) -> "Supervision":
        """Read what `save` wrote; DamagedArtefact if a byte of it has changed."""
        directory = Path(directory)
        verify_manifest(directory)
        rows = pq.read_table(directory / ROWS_FILE).to_pylist()
        report = read_json(directory / REPORT_FILE)
        for row in rows:
            row["target_tid"] = tuple(row["target_tid"])
            row["plan"] = None if row["plan"] is None else json.loads(row["plan"])
        return cls(tuple(InstructionRow(**row) for row in rows), report)


def samples_of(
    sequences: UserSequences,
    terms: Sequence[Sequence[str]],
    user_tokens: Sequence[str],
    domain: str,
    media: str = "image",
    per_user: int = 1,
    name_terms: bool = True,
    at_most: int | None = None,
    planner: Planner | None = None,
) -> list[SampleSource]:
    """The last training moments of each user as samples.

    Args:
        sequences: of the training split; validation and test items are not in it.
        terms: TIDs by item index (internal id - 1), N lists.
        user_tokens: raw user ids by internal id.
        domain: one of DOMAINS. media: `image`, `video`, or `mixed` (every other moment a video).
        per_user: moments a user at most, the newest. name_terms: see Sample.
        at_most: so many moments in all, spread evenly over the users; None for no bound.
        planner: knows the facts of the items; None leaves `Sample.brief` and `Sample.seen` out.
    """
    if media not in (*MEDIA, MIXED):
        raise InputError(f"media={media!r} is unknown; use {', '.join(MEDIA)} or {MIXED}.")
    lengths = sequences.lengths.tolist()
    moments = [
        (row, target) for row, length in enumerate(lengths) for target in range(max(1, length - per_user), length)
    ]
    if at_most is not None and at_most < len(moments):
        moments = [moments[place * len(moments) // at_most] for place in range(at_most)]
    described = [] if planner is None else [planner.describe(item) for item in range(len(terms))]
    sources = []
    for row, target in moments:
        items = (sequences.items[sequences.offsets[row] :][: target + 1] - 1).tolist()
        words = tuple(tuple(terms[item]) for item in items)
        kind = MEDIA[(row + target) % 2] if media == MIXED else media
        user = str(user_tokens[sequences.users[row]])
        brief, seen = None, ()
        if planner is not None:
            brief = planner.training_brief(items[:-1], items[-1], kind, words[-1])
            seen = tuple(described[item] for item in items[:-1][-ITEMS_SHOWN:])
        sample = Sample(user, words[:-1], words[-1], domain, kind, name_terms, brief, seen)
        sources.append(SampleSource(sample, row, target))
    return sources


def supervise(
    sources: Sequence[SampleSource],
    teacher: Teacher,
    judge: Judge,
    reasoner: Reasoner,
    settings: SearchSettings | None = None,
    traces: str | Path | None = None,
    show_progress: bool = False,
) -> Supervision:
    """Search an instruction for each sample and reason toward it.

    Args:
        sources: samples and where they come from. teacher, judge, reasoner: may be one object or three.
        settings: of the search. traces: folder for `traces.jsonl`, one line a sample; None keeps no traces.
        show_progress: whether to show bars.
    """
    outcome = evolve([source.sample for source in sources], teacher, judge, settings, show_progress)
    pairs = [(source, result) for source, result in zip(sources, outcome.results, strict=True) if result is not None]
    samples = [source.sample for source, _ in pairs]
    identifier, lost_identifier = checked(reasoner.identifier(samples), samples)
    distilled, lost_distilled = checked(reasoner.distilled([result for _, result in pairs], identifier), samples)
    if traces is not None:
        with atomic_directory(traces) as folder, open(folder / "traces.jsonl", "w", encoding="utf-8") as file:
            for source, result in pairs:
                line = {"user": source.sample.user, "row": source.row, "target": source.target, **result.trace}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
    rows = tuple(
        InstructionRow(
            row=source.row,
            target=source.target,
            user=source.sample.user,
            domain=source.sample.domain,
            media=source.sample.media,
            target_tid=source.sample.target,
            target_ins=result.draft.prompt,
            identifier_reasoning=before,
            reasoning=after,
            overall=result.score.overall,
            plan=dict(result.draft.genome) or None,
        )
        for (source, result), before, after in zip(pairs, identifier, distilled, strict=True)
    )
    report = {
        "search": outcome.report,
        "named_targets": sum(result.score.hit for _, result in pairs),
        "identifier_rejected": dict(lost_identifier),
        "distilled_rejected": dict(lost_distilled),
    }
    return Supervision(rows, report)

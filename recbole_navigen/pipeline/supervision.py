"""The supervision of a run: its settings, and its rows as an artefact that runs share."""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from recbole_navigen.artefacts import content_hash, stage_is_current
from recbole_navigen.config import Config
from recbole_navigen.config.locate import cache_folder
from recbole_navigen.config.teachers import SupervisionSettings
from recbole_navigen.data import NaviGenDataset
from recbole_navigen.data.sequences import UserSequences
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.identifiers.terms import TermResult
from recbole_navigen.runs.stages import Stages
from recbole_navigen.supervision.dataset_facts import facts_of
from recbole_navigen.supervision.facts import ItemFacts, facts_report
from recbole_navigen.supervision.planner import planner_of
from recbole_navigen.supervision.roles import made_of, roles_of, search_settings
from recbole_navigen.supervision.rows import InstructionRow, Supervision, samples_of, supervise
from recbole_navigen.supervision.settings import NO_TERM, refuse_textless, settings_of
from recbole_navigen.supervision.teacher_terms import teacher_terms

# Settings of the supervision that choose among what is there: they make no other rows.
CHOICES = ("teach_terms", "thought")
FAILED = "failed: "  # begins those counts of a language model that are failures
AGAIN = "run again when the endpoint answers: what it has answered is kept"

logger = logging.getLogger(__name__)


def supervision_stage(
    config: Config, part: NaviGenDataset, table: DualIdentifierTable, stages: Stages, run_folder: Path | None = None
) -> Sequence[InstructionRow]:
    """Make the rows from which instructions are learned, as a stage of a run, or read those that are there.

    Args:
        config: settings of the run. part: the training split. table: for terms.
        stages: records what it took. run_folder: see `supervision_of`.
    """
    refuse_textless(config)
    with stages("supervision") as stage:
        users = part.field2id_token[part.uid_field]
        supervision, cached = supervision_of(
            config, part.sequences, table.terms, users, facts_of(config, part, table.terms), run_folder
        )
        stage.spared = supervision.report["seconds"] if cached else 0.0
        thoughts = sum(row.reasoning is not None for row in supervision.rows)
        stage.metric = f"{len(supervision.rows)} instructions, {thoughts} with reasoning"
        if unanswered := sum(supervision.report.get("unanswered", {}).values()):
            stage.metric += f", {unanswered} questions unanswered"
        stage.metric += ", cached" if cached else ""
    return supervision.rows


def terms_by_teacher(
    config: Config, texts: Sequence[str], by_text: TermResult, facts: Sequence[ItemFacts]
) -> TermResult:
    """Terms by the teacher of a run, see `teacher_terms`; the report also has that of the language models.

    Args:
        config: of the run. texts: N item texts. by_text: the catalogue's own terms. facts: of the items, N.

    Raises:
        InputError: questions got no answer and no item has terms by the teacher.
    """
    roles = roles_of(config, by_text.terms, facts)
    result = teacher_terms(texts, roles.teacher, by_text, settings_of(config).tid_reading)
    report = {**result.report, **roles.report()}
    if report["unanswered"] and not report["items_by_teacher"]:
        raise InputError(f"the teacher gave terms to none of {len(texts)} items: {_failures(report)}; {AGAIN}.")
    _tell(report, f"{report['items_by_text']} of {len(texts)} items have terms of their text")
    return replace(result, report=report)


def supervision_of(
    config: Config,
    sequences: UserSequences,
    item_terms: Sequence[Sequence[str]],
    user_tokens: Sequence[str],
    facts: Sequence[ItemFacts],
    run_folder: Path | None = None,
) -> tuple[Supervision, bool]:
    """Supervision of the training split, and True if it was found on disk.

    Rows are kept in the cache for all runs, unless questions got no answer; then a warning says so, and the next run
    asks those again.

    Args:
        config: of the run. sequences: of the training split; nothing else of the data is looked at.
        item_terms: TIDs by item index, N lists. user_tokens: raw user ids by internal id. facts: of all items.
        run_folder: where incomplete rows are kept for one run, since its other processes, and the run itself if it is
            killed and goes on, must learn from the rows that it began with; None keeps them nowhere.

    Raises:
        InputError: no row was made.
    """
    settings = settings_of(config)
    inputs = {
        **made_of(settings, CHOICES),
        "train": sequences.content_hash(),
        "terms": content_hash([list(terms) for terms in item_terms]),
        "facts": content_hash([asdict(item) for item in facts]),
        "users": content_hash([str(token) for token in user_tokens]),
    }
    entry = cache_folder(config) / f"supervision-{content_hash(inputs)[:16]}"
    for folder in (run_folder, entry):
        if folder is not None and stage_is_current(folder, inputs):
            return _taught(Supervision.load(folder), settings), True
    start = time.perf_counter()
    roles = roles_of(config, item_terms, facts)
    sources = samples_of(
        sequences,
        item_terms,
        user_tokens,
        settings.domain,
        settings.media,
        settings.moments_per_user,
        settings.name_terms,
        settings.samples,
        planner_of(settings, facts),
    )
    supervision = supervise(
        sources,
        roles.teacher,
        roles.judge,
        roles.reasoner,
        search_settings(settings),
        traces=entry.with_name(entry.name.replace("supervision", "traces")) if settings.traces else None,
        show_progress=config["show_progress"],
    )
    # As with embeddings: a model that finds its instructions in the cache was not trained in less time.
    report = {
        **supervision.report,
        "facts": facts_report(facts),
        **roles.report(),
        "seconds": round(time.perf_counter() - start, 3),
    }
    supervision = replace(supervision, report=report)
    if not supervision.rows:
        remedy = AGAIN if report["unanswered"] else "use another teacher or longer histories"
        raise InputError(f"the supervision made no row of {len(sources)} samples: {_failures(report)}; {remedy}.")
    _tell(report, f"The {len(supervision.rows)} rows of the supervision are not kept for other runs")
    folder = run_folder if report["unanswered"] else entry
    if folder is not None:
        supervision.save(folder, inputs)
    return _taught(supervision, settings), False


def _taught(supervision: Supervision, settings: SupervisionSettings) -> Supervision:
    """The rows to learn from, with the `thought` that is asked for; without `teach_terms` all have one term, which says
    nothing, and no reasoning.
    """
    rows = supervision.rows
    if not settings.teach_terms:
        rows = tuple(replace(row, target_tid=(NO_TERM,), reasoning=None, plan=None) for row in rows)
    elif settings.thought == "identifier":
        rows = tuple(replace(row, reasoning=row.identifier_reasoning) for row in rows)
    return replace(supervision, rows=rows)


def _failures(report: Mapping[str, Any]) -> str:
    """How often language models failed, by reason, in words."""
    total: Counter[str] = Counter()
    for model in report["models"]:
        total.update({key.removeprefix(FAILED): count for key, count in model.items() if key.startswith(FAILED)})
    return _listed(total) or "no question failed"


def _listed(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in reasons.items())


def _tell(report: Mapping[str, Any], lost: str) -> None:
    """Log what language models did, and one warning of what is lost if questions got no answer."""
    for model in report["models"]:
        logger.info("language model: %s", ", ".join(f"{key} {value}" for key, value in model.items()))
    if unanswered := report["unanswered"]:
        logger.warning(
            "%d questions got no answer: %s. %s; a new run asks for these again and for no others",
            *(sum(unanswered.values()), _listed(unanswered), lost),
        )

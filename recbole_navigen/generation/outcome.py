"""What `run_generate` leaves in its folder beside instructions and media: one result, and one page of all of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_navigen.artefacts import write_record
from recbole_navigen.config.locate import cache_folder
from recbole_navigen.generation.cards import user_cards
from recbole_navigen.generation.interfaces import Catalogue
from recbole_navigen.generation.media_head import MadeMedia
from recbole_navigen.generation.page import extra_table, write_media_page
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.written_scores import WrittenScores
from recbole_navigen.presentation.tables import Table
from recbole_navigen.runs.layout import RESULT
from recbole_navigen.runs.page import run_sections
from recbole_navigen.runs.result import read_result
from recbole_navigen.serving.recommender import Recommender
from recbole_navigen.supervision.evolution import evolve
from recbole_navigen.supervision.interfaces import Sample
from recbole_navigen.supervision.roles import build_roles, search_settings
from recbole_navigen.supervision.settings import settings_of

PAGE = "report.html"
# What the page calls the counts of media.
_COUNTED = {
    "done": "media made",
    "kept": "of them kept from an earlier call",
    "cut": "longer than the model reads",
    "unmeasured": "of unknown length in tokens",
}
# Of the metrics of a run, where there is no run: all that are known of media.
_NO_RUN = {"metrics": [], "metric_decimal_place": 4}


def write_outcome(
    folder: str | Path,
    records: Sequence[InstructionRecord],
    catalogue: Catalogue,
    run: str | Path | None,
    recommender: Recommender | None,
    scores: WrittenScores | None,
    media: MadeMedia | None,
) -> None:
    """Write result.json and report.html.

    Args:
        folder: where to. records: the instructions. catalogue: texts and pictures of items.
        run, recommender: folder and model of the run that wrote them, whose training the page shows; None: unknown.
        scores: of the instructions; None: nothing was held out. media: what was made of them; None: nothing.
    """
    folder, name = Path(folder), None if run is None else Path(run).name
    counts = {"instructions": len(records), **({} if media is None else media.generated.counts)}
    result: dict[str, Any] = {"run": name, "counts": counts}
    if scores is not None:
        result["instructions"] = scores.result()
    settings = _NO_RUN if recommender is None else recommender.settings
    tested = {} if run is None else read_result(run)["test_result"]
    result["test_result"] = {} if media is None else media.result(settings, tested)
    write_record(folder / RESULT, result)

    facts = {} if name is None else {"run": name}
    facts |= {_COUNTED.get(key, key): str(count) for key, count in counts.items() if count}
    folded = ([], []) if run is None else run_sections(run, _trace(recommender, records[0]))
    tables: list[Table] = []
    if media is not None:
        facts |= {f"safety checker of {kind}s": checker for kind, checker in media.checkers.items()}
        if media.extras:
            tables.append(extra_table(media.extras))
    if scores is not None:
        first, *more = scores.tables()
        tables.append(first)
        folded = ([*more, *folded[0]], [scores.plot(), *folded[1]])
    media_scores = {} if media is None else media.scores
    cards = user_cards(records, catalogue, None if media is None else media.generated, media_scores)
    title = "Personal instructions" if media is None else "Personal media"
    write_media_page(folder / PAGE, title, facts, media_scores, cards, tables=tables, folded=folded)


def _trace(recommender: Recommender, record: InstructionRecord) -> Mapping[str, Any] | None:
    """How the teacher's search comes to an instruction for the item of one record, to be drawn on the page.

    Only the offline teacher is asked: a language model would have to be paid, or waited for.
    """
    settings = settings_of(recommender.settings)
    if settings.teacher != "template" or settings.judge not in (None, "template"):
        return None
    table = recommender.table
    index = {item: place for place, item in enumerate(table.item_tokens)}
    planner = None if recommender.author is None else recommender.author.planner
    if planner is None or record.aim is None or not index.keys() >= {record.aim, *record.history}:
        return None
    history, aim = [index[item] for item in record.history], index[record.aim]
    sample = Sample(
        record.user,
        tuple(table.terms[item] for item in history),
        table.terms[aim],
        record.domain or settings.domain,
        record.media,
        settings.name_terms,
        planner.training_brief(history, aim, record.media, table.terms[aim]),
    )
    roles = build_roles(settings, table.terms, cache_folder(recommender.settings), facts=planner.facts)
    (searched,) = evolve([sample], roles.teacher, roles.judge, search_settings(settings)).results
    return None if searched is None else searched.trace

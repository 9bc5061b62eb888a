"""The supervision of a run: its settings, and its rows as an artefact that runs share."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recbole_navigen.artefacts import content_hash, stage_is_current
from recbole_navigen.config import Config
from recbole_navigen.data.sequences import UserSequences
from recbole_navigen.settings import without_secrets
from recbole_navigen.supervision.build import Roles, build_roles, search_settings, supervision_settings
from recbole_navigen.supervision.rows import Supervision, samples_of, supervise

NO_TERM = "item"
# Settings of the supervision that choose among what is there: they make no other rows.
CHOICES = ("teach_terms", "thought")
# Settings that only those models see that learn to write.
WRITING_KEYS = (
    *("supervision", "instruction_vocabulary", "instruction_batch_size", "think_share", "choose_item", "name_item"),
    *("thought_tokens", "instruction_tokens", "writer_steps", "writer_batch_size", "writer_learning_rate"),
)


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """properties/supervision.yaml with the run's own `supervision` above it; `domain` is the data set's if unset."""
    settings = supervision_settings(config["supervision"])
    settings["domain"] = settings["domain"] or settings["domains"].get(config["dataset"], "generic")
    return settings


def learns_instructions(config: Mapping[str, Any]) -> bool:
    """Whether the ranking model itself learns cid2ins, and so needs supervision."""
    return bool((config["task_weights"] or {}).get("cid2ins"))


def roles_of(config: Config, item_terms: Sequence[Sequence[str]]) -> Roles:
    """Teacher, judge and reasoner of a run; answers of language models are kept beside the runs."""
    return build_roles(settings_of(config), item_terms, _cache(config), config["show_progress"])


def supervision_of(
    config: Config, sequences: UserSequences, item_terms: Sequence[Sequence[str]], user_tokens: Sequence[str]
) -> tuple[Supervision, bool]:
    """Supervision of the training split, and True if it was found in the cache.

    Args:
        config: of the run. sequences: of the training split; nothing else of the data is looked at.
        item_terms: TIDs by item index, N lists. user_tokens: raw user ids by internal id.
    """
    settings = settings_of(config)
    made = {key: value for key, value in settings.items() if key not in CHOICES}
    inputs = {
        "settings": without_secrets(made),
        "train": sequences.content_hash(),
        "terms": content_hash([list(terms) for terms in item_terms]),
        "users": content_hash([str(token) for token in user_tokens]),
    }
    entry = _cache(config) / f"supervision-{content_hash(inputs)[:16]}"
    if stage_is_current(entry, inputs):
        return _taught(Supervision.load(entry), settings), True
    start = time.perf_counter()
    roles = roles_of(config, item_terms)
    sources = samples_of(
        sequences,
        item_terms,
        user_tokens,
        settings["domain"],
        settings["media"],
        settings["moments_per_user"],
        settings["name_target"],
        settings["samples"],
    )
    supervision = supervise(
        sources,
        roles.teacher,
        roles.judge,
        roles.reasoner,
        search_settings(settings),
        traces=entry.with_name(entry.name.replace("supervision", "traces")) if settings["traces"] else None,
        show_progress=config["show_progress"],
    )
    # As with embeddings: a model that finds its instructions in the cache was not trained in less time.
    report = {**supervision.report, "seconds": round(time.perf_counter() - start, 3)}
    supervision = replace(supervision, report=report)
    supervision.save(entry, inputs)
    return _taught(supervision, settings), False


def _taught(supervision: Supervision, settings: Mapping[str, Any]) -> Supervision:
    """The rows to learn from, with the `thought` that is asked for; without `teach_terms` all have one term, which says
    nothing, and no reasoning.
    """
    rows = supervision.rows
    if not settings["teach_terms"]:
        rows = tuple(replace(row, target_tid=(NO_TERM,), reasoning=None) for row in rows)
    elif settings["thought"] == "identifier":
        rows = tuple(replace(row, reasoning=row.identifier_reasoning) for row in rows)
    return replace(supervision, rows=rows)


def _cache(config: Config) -> Path:
    return Path(config["checkpoint_dir"]) / "cache"

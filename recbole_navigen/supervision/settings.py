"""The settings of a run's supervision, and which models learn to write."""

from collections.abc import Mapping
from typing import Any

from recbole_navigen.config.teachers import supervision_settings

NO_TERM = "item"  # names an answer whose terms are not taught, and says nothing
# Settings that matter only to models that learn to write.
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

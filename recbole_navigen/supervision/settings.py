"""The settings of a run's supervision, and which models learn to write."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from recbole_navigen.config.teachers import SupervisionSettings, supervision_settings
from recbole_navigen.errors import InputError
from recbole_navigen.language.tags import SCRATCH

NO_TERM = "item"  # names an answer whose terms are not taught, and says nothing
# Settings that matter only to models that learn to write.
WRITING_KEYS = (
    *("supervision", "instruction_form", "instruction_vocabulary", "instruction_batch_size", "think_share"),
    *("choose_item", "name_item", "thought_tokens", "instruction_tokens", "item_text_roles"),
    *("writer_backbone", "writer_steps", "writer_batch_size", "writer_learning_rate"),
)


def settings_of(config: Mapping[str, Any]) -> SupervisionSettings:
    """properties/supervision.yaml with the run's own `supervision` above it; `domain` is the data set's if unset."""
    settings = supervision_settings(config["supervision"])
    return replace(settings, domain=settings.domain or settings.domains.get(config["dataset"], "generic"))


def learns_instructions(config: Mapping[str, Any]) -> bool:
    """Whether the ranking model itself learns cid2ins, and so needs supervision."""
    return bool((config["task_weights"] or {}).get("cid2ins"))


def refuse_textless(config: Mapping[str, Any]) -> None:
    """Refuse to learn instructions where items have no text."""
    if not config["item_text_fields"]:
        raise InputError(
            f"an instruction needs something to say, and the items of {config['dataset']} have no text; name columns "
            "with text by item_text_fields."
        )


def writer_body(config: Mapping[str, Any]) -> str:
    """What the writer of a run is made of: a language model of its own, or what the ranking model is made of."""
    return config["writer_backbone"] or config["backbone"]


def writes_plans(config: Mapping[str, Any]) -> bool:
    """Whether the writer of a run plans: as `instruction_form` says, or else with a backbone from scratch and the
    template teacher, whose drafts are plans.
    """
    if (form := config["instruction_form"]) is not None:
        return form == "plan"
    settings = settings_of(config)
    return writer_body(config) == SCRATCH and settings.teacher == "template" and settings.teach_terms

"""Which stages a NaviGen is trained in, and the settings of reinforcement, checked before anything is trained."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from recbole_navigen.config.reading import settings_file
from recbole_navigen.errors import InputError
from recbole_navigen.quick_start.scorers import SCORERS
from recbole_navigen.training.objective import ADVANTAGES, AVERAGES
from recbole_navigen.training.rewards import CODE_REWARDS, REWARDS

STAGES = ("align", "finetune", "write", "reinforce")
FILE = "reinforce"  # of properties/
TASKS = ("cid2cid", "cid2ins")
BEHIND = ("next", "expected")
# Whole numbers, and the least of each.
WHOLE = {
    **dict.fromkeys(("steps", "prompts", "instruction_prompts", "accumulation", "inner"), 1),
    **dict.fromkeys(("eval_every", "eval_prompts", "eval_draws"), 1),
    **dict.fromkeys(("group", "instruction_group"), 2),
    **dict.fromkeys(("lora_rank", "resample"), 0),
}
# Numbers with the ends of their ranges, and whether the low end is one of them.
RANGES = {
    **dict.fromkeys(("learning_rate", "instruction_learning_rate"), (0, math.inf, False)),
    **dict.fromkeys(("clip_grad_norm", "clip", "max_kl", "lora_alpha"), (0, math.inf, False)),
    "kl": (0, math.inf, True),
    **dict.fromkeys(("warmup_ratio", "max_diversity_loss"), (0, 1, True)),
}


def check_stages(settings: Mapping[str, Any]) -> None:
    """Refuse stages that do not exist or that stand in another order, and settings of reinforcement that are bad, or do
    not go with those of the model.
    """
    named = settings["training_stages"]
    if not isinstance(named, list) or [stage for stage in STAGES if stage in named] != named or "finetune" not in named:
        raise InputError(
            f"training_stages={named!r} must name stages in this order: {', '.join(STAGES)}; finetune is needed."
        )
    if "reinforce" not in named:
        return
    own = reinforce_settings(settings["reinforce"])
    if own["tasks"] == ["cid2ins"] and "write" not in named:
        raise InputError("reinforce: tasks=[cid2ins] needs a writer; put `write` before it in training_stages.")
    if settings["lora"] and own["lora_rank"]:
        raise InputError(
            f"reinforce: lora_rank={own['lora_rank']} puts adapters on a body that has some already (lora: True); "
            "leave it 0, and those are reinforced."
        )


def holds_rows_out(settings: Mapping[str, Any]) -> bool:
    """Whether some users' instructions are kept from the writer, since reinforcement is to be validated on them."""
    return {"write", "reinforce"} <= set(settings["training_stages"]) and (
        "cid2ins" in reinforce_settings(settings["reinforce"])["tasks"]
    )


def reinforces_items(settings: Mapping[str, Any]) -> bool:
    """Whether the ranking model is reinforced, and so has to be validated."""
    return (
        "reinforce" in settings["training_stages"] and "cid2cid" in reinforce_settings(settings["reinforce"])["tasks"]
    )


def reinforce_settings(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """properties/reinforce.yaml with a run's own `reinforce` above it, checked."""
    settings = settings_file(FILE, given)
    tasks = settings["tasks"]
    if not isinstance(tasks, list) or not tasks:
        raise InputError(f"reinforce: tasks={tasks!r} must be a list of {' and '.join(TASKS)}.")
    for task in tasks:
        _choose("tasks", task, TASKS)
    if "cid2cid" in tasks:
        _choose("reward", settings["reward"], CODE_REWARDS)
    if "cid2ins" in tasks:
        _choose("reward", settings["reward"], REWARDS)
    _choose("scorer", settings["scorer"], SCORERS)
    _choose("behind", settings["behind"], BEHIND)
    _choose("advantage", settings["advantage"], ADVANTAGES)
    _choose("average", settings["average"], AVERAGES)
    for name, least in WHOLE.items():
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            why = "to have a group to compare within, " if name.endswith("group") else ""
            raise InputError(f"reinforce: {why}{name} must be a whole number of at least {least}, not {value!r}.")
    for name, (low, high, closed) in RANGES.items():
        value = settings[name]
        if not _is_number(value) or not low <= value <= high or (value == low and not closed):
            wanted = f"{'at least' if closed else 'above'} {low}" + (f" and at most {high}" if high < math.inf else "")
            raise InputError(f"reinforce: {name} must be a number {wanted}, not {value!r}.")
    parts = settings["accumulation"]
    for name, task in (("prompts", "cid2cid"), ("instruction_prompts", "cid2ins")):
        if task in tasks and settings[name] % parts:
            raise InputError(f"reinforce: accumulation={parts} must divide {name}={settings[name]} into equal parts.")
    weights = settings["weights"]
    if not isinstance(weights, dict) or not all(_is_number(weight) for weight in weights.values()):
        raise InputError(f"reinforce: weights={weights!r} must be numbers by name, such as {{clip: 0.25}}.")
    if settings["reward"] == "paper" and (weights or not settings["triangle"]):
        raise InputError(
            "reinforce: reward=paper is the released formula as it stands; leave triangle and weights to reward=prefix."
        )
    return settings


def _choose(name: str, value: Any, known: Collection[Any]) -> None:
    if value not in list(known):
        shown = ", ".join("~" if choice is None else choice for choice in known)
        raise InputError(f"reinforce: {name}={value!r} is unknown; use {shown}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

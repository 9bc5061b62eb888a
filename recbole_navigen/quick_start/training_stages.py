"""Which stages a NaviGen is trained in, and the settings of reinforcement, checked before anything is trained."""

from collections.abc import Mapping
from typing import Any

from recbole_navigen.errors import InputError
from recbole_navigen.settings import settings_file

STAGES = ("align", "finetune", "write", "reinforce")
FILE = "reinforce"  # of properties/
TASKS, SCORERS = ("cid2cid", "cid2ins"), ("embedding", "terms", "judge")


def check_stages(settings: Mapping[str, Any]) -> None:
    """Refuse stages that do not exist or that stand in another order, and bad settings of reinforcement."""
    named = settings["training_stages"]
    if not isinstance(named, list) or [stage for stage in STAGES if stage in named] != named or "finetune" not in named:
        raise InputError(
            f"training_stages={named!r} must name stages in this order: {', '.join(STAGES)}; finetune is needed."
        )
    if "reinforce" in named:
        reinforce_settings(settings["reinforce"])


def reinforce_settings(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """properties/reinforce.yaml with a run's own `reinforce` above it, checked."""
    settings = settings_file(FILE, given)
    for name, known in (("tasks", TASKS), ("scorer", SCORERS)):
        values = [settings[name]] if isinstance(settings[name], str) else settings[name]
        if unknown := [value for value in values if value not in known]:
            raise InputError(f"reinforce: {name}={unknown[0]!r} is unknown; use {', '.join(known)}.")
    for name in ("steps", "prompts", "instruction_prompts", "accumulation", "inner", "eval_every", "eval_prompts"):
        if not isinstance(settings[name], int) or settings[name] < 1:
            raise InputError(f"reinforce: {name} must be a whole number of at least 1, not {settings[name]!r}.")
    for name in ("group", "instruction_group"):
        if not isinstance(settings[name], int) or settings[name] < 2:
            raise InputError(f"reinforce: {name}={settings[name]!r} makes no group to compare within; use at least 2.")
    return settings

"""Which stages a NaviGen is trained in, and what the settings of reinforcement must fit. No RecBole, no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_navigen.config.sections import section_settings
from recbole_navigen.errors import InputError

STAGES = ("align", "finetune", "write", "reinforce")


def refuse_unfit_stages(settings: Mapping[str, Any]) -> None:
    """Refuse stages in another order, and settings of reinforcement that do not go with those of the model."""
    named = settings["training_stages"]
    if [stage for stage in STAGES if stage in named] != named or "finetune" not in named:
        raise InputError(
            f"training_stages={named!r} must name stages in this order: {', '.join(STAGES)}; finetune is needed."
        )
    grpo = reinforce_settings(settings["reinforce"])
    if "reinforce" not in named:
        return
    if grpo["tasks"] == ["cid2ins"] and "write" not in named:
        raise InputError("reinforce: tasks=[cid2ins] needs a writer; put `write` before it in training_stages.")
    if grpo["feedback"] is not None and "write" not in named:
        raise InputError("reinforce: feedback teaches a writer; put `write` before reinforce in training_stages.")
    if settings["lora"] and grpo["lora_rank"]:
        raise InputError(
            f"reinforce: lora_rank={grpo['lora_rank']} puts adapters on a body that has some already (lora: True); "
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
    settings = section_settings("reinforce", given)
    tasks, parts = settings["tasks"], settings["accumulation"]
    for name, task in (("prompts", "cid2cid"), ("instruction_prompts", "cid2ins")):
        if task in tasks and settings[name] % parts:
            raise InputError(f"reinforce: accumulation={parts} must divide {name}={settings[name]} into equal parts.")
    if settings["feedback"] is not None and not Path(settings["feedback"]).is_file():
        raise InputError(
            f"reinforce: feedback={settings['feedback']} is no file; name a feedback.jsonl that navigen-feedback wrote."
        )
    if settings["reward"] == "paper" and (settings["weights"] or not settings["triangle"]):
        raise InputError(
            "reinforce: reward=paper is the released formula as it stands; leave triangle and weights to reward=prefix."
        )
    return settings

"""The stages of a NaviGen, as the pipeline reads them; see `config.reinforcement`."""

from collections.abc import Mapping
from typing import Any

from recbole_navigen.config.checking import refuse_unknown
from recbole_navigen.config.reading import nearest
from recbole_navigen.config.reinforcement import STAGES, holds_rows_out, reinforce_settings
from recbole_navigen.errors import InputError
from recbole_navigen.quick_start.scorers import BUILT_IN, SCORERS
from recbole_navigen.training.rewards import INSTRUCTION_WEIGHTS

__all__ = ["STAGES", "holds_rows_out", "refuse_unknown_scorer", "reinforce_settings"]


def refuse_unknown_scorer(settings: Mapping[str, Any]) -> None:
    """Refuse a scorer of instructions that is not in the table, which users may add to before a run.

    Args:
        settings: of the run.
    """
    own = reinforce_settings(settings["reinforce"])
    name, weights = own["scorer"], own["weights"]
    if "reinforce" not in settings["training_stages"]:
        return
    if name not in SCORERS:
        raise InputError(
            f"reinforce.scorer={name!r} is unknown; use {', '.join(SCORERS)}; the nearest is {nearest(name, SCORERS)}."
        )
    if name in BUILT_IN:
        refuse_unknown(weights, INSTRUCTION_WEIGHTS, f"of reinforce.weights with scorer {name}")

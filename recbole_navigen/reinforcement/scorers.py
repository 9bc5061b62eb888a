"""Who may score the instructions of reinforcement, by the name that `reinforce: {scorer: ...}` gives it.

One's own scorer is put into the table, under a name, before the run is started (docs/howto/reward.md).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recbole_navigen.config import Config
from recbole_navigen.config.checking import refuse_unknown
from recbole_navigen.config.reading import nearest
from recbole_navigen.config.reinforcement import reinforce_settings
from recbole_navigen.data import create_dataset
from recbole_navigen.errors import InputError
from recbole_navigen.reinforcement.rewards import INSTRUCTION_WEIGHTS, JudgeScorer, Scorer, TermScorer
from recbole_navigen.supervision.dataset_facts import facts_of
from recbole_navigen.supervision.facts import ItemFacts
from recbole_navigen.supervision.roles import roles_of
from recbole_navigen.supervision.settings import settings_of
from recbole_navigen.supervision.template.judge import TemplateJudge
from recbole_navigen.supervision.template.term_space import TermSpace


def _facts(config: Config, terms: Sequence[Sequence[str]]) -> tuple[ItemFacts, ...]:
    return facts_of(config, create_dataset(config), terms)


# Name -> what makes the scorer from the settings of the run and the TIDs by item index.
SCORERS: dict[str, Callable[[Config, Sequence[Sequence[str]]], Scorer]] = {
    "embedding": lambda config, terms: JudgeScorer(
        TemplateJudge(TermSpace(terms, _facts(config, terms), settings_of(config).domain))
    ),
    "terms": lambda config, terms: TermScorer(),
    "judge": lambda config, terms: JudgeScorer(roles_of(config, terms, _facts(config, terms)).judge),
}
BUILT_IN = frozenset(SCORERS)  # these give no further parts of a reward


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

"""Who may score the instructions of reinforcement, by the name that `reinforce: {scorer: ...}` gives it.

One's own scorer is put into the table, under a name, before the run is started (docs/howto/reward.md).
"""

from collections.abc import Callable, Sequence

from recbole_navigen.config import Config
from recbole_navigen.quick_start.supervised import roles_of
from recbole_navigen.supervision.space import TermSpace
from recbole_navigen.supervision.template_judge import TemplateJudge
from recbole_navigen.training.rewards import JudgeScorer, Scorer, TermScorer

# Name -> what makes the scorer from the settings of the run and the TIDs by item index.
SCORERS: dict[str, Callable[[Config, Sequence[Sequence[str]]], Scorer]] = {
    "embedding": lambda config, terms: JudgeScorer(TemplateJudge(TermSpace(terms))),
    "terms": lambda config, terms: TermScorer(),
    "judge": lambda config, terms: JudgeScorer(roles_of(config, terms).judge),
}
BUILT_IN = frozenset(SCORERS)  # these give no further parts of a reward

"""`navigen-feedback DIR learn`: the writer of a finished run learns from what users said of its media."""

from pathlib import Path

from rich.console import Console

from recbole_navigen.config.calls import checks
from recbole_navigen.errors import InputError
from recbole_navigen.pipeline.learn_feedback import Learned, learn_beside
from recbole_navigen.runs.result import read_result
from recbole_navigen.supervision.feedback_lines import FEEDBACK


@checks(folder="path", run="path", steps="int from 1 or None", show_progress="bool")
def run_learn(folder: str | Path, run: str | Path, steps: int | None = None, show_progress: bool = True) -> Learned:
    """Let the writer of a run learn from the feedback of a folder; see `pipeline.learn_feedback`.

    Args:
        folder: of run_generate, with `feedback.jsonl`. run: folder of the finished run; its writer changes only where
            the feedback of users that it did not learn from gets better.
        steps: of training; None: as properties/reinforce.yaml says. show_progress: whether a bar is shown.
    """
    if (model := read_result(run)["model"]) != "NaviGen":
        raise InputError(f"{run} holds a {model}, which writes no instructions; name a run of NaviGen.")
    given = {} if steps is None else {"steps": steps}
    outcome = learn_beside(run, Path(folder) / FEEDBACK, given, show_progress)
    Console(highlight=False).print(outcome.sentence, markup=False, soft_wrap=True)
    return outcome

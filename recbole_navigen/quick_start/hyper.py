"""`run_hyper`: a sweep over settings of one model by Optuna, alone or beside other workers on the same study."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_navigen.bars import use_bars
from recbole_navigen.config import Config
from recbole_navigen.config.calls import SETTINGS, checks
from recbole_navigen.config.settings import RunSettings
from recbole_navigen.errors import InputError
from recbole_navigen.owners import this_process
from recbole_navigen.pipeline.check import refuse_bad_data
from recbole_navigen.presentation.tables import shown_name
from recbole_navigen.quick_start.confirm import confirm as confirm_best
from recbole_navigen.quick_start.confirm import finished
from recbole_navigen.quick_start.run import require_writable
from recbole_navigen.quick_start.separate import RunFailed, RunStopped, SeparateRuns
from recbole_navigen.runs.folder import new_folder
from recbole_navigen.runs.identity import identity
from recbole_navigen.runs.result import read_result
from recbole_navigen.runs.summary import progress_bar
from recbole_navigen.tuning.page import TABLE, Sweep, write_report
from recbole_navigen.tuning.search_space import (
    Parameter,
    defaults,
    nested,
    read_space,
    refuse_bad_values,
    refuse_unfit,
    shipped_space,
)
from recbole_navigen.tuning.study import (
    FAILURE,
    PROCESS,
    PRUNERS,
    SAMPLERS,
    TrialState,
    UpdateFinishedTrialError,
    best_trial,
    ended,
    has_heartbeats,
    is_drawn,
    open_study,
    optuna,
    others_running,
    put_up_again,
    spent_seconds,
    worker_name,
)

SOURCES = ("backbone", "text_vectors")  # settings that name a model
HEARTBEAT = 30  # seconds
_WAITING = 2.0  # seconds between two looks at the trials of other workers
LATENCY = "users/s"  # NSGA-II's second objective: test users per second of the model's own evaluation


@checks(
    **SETTINGS,
    params_file="path or None",
    n_trials="int from 1",
    storage="str or None",
    study="str or None",
    sampler=f"one of {', '.join(SAMPLERS)}",
    pruner=f"one of {', '.join(PRUNERS)}",
    output="path or None",
    heartbeat="int from 1",
    confirm="int from 0",
    max_seconds="float above 0 or None",
)
def run_hyper(
    model: str | None = None,
    dataset: str | None = None,
    params_file: str | Path | None = None,
    n_trials: int = 20,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    argv: Sequence[str] = (),
    storage: str | None = None,
    study: str | None = None,
    sampler: str = "tpe",
    pruner: str = "median",
    output: str | Path | None = None,
    heartbeat: int = HEARTBEAT,
    confirm: int = 0,
    max_seconds: float | None = None,
) -> dict[str, Any]:
    """Search settings of a model that make its `valid_metric` best.

    Args:
        model, dataset, config_file_list, config_dict, argv: as of `run_navigen`; the same for all trials.
        params_file: the search space, yaml or RecBole's `hyper.test`; None takes properties/sweep/MODEL.yaml.
        n_trials: of the study, by all of its workers together. A grid ends sooner if it has fewer points.
        storage: None keeps the study in memory; `journal:FILE` or a database's URL (`sqlite:///FILE`) keeps it, so that
            several workers share it and a sweep that was stopped goes on.
        study: its name in the storage; None: MODEL-DATASET.
        sampler: tpe, random, grid, cmaes, or nsga2, which weighs the metric against test users per second.
        pruner: median, hyperband, halving or none: what stops trials whose valid metric lies behind. nsga2 stops none.
        output: folder of the report; None: checkpoint_dir/hyper-MODEL-DATASET-TIME.
        heartbeat: seconds between two signs of life of a worker. Databases only: a trial whose worker gives none for
            twice as long is run again by another worker.
        confirm: seeds, after that of the settings, on which the best trial and the default settings run once more.
        max_seconds: of all trials of the study together, after which no new one begins; None: no bound.

    Returns:
        `folder` of the report, `best` (number of the trial, `value`, `settings`, `test_result`; None if no trial
        succeeded), `confirmation` (`confirmed`, `seeds`, `valid_gap`, `test_gap` with its interval, `verdict`; None
        without `confirm`, and where the best trial has the default settings), and `trials`, `pruned` and `failed`, how
        many there were. `trials` also counts those that died with their worker or were interrupted; `failed` does not.

    Raises:
        InputError: bad input, found before any training.
    """
    # 1. Everything that can be refused early is refused here. Both ends of the space must be settings RecBole takes.
    config = Config(model, dataset, config_file_list, dict(config_dict or {}), argv)
    run = RunSettings.of(config)
    params_file = Path(params_file) if params_file else shipped_space(run.model)
    space = read_space(params_file)
    refuse_bad_values(space, config.given.described, str(params_file))
    refuse_unfit(space, config, config.external_config_dict, str(params_file))
    for end in (0, -1):
        values = {p.name: p.values[end] if p.kind == "choice" else (p.low, p.high)[end] for p in space}
        Config(model, dataset, config_file_list, {**(config_dict or {}), **nested(values, config)}, argv)
    if run.eval_args["split"] == {"LS": "test_only"}:
        raise InputError("eval_args.split={LS: test_only} has no validation to search by; use {LS: valid_and_test}")
    require_writable(run.checkpoint_dir, "checkpoint_dir")
    _refuse_output(output)
    use_bars(run.progress)
    # A choice among models may name one that is not there.
    named = [{p.name: value} for p in space if p.kind == "choice" and p.name in SOURCES for value in p.values]
    others = ({**(config_dict or {}), **nested(value, config)} for value in named)
    refuse_bad_data([config, *(Config(model, dataset, config_file_list, first, argv) for first in others)])
    objectives = [run.metric, LATENCY] if sampler == "nsga2" else [run.metric]
    directions = ["maximize" if run.valid_metric_bigger else "minimize", "maximize"][: len(objectives)]
    origin = identity(config)
    trials = open_study(
        study or run.name,
        directions,
        space,
        origin,
        storage,
        sampler,
        "none" if sampler == "nsga2" else pruner,
        heartbeat,
        n_trials,
        run.seed,
    )

    # 2. The first trial has the settings of a run without a sweep, so that the best one is no worse than that. On a
    # stored study, trials that were interrupted come before new ones.
    if sampler == "grid":
        n_trials = min(n_trials, math.prod(len(parameter.grid()) for parameter in space))
    put_up_again(trials)
    if sampler != "grid" and not is_drawn(trials, first := defaults(space, config)):
        trials.enqueue_trial(first)

    # 3. Trials, until the study has enough of them. A worker waits for the others' last ones, to redo those that die.
    heartbeats = has_heartbeats(storage)
    with progress_bar(n_trials, run.show_progress) as (say, bar), SeparateRuns() as separately:
        objective = Objective(config, space, len(objectives), separately, bar)
        while (done := len(ended(trials))) < n_trials and spent_seconds(trials) < (max_seconds or math.inf):
            if done + (running := others_running(trials, heartbeats)) < n_trials:
                try:
                    trials.optimize(
                        objective, n_trials=1, catch=(RunFailed,), callbacks=[_tell(say, run.metric, n_trials)]
                    )
                except ValueError as error:
                    # What Optuna says where this worker gave no sign of life for too long, and others took its trial.
                    if not str(error).startswith("Cannot tell a"):
                        raise
                    say("a trial was taken over by another worker, since this one seemed to be dead")
            else:
                bar(done, f"waiting for {running} trials of other workers")
                time.sleep(_WAITING)
        sweep = Sweep(trials, config, space, objectives, params_file, origin)
        best, confirmation = best_trial(trials), None
        if confirm and best is not None and not sweep.is_default(best):
            values = nested(sweep.values(best), config)
            confirmation = confirm_best(config, values, confirm, separately, lambda line: bar(n_trials, line))

    # 4. The report.
    folder = Path(output) if output else new_folder(run.checkpoint_dir, f"hyper-{run.name}")
    shown = None if confirmation is None else (confirmation.verdict(), confirmation.table())
    result = write_report(sweep, folder, shown)
    result["confirmation"] = None if confirmation is None else confirmation.summary()
    return result


def _refuse_output(output: str | Path | None) -> None:
    """Refuse a folder that holds something else: the report replaces the whole folder."""
    if not output or (Path(output) / TABLE).is_file():
        return
    if not Path(output).exists():
        require_writable(output, "output")
    elif not Path(output).is_dir() or any(Path(output).iterdir()):
        raise InputError(f"--output={output} is there already and is no sweep's report; name a new folder")


@dataclass(slots=True)
class Objective:
    """Runs a trial in a process of its own, and records how it went.

    Attributes:
        config: settings of all trials. space: what is searched.
        objectives: how many values Optuna wants; intermediate ones it takes only where there is one.
        separately: runs the models. bar: shows how many trials are done, and a line beside it.
    """

    config: Config
    space: Sequence[Parameter]
    objectives: int
    separately: SeparateRuns
    bar: Callable[[int, str], None]

    def __call__(self, trial: "optuna.Trial") -> tuple[float, ...]:
        start, scores, run = time.perf_counter(), [], RunSettings.of(self.config)
        values = {parameter.name: parameter.suggest(trial) for parameter in self.space}
        settings = {**self.config.external_config_dict, **nested(values, self.config), "show_progress": False}
        done = len(ended(trial.study))
        trial.set_user_attr("worker", worker_name())
        trial.set_user_attr(PROCESS, this_process())

        def judge(epoch: int, score: float) -> bool:
            scores.append(score)
            if not math.isfinite(score):
                return False
            if self.objectives > 1:
                return True
            try:
                trial.report(score, epoch)
                return not trial.should_prune()
            except UpdateFinishedTrialError:
                return False  # another worker has taken the trial over, see `run_hyper`

        def progress(line: str) -> None:
            self.bar(done, f"trial {trial.number}: {line}")

        try:
            # What an earlier trial or run has trained already is not trained again.
            known = finished(self.config, settings)
            folder = known or self.separately(run.model, run.dataset, settings, progress, judge)
            record = read_result(folder)
            if known:
                trial.set_user_attr("found", True)
                for row in record["validations"]:
                    scores.append(row["score"])
                    if self.objectives == 1:
                        trial.report(row["score"], row["epoch"])
            if record["best_valid_score"] is None:
                raise RunFailed("the run had no validation; the split must have a validation part")
        except RunStopped:
            if math.isfinite(scores[-1]):
                raise optuna.TrialPruned from None
            error = RunFailed(f"{run.valid_metric} was {scores[-1]} at evaluation {len(scores)}")
            trial.set_user_attr(FAILURE, str(error))
            raise error from None
        except RunFailed as error:
            trial.set_user_attr(FAILURE, str(error))
            raise
        finally:
            trial.set_user_attr("seconds", round(time.perf_counter() - start, 3))
            trial.set_user_attr("evaluations", len(scores))
        trial.set_user_attr("folder", folder)
        trial.set_user_attr("test_result", record["test_result"])
        trial.set_user_attr(LATENCY, record["test_users_per_second"])
        return (record["best_valid_score"], record["test_users_per_second"])[: self.objectives]


def _tell(say: Callable[[str], None], metric: str, total: int) -> Callable[["optuna.Study", Any], None]:
    """A callback of Optuna's that prints one line a trial."""

    def tell(study: "optuna.Study", trial: "optuna.trial.FrozenTrial") -> None:
        name, attributes = f"{len(ended(study))} of {total}: trial {trial.number}", trial.user_attrs
        if trial.state == TrialState.FAIL:
            say(f"{name} FAILED: {attributes[FAILURE]}")
            return
        if trial.state == TrialState.PRUNED:
            last = list(trial.intermediate_values.values())[-1]
            outcome = f"stopped early at {shown_name(metric)} {last:.4f}"
        else:
            speed = [f"{value:,.0f} {LATENCY}" for value in trial.values[1:]]
            outcome = ", ".join((f"{shown_name(metric)} {trial.values[0]:.4f}", *speed))
            if attributes.get("found"):
                outcome += f", found in {attributes['folder']}"
        best = best_trial(study)
        so_far = f"; best so far {best.values[0]:.4f} of trial {best.number}" if best is not None else ""
        say(f"{name}: {outcome}, {attributes['seconds']:.0f} s, {attributes['evaluations']} evaluations{so_far}")

    return tell

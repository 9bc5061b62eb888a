"""What a sweep leaves behind: the best settings, all trials as CSV, two plots and one HTML page."""

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

import recbole_navigen
from recbole_navigen.artefacts import atomic_directory
from recbole_navigen.config.config import NOT_LEARNED, Config
from recbole_navigen.config.forms import sampled
from recbole_navigen.config.settings import RunSettings
from recbole_navigen.presentation.html_result import HtmlResult
from recbole_navigen.presentation.page import to_html
from recbole_navigen.presentation.plots import Plot, bar_plot, points_plot
from recbole_navigen.presentation.tables import Cell, Table, csv_text, prints, shown_name, to_terminal
from recbole_navigen.redaction import without_hidden
from recbole_navigen.sources import versions
from recbole_navigen.tuning.search_space import Parameter, defaults, nested
from recbole_navigen.tuning.study import FAILURE, TrialState, best_trial, optuna

BEST, TABLE, PAGE = "best.yaml", "trials.csv", "sweep.html"
SHOWN = 10  # trials in the printed table
# Settings of a place or a screen, which a file of settings that travels must not hold; the seed and the data belong in.
_PLACES = NOT_LEARNED - {"seed", "data_path", "metrics", "topk", "model_file", "metrics_file"}


@dataclass(frozen=True, slots=True)
class Sweep:
    """A study of Optuna, with the settings that it searched and those that all its trials share.

    Attributes:
        study: with its trials.
        config: settings that all trials share.
        space: what was searched.
        objectives: names of the values of a trial, the metric first.
        params_file: where the space was read from.
        origin: what names a run of the settings: its data files among others.
    """

    study: "optuna.Study"
    config: Config
    space: Sequence[Parameter]
    objectives: Sequence[str]
    params_file: Path
    origin: Mapping[str, Any]

    @property
    def run(self) -> RunSettings:
        """The settings, by name."""
        return RunSettings.of(self.config)

    def is_default(self, trial: "optuna.trial.FrozenTrial") -> bool:
        """Whether a trial has the settings of a run without the search."""
        own = defaults(self.space, self.config)
        return len(own) == len(self.space) and all(trial.params.get(name) == value for name, value in own.items())

    def settings(self, trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
        """All settings of a trial that differ from the defaults, ready for `--config_files`."""
        own = {key: value for key, value in self.config.external_config_dict.items() if key not in _PLACES}
        named = {"model": self.run.model, "dataset": self.run.dataset}
        settings = {**named, **own, **nested(self.values(trial), self.config)}
        # In the form in which the trial's process got them: a path, for one, is text that yaml can write.
        return json.loads(json.dumps(settings, default=str))

    def values(self, trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
        """The searched settings of a trial, by dotted name."""
        return {p.name: p.value(trial.params[p.name]) for p in self.space if p.name in trial.params}


def write_report(sweep: Sweep, folder: Path, confirmation: tuple[str, Table] | None = None) -> dict[str, Any]:
    """Write everything into a folder, all or nothing, and print the best trials.

    Args:
        sweep: what it is about. folder: of the report.
        confirmation: what the best trial does on other seeds, as a sentence and a table; None if that was not asked.

    Returns:
        As `run_hyper` does.
    """
    trials = [trial for trial in sweep.study.get_trials(deepcopy=False) if trial.state.is_finished()]
    best, plots = best_trial(sweep.study), _plots(sweep, trials)
    done, sign = [t for t in trials if t.state == TrialState.COMPLETE], sweep.run.sign
    ranked = sorted(done, key=lambda trial: sign * trial.values[0], reverse=True)
    rest = [trial for trial in trials if trial.state != TrialState.COMPLETE]
    verdict = confirmation[0] if confirmation else _unconfirmed(sweep, best, trials)
    confirming = [confirmation[1]] if confirmation else []
    title = f"{sweep.run.model} on {sweep.run.dataset}: {len(trials)} trials"
    with atomic_directory(folder) as temporary:
        if best is not None:
            (temporary / BEST).write_text(_best_yaml(sweep, best, len(trials), verdict), encoding="utf-8")
        (temporary / TABLE).write_text(_csv(sweep, trials), encoding="utf-8")
        for name, plot in plots.items():
            (temporary / f"{name}.svg").write_text(plot.light, encoding="utf-8")
        tables = [*confirming, _table(sweep, ranked + rest, best)]
        page = to_html(title, {**_facts(sweep, trials), "Best trial": verdict}, tables, list(plots.values()))
        (temporary / PAGE).write_text(page, encoding="utf-8")
    console = Console(highlight=False, quiet=not prints(sweep.run.state))
    console.print(*to_terminal([*confirming, _table(sweep, ranked[:SHOWN], best)]), sep="\n")
    if verdict:
        console.print(verdict, soft_wrap=True, markup=False)
    files = ([BEST] if best is not None else []) + [TABLE, PAGE, *(f"{name}.svg" for name in plots)]
    console.print(f"The sweep is in {folder}: {', '.join(files)}.", soft_wrap=True, markup=False)
    if best is not None:
        how = f"python run_navigen.py --config_files {folder / BEST}"
        console.print(f"Train with the best settings: {how}", soft_wrap=True, markup=False)
    states = [_state(trial) for trial in trials]
    result = {
        "folder": str(folder),
        "best": best
        and {
            "number": best.number,
            "value": best.values[0],
            "settings": sweep.settings(best),
            "test_result": best.user_attrs["test_result"],
        },
        "trials": len(trials),
        "pruned": states.count("stopped early"),
        "failed": states.count("failed"),
    }
    return HtmlResult(result, [*confirming, _table(sweep, ranked[:SHOWN], best)])


def _unconfirmed(sweep: Sweep, best: "optuna.trial.FrozenTrial | None", trials: Sequence[Any]) -> str:
    """What is to be said of a best trial that ran on one seed alone, beside the trial of the default settings."""
    if best is None:
        return ""
    if sweep.is_default(best):
        return "The best trial has the default settings."
    metric, sign = sweep.objectives[0], sweep.run.sign
    standard = next((t for t in trials if t.state == TrialState.COMPLETE and sweep.is_default(t)), None)
    beside = ""
    if standard is not None:
        tests = [trial.user_attrs["test_result"].get(metric) for trial in (best, standard)]
        gaps = [sign * (best.values[0] - standard.values[0])]
        gaps += [sign * (tests[0] - tests[1])] if None not in tests else []
        named = [f"{gap:+.4f} on {part}" for gap, part in zip(gaps, ("validation", "the test"), strict=False)]
        beside = f" It is {' and '.join(named)} from the default settings (trial {standard.number})."
    return f"The best trial ran on one seed alone; --confirm=3 compares it with the default on others.{beside}"


def _best_yaml(sweep: Sweep, best: "optuna.trial.FrozenTrial | None", count: int, verdict: str) -> str:
    metric = sweep.objectives[0]
    test = best.user_attrs["test_result"].get(metric)
    lines = (
        f"# Best of {count} trials of {sweep.study.study_name}: trial {best.number}, "
        + f"valid {metric} {best.values[0]:.4f}"
        + (f", test {test:.4f}" if test is not None else "")
        + f". Searched: {sweep.params_file}.",
        f"# Data files {sweep.origin['files_hash'][:12]}, seed {sweep.run.seed}.",
        f"# {verdict}",
        f"# RecBole-NaviGen {recbole_navigen.__version__}. Use it: python run_navigen.py --config_files {BEST}",
    )
    settings, left_out = without_hidden(sweep.settings(best))
    lines += tuple(
        f"# {name} is left out since it holds a secret ({shown}); give it beside this file."
        for name, shown in left_out.items()
    )
    return "\n".join(lines) + "\n" + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def _csv(sweep: Sweep, trials: Sequence[Any]) -> str:
    """One line a trial: state, values, what it cost, its settings, its test metrics, and why it failed."""
    lines = []
    for trial in trials:
        attributes = trial.user_attrs
        reported = list(trial.intermediate_values.values())
        values = trial.values or ([reported[-1]] if reported else [])
        lines.append(
            {
                "trial": trial.number,
                "state": _state(trial),
                **dict(zip(sweep.objectives, values, strict=False)),
                "seconds": attributes.get("seconds"),
                "evaluations": attributes.get("evaluations"),
                **sweep.values(trial),
                **{f"test {name}": value for name, value in attributes.get("test_result", {}).items()},
                "found": attributes.get("found"),
                "failure": attributes.get(FAILURE),
                "folder": attributes.get("folder"),
                "worker": attributes.get("worker"),
            }
        )
    first = ("trial", "state", *sweep.objectives, "seconds", "evaluations", *(p.name for p in sweep.space))
    columns = dict.fromkeys((*first, *(column for line in lines for column in line)))
    return csv_text(list(columns), lines)


def _state(trial: "optuna.trial.FrozenTrial") -> str:
    """In words; a trial that failed without a reason of its own died with its worker."""
    if trial.state == TrialState.FAIL:
        return "failed" if FAILURE in trial.user_attrs else "killed"
    return {TrialState.COMPLETE: "done", TrialState.PRUNED: "stopped early"}[trial.state]


def _table(sweep: Sweep, trials: Sequence[Any], best: "optuna.trial.FrozenTrial | None") -> Table:
    metric = sweep.objectives[0]
    rows = []
    for trial in trials:
        attributes, values = trial.user_attrs, [f"{value:,.4f}" for value in trial.values or ()]
        test = attributes.get("test_result", {}).get(metric)
        reported = list(trial.intermediate_values.values())
        if not values and reported:
            values = [f"{reported[-1]:,.4f}"]
        values += [""] * (len(sweep.objectives) - len(values))
        is_best = best is not None and trial.number == best.number
        cells = [Cell(value, best=is_best) for value in values]
        rows.append(
            (
                Cell(str(trial.number)),
                Cell(_state(trial)),
                *cells,
                Cell("" if test is None else f"{test:.4f}"),
                Cell(f"{attributes['seconds']:.0f}" if "seconds" in attributes else ""),
                *(Cell(_short(sweep.values(trial).get(parameter.name))) for parameter in sweep.space),
            )
        )
    names = [f"valid {shown_name(metric)}", *sweep.objectives[1:]]
    columns = ("trial", "state", *names, f"test {shown_name(metric)}", "seconds", *(p.name for p in sweep.space))
    failures = [f"trial {t.number} failed: {t.user_attrs[FAILURE]}" for t in trials if FAILURE in t.user_attrs]
    among = {part: sampled(mode) for part, mode in sweep.run.eval_args["mode"].items()}
    kinds = [f"{part} metrics are {words}" for part, words in among.items() if words]
    notes = ("The valid metric alone chooses; test metrics are shown for the record.", *kinds, *failures)
    return Table("Trials, the best first", "trials", columns, tuple(rows), notes)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _facts(sweep: Sweep, trials: Sequence[Any]) -> dict[str, str]:
    """What stands at the top of the page."""
    states = [_state(trial) for trial in trials]
    seconds = sum(trial.user_attrs.get("seconds", 0.0) for trial in trials)
    for_all, left_out = without_hidden(sweep.config.external_config_dict), _PLACES - {"checkpoint_dir"}
    fixed = [f"{name}={_short(value)}" for name, value in for_all[0].items() if name not in left_out]
    return {
        "Study": sweep.study.study_name,
        "Trials": ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)),
        "Sampler": type(sweep.study.sampler).__name__,
        "Pruner": type(sweep.study.pruner).__name__,
        "Minutes of all trials": f"{seconds / 60:.1f}",
        "Search space": str(sweep.params_file),
        "Fixed settings": ", ".join(fixed) or "none",
        "Seed": str(sweep.run.seed),
        "Data": f"{sweep.run.dataset}, sha256 of its files {sweep.origin['files_hash']}",
        "Written": time.strftime("%Y-%m-%d %H:%M"),
        # A study takes no trials of other versions, since they are in its identity.
        "Versions of all trials": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }


def _plots(sweep: Sweep, trials: Sequence[Any]) -> dict[str, Plot]:
    """File name -> plot: the history, importances where there are enough trials, and the front of two objectives."""
    metric, done = shown_name(sweep.objectives[0]), [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not done:
        return {}
    better = max if sweep.run.valid_metric_bigger else min
    dots = {"done": [(trial.number, trial.values[0]) for trial in done]}
    stopped = [trial for trial in trials if trial.state == TrialState.PRUNED and trial.intermediate_values]
    if stopped:
        dots["stopped early"] = [(t.number, list(t.intermediate_values.values())[-1]) for t in stopped]
    first = min(number for number, _ in dots["done"])
    places = sorted(number for parts in dots.values() for number, _ in parts if number >= first)
    best = {place: better(v for n, v in dots["done"] if n <= place) for place in places}
    plots = {
        "history": points_plot(f"Valid {metric} by trial", "trial", f"valid {metric}", dots, ("best so far", best))
    }
    if len(sweep.objectives) > 1:
        front = {trial.number for trial in sweep.study.best_trials}
        pairs = {
            name: [tuple(reversed(trial.values)) for trial in done if (trial.number in front) == inside]
            for name, inside in (("front", True), ("other trials", False))
        }
        shown = {name: points for name, points in pairs.items() if points}
        plots["front"] = points_plot(f"{metric} against speed", sweep.objectives[1], f"valid {metric}", shown)
    try:
        # PED-ANOVA asks which settings lead to low values of its target, and warns that it does.
        sign = -1 if better is max else 1
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            shares = optuna.importance.get_param_importances(sweep.study, target=lambda trial: sign * trial.values[0])
    except (ValueError, RuntimeError):  # too few trials, or all with the same value
        return plots
    if shares:
        caption = f"Which settings moved valid {metric} (share, PED-ANOVA)"
        plots["importance"] = bar_plot(caption, "importance", shares)
    return plots

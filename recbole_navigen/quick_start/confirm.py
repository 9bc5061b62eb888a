"""The best trial of a sweep beside the settings without the search, on seeds that chose nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recbole_navigen.config import Config
from recbole_navigen.config.settings import RunSettings
from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.evaluation.ranks import METRICS, metric_values
from recbole_navigen.evaluation.statistics import Interval, bootstrap
from recbole_navigen.presentation.tables import Cell, Table, shown_name
from recbole_navigen.quick_start.separate import RunFailed, SeparateRuns
from recbole_navigen.runs.identity import identity
from recbole_navigen.runs.result import Run, finished_folders, read_result

BEST, DEFAULT = "best trial", "default settings"


@dataclass(slots=True)
class Confirmation:
    """Runs of the best trial and of the default settings on other seeds.

    Attributes:
        metric: `valid_metric` in small letters. bigger: whether more of it is better.
        valid, test: their values, seed -> number, by `BEST` and `DEFAULT`. users: test values of each user, alike.
        failures: sentences on runs that failed.
    """

    metric: str
    bigger: bool
    valid: dict[str, dict[int, float]] = field(default_factory=lambda: {BEST: {}, DEFAULT: {}})
    test: dict[str, dict[int, float]] = field(default_factory=lambda: {BEST: {}, DEFAULT: {}})
    users: dict[str, dict[int, np.ndarray]] = field(default_factory=lambda: {BEST: {}, DEFAULT: {}})
    failures: list[str] = field(default_factory=list)

    @property
    def seeds(self) -> list[int]:
        """The seeds on which both were run."""
        return sorted(self.valid[BEST].keys() & self.valid[DEFAULT].keys())

    def gap(self, values: Mapping[str, Mapping[int, float]]) -> float:
        """Return the mean lead of the best trial over the seeds; it is negative where that trial is behind."""
        sign = 1 if self.bigger else -1
        return sign * float(np.mean([values[BEST][seed] - values[DEFAULT][seed] for seed in self.seeds]))

    @property
    def test_gap(self) -> Interval:
        """`gap` on the test, with a 95% interval over users where their ranks were kept."""
        if not all(seed in self.users[row] for row in (BEST, DEFAULT) for seed in self.seeds):
            return Interval(self.gap(self.test), np.nan, np.nan)
        means = {row: np.mean([self.users[row][seed] for seed in self.seeds], axis=0) for row in (BEST, DEFAULT)}
        return bootstrap(means[BEST] - means[DEFAULT])

    @property
    def confirmed(self) -> bool:
        """Whether the best trial is ahead on validation, on average over the other seeds. The test decides nothing."""
        return bool(self.seeds) and self.gap(self.valid) > 0

    def verdict(self) -> str:
        """Return the verdict in one sentence."""
        if not self.seeds:
            return f"Not confirmed: {'; '.join(self.failures)}."
        test, name = self.test_gap, shown_name(self.metric) if "@" in self.metric else self.metric
        interval = f" [{test.low:+.4f}, {test.high:+.4f}]" if np.isfinite(test.low) else ""
        outcome, seeds = "Confirmed" if self.confirmed else "Not confirmed", ", ".join(map(str, self.seeds))
        return (
            f"{outcome}: on the seeds {seeds} the best trial is {self.gap(self.valid):+.4f} {name} from the default "
            f"settings on validation, and {test.mean:+.4f}{interval} on the test."
        )

    def table(self) -> Table:
        """Return a table with validation and test of both, seed by seed."""
        name = shown_name(self.metric) if "@" in self.metric else self.metric
        columns = [f"{part} {name}, seed {seed}" for seed in self.seeds for part in ("valid", "test")]
        rows = []
        for row in (BEST, DEFAULT):
            values = [own[row][seed] for seed in self.seeds for own in (self.valid, self.test)]
            rows.append((Cell(row), *(Cell(f"{value:.4f}", numbers={"": value}) for value in values)))
        notes = ("Seeds that the search did not use; + is ahead.", self.verdict(), *self.failures)
        return Table("The best trial on other seeds", "confirmation", ("settings", *columns), tuple(rows), notes)

    def summary(self) -> dict[str, Any]:
        """Return the part of the confirmation that `run_hyper` returns."""
        gaps = {}
        if self.seeds:
            test = self.test_gap
            gaps = {"valid_gap": self.gap(self.valid), "test_gap": [test.mean, test.low, test.high]}
        return {"confirmed": self.confirmed, "seeds": self.seeds, "verdict": self.verdict(), **gaps}


def confirm(
    config: Config, best: Mapping[str, Any], count: int, separately: SeparateRuns, progress: Callable[[str], None]
) -> Confirmation:
    """Run the best trial and the default settings on the next seeds; finished runs are not repeated.

    Args:
        config: settings of all trials. best: those of the best trial. count: of seeds.
        separately: runs the models. progress: is told what is going on.
    """
    run = RunSettings.of(config)
    metric, confirmation = run.metric, Confirmation(run.metric, run.sign > 0)
    for seed in range(run.seed + 1, run.seed + 1 + count):
        for row, own in ((BEST, best), (DEFAULT, {})):
            settings = {**config.external_config_dict, **own, "seed": seed, "show_progress": False}
            name = f"{row}, seed {seed}"
            try:
                folder = finished(config, settings) or separately(
                    run.model, run.dataset, settings, lambda line, name=name: progress(f"{name}: {line}")
                )
            except RunFailed as error:
                confirmation.failures.append(f"{name} failed: {error}")
                continue
            record = read_result(folder)
            confirmation.valid[row][seed], confirmation.test[row][seed] = (
                record["best_valid_score"],
                record["test_result"][metric],
            )
            if metric.partition("@")[0] in METRICS:
                try:
                    ranks = Run.load(folder).ranks
                except (InputError, DamagedArtefact):
                    continue  # splits that keep no ranks
                # In the protocol of the run's own test.
                general = record["config"]["MODEL_TYPE"] != "SEQUENTIAL" and not record["protocol"]["repeatable"]
                hidden = record["protocol"]["exclude_history"] or general
                confirmation.users[row][seed] = metric_values(metric, ranks.rank_unseen if hidden else ranks.rank)
    return confirmation


def finished(config: Config, settings: Mapping[str, Any]) -> str | None:
    """Folder of a finished run of the model with these settings; None without one, or where they cannot be meant."""
    run = RunSettings.of(config)
    try:
        config_of_seed = Config(run.model, run.dataset, config_dict=dict(settings))
    except InputError:
        return None
    return next(map(str, finished_folders(run.checkpoint_dir, identity(config_of_seed))), None)

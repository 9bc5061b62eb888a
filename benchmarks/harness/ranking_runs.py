"""Runs that rank, which benchmarks share: found again where they are finished, trained where they are not."""

from pathlib import Path
from typing import Any

import numpy as np

from harness.common import ROOT
from recbole_navigen.comparison.estimates import Comparison, Contender
from recbole_navigen.comparison.page import report
from recbole_navigen.config.reading import read_settings
from recbole_navigen.config.shipped import described
from recbole_navigen.evaluation.ranks import ndcg
from recbole_navigen.evaluation.statistics import Interval, interval, resampled_means
from recbole_navigen.quick_start import run_compare
from recbole_navigen.quick_start.run import finished_run
from recbole_navigen.runs.result import Run

RUNS = ROOT / "benchmarks" / "runs" / "quality"
TUNED = ROOT / "benchmarks" / "tuned.yaml"
SELECT_ON = "unseen"  # items among which epochs are chosen


def settings_of(dataset: str, file: str | Path = TUNED) -> dict[str, dict[str, Any]]:
    """Settings of each model on a data set: those for all sets, the set's own above them, and NaviGen's defaults."""
    tuned = read_settings(file)
    return {**tuned.get("all", {}), **tuned.get(dataset, {}), "NaviGen": {}}


def compared(
    labels: list[str], name: str, seeds: int | list[int], models: dict[str, dict], argv: list[str]
) -> tuple[Comparison | None, int]:
    """Run models over the seeds, or over as many as `seeds` in their own settings allows, and put all into one table.

    Returns:
        The comparison, None if nothing ran, and the number of failed runs.
    """
    own = {label: dict(models[label]) for label in labels}
    groups: dict[int | None, list[str]] = {}
    for label, settings in own.items():
        groups.setdefault(settings.pop("seeds", None), []).append(label)
    given = {"models": own, "checkpoint_dir": str(RUNS / "saved"), "select_on": SELECT_ON}
    contenders: dict[str, Contender] = {}
    failed, metrics = 0, ()
    for most, group in groups.items():
        few = seeds if most is None else most if isinstance(seeds, int) else seeds[:most]
        # Each group is a comparison of its own, which refuses what none of its models reads.
        read = {key for label in group for key in described(own[label].get("model", label))}
        read_by_group = [word for word in argv if word[2:].partition("=")[0].partition(".")[0] in read]
        result = run_compare(group, name, few, config_dict=given, argv=read_by_group)
        failed += result["failed"]
        if result["comparison"] is not None:
            metrics = result["comparison"].metrics
            contenders |= {contender.label: contender for contender in result["comparison"].contenders}
    if not contenders:
        return None, failed
    ordered = [contenders[label] for label in labels if label in contenders]
    return report(ordered, metrics, RUNS / "saved")["comparison"], failed


def ranking_run(dataset: str, settings: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Folder and settings of a NaviGen that ranks, trained unless it is there already: one for all benchmarks, but for
    those that set a `checkpoint_dir` of their own.
    """
    own = {"checkpoint_dir": str(RUNS / "saved"), **settings}
    return finished_run(dataset, config_dict=own), own


def ratio(ours: list[Run], theirs: list[Run], protocol: str) -> Interval:
    """Quotient of two models' NDCG@10, averaged over their runs, with its interval paired over users."""
    values = np.array(
        [np.mean([ndcg(getattr(run.ranks, protocol), 10) for run in runs], axis=0) for runs in (ours, theirs)]
    )
    draws = resampled_means(values)
    return interval(values[0].mean() / values[1].mean(), draws[0] / draws[1])

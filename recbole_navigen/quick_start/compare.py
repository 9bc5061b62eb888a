"""`run_compare`: several models on one data set over several seeds. Every run is made once, then all are tabled."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_navigen.artefacts import content_hash
from recbole_navigen.bars import use_bars
from recbole_navigen.comparison.estimates import (
    PROTOCOLS,
    Contender,
    Failure,
    aspects_of,
    protocol_aspects,
    refuse_different,
)
from recbole_navigen.comparison.page import report
from recbole_navigen.config import shipped
from recbole_navigen.config.calls import SETTINGS, checks
from recbole_navigen.config.checking import fitted_all
from recbole_navigen.config.config import Config
from recbole_navigen.config.entries import gather_entries
from recbole_navigen.config.own_code import own_metrics
from recbole_navigen.config.reading import parse_argv
from recbole_navigen.config.rules import NOT_LEARNED, refuse_unknown_metrics
from recbole_navigen.config.settings import RunSettings
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.ranks import METRICS, metric_values
from recbole_navigen.evaluation.user_ranks import why_no_ranks
from recbole_navigen.pipeline.check import refuse_bad_data
from recbole_navigen.presentation.tables import prints, shown_name
from recbole_navigen.quick_start.run import require_writable
from recbole_navigen.quick_start.separate import RunFailed, SeparateRuns
from recbole_navigen.runs.identity import evaluation_protocol, identity
from recbole_navigen.runs.result import Run, find_finished
from recbole_navigen.runs.summary import progress_bar

SEEDS = "int from 1 to 1000 or list of int from 0 to 4294967295"  # what RecBole seeds with has 32 bits
SHOWN = {"metrics": ["NDCG", "Recall"], "topk": [10]}  # unless the user asks for others

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the comparison before its runs: its label, and its settings at any seed."""

    label: str
    config: Config


@checks(models="list of str or None", seeds=SEEDS, **SETTINGS)
def run_compare(
    models: Sequence[str] | None = None,
    dataset: str | None = None,
    seeds: int | Sequence[int] = 1,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    argv: Sequence[str] = (),
) -> dict[str, Any]:
    """Train and test models on identical splits and compare them user by user.

    Args:
        models: labels: names of models, or of entries in the section `models`; None takes all entries.
        dataset: name of the data set; None takes `dataset` from the settings, or else ml-100k.
        seeds: how many, counted from the setting `seed`, or which.
        config_file_list: yaml files of settings for all models. A section `models` may hold settings of single ones:
            `models: {SASRec: {train_rows: user}, "SASRec (prefix rows)": {model: SASRec}}`.
        config_dict: the same as typed Python values; it ranks above the files and below a model's own settings.
        argv: settings as `--key=value`, above all others. What only some of the models know goes to those.

    Returns:
        `folder`, where everything was written, `comparison` with all numbers (both None if no run succeeded), and
        `failed`, how many runs ended in an error.

    Raises:
        InputError: bad input, found before any training; or a run that turns out to be on other data than the first.
    """
    # 1. Everything that can be refused early is refused here.
    entries = _entries(models, dataset, config_file_list or (), dict(config_dict or {}), argv)
    first = RunSettings.of(entries[0].config)
    if isinstance(seeds, int):
        seeds = range(first.seed, first.seed + seeds)
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError("seeds must be a number of seeds, or different whole numbers such as [2020,2025]")
    metrics = _metrics(entries[0].config)
    _refuse_incomparable(entries, metrics)
    require_writable(first.checkpoint_dir, "checkpoint_dir")
    use_bars(first.progress)
    refuse_bad_data([entry.config for entry in entries])

    # 2. Runs, one seed of all models after the other, so that a table is possible as early as can be.
    runs: dict[str, list[Run]] = {entry.label: [] for entry in entries}
    failures: dict[str, list[Failure]] = {entry.label: [] for entry in entries}
    planned = [(entry, seed) for seed in seeds for entry in entries]
    with progress_bar(len(planned), first.show_progress) as (say, bar), SeparateRuns() as separately:
        for number, (entry, seed) in enumerate(planned, start=1):
            name = f"run {number} of {len(planned)}: {entry.label}, seed {seed}"
            bar(number - 1, name)
            config, start = entry.config, time.perf_counter()
            wanted = {**identity(config), "seed": seed}
            run_settings = RunSettings.of(config)
            run = find_finished(run_settings.checkpoint_dir, wanted)
            done = "found"
            if run is None:
                settings = {**config.external_config_dict, "seed": seed, "show_progress": False}
                try:
                    folder = separately(
                        run_settings.model,
                        run_settings.dataset,
                        settings,
                        lambda line, n=number - 1, on=name: bar(n, f"{on}: {line}"),
                    )
                except RunFailed as error:
                    failures[entry.label].append(Failure(seed, str(error), error.details))
                    say(f"{name} FAILED: {error}")
                    continue
                run = Run.load(folder)
                done = f"done in {(time.perf_counter() - start) / 60:.1f} min"
            runs[entry.label].append(run)
            refuse_different({str(other): aspects_of(other) for row in runs.values() for other in row})
            say(f"{name} {done} ({run}), {_scores(run, metrics[0])}")

    # 3. The table.
    contenders = [Contender(label, tuple(runs[label]), tuple(failures[label])) for label in runs]
    failed = sum(map(len, failures.values()))
    if not any(runs.values()):
        return {"folder": None, "comparison": None, "failed": failed}
    result = report(contenders, metrics, first.checkpoint_dir, prints(first.state))
    result["failed"] = failed
    return result


@checks(folders="list of path", argv="list of str")
def compare_runs(folders: Sequence[str | Path], argv: Sequence[str] = ()) -> dict[str, Any]:
    """Compare finished runs.

    Args:
        folders: `saved/RUN`, each.
        argv: `--metrics`, `--topk` and `--checkpoint_dir` (where the comparison is written) as `--key=value`.

    Returns:
        As `run_compare` does.
    """
    known = {name: shipped.described()[name] for name in (*SHOWN, "checkpoint_dir")}
    given = fitted_all(known, parse_argv(argv), shipped.sections, "beside --runs")
    settings = {**SHOWN, "checkpoint_dir": "saved", **given}
    require_writable(settings["checkpoint_dir"], "checkpoint_dir")
    runs = [Run.load(folder) for folder in dict.fromkeys(Path(folder).expanduser() for folder in folders)]
    metrics = _existing(*(value if isinstance(value, list) else [value] for value in map(settings.get, SHOWN)), {})
    result = report(_labelled(runs), metrics, settings["checkpoint_dir"])
    result["failed"] = 0
    return result


def _entries(
    models: Sequence[str] | None,
    dataset: str | None,
    files: Sequence[str],
    config_dict: dict[str, Any],
    argv: Sequence[str],
) -> list[Entry]:
    """Put together the settings of each row."""
    return [
        Entry(label, Config(given.model, dataset, files, own, argv, comparison=True))
        for label, given, own in gather_entries(models, dataset, files, config_dict, argv)
    ]


def _metrics(config: Config) -> list[str]:
    """The metrics to show: NDCG and Recall at 10, or what the user asked for; the one that chose the epochs first."""
    asked = (config[key] if key in config.external_config_dict else SHOWN[key] for key in SHOWN)
    run = RunSettings.of(config)
    return sorted(_existing(*asked, own_metrics(run.metrics_file)), key=lambda metric: metric != run.metric)


def _existing(names: Sequence[str], topk: Sequence[int], user_metrics: Mapping[str, str]) -> list[str]:
    """The metrics that follow from the rank of a single target, such as ndcg@10, each once; a warning names others."""
    refuse_unknown_metrics(names, user_metrics)
    asked = dict.fromkeys(str(name).lower() for name in names)
    shown, left_out = [name for name in asked if name in METRICS], [name for name in asked if name not in METRICS]
    if not shown:
        raise InputError(f"none of the metrics {names} follows from ranks; use some of {', '.join(METRICS)}")
    if left_out:
        logger.warning(
            "the comparison leaves out %s: it shows what follows from the rank of a single target, which is %s",
            ", ".join(left_out),
            ", ".join(METRICS),
        )
    return list(dict.fromkeys(f"{name}@{int(k)}" for name in shown for k in topk))


def _refuse_incomparable(entries: Sequence[Entry], metrics: Sequence[str]) -> None:
    """Refuse what would not come to stand in one table, before it is trained."""
    for entry in entries:
        reason = why_no_ranks(entry.config)
        if reason:
            raise InputError(f"{entry.label} cannot be compared user by user: {reason}; leave it out or change that")
    kinds = {entry.label: str(entry.config.public()["MODEL_TYPE"]) for entry in entries}
    refuse_different(
        {entry.label: protocol_aspects(evaluation_protocol(entry.config), kinds[entry.label]) for entry in entries}
    )


def _labelled(runs: Sequence[Run]) -> list[Contender]:
    """Put runs that differ in their seed alone into one row, and name rows of one model by what they differ in."""
    rows: dict[str, dict[int, Run]] = {}
    for run in runs:
        own = dict(run.record["identity"])
        seed = own.pop("seed")
        row = rows.setdefault(content_hash(own), {})
        if seed in row:
            raise InputError(
                f"{row[seed]} and {run} are the same model with the same settings, data files and seed; "
                "name one of them"
            )
        row[seed] = run
    records = {row: next(iter(of_seeds.values())).record for row, of_seeds in rows.items()}
    contenders = []
    for row, mine in records.items():
        model = mine["identity"]["model"]
        others = [other for key, other in records.items() if key != row and other["identity"]["model"] == model]
        told = ", ".join(_told_apart(mine, others))
        contenders.append(Contender(f"{model} ({told})" if told else model, tuple(rows[row].values())))
    return contenders


def _told_apart(mine: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings of a run that some others do not share and, against those that share all of them, the rest of its
    identity: versions and hashes, of data files for example.

    Args:
        mine: its record. others: records of other runs of its model.
    """

    def differing(mine: Mapping[str, Any], theirs: Sequence[Mapping[str, Any]]) -> list[str]:
        keys = dict.fromkeys(key for settings in (mine, *theirs) for key in settings)
        return [f"{key}={mine.get(key)}" for key in keys if any(other.get(key) != mine.get(key) for other in theirs)]

    def learned(record: Mapping[str, Any]) -> dict[str, Any]:
        return _flat({key: value for key, value in record["config"].items() if key not in NOT_LEARNED})

    def made_of(record: Mapping[str, Any]) -> dict[str, Any]:
        known = {key: value for key, value in record["identity"].items() if key not in ("model", "seed")}
        return {key: value[:12] if key.endswith("_hash") else value for key, value in _flat(known).items()}

    twins = [other for other in others if not differing(learned(mine), [learned(other)])]
    return differing(learned(mine), list(map(learned, others))) + differing(made_of(mine), list(map(made_of, twins)))


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without nesting, under names such as eval_args.mode."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        inner = {f"{key}.{name}": entry for name, entry in _flat(value).items()} if isinstance(value, dict) else None
        flat.update({key: value} if inner is None else inner)
    return flat


def _scores(run: Run, metric: str) -> str:
    """A run's test metric under both protocols, in words."""
    values = {ranked: metric_values(metric, getattr(run.ranks, column)).mean() for column, ranked in PROTOCOLS.items()}
    return f"{shown_name(metric)} " + ", ".join(f"{value:.4f} among {ranked}" for ranked, value in values.items())

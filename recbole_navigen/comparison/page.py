"""What a comparison leaves behind: `saved/compare-DATASET-TIME/` with the table in every form and all numbers."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

import recbole_navigen
from recbole_navigen.artefacts import atomic_directory, plain
from recbole_navigen.comparison.estimates import PROTOCOLS, Comparison, Contender, Estimate, compare, costs
from recbole_navigen.evaluation.statistics import RESAMPLES
from recbole_navigen.evaluation.user_ranks import ITEM_THIRDS
from recbole_navigen.presentation.html_result import HtmlResult
from recbole_navigen.presentation.page import to_html
from recbole_navigen.presentation.plots import Plot, cost_plot, interval_plot
from recbole_navigen.presentation.tables import Cell, Table, shown_name, to_csv, to_latex, to_markdown, to_terminal
from recbole_navigen.redaction import hide_known
from recbole_navigen.runs.folder import new_folder
from recbole_navigen.runs.result import own_settings
from recbole_navigen.sources import versions

EXPLAINED = {
    "rank": "All items are ranked, those the user has consumed before included (RecBole's rule for sequential models).",
    "rank_unseen": "What the user has consumed before is hidden, the target itself never (exclude_history: True).",
}
COSTS = ("seeds", "parameters", "training min", "users/s", "MB")
MARKS = ((0.01, "‡"), (0.05, "†"))  # level -> mark of models below the best


def report(
    contenders: Sequence[Contender], metrics: Sequence[str], root: str | Path, printed: bool = True
) -> HtmlResult:
    """Compare, print if `printed`, and write everything below `root`.

    Returns:
        `folder`, where it was written, and the `comparison`.
    """
    comparison = compare(contenders, metrics)
    shown = tables(comparison)
    console = Console(highlight=False, quiet=not printed)
    console.print(*to_terminal(shown), sep="\n")
    title = f"Comparison on {comparison.dataset}"
    models = models_table(comparison)
    files = {
        "table.md": f"# {title}\n\n{to_markdown([*shown, models])}",
        "table.tex": to_latex(shown),
        "table.csv": to_csv(shown),
        "report.html": to_html(title, _facts(comparison), [*shown[:2], models, *shown[2:]], _plots(comparison)),
        "comparison.json": json.dumps(hide_known(plain(as_json(comparison))), indent=2, ensure_ascii=False) + "\n",
    }
    path = new_folder(root, f"compare-{comparison.dataset}")
    with atomic_directory(path) as folder:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    console.print(f"The comparison is in {path}: {', '.join(files)}.", soft_wrap=True, markup=False)
    return HtmlResult({"folder": str(path), "comparison": comparison}, shown)


def _facts(comparison: Comparison) -> dict[str, str]:
    """What stands at the top of the page."""
    runs = [run for contender in comparison.contenders for run in contender.runs]
    evaluation = runs[0].record["protocol"]["eval_args"]
    return {
        "Test users": f"{comparison.users:,}",
        "Models": str(len(comparison.contenders)),
        "Runs": str(len(runs)),
        "Protocol": f"leave one out by time ({evaluation['split']['LS']}), the whole catalogue ranked",
        "Data": runs[0].record["dataset_hash"][:12],
        "Test part": runs[0].record["split_hash"][:12],
        "Written": time.strftime("%Y-%m-%d %H:%M"),
        "RecBole-NaviGen": recbole_navigen.__version__,
    }


def _plots(comparison: Comparison) -> list[Plot]:
    """Metrics of all models, the first metric by thirds, and its cost."""
    first = comparison.metrics[0]
    labels = [contender.label for contender in comparison.contenders if contender.runs]
    plots = [
        interval_plot(
            "Means and 95% intervals over users",
            {
                shown_name(metric): {
                    label: {
                        f"among {ranked}": comparison.overall[protocol, metric][label].interval
                        for protocol, ranked in PROTOCOLS.items()
                    }
                    for label in labels
                }
                for metric in comparison.metrics[:3]
            },
        )
    ]
    for protocol, ranked in PROTOCOLS.items():
        panels: dict[str, dict[str, Any]] = {"popularity of the target": {}, "length of the history": {}}
        for group in comparison.groups:
            row = {label: found.interval for label, found in comparison.by_group[protocol, group.name].items()}
            if row:
                panels["popularity of the target" if group.name in ITEM_THIRDS else "length of the history"][
                    group.name
                ] = row
        panels = {title: rows for title, rows in panels.items() if rows}
        if panels:
            plots.append(interval_plot(f"{shown_name(first)} by thirds, among {ranked}", panels))
    ranked = next(iter(PROTOCOLS))
    points = [
        (
            contender.label,
            max(costs(contender)["training_minutes"], 1e-3),
            comparison.overall[ranked, first][contender.label].interval,
        )
        for contender in comparison.contenders
        if contender.runs
    ]
    plots.append(
        cost_plot(f"{shown_name(first)} and training time, among {PROTOCOLS[ranked]}", shown_name(first), points)
    )
    return plots


def tables(comparison: Comparison) -> list[Table]:
    """For each protocol: all metrics with what the models cost, and the first metric by thirds."""
    shown = []
    for protocol, ranked in PROTOCOLS.items():
        rows = []
        for contender in comparison.contenders:
            cells = [
                _cell(comparison.overall[protocol, metric].get(contender.label), contender)
                for metric in comparison.metrics
            ]
            rows.append((Cell(contender.label), *cells, *_costs(contender)))
        columns = ("model", *map(shown_name, comparison.metrics), *COSTS)
        title = f"{comparison.dataset}: {comparison.users:,} users, ranked among {ranked}"
        shown.append(Table(title, ranked, columns, tuple(rows), (EXPLAINED[protocol], *_notes(comparison))))
    for protocol, ranked in PROTOCOLS.items():
        rows = tuple(
            (
                Cell(contender.label),
                *(
                    _cell(comparison.by_group[protocol, group.name].get(contender.label), contender)
                    for group in comparison.groups
                ),
            )
            for contender in comparison.contenders
        )
        columns = ("model", *(group.name for group in comparison.groups))
        title = f"{shown_name(comparison.metrics[0])} by popularity of the target and by history, ranked among {ranked}"
        notes = tuple(f"{group.name}: {group.about}." for group in comparison.groups)
        shown.append(Table(title, ranked, columns, rows, (*notes, _STATISTICS)))
    return shown


def models_table(comparison: Comparison) -> Table:
    """What each row is: its settings, seeds, and where it was trained."""
    rows = []
    for contender in comparison.contenders:
        records = [run.record for run in contender.runs]
        seeds = ", ".join(str(record["seed"]) for record in records) or "-"
        settings = ", ".join(f"{name}={value}" for name, value in own_settings(records[0]).items()) if records else "-"
        machines = dict.fromkeys(map(_machine, records))
        cells = (contender.label, settings or "the defaults", seeds, "; ".join(machines) or "-")
        rows.append(tuple(map(Cell, cells)))
    columns = ("model", "settings beside the defaults", "seeds", "machine")
    note = "A run's result.json has all settings; a run of the same settings on the same data is found again."
    return Table("Models", "models", columns, tuple(rows), (note,))


def _machine(record: dict[str, Any]) -> str:
    """Where a run was trained, in words."""
    machine = record.get("machine")
    if machine is None:
        return "not known"
    processes = f", {machine['processes']} processes" if machine["processes"] > 1 else ""
    return f"{machine['device']}, {machine['processors']} processors{processes}, {machine['platform']}"


_STATISTICS = (
    f"[95% interval] and tests: bootstrap over users, {RESAMPLES:,} resamples, of values averaged over seeds. † below "
    "the best model (bold) at .05, ‡ at .01: two-sided paired test, corrected for all pairs of models in a column."
)


def _cell(estimate: Estimate | None, contender: Contender) -> Cell:
    if estimate is None:
        return Cell("-" if contender.runs else "failed")
    mark = "" if estimate.best else next((sign for level, sign in MARKS if estimate.p_family < level), "")
    found = estimate.interval
    numbers = {"": found.mean, " low": found.low, " high": found.high, " p": estimate.p_family}
    return Cell(f"{found.mean:.4f}", f"[{found.low:.4f}, {found.high:.4f}]", mark, estimate.best, numbers)


def _costs(contender: Contender) -> list[Cell]:
    """Cells of the columns `COSTS`."""
    done, tried = len(contender.runs), len(contender.runs) + len(contender.failures)
    cells = [Cell(str(done) if done == tried else f"{done} of {tried}", numbers={"": done})]
    if not done:
        return cells + [Cell("-")] * (len(COSTS) - 1)
    found = costs(contender)
    formats = {"parameters": ",.0f", "training_minutes": ".2f", "users_per_second": ",.0f", "peak_memory_mb": ",.0f"}
    return cells + [Cell(format(found[name], digits), numbers={"": found[name]}) for name, digits in formats.items()]


def _unequal_seeds(comparison: Comparison) -> list[str]:
    """A note that says which rows are averaged over which seeds, where these differ."""
    of_row = {row.label: sorted(run.record["seed"] for run in row.runs) for row in comparison.contenders if row.runs}
    rows: dict[str, list[str]] = {}
    for label, seeds in of_row.items():
        rows.setdefault(", ".join(map(str, seeds)), []).append(label)
    if len(rows) < 2:
        return []
    parts = "; ".join(f"{seeds} of {', '.join(labels)}" for seeds, labels in rows.items())
    return [
        f"UNEQUAL SEEDS: {parts}. A mean over more seeds is less a matter of chance, which intervals and tests do not "
        "know; compare rows of equal seeds."
    ]


def _notes(comparison: Comparison) -> list[str]:
    notes = [_STATISTICS]
    notes.append("training min: mean over seeds, with identifiers and validation; users/s: the model's own evaluation.")
    notes += [*_unequal_seeds(comparison), *_versions(comparison)]
    for contender in comparison.contenders:
        notes += [f"{contender.label}, seed {failure.seed} failed: {failure.error}" for failure in contender.failures]
    return notes


def _versions(comparison: Comparison) -> list[str]:
    """A note that says which runs were made by which versions, where there are several."""
    packages = tuple(versions())
    makers: dict[str, list[str]] = {}
    for contender in comparison.contenders:
        for run in contender.runs:
            known = run.record["versions"]
            named = ", ".join(f"{package} {known.get(package, '(not known)')}" for package in packages)
            makers.setdefault(named, []).append(f"{contender.label}, seed {run.record['seed']}")
    if len(makers) < 2:
        return []
    parts = "; ".join(f"{named} made {' and '.join(dict.fromkeys(runs))}" for named, runs in makers.items())
    return [f"These runs were made by different versions, which may differ by themselves: {parts}."]


def as_json(comparison: Comparison) -> dict[str, Any]:
    """All numbers as plain values."""

    def of(estimate: Estimate) -> dict[str, Any]:
        return {**asdict(estimate), "best": estimate.best}

    return {
        "dataset": comparison.dataset,
        "users": comparison.users,
        "metrics": list(comparison.metrics),
        "resamples": RESAMPLES,
        "groups": {
            group.name: {"about": group.about, "users": int(group.members.sum())} for group in comparison.groups
        },
        "models": [
            {
                "label": contender.label,
                "runs": [
                    {
                        "folder": str(run.folder),
                        **run.record["identity"],
                        "settings": own_settings(run.record),
                        "machine": run.record.get("machine"),
                        "dataset_hash": run.record["dataset_hash"],
                        "split_hash": run.record["split_hash"],
                        "protocol": run.record["protocol"],
                        "versions": run.record["versions"],
                    }
                    for run in contender.runs
                ],
                "failures": [asdict(failure) for failure in contender.failures],
                **costs(contender),
                "overall": {
                    ranked: {
                        metric: of(comparison.overall[protocol, metric][contender.label])
                        for metric in comparison.metrics
                        if contender.label in comparison.overall[protocol, metric]
                    }
                    for protocol, ranked in PROTOCOLS.items()
                },
                "by_group": {
                    ranked: {
                        group.name: of(comparison.by_group[protocol, group.name][contender.label])
                        for group in comparison.groups
                        if contender.label in comparison.by_group[protocol, group.name]
                    }
                    for protocol, ranked in PROTOCOLS.items()
                },
            }
            for contender in comparison.contenders
        ],
    }

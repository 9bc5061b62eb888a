"""What a comparison leaves behind: `saved/compare-DATASET-TIME/` with the table in every form and all numbers."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import recbole_navigen
from recbole_navigen.artefacts import atomic_directory, plain
from recbole_navigen.comparison.estimates import PROTOCOLS, Comparison, Contender, compare, costs
from recbole_navigen.comparison.tables import as_json, shown_name, tables
from recbole_navigen.evaluation.user_ranks import ITEM_THIRDS
from recbole_navigen.presentation.page import to_html
from recbole_navigen.presentation.plots import Plot, cost_plot, interval_plot
from recbole_navigen.presentation.tables import to_csv, to_latex, to_markdown, to_terminal
from recbole_navigen.redaction import hide_known
from recbole_navigen.runs.folder import new_folder


def report(contenders: Sequence[Contender], metrics: Sequence[str], root: str | Path) -> dict[str, Any]:
    """Compare, print, and write everything below `root`.

    Returns:
        `folder`, where it was written, and the `comparison`.
    """
    comparison = compare(contenders, metrics)
    shown = tables(comparison)
    console = Console(highlight=False)
    console.print(*to_terminal(shown), sep="\n")
    title = f"Comparison on {comparison.dataset}"
    files = {
        "table.md": f"# {title}\n\n{to_markdown(shown)}",
        "table.tex": to_latex(shown),
        "table.csv": to_csv(shown),
        "report.html": to_html(title, _facts(comparison), shown, _plots(comparison)),
        "comparison.json": json.dumps(hide_known(plain(as_json(comparison))), indent=2, ensure_ascii=False) + "\n",
    }
    path = new_folder(root, f"compare-{comparison.dataset}")
    with atomic_directory(path) as folder:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    console.print(f"The comparison is in {path}: {', '.join(files)}.", soft_wrap=True, markup=False)
    return {"folder": str(path), "comparison": comparison}


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

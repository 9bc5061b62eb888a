"""Is it the codes, the text, or the tuning? NaviGen less one part each, and SASRec with NaviGen's text and recipe.

    python benchmarks/ablations.py --dataset=ml-100k [--data_path=FOLDER] [--seeds=2] [--rows=NAME;NAME]

The rows stand in `ablations.yaml`; beside them SASRec, HSTU and Transitions with the settings of `tuned.yaml`. All are
chosen and ranked among unseen items and paired with NaviGen user by user. Finished runs in runs/quality/saved are used.
A call writes results/ablations-DATASET.json, keeps the rows measured before, and makes docs/ablations.md of all sets.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from harness.common import RESULTS, Bar, write_results
from harness.ranking_runs import compared, ratio, settings_of
from recbole_navigen.artefacts import read_json
from recbole_navigen.comparison.estimates import Comparison
from recbole_navigen.config.reading import parse_value, read_settings

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "ablations.md"
SETS = ("ml-100k", "amazon-toys-2014", "amazon-games-2018", "microlens-50k")
BESIDE = ("SASRec", "HSTU", "Transitions")
METRIC = "NDCG@10, unseen items"
RATIO = "NaviGen over it"
RIVAL = "SASRec + text + recipe"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--seeds", default="1", help="how many, or [2020,2025]")
    parser.add_argument("--rows", help="names of ablations.yaml, with semicolons; all by default")
    arguments, settings = parser.parse_known_args(argv)
    known = {**read_settings(HERE / "ablations.yaml")}
    known |= {label: own for label, own in settings_of(arguments.dataset).items() if label in BESIDE}
    labels = arguments.rows.split(";") if arguments.rows else list(known)
    labels = ["NaviGen", *(label for label in labels if label != "NaviGen")]
    seeds = parse_value("seeds", arguments.seeds)
    comparison, failed = compared(labels, arguments.dataset, seeds, known, settings)
    if comparison is None:
        return 1
    file = RESULTS / f"ablations-{arguments.dataset}.json"
    before = read_json(file)["table"] if file.is_file() else {}
    table = {**before, **rows(comparison)}
    table = {label: table[label] for label in known if label in table}
    bars = []
    if RIVAL in table:
        mean, low = (float(part.strip("[,")) for part in table[RIVAL][RATIO].split()[:2])
        bars.append(Bar(f"NaviGen / {RIVAL}, NDCG@10 among unseen items", mean, "above 1, and its interval", low > 1))
    write_results(file.stem, bars, {"table": table, "given": {label: known[label] for label in table}})
    PAGE.write_text(page(), encoding="utf-8")
    return int(failed > 0)


def rows(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Label -> column -> text."""
    found = {}
    runs = {row.label: row.runs for row in comparison.contenders if row.runs}
    for label, own in runs.items():
        over = ratio(runs["NaviGen"], own, "rank_unseen")
        tail = comparison.by_group["rank_unseen", "tail"]
        found[label] = {
            METRIC: str(comparison.overall["rank_unseen", "ndcg@10"][label].interval),
            RATIO: f"{over.mean:.3f} [{over.low:.3f}, {over.high:.3f}]" if label != "NaviGen" else "",
            "tail third": str(tail[label].interval) if tail else "",
            "seeds": ", ".join(str(run.record["seed"]) for run in own),
            "parameters": f"{own[0].record['parameters']['total']:,}",
            "training min": f"{sum(run.record['training_seconds'] for run in own) / len(own) / 60:.1f}",
        }
    return found


def page() -> str:
    """docs/ablations.md, from the results of all data sets."""
    lines = [
        "# Is it the codes, the text, or the tuning?\n",
        "*Made by `python benchmarks/ablations.py --dataset=NAME`.*\n",
        "NDCG@10 among unseen items, NaviGen less one part each, and SASRec with the text that NaviGen reads and the "
        "way in which it is trained. *NaviGen over it* is a quotient with its 95% interval, paired over users; above 1 "
        "NaviGen is ahead. Rows of one seed say nothing of seeds: two seeds of one model differ by 1 to 3%. What each "
        "row sets: `benchmarks/ablations.yaml`.\n",
    ]
    for name in SETS:
        file = RESULTS / f"ablations-{name}.json"
        if not file.is_file():
            lines.append(f"## {name}\n\nNot measured yet: `python benchmarks/ablations.py --dataset={name}`.\n")
            continue
        result = read_json(file)
        columns = list(next(iter(result["table"].values())))
        lines += [f"## {name}\n", f"Measured {result['date']}, commit {result['commit']}.\n"]
        lines += ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        lines += [f"| {label} | {' | '.join(row.values())} |" for label, row in result["table"].items()]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

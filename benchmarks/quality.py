"""Next-item quality: NaviGen beside Pop, ItemKNN, BPR, LightGCN and a softmax SASRec on user rows, user by user.

    python benchmarks/quality.py --dataset=ml-100k
    python benchmarks/quality.py --dataset=amazon-toys-2014 --data_path=FOLDER [--seeds=3] [--models=...] [--key=value]

Leave-one-out by exact time, the whole catalogue ranked, in both protocols: seen items stay in the ranking, or not.
Settings of the baselines stand in `tuned.yaml`; NaviGen runs with its defaults on every set. On ml-100k also GRU4Rec,
BERT4Rec and SASRec as RecBole's own loop trains them; that loop over prefixes is too slow for the larger sets on two
cores. Finished runs in runs/quality/saved are found again: a killed benchmark goes on where it stopped. Each run also
becomes one JSON in runs/quality: its settings, hashes, seed, seconds, parameters, peak memory and per-user ranks.
Beside quality stands speed: training users a second, minutes to the best validation score, everything before (NaviGen's
collaborative model) and every validation included, and minutes to the best score that RecBole's loop ever reaches.
Every model's epochs are chosen among unseen items, those of the headline (--select_on=all chooses among all).
With --part=NAME the results go to quality-DATASET-NAME.json, so that some models can be measured on their own.
"""

import argparse
import re
import sys
from typing import Any

import numpy as np

from harness.common import Bar, write_results
from harness.ranking_runs import RUNS, TUNED, compared, ratio, settings_of
from recbole_navigen.artefacts import write_json
from recbole_navigen.comparison.estimates import PROTOCOLS, Comparison
from recbole_navigen.comparison.page import tables
from recbole_navigen.config.reading import nearest, parse_value
from recbole_navigen.evaluation.user_ranks import UserRanks
from recbole_navigen.runs.result import Run

SEEDS = {"ml-100k": 5, "amazon-toys-2014": 3}  # 50,000 users make the interval tight with one
RATIO = {"ml-100k": 1.00}  # NDCG@10 of NaviGen / SASRec; elsewhere at least 1.05, and the interval above 1
MINUTES = {"amazon-toys-2014": 25, "amazon-games-2018": 45, "microlens-50k": 45}  # of training NaviGen once
LOOP = "SASRec (RecBole loop)"
SHORT = "NaviGen (short)"
FASTER = 10  # than that loop NaviGen is to be at the loop's own best score
YARDSTICK = {"amazon-toys-2014": 0.052}  # test NDCG@10 among unseen items that a tuned SASRec reaches
NOTE = (
    "GRU4Rec, BERT4Rec and SASRec as RecBole's own loop trains them stand on ml-100k only: that loop reads every "
    "prefix on its own and is too slow for the larger sets on two cores."
)
LOOP_NOTE = (
    "RecBole's own loop takes minutes an epoch here, so its models have one seed and a bounded number of epochs."
)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--seeds", help="how many, or [2020,2025]")
    parser.add_argument("--models", help="labels of tuned.yaml, and NaviGen, with commas; all by default")
    parser.add_argument("--part", help="name of these models' results")
    parser.add_argument("--tuned", default=TUNED, help="file of the settings")
    arguments, settings = parser.parse_known_args(argv)
    name = arguments.dataset

    # 1. Runs.
    models = settings_of(name, arguments.tuned)
    labels = arguments.models.split(",") if arguments.models else list(models)
    for label in labels:
        if label not in models:
            parser.error(
                f"--models={label} is unknown; the nearest is {nearest(label, models)!r} of {', '.join(models)}."
            )
    seeds = parse_value("seeds", arguments.seeds) if arguments.seeds else SEEDS.get(name, 1)
    comparison, failed = compared(labels, name, seeds, models, settings)
    if comparison is None:
        return 1
    for contender in comparison.contenders:
        for run in contender.runs:
            columns = {column: getattr(run.ranks, column).tolist() for column in UserRanks.__slots__[:-1]}
            slug = re.sub(r"[^A-Za-z0-9]+", "-", contender.label).strip("-")
            file = RUNS / f"{name}-{slug}-{run.record['seed']}.json"
            ranks = {"catalogue": run.ranks.catalogue, **columns}
            write_json(file, {**run.record, "label": contender.label, "ranks": ranks})

    # 2. Bars.
    notes = [LOOP_NOTE if name == "ml-100k" else NOTE]
    details = {"table": _table(comparison), "speed": speed(comparison), "notes": notes, "settings": models}
    write_results("-".join(filter(None, ("quality", name, arguments.part))), _bars(comparison), details)
    return int(failed > 0)


def _bars(comparison: Comparison) -> list[Bar]:
    """NaviGen against SASRec, where both have run."""
    name, rows = comparison.dataset, {row.label: row for row in comparison.contenders if row.runs}
    bars = []
    if "SASRec" in rows and name in YARDSTICK:
        value = comparison.overall["rank_unseen", "ndcg@10"]["SASRec"].interval.mean
        goal = YARDSTICK[name]
        bars.append(Bar("SASRec, test NDCG@10 among unseen items", value, f"at least {goal}", value >= goal))
    if not {"SASRec", "NaviGen"} <= rows.keys():
        return bars
    goal = RATIO.get(name, 1.05)
    for protocol, ranked in PROTOCOLS.items():
        found = ratio(rows["NaviGen"].runs, rows["SASRec"].runs, protocol)
        title = f"NaviGen / SASRec, test NDCG@10 among {ranked}, interval {found.low:.3f} to {found.high:.3f}"
        wanted = f"at least {goal:.2f}" + (", interval above 1.00" if goal > 1 else "")
        bars.append(Bar(title, found.mean, wanted, found.mean >= goal and (goal <= 1 or found.low > 1)))
        tail = comparison.by_group[protocol, "tail"]
        if tail:
            value = tail["NaviGen"].interval.mean - tail["SASRec"].interval.mean
            bars.append(Bar(f"NaviGen - SASRec, tail NDCG@10 among {ranked}", value, "at least 0", value >= 0))
    timed = unbroken(comparison)
    if {LOOP, "NaviGen"} <= timed.keys():
        goal = best_validation(timed[LOOP][0])[0]
        slow = minutes_to(timed[LOOP][0], goal)
        for label in filter(timed.get, ("NaviGen", SHORT)):
            gain = slow / np.mean([minutes_to(run, goal) for run in timed[label]])
            title = f"minutes to the loop's best validation NDCG@10 ({goal:.4f}), {LOOP} / {label}"
            bars.append(Bar(title, gain, f"at least {FASTER}", gain >= FASTER))
    elif LOOP in rows:
        bars.append(
            Bar(f"unbroken runs of {LOOP} and NaviGen, to compare their speed", 0, "at least one of each", False)
        )
    if name in MINUTES:
        minutes = max(run.record["training_seconds"] for run in rows["NaviGen"].runs) / 60
        bars.append(
            Bar(
                "NaviGen, minutes of the longest training",
                minutes,
                f"at most {MINUTES[name]}",
                minutes <= MINUTES[name],
            )
        )
    return bars


def unbroken(comparison: Comparison) -> dict[str, list[Run]]:
    """Label -> its runs that were validated and went through without a break, whose seconds say how fast they learn."""
    rows = {
        row.label: [run for run in row.runs if run.record["validations"] and not run.record["resumed"]]
        for row in comparison.contenders
    }
    return {label: runs for label, runs in rows.items() if runs}


def speed(comparison: Comparison) -> dict[str, dict[str, str]]:
    """Label -> how fast it learns, means over seeds."""
    rows = unbroken(comparison)
    loop = best_validation(rows[LOOP][0])[0] if LOOP in rows else None
    table = {}
    for label, runs in rows.items():
        last = [run.record["validations"][-1] for run in runs]
        users = [runs[0].record["test_users"] * (end["epoch"] + 1) / end["training_seconds"] for end in last]
        best = [best_validation(run) for run in runs]
        table[label] = {
            "epochs": f"{np.mean([end['epoch'] + 1 for end in last]):.0f}",
            "training users/s": f"{np.mean(users):,.0f}",
            "best validation": f"{np.mean([score for score, _ in best]):.4f}",
            "minutes to it": f"{np.mean([minutes for _, minutes in best]):.1f}",
        }
        if loop is not None:
            minutes = np.mean([minutes_to(run, loop) for run in runs])
            table[label][f"minutes to {loop:.4f}"] = f"{minutes:.1f}" if np.isfinite(minutes) else "not reached"
    return table


def best_validation(run: Run) -> tuple[float, float]:
    """The best validation score of a run, and the minutes after which it stood."""
    best = max(run.record["validations"], key=lambda row: row["score"])
    return best["score"], minutes_to(run, best["score"])


def minutes_to(run: Run, score: float) -> float:
    """Minutes from a run's start, what comes before its epochs included, to a validation score; infinity if never."""
    before = run.record["training_seconds"] - run.record["seconds"]["train"]
    reached = (row["seconds"] for row in run.record["validations"] if row["score"] >= score)
    return (before + next(reached, np.inf)) / 60


def _table(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Label -> column -> text: the main table of each protocol side by side."""
    rows: dict[str, dict[str, Any]] = {}
    for table in tables(comparison)[: len(PROTOCOLS)]:
        for label, *cells in table.rows:
            for column, cell in zip(table.columns[1:], cells, strict=True):
                measured = cell.aside or "@" in column
                name = f"{column}, {table.key}" if measured else column
                rows.setdefault(label.text, {})[name] = f"{cell.text}{cell.mark} {cell.aside}".strip()
    return rows


if __name__ == "__main__":
    sys.exit(main())

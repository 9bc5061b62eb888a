"""A sweep of NaviGen with pruning and shared artefacts against the same settings as full runs.

    python benchmarks/sweep.py [--n_trials=20] [--epochs=6] [--full_runs=20]

Run it with nothing else on the machine. Reduced size means fewer epochs than a real run; everything else is the default
on ml-100k. First the sweep, from an empty folder. Then settings of its trials again, each as a run of its own from an
empty folder, to the end and without a cache: what they would have cost without a sweep. With fewer `full_runs` than
trials, every so many-th trial is run, and their time is scaled up. The same command goes on behind the sweep, or behind
the last full run, if it was stopped.
"""

import argparse
import csv
import shutil
import time
from pathlib import Path
from typing import Any

import yaml
from common import RESULTS, Bar, begin, part, write_results

from recbole_navigen.config import Config
from recbole_navigen.quick_start import run_hyper
from recbole_navigen.quick_start.search_space import nested, read_space
from recbole_navigen.quick_start.separate import SeparateRuns

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "runs" / "sweep"
SPACE = ROOT / "properties" / "sweep" / "NaviGen.yaml"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n_trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--full_runs", type=int, default=20)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data_path", default="dataset/")
    given = parser.parse_args()
    begin(FOLDER, vars(given))
    shared = {"epochs": given.epochs, "data_path": given.data_path}

    # 1. The sweep.
    def sweep() -> dict[str, Any]:
        for name in ("shared", "report"):
            shutil.rmtree(FOLDER / name, ignore_errors=True)
        start = time.perf_counter()
        found = run_hyper(
            "NaviGen",
            given.dataset,
            SPACE,
            given.n_trials,
            config_dict={**shared, "checkpoint_dir": str(FOLDER / "shared"), "show_progress": False},
            output=FOLDER / "report",
        )
        return {**found, "folder": str(found["folder"]), "seconds": time.perf_counter() - start}

    found = part(FOLDER / "sweep.json", sweep)
    swept = found["seconds"]
    with open(FOLDER / "report" / "trials.csv", encoding="utf-8") as file:
        trials = list(csv.DictReader(file))

    # 2. The same settings as runs of their own.
    space, base = read_space(SPACE), Config("NaviGen", given.dataset, config_dict=shared)
    chosen = trials[:: max(1, len(trials) // given.full_runs)][: given.full_runs]
    full = []
    with SeparateRuns() as separately:
        for trial in chosen:
            values = {p.name: yaml.safe_load(trial[p.name]) if trial[p.name] else None for p in space}
            alone = FOLDER / f"alone-{trial['trial']}"
            settings = {**shared, **nested(values, base), "checkpoint_dir": str(alone), "show_progress": False}

            def run(alone: Path = alone, settings: dict[str, Any] = settings) -> dict[str, Any]:
                shutil.rmtree(alone, ignore_errors=True)
                start = time.perf_counter()
                separately("NaviGen", given.dataset, settings, lambda line: None)
                seconds = time.perf_counter() - start
                shutil.rmtree(alone)
                return {"seconds": seconds}

            full.append(part(FOLDER / f"alone-{trial['trial']}.json", run)["seconds"])

    in_full, states = sum(full) / len(full) * len(trials), [trial["state"] for trial in trials]
    default = float(trials[0]["ndcg@10"])
    best, ratio = found["best"]["value"], swept / in_full
    write_results(
        "sweep" if given.dataset == "ml-100k" else f"sweep-{given.dataset}",
        [
            Bar(f"time of {len(trials)} trials / full runs of the same settings", ratio, "below 1", ratio < 1),
            Bar("valid NDCG@10, best trial - default settings", best - default, "at least 0", best >= default),
            Bar("test NDCG@10 of the best trial", found["best"]["test_result"]["ndcg@10"], "reported", True),
        ],
        {
            "sweep_seconds": swept,
            "full_seconds": full,
            "trials": trials,
            "states": {state: states.count(state) for state in dict.fromkeys(states)},
            "best_settings": found["best"]["settings"],
        },
    )
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()

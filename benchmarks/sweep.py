"""A sweep of NaviGen with pruning and shared artefacts against the same settings as full runs.

    python benchmarks/sweep.py [--n_trials=20] [--epochs=6] [--full_runs=3] [--longest=100] [--steps=500]

Run it with nothing else on the machine. Reduced size: the users of ml-100k with at most `longest` interactions, fewer
epochs, and `steps` of the collaborative model, a third; everything else is the default. First the sweep, from an empty
folder. Then some of its settings again, each as a run of its own from an empty folder, to the end and without a cache:
what they would have cost without a sweep. These are a cheap trial, a dear one and those between them, by seconds an
evaluation, and their mean stands for all trials. A second ratio counts collaborative embeddings once for all full runs,
as if those had a cache: what is left is the work of pruning. If it was stopped, the same command goes on behind the
sweep, or behind the last full run.
"""

import argparse
import csv
import shutil
import time
from pathlib import Path
from typing import Any

import yaml

from harness.common import Bar, begin, part, write_results
from recbole_navigen.config import Config
from recbole_navigen.evaluation.ranks import ndcg
from recbole_navigen.evaluation.statistics import bootstrap
from recbole_navigen.evaluation.user_ranks import UserRanks
from recbole_navigen.quick_start import run_hyper
from recbole_navigen.quick_start.separate import SeparateRuns
from recbole_navigen.runs.result import read_result
from recbole_navigen.tuning.search_space import nested, read_space

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "runs" / "sweep"
SPACE = ROOT / "properties" / "sweep" / "NaviGen.yaml"


def ratios(sweep: float, trials: int, full: list[dict[str, float]]) -> tuple[float, float]:
    """Seconds of a sweep over those of as many full runs.

    Args:
        sweep: seconds. trials: how many it had.
        full: `seconds` of some runs to the end, and those among them that trained `collaborative` embeddings.

    Returns:
        With the embeddings trained in every full run, and with them trained in one of them only.
    """
    seconds, embeddings = (sum(run[key] for run in full) / len(full) for key in ("seconds", "collaborative"))
    return sweep / (trials * seconds), sweep / (trials * (seconds - embeddings) + embeddings)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n_trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--full_runs", type=int, default=3)
    parser.add_argument("--longest", type=int, default=100)
    parser.add_argument("--steps", type=int, default=500)
    given = parser.parse_args()
    begin(FOLDER, vars(given))
    collaborative = Config("NaviGen", "ml-100k")["collaborative_config"]
    collaborative["SASRec"]["steps"] = given.steps
    shared = {
        "epochs": given.epochs,
        "user_inter_num_interval": f"[0,{given.longest}]",
        "collaborative_config": collaborative,
        "show_progress": False,
    }

    # 1. The sweep.
    def sweep() -> dict[str, Any]:
        for name in ("shared", "report"):
            shutil.rmtree(FOLDER / name, ignore_errors=True)
        own, start = {**shared, "checkpoint_dir": str(FOLDER / "shared")}, time.perf_counter()
        found = run_hyper("NaviGen", "ml-100k", SPACE, given.n_trials, config_dict=own, output=FOLDER / "report")
        return {**found, "folder": str(found["folder"]), "seconds": time.perf_counter() - start}

    found = part(FOLDER / "sweep.json", sweep)
    with open(FOLDER / "report" / "trials.csv", encoding="utf-8") as file:
        trials = list(csv.DictReader(file))

    # 2. Some of the same settings as runs of their own.
    space, base = read_space(SPACE), Config("NaviGen", "ml-100k", config_dict=shared)
    by_cost = sorted(
        (trial for trial in trials if trial["state"] != "failed" and int(trial["evaluations"] or 0)),
        key=lambda trial: float(trial["seconds"]) / int(trial["evaluations"]),
    )
    runs = min(given.full_runs, len(by_cost))
    full = {}
    with SeparateRuns() as separately:
        for trial in (by_cost[(2 * number + 1) * len(by_cost) // (2 * runs)] for number in range(runs)):
            values = {p.name: yaml.safe_load(trial[p.name]) if trial[p.name] else None for p in space}
            alone = FOLDER / f"alone-{trial['trial']}"
            settings = {**shared, **nested(values, base), "checkpoint_dir": str(alone)}

            def run(alone: Path = alone, settings: dict[str, Any] = settings) -> dict[str, Any]:
                shutil.rmtree(alone, ignore_errors=True)
                start = time.perf_counter()
                folder = separately("NaviGen", "ml-100k", settings, lambda line: None)
                seconds = time.perf_counter() - start
                embeddings = read_result(folder)["seconds"]["collaborative"]
                shutil.rmtree(alone)
                return {"seconds": seconds, "collaborative": embeddings}

            full[trial["trial"]] = part(FOLDER / f"full-{trial['trial']}.json", run)

    states = [trial["state"] for trial in trials]
    ratio, pruning = ratios(found["seconds"], len(trials), list(full.values()))
    default, best = float(trials[0]["ndcg@10"]), found["best"]["value"]
    # What a choice by validation is worth on the test, user by user.
    tested = {
        number: ndcg(UserRanks.load(trials[number]["folder"]).rank, 10) for number in (0, found["best"]["number"])
    }
    gain = bootstrap(tested[found["best"]["number"]] - tested[0])
    write_results(
        "sweep",
        [
            Bar(
                f"time of {len(trials)} trials / as many full runs, from {runs} real ones", ratio, "below 1", ratio < 1
            ),
            Bar("the same, with collaborative embeddings trained once for all full runs", pruning, "reported", True),
            Bar(
                "valid NDCG@10, best trial - default settings, which are among the trials",
                best - default,
                "at least 0, by construction",
                best >= default,
            ),
            Bar("test NDCG@10 of the best trial", found["best"]["test_result"]["ndcg@10"], "reported", True),
            Bar(
                f"test NDCG@10, best trial - default settings, 95% {gain.low:.4f} to {gain.high:.4f}",
                gain.mean,
                "at least 0",
                gain.mean >= 0,
            ),
        ],
        {
            "sweep_seconds": found["seconds"],
            "full_runs": full,
            "trials": trials,
            "states": {state: states.count(state) for state in dict.fromkeys(states)},
            "best_settings": found["best"]["settings"],
        },
    )


if __name__ == "__main__":
    main()

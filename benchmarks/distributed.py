"""One process against two (torchrun, gloo) on the same machine: throughput and metrics of the same run.

    python benchmarks/distributed.py [--epochs=3]

Run it with nothing else on the machine. Three runs of NaviGen on ml-100k, without dropout, so that they take the same
steps: one process with one thread, two processes with one thread each, one process with two threads. The first two say
what a second process brings, the third what the second core brings without it; on a machine with two cores the two
processes use exactly the cores that two threads would. If it was stopped, the same command goes on behind the last run.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

from harness.common import Bar, begin, part, write_results

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "runs" / "distributed"
CACHE = FOLDER / "cache-of-all"


def run(name: str, processes: int, threads: int, settings: list[str], epochs: int) -> dict:
    """One run; what `read` finds of it."""
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if CACHE.is_dir():
        # Embeddings are trained once, by the first run, so that all runs have the same identifiers.
        shutil.copytree(CACHE, folder / "saved" / "cache")
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    command = [sys.executable, *launch, str(ROOT / "run_navigen.py"), "--show_progress=False", *settings]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=folder, check=True, env=environment)
    if not CACHE.is_dir():
        shutil.copytree(folder / "saved" / "cache", CACHE)
    return read(folder, epochs)


def read(folder: Path, epochs: int) -> dict:
    """Metrics of a run, seconds an epoch (the first one left out, which warms up) and users a second in the test."""
    result = json.loads(next(folder.glob("saved/NaviGen-*/result.json")).read_text())
    (log,) = folder.glob("log/NaviGen/*.log")
    # The last ones: before them stand the stage of alignment and, in the run that trains it, the collaborative model.
    seconds = [float(s) for s in re.findall(r"epoch \d+ training \[time: ([\d.]+)s", log.read_text())][-epochs:]
    return {
        "seconds_per_epoch": median(seconds[1:] or seconds),
        "test_users_per_second": result["test_users_per_second"],
        "valid": result["best_valid_result"],
        "test": result["test_result"],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    given, more = parser.parse_known_args()
    begin(FOLDER, {**vars(given), "settings": more})
    settings = ["--dropout=0", "--embedding_dropout=0", "--autocast=False", "--use_gpu=False"]
    settings += [f"--epochs={given.epochs}", *more]
    launches = {
        "one process, one thread": ("one", 1, 1),
        "two processes, one thread each": ("two", 2, 1),
        "one process, two threads": ("threads", 1, 2),
    }
    rows = {
        label: part(FOLDER / f"{launch[0]}.json", lambda launch=launch: run(*launch, settings, given.epochs))
        for label, launch in launches.items()
    }
    one, two, threads = rows.values()
    gap = max(abs(one[split][metric] - two[split][metric]) for split in ("valid", "test") for metric in one[split])
    speedup = one["seconds_per_epoch"] / two["seconds_per_epoch"]
    write_results(
        "distributed",
        [
            Bar("largest difference of a metric, two processes and one", gap, "at most 0.001", gap <= 1e-3),
            Bar("training throughput, two processes / one of one thread", speedup, "above 1", speedup > 1),
            Bar(
                "training throughput, two processes / one of two threads",
                threads["seconds_per_epoch"] / two["seconds_per_epoch"],
                "reported",
                True,
            ),
            Bar(
                "users a second in the test, two processes / one of one thread",
                two["test_users_per_second"] / one["test_users_per_second"],
                "reported",
                True,
            ),
        ],
        {"runs": rows},
    )


if __name__ == "__main__":
    main()

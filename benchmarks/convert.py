"""navigen-convert beside a plain program with json, gzip and pandas: seconds of the processor and peak memory.

python benchmarks/convert.py

Both read the same synthetic lines in the form of Amazon reviews 2023 (about 550 bytes a line), keep the earliest row of
each user and item, take the iterative 5-core, sort by user, time and place, and write the same `.inter` file, byte for
byte. Each is a process of its own with one thread. The bars: half of the plain program's processor seconds at most, and
1 GB of memory at most.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.common import Bar, write_results
from recbole_navigen.artefacts import file_hash

try:
    from isal import igzip as fast_gzip
except ImportError:
    fast_gzip = gzip

ROOT = Path(__file__).parent.parent
CORE = 5
CHUNK = 50_000
WORDS = [
    "runs",
    "well",
    "and",
    "looks",
    "fine",
    "but",
    "the",
    "box",
    "was",
    "torn",
    "so",
    "my",
    "son",
    "had",
    "to",
    "glue",
]


def write_lines(path: Path, lines: int, seed: int = 2026) -> None:
    """Write synthetic reviews: users and items by power laws, 0.5% exact copies, 2% repeats of a pair."""
    rng = np.random.default_rng(seed)
    users, items = max(lines // 8, 10), max(lines // 60, 10)
    words = np.array(WORDS)
    with fast_gzip.open(path, "wb", compresslevel=1) as file:
        for start in range(0, lines, CHUNK):
            count = min(CHUNK, lines - start)
            user = (users * rng.random(count) ** 1.8).astype(int)
            item = (items * rng.random(count) ** 2.2).astype(int)
            millis = rng.integers(1_400_000_000_000, 1_690_000_000_000, count)
            stars = rng.integers(1, 6, count)
            for place in np.flatnonzero(rng.random(count) < 0.025):
                user[place], item[place] = user[place - 1], item[place - 1]
                if rng.random() < 0.2:
                    millis[place], stars[place] = millis[place - 1], stars[place - 1]
            lengths = rng.integers(20, 75, count)
            text = rng.choice(words, lengths.sum()).tolist()
            ends = np.cumsum(lengths)
            rows = []
            for n in range(count):
                said = " ".join(text[ends[n] - lengths[n] : ends[n]])
                rows.append(
                    f'{{"rating": {stars[n]}.0, "title": "{said[:24]}", "text": "{said}", "images": [], '
                    f'"asin": "B{item[n]:09d}", "parent_asin": "B{item[n]:09d}", "user_id": "AE{user[n]:026d}", '
                    f'"timestamp": {millis[n]}, "helpful_vote": 0, "verified_purchase": true}}\n'
                )
            file.write("".join(rows).encode())


def plain(source: str, output: str) -> None:
    """What a researcher would write: json, gzip and pandas."""
    import pandas as pd

    columns: dict[str, list[Any]] = {"user_id": [], "parent_asin": [], "rating": [], "timestamp": []}
    with gzip.open(source, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            for name, values in columns.items():
                values.append(row[name])
    frame = pd.DataFrame(columns).rename(columns={"parent_asin": "item_id"})
    frame["place"] = np.arange(len(frame))
    frame = frame.sort_values(["timestamp", "place"]).drop_duplicates(["user_id", "item_id"])
    while True:
        users = frame["user_id"].map(frame["user_id"].value_counts())
        items = frame["item_id"].map(frame["item_id"].value_counts())
        kept = (users >= CORE) & (items >= CORE)
        if kept.all():
            break
        frame = frame[kept]
    frame = frame.sort_values(["user_id", "timestamp", "place"]).drop(columns="place")
    header = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
    frame.to_csv(output, sep="\t", index=False, header=header)


def measured(command: Sequence[str], folder: Path) -> dict[str, float]:
    """Run a command: seconds of the processor, of the wall, and peak memory in MiB."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return {
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "wall_seconds": round(time.perf_counter() - start, 2),
        "peak_mib": round(usage.ru_maxrss / 1024, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=5_000_000, help="synthetic reviews (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--memory", default="1GB", help="of navigen-convert (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where the files go (default: a temporary folder)")
    parser.add_argument("--plain", nargs=2, metavar=("SOURCE", "OUTPUT"), help="only run the plain program")
    parser.add_argument("--write", type=Path, metavar="FILE", help="only write the synthetic reviews")
    arguments = parser.parse_args()
    if arguments.write:
        write_lines(arguments.write, arguments.lines, arguments.seed)
        return
    if arguments.plain:
        plain(*arguments.plain)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        source = folder / "Synthetic.jsonl.gz"
        # In a process of its own: on Linux a process that is started counts the peak of the one that starts it.
        size = [f"--lines={arguments.lines}", f"--seed={arguments.seed}"]
        subprocess.run([sys.executable, __file__, "--write", str(source), *size], check=True)
        convert = [sys.executable, str(ROOT / "run_convert.py"), "amazon2023", str(source), "--name=synthetic"]
        ours = measured([*convert, f"--core={CORE}", f"--memory={arguments.memory}"], folder)
        theirs = measured([sys.executable, __file__, "--plain", str(source), str(folder / "plain.inter")], folder)
        inter = folder / "dataset" / "synthetic" / "synthetic.inter"
        report = json.loads(inter.with_name("synthetic.report.json").read_text())
        same = file_hash(inter) == file_hash(folder / "plain.inter")
        result = {
            "lines": arguments.lines,
            "gz_mib": round(source.stat().st_size / 2**20, 1),
            "memory": arguments.memory,
            "steps": report["steps"],
            "interactions": report["interactions"],
            "converted_with": report["versions"],
            "navigen_convert": ours,
            "plain": theirs,
            "same_bytes": same,
        }
    ratio = theirs["cpu_seconds"] / ours["cpu_seconds"]
    bars = [
        Bar("processor seconds, plain over ours", round(ratio, 2), ">= 2", ratio >= 2),
        Bar("peak memory in MiB", ours["peak_mib"], "<= 1 GB", ours["peak_mib"] * 2**20 <= 1e9),
        Bar("same bytes", float(same), "== 1", same),
    ]
    write_results("convert", bars, result)


if __name__ == "__main__":
    main()

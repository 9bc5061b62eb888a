"""A newcomer's path, as the README tells it, command after command in an empty folder: the minutes of each.

    python benchmarks/newcomer.py [--install]

Pop, NaviGen with two epochs, their comparison, recommendations for five users, and instructions for them, for which a
writer is trained; all on ml-100k. With --install a fresh environment is made and filled first, and all else runs in it.
The folder is kept in benchmarks/runs/newcomer.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from harness.common import Bar, write_results

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "runs" / "newcomer"
PATH = {
    "look around": "run_navigen.py --help",
    "Pop": "run_navigen.py --model=Pop --dataset=ml-100k",
    "NaviGen, two epochs": "run_navigen.py --dataset=ml-100k --epochs=2",
    "compare": "run_compare.py --runs RUN:Pop RUN:NaviGen",
    "recommend": "run_recommend.py --run=RUN:NaviGen --n_users=5 --k=5",
    "instructions": "run_generate.py --run=RUN:NaviGen --n_users=5",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="into a fresh environment, as the README says")
    arguments = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    python, table, bars = Path(sys.executable), {}, []

    def timed(name: str, *command: str | Path) -> None:
        begin = time.perf_counter()
        code = subprocess.run([str(word) for word in command], cwd=FOLDER, check=False).returncode
        minutes = (time.perf_counter() - begin) / 60
        table[name] = {"minutes": f"{minutes:.2f}"}
        bars.append(Bar(f"{name}: exit code", code, "0", code == 0))

    if arguments.install:
        subprocess.run([sys.executable, "-m", "venv", FOLDER / "venv"], check=True)
        python = FOLDER / "venv" / "bin" / "python"
        timed("install", python, "-m", "pip", "install", "-q", "-r", ROOT / "requirements.txt", "-e", ROOT)
    for name, command in PATH.items():
        script, *words = command.split()
        timed(name, python, ROOT / script, *map(_real, words))
    total = sum(float(row["minutes"]) for row in table.values())
    write_results("newcomer", [*bars, Bar("minutes of all", total, "reported", True)], {"table": table})


def _real(word: str) -> str:
    """RUN:MODEL as the folder of that model's run."""
    before, named, model = word.partition("RUN:")
    return before + str(next(FOLDER.glob(f"saved/{model}-*")).relative_to(FOLDER)) if named else word


if __name__ == "__main__":
    main()

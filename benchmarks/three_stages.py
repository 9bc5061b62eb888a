"""All stages of training in one command, as a user runs it: wall time of the whole process on ml-100k.

    python benchmarks/three_stages.py

Run it with nothing else on the machine. The run starts from an empty folder, so nothing comes from a cache; it is kept
in benchmarks/runs/three_stages.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from harness.common import Bar, write_results

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "runs" / "three_stages"
STAGES = "[align, finetune, write, reinforce]"
MINUTES = 25


def main(settings: list[str]) -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    command = [sys.executable, str(ROOT / "run_navigen.py"), "--dataset=ml-100k", f"--training_stages={STAGES}"]
    start = time.perf_counter()
    subprocess.run([*command, "--show_progress=False", *settings], cwd=FOLDER, check=True)
    minutes = (time.perf_counter() - start) / 60
    folder = next(FOLDER.glob("saved/NaviGen-*/result.json")).parent
    result, outcome = (json.loads((folder / name).read_text()) for name in ("result.json", "reinforced.json"))
    write_results(
        "three_stages",
        [Bar("wall time of all stages, minutes", minutes, f"below {MINUTES}", minutes < MINUTES)],
        {"stages": result["stages"], "kept": outcome["tasks"], "test_result": result["test_result"]},
    )


if __name__ == "__main__":
    if "--help" in sys.argv[1:]:
        print(__doc__)
    else:
        main(sys.argv[1:])

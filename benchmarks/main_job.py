"""The README's main job as a user runs it: wall time and peak memory of the whole process.

    python benchmarks/main_job.py [--key=value]

Run it with nothing else on the machine. The run starts from an empty folder, so nothing comes from a cache; it is kept
in benchmarks/runs/main_job. Settings go to the run. An older processor is tried on a newer one by

    export ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
    python benchmarks/main_job.py --autocast=False
"""

import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from harness.common import Bar, write_results

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "runs" / "main_job"


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    start = time.perf_counter()
    command = [
        sys.executable,
        str(ROOT / "run_navigen.py"),
        "--dataset=ml-100k",
        "--show_progress=False",
        *sys.argv[1:],
    ]
    subprocess.run(command, cwd=FOLDER, check=True)
    seconds = time.perf_counter() - start
    gigabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    result = json.loads(next(FOLDER.glob("saved/NaviGen-*/result.json")).read_text())
    write_results(
        "main_job",
        [
            Bar("wall time, minutes", seconds / 60, "at most 4", seconds <= 240),
            Bar("peak memory, GiB", gigabytes, "at most 4", gigabytes <= 4),
        ],
        {
            "settings": sys.argv[1:],
            "stages": result["stages"],
            "test_result": result["test_result"],
            "parameters": result["parameters"],
        },
    )


if __name__ == "__main__":
    main()

"""The state of the code: ruff, duplicated blocks (pylint's checker), test time, coverage, and time to --help.

pip install pylint && python benchmarks/hygiene.py
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import Bar, write_results

ROOT = Path(__file__).parent.parent


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)


def main() -> None:
    lint = run("ruff", "check", ".").returncode + run("ruff", "format", "--check", ".").returncode
    similar = run(
        "pylint",
        "--disable=all",
        "--enable=duplicate-code",
        "--min-similarity-lines=6",
        "--ignore-imports=y",
        "recbole_navigen",
        "benchmarks",
    )
    blocks = len(re.findall(r"duplicate-code\)", similar.stdout))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        start = time.perf_counter()
        tests = run("pytest", "-q", "--cov=recbole_navigen", f"--cov-report=json:{report}")
        minutes = (time.perf_counter() - start) / 60
        covered = json.loads(report.read_text())["totals"]["percent_covered"]
    start = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / "run_navigen.py"), "--help"], check=True, stdout=subprocess.DEVNULL)
    help_seconds = time.perf_counter() - start
    last = tests.stdout.strip().splitlines()[-1]
    write_results(
        "hygiene",
        [
            Bar("ruff findings (exit codes)", lint, "0", lint == 0),
            Bar("duplicated blocks of 6 lines", blocks, "0", blocks == 0),
            Bar("test suite, minutes", minutes, "under 15, all passing", minutes < 15 and tests.returncode == 0),
            Bar("--help answers, seconds", help_seconds, "under 2", help_seconds < 2),
            Bar("coverage of recbole_navigen, percent", covered, "at least 85", covered >= 85),
        ],
        {"pytest": last},
    )


if __name__ == "__main__":
    main()

"""The state of the code: ruff, duplicated blocks (pylint's checker), test time, coverage, time to --help, and counts.

pip install pylint && python benchmarks/hygiene.py
python benchmarks/hygiene.py --counts [FOLDER]      (the counts alone, of this tree or of another one)
"""

import argparse
import ast
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.common import Bar, write_results

ROOT = Path(__file__).parent.parent
PARTICIPLES = {"found", "own", "told", "given", "kept", "asked", "made", "held"}  # names that say nothing of the domain


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)


def participles(tree: ast.AST) -> int:
    """Parameters and variables of functions that are called so and live for more than three lines."""
    places = set()
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
        lines: dict[str, list[int]] = {}
        for node in ast.walk(function):
            name = getattr(node, "id", getattr(node, "arg", None))
            if isinstance(node, ast.Name | ast.arg) and name in PARTICIPLES:
                lines.setdefault(name, []).append(node.lineno)
        places |= {(name, min(numbers)) for name, numbers in lines.items() if max(numbers) - min(numbers) >= 3}
    return len(places)


def counts(root: Path) -> dict[str, float]:
    """Count in a tree's package: lines, long files, look-ups of settings, untyped parameters, vague names, and
    the largest room's share of the lines.
    """
    package = root / "recbole_navigen"
    files = {file: file.read_text("utf-8") for file in sorted(package.rglob("*.py"))}
    lines = {file: len(text.splitlines()) for file, text in files.items()}
    rooms: dict[str, int] = {}
    untyped = look_ups = vague = 0
    for file, text in files.items():
        parts = file.relative_to(package).parts
        room = parts[0] if len(parts) > 1 else "ground"
        rooms[room] = rooms.get(room, 0) + lines[file]
        tree = ast.parse(text)
        vague += participles(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.arg):
                untyped += isinstance(node.annotation, ast.Name) and node.annotation.id == "Any"
            elif isinstance(node, ast.Subscript) and room not in ("config", "pipeline"):
                holder = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
                look_ups += holder == "config"
    total = sum(lines.values())
    return {
        "lines": total,
        "files": len(files),
        "files over 300 lines": sum(count > 300 for count in lines.values()),
        "config[...] outside config and pipeline": look_ups,
        "parameters typed Any": untyped,
        "names that are bare participles, beyond three lines": vague,
        "largest room's share of lines": round(max(rooms.values()) / total, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", nargs="?", const=ROOT, type=Path, help="count alone, in this tree or in a folder")
    arguments = parser.parse_args()
    if arguments.counts is not None:
        print(json.dumps(counts(arguments.counts), indent=2))
        return
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
        {"pytest": last, "counts": counts(ROOT)},
    )


if __name__ == "__main__":
    main()

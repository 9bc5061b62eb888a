"""What every benchmark shares: bars with goals, the machine, and one way to write results."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from recbole_navigen.artefacts import read_json, write_json

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("recbole", "torch", "transformers", "numpy", "pandas", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of what must hold: a measured value, its goal in words, and whether it holds."""

    name: str
    value: float
    goal: str
    holds: bool


def machine() -> dict[str, Any]:
    """Processor, cores and memory of this machine."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in _read("/proc/cpuinfo").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = next((line.split()[1] for line in _read("/proc/meminfo").splitlines() if line.startswith("MemTotal")), "0")
    import torch

    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory) / 2**20, 1),
        "threads": torch.get_num_threads(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "platform": platform.platform(),
    }


def commit() -> str:
    """The commit measured, with `+` behind it if the tree had changes of code."""
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    code = ["recbole_navigen", "properties", "benchmarks/*.py"]
    dirty = subprocess.run(
        ["git", "status", "--porcelain", "--", *code], cwd=ROOT, capture_output=True, text=True
    ).stdout
    return head + ("+" if dirty.strip() else "")


def begin(folder: Path, given: dict[str, Any]) -> None:
    """Empty the folder of a benchmark, unless it holds the parts of the same one that was stopped (see `part`)."""
    begun = folder / "given.json"
    given = {**given, "commit": commit()}
    if not begun.is_file() or read_json(begun) != given:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(begun, given)


def part(file: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What one part of a benchmark measures, kept in a JSON file: one that was stopped goes on with the next part."""
    if not file.is_file():
        write_json(file, make())
    return read_json(file)


def write_results(name: str, bars: list[Bar], details: dict[str, Any]) -> None:
    """Write benchmarks/results/NAME.json and print the bars."""
    name_of_script = f"python benchmarks/{Path(sys.argv[0]).name}"
    write_json(
        RESULTS / f"{name}.json",
        {
            "name": name,
            # Where the data lie on one machine says nothing to another.
            "command": re.sub(
                r"--(data_path|posters|ratings|images|clip_model)=\S+",
                r"--\1=...",
                " ".join([name_of_script, *sys.argv[1:]]),
            ),
            "date": time.strftime("%Y-%m-%d"),
            "commit": commit(),
            "machine": machine(),
            "versions": {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in PACKAGES}},
            "bars": [asdict(bar) for bar in bars],
            **details,
        },
    )
    table = Table("bar", "value", "goal", "holds", title=name)
    for bar in bars:
        table.add_row(bar.name, f"{bar.value:.4g}", bar.goal, "yes" if bar.holds else "NO")
    Console().print(table)


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""

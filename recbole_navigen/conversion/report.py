"""The report of a conversion: numbers as JSON, and the same as Markdown and as a row of a LaTeX table."""

import contextlib
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recbole_navigen import __version__
from recbole_navigen.conversion.atomic_files import Statistics
from recbole_navigen.conversion.clocks import PER_SECOND, day, guessed_unit
from recbole_navigen.conversion.reduce import Reduced, Step
from recbole_navigen.sources import installed

_STEPS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
PACKAGES = ("numpy", "pyarrow", "isal", "orjson")


def peak_memory() -> int:
    """Most bytes that this process has held in memory so far."""
    with contextlib.suppress(OSError, StopIteration):  # of Linux; getrusage counts the program that started this one
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def versions() -> dict[str, str]:
    """Versions of what the conversion was made with; an extra that is not installed is left out."""
    return {"recbole-navigen": __version__, "python": platform.python_version(), **installed(PACKAGES)}


def time_step(statistics: Statistics, unit: str) -> int | float | None:
    """The largest of a day, an hour, a minute and a second that divides all times, in their unit."""
    if statistics.decimals not in range(1, 19):
        factor = PER_SECOND.get(unit)
        if factor is None:
            return 1 if unit == "position" else None
        return next((seconds * factor for _, seconds in _STEPS if statistics.divisor % (seconds * factor) == 0), 1)
    return 10.0**-statistics.decimals


def gini(counts: np.ndarray) -> float:
    """Gini coefficient of counts: 0 where all are equal, near 1 where one has all. Shape (N,)."""
    ordered = np.sort(counts).astype(np.float64)
    places = np.arange(1, len(ordered) + 1)
    return float((2 * (places * ordered).sum() / ordered.sum() - len(ordered) - 1) / len(ordered))


def facts(reduced: Reduced, statistics: Statistics, unit: str) -> dict[str, Any]:
    """Return the facts that a report gives about the written rows."""
    counts = reduced.user_counts[reduced.user_counts > 0]
    items = reduced.item_counts[reduced.item_counts > 0]
    rows = int(counts.sum())
    if not unit:
        unit = guessed_unit(statistics.median)
    return {
        "users": len(counts),
        "items": len(items),
        "interactions": rows,
        "sparsity": round(1 - rows / (len(counts) * len(items)), 6),
        "users_last_two_tied": statistics.tied,
        "users_last_two_tied_share": round(statistics.tied / len(counts), 4),
        "rows_tied_with_the_one_before": statistics.rows_tied,
        "repeats_share": round(1 - statistics.pairs / rows, 4),
        "time_unit": unit,
        "time_step": time_step(statistics, unit),
        "first_day": day(statistics.first, unit),
        "last_day": day(statistics.last, unit),
        "length_mean": round(float(counts.mean()), 2),
        "length_median": float(np.median(counts)),
        "length_90_percent": float(np.quantile(counts, 0.9)),
        "length_max": int(counts.max()),
        "users_with_fewer_than_3": int((counts < 3).sum()),
        "item_rows_median": float(np.median(items)),
        "item_rows_max": int(items.max()),
        "item_gini": round(gini(items), 4),
    }


def size_against(
    sizes: Mapping[str, tuple[int | None, ...]], numbers: Mapping[str, Any], files: Iterable[str]
) -> list[dict[str, Any]]:
    """Published sizes of the format beside those of this conversion, nearest first.

    A size whose rule begins with a capital is that of one part (`Video_Games, no core`), which a file's name must bear.
    """
    names = " ".join(files).lower()
    parts = {rule: rule.split(",")[0].split()[0].lower() for rule in sizes if rule[0].isupper()}
    sizes = {rule: size for rule, size in sizes.items() if parts.get(rule, "") in names}
    here = (numbers["users"], numbers["items"], numbers["interactions"])
    compared = []
    for rule, published in sizes.items():
        known = [(a, b) for a, b in zip(here, published, strict=True) if b]
        far = max(abs(a - b) / b for a, b in known)
        named = dict(zip(("users", "items", "interactions"), published, strict=True))
        compared.append({"of": rule, **named, "largest_difference": round(far, 4), "met": far == 0})
    return sorted(compared, key=lambda entry: entry["largest_difference"])[:3]


def lost(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """Say in lines how many rows, users and items each step left and lost."""
    result: list[dict[str, Any]] = []
    before = None
    for step in steps:
        entry = {"step": step.name, "rows": step.rows, "users": step.users, "items": step.items}
        if before is not None:
            entry |= {
                f"{name}_lost": getattr(before, name) - getattr(step, name) for name in ("rows", "users", "items")
            }
        result.append(entry)
        before = step
    return result


def markdown(report: Mapping[str, Any]) -> str:
    """The report in words and tables."""
    lines = [f"# {report['name']}", "", f"{report['title']}.", "", f"    {report['command']}", ""]
    lines += ["| step | rows | users | items |", "|---|---:|---:|---:|"]
    for step in report["steps"]:
        cells = [
            f"{step[name]:,}" + (f" (-{step[f'{name}_lost']:,})" if step.get(f"{name}_lost") else "")
            for name in ("rows", "users", "items")
        ]
        lines.append(f"| {step['step']} | {' | '.join(cells)} |")
    lines += ["", "| | |", "|---|---|"]
    for key, value in report.items():
        if isinstance(value, bool | int | float | str) and key not in ("name", "title", "command", "latex"):
            shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
            lines.append(f"| {key.replace('_', ' ')} | {_cell(shown)} |")
    for title, key in (
        ("Columns left out", "columns_left_out"),
        ("Files left out", "files_left_out"),
        ("Notes", "notes"),
    ):
        if report[key]:
            lines += ["", f"{title}: {'; '.join(map(_cell, report[key]))}."]
    if report["published"]:
        lines += ["", "| published | users | items | interactions | largest difference |", "|---|---:|---:|---:|---:|"]
        for entry in report["published"]:
            numbers = [f"{entry[name]:,}" if entry[name] else "" for name in ("users", "items", "interactions")]
            lines.append(f"| {entry['of']} | {' | '.join(numbers)} | {entry['largest_difference']:.2%} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def latex(numbers: Mapping[str, Any], name: str) -> str:
    """A row of a LaTeX table: name, users, items, interactions, mean length, sparsity."""
    escaped = name.replace("\\", "").replace("_", r"\_").replace("&", r"\&").replace("%", r"\%")
    cells = [f"{numbers[key]:,}".replace(",", "{,}") for key in ("users", "items", "interactions")]
    sparsity = f"{100 * numbers['sparsity']:.2f}\\%"
    return f"{escaped} & {' & '.join(cells)} & {numbers['length_mean']:.1f} & {sparsity} \\\\\n"

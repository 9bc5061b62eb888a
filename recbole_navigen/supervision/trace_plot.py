"""A picture of one search: every draft at its round and score, with lines to its parents."""

from pathlib import Path
from typing import Any

from recbole_navigen.supervision.interfaces import CROSSOVER, FOUNDERS, MUTATION

COLOURS = dict(zip((*FOUNDERS, CROSSOVER, MUTATION), ("C0", "C1", "C2", "C3", "C4"), strict=True))


def draw_trace(trace: dict[str, Any], path: str | Path) -> None:
    """Draw the trace of a SearchResult into an image file; the suffix of `path` decides the format."""
    from matplotlib.figure import Figure

    candidates = {candidate["id"]: candidate for candidate in trace["candidates"]}
    figure = Figure(figsize=(1.6 * len(trace["rounds"]) + 3, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="round", ylabel="overall score")
    for candidate in candidates.values():
        for parent in (candidates[one] for one in candidate["parents"]):
            place = [[one["round"] for one in (parent, candidate)], [one["overall"] for one in (parent, candidate)]]
            axes.plot(*place, color="0.8", zorder=1)
    for operator in dict.fromkeys(candidate["operator"] for candidate in candidates.values()):
        own = [candidate for candidate in candidates.values() if candidate["operator"] == operator]
        points = [[one["round"] for one in own], [one["overall"] for one in own]]
        axes.scatter(*points, color=COLOURS[operator], label=operator, zorder=2)
    elites = [candidates[entry["elite"]]["overall"] for entry in trace["rounds"]]
    axes.step(range(len(elites)), elites, where="post", color="black", linewidth=1, label="best so far")
    axes.set_xticks(range(len(elites)))
    axes.legend(loc="lower right", fontsize="small")
    figure.savefig(path)

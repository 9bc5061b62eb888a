"""One function for each command. Importing this package loads nothing heavy: see `run.py`."""

from importlib import import_module
from typing import Any

_HOMES = {
    "run_navigen": "quick_start.run",
    "run_compare": "quick_start.compare",
    "compare_runs": "quick_start.compare",
    "run_generate": "quick_start.generate",
    "run_hyper": "quick_start.hyper",
    "run_recommend": "quick_start.recommend",
    "load_run": "runs.loaded",
    "Recommender": "serving.recommender",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"recbole_navigen.{_HOMES[name]}"), name)

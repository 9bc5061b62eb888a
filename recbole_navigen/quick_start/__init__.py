"""One function for each command, and RecBole's own by their names. Importing this package loads nothing heavy."""

from importlib import import_module
from typing import Any

_HOMES = {
    "run_navigen": "quick_start.run",
    "run_compare": "quick_start.compare",
    "compare_runs": "quick_start.compare",
    "run_generate": "quick_start.generate",
    "run_hyper": "quick_start.hyper",
    "run_recommend": "quick_start.recommend",
    "run_serve": "quick_start.serve",
    "load_run": "runs.loaded",
    "run_recbole": "quick_start.recbole_api",
    "objective_function": "quick_start.recbole_api",
    "load_data_and_model": "quick_start.recbole_api",
    "get_model": "config.models",
    "get_trainer": "training.recbole_trainer",
    "Trainer": "training.recbole_trainer",
    "Recommender": "serving.recommender",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"recbole_navigen.{_HOMES[name]}"), name)

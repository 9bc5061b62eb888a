"""One function for each command. Importing this package loads nothing heavy: see `run.py`."""

from importlib import import_module
from typing import Any

_HOMES = {
    "run_navigen": "run",
    "run_compare": "compare",
    "compare_runs": "compare",
    "run_generate": "generate",
    "run_hyper": "tune",
    "Recommender": "recommender",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

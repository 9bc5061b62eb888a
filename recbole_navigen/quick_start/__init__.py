"""One function for each command. Importing this package loads nothing heavy: see `run.py`."""

from typing import Any

__all__ = ["run_navigen"]


def __getattr__(name: str) -> Any:
    if name == "run_navigen":
        from recbole_navigen.quick_start.run import run_navigen

        return run_navigen
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

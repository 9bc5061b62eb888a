"""Progress bars, for terminals and for notebooks. Nothing heavy is imported."""

import sys
from importlib.util import find_spec
from typing import Any

from tqdm import tqdm as terminal_bar

from recbole_navigen.errors import InputError

MODES = ("auto", "terminal", "notebook")
_mode = "auto"


def use_bars(mode: str) -> None:
    """Choose how bars are drawn from now on: for a terminal, for a notebook, or for the one that there is.

    Raises:
        InputError: a notebook's bars are asked for, and the package that draws them is not there.
    """
    global _mode
    if mode == "notebook" and find_spec("ipywidgets") is None:
        raise InputError("progress=notebook needs ipywidgets; pip install 'recbole-navigen[notebook]'")
    _mode = mode


def in_notebook() -> bool:
    """Whether bars are drawn for a notebook: as `use_bars` chose, or else in a Jupyter kernel that can draw them."""
    if _mode != "auto":
        return _mode == "notebook"
    return "ipykernel.zmqshell" in sys.modules and find_spec("ipywidgets") is not None


def tqdm(*args: object, **kwargs: object) -> Any:
    """A bar of tqdm's, of the kind that `use_bars` chose."""
    if not in_notebook():
        return terminal_bar(*args, **kwargs)
    from tqdm.notebook import tqdm as notebook_bar

    kwargs.pop("ncols", None)  # characters there, pixels here
    return notebook_bar(*args, **kwargs)

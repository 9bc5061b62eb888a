"""The face of a room: the names that others use, each imported when it is first asked for.

So a room that needs torch costs nothing until something of it is used, and `--help` answers at once.
"""

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import resolve_name
from typing import Any


def face(room: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package whose names are imported when they are asked for.

    Args:
        room: the package's `__name__`. names: module -> names in it, with blanks; the module as seen from the package.
    """
    homes = {name: module for module, held in names.items() for name in held.split()}

    def attribute(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        module = resolve_name(f".{homes[name]}", room)
        with contextlib.nullcontext() if module in sys.modules else _without_collections():
            return getattr(import_module(module), name)

    return attribute, lambda: [*homes], [*homes]


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Pause the garbage collector: torch and transformers make a million objects that stay, and it would go through all
    of them again and again while they are imported, for a fifth of the time that this takes.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # to the oldest generation, which is gone through the least often
            gc.freeze()
            gc.unfreeze()
        gc.enable()

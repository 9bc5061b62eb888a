"""The face of a room: the names that others use, each imported when it is first asked for.

So a room that needs torch costs nothing until something of it is used, and `--help` answers at once.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
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
        return getattr(import_module(f".{homes[name]}", room), name)

    return attribute, lambda: [*homes], [*homes]

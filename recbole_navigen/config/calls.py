"""Arguments of the Python API, checked by the words that describe settings. No RecBole, no torch."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from recbole_navigen.config.checking import fitted
from recbole_navigen.config.description import Setting, parse_type
from recbole_navigen.errors import InputError

# Arguments of every function that takes settings.
SETTINGS = {"config_file_list": "list of path or None", "config_dict": "whole dict or None", "argv": "list of str"}
F = TypeVar("F", bound=Callable[..., Any])
_parsed = functools.cache(parse_type)


def checked(name: str, kind: str, value: object) -> Any:
    """Check one argument and return it as it is to be used.

    Args:
        name: what the message calls it. kind: in the words of `description`, such as `int from 1 or None`; or
            `function or None`.
        value: what was given.
    """
    if kind == "function or None":
        if value is not None and not callable(value):
            raise InputError(f"{name} must be a function or None, not {value!r}")
        return value
    return fitted(Setting(name, *_parsed(kind), default=[]), value, _no_sections)


def checks(**kinds: str) -> Callable[[F], F]:
    """Decorate a function so that arguments are checked before it runs: `@checks(k="int from 1")`.

    Args:
        kinds: of arguments, by name, see `checked`. A default is not checked.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checking(*positional: object, **by_name: object) -> Any:
            bound = signature.bind(*positional, **by_name)
            for name, kind in kinds.items():
                if name in bound.arguments:
                    bound.arguments[name] = checked(name, kind, bound.arguments[name])
            return function(*bound.args, **bound.kwargs)

        return checking

    return decorate


def _no_sections(word: str, name: str) -> Mapping[str, Setting]:
    raise AssertionError("arguments hold no sections of settings")

"""What names code that belongs to no package of a known version: the model class of a user's file or notebook."""

import contextlib
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from recbole_navigen.artefacts import content_hash

_PLAIN = (type(None), bool, int, float, str, bytes)


def code_hash(*roots: type | FunctionType) -> str | None:
    """Name what classes and functions do that are neither RecBole's nor ours, such as those of a file or notebook.

    Returns:
        A hash of their bytecode, constants and defaults, and in turn of whatever they lead to that is of their own
        package or of none; of objects they use, of the class and its `identity`, such as that of a CLIP-like model with
        its weights. None for what is RecBole's or ours. Comments and layout do not count, nor does the name of
        the module, which is another for a script that is started than for one that is imported. Bytecode, not source
        text: the classes of a notebook have no file, and a file may have changed since it was imported.
    """
    packages = {_package(root) for root in roots}
    parts: list[str] = []
    waiting: list[type | FunctionType] = list(roots)
    seen: set[int] = set()
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or not _is_users(thing, packages):
            continue
        seen.add(id(thing))
        described, called = _class_parts(thing) if isinstance(thing, type) else _function_parts(thing)
        parts.append(content_hash(described))
        waiting += [part for each in called for part in _code_of(each)]
    return content_hash(sorted(parts)) if parts else None


def _code_of(value: object) -> list[type | FunctionType]:
    """Functions and classes that stand behind a value: itself, what it wraps, and the class of an object."""
    wrapped = [_attribute(value, name) for name in ("__func__", "fget", "fset", "func", "__wrapped__")]
    return [each for each in (value, *wrapped, type(value)) if isinstance(each, type | FunctionType)]


def _attribute(value: object, name: str) -> Any:
    with contextlib.suppress(Exception):  # whatever objects of others do when they are asked
        return getattr(value, name, None)
    return None


def _package(thing: type | FunctionType) -> str:
    return (thing.__module__ or "").partition(".")[0]


def _is_users(thing: type | FunctionType, packages: set[str]) -> bool:
    """Whether something is of some packages, or of none that is installed."""
    package = _package(thing)
    if package in ("recbole", "recbole_navigen") or package in sys.stdlib_module_names - {"__main__"}:
        return False
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    installed = file is not None and any(Path(file).is_relative_to(folder) for folder in _package_folders())
    return package in packages or not installed


@lru_cache(maxsize=1)
def _package_folders() -> tuple[Path, ...]:
    return tuple({Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")})


def _class_parts(cls: type) -> tuple[list[Any], list[Any]]:
    """What a class is by itself, and what it leads to: its bases, methods, and whatever else stands in it."""
    described, leads_to = [cls.__qualname__, [base.__qualname__ for base in cls.__bases__]], list(cls.__bases__)
    for name, value in sorted(vars(cls).items()):
        if name in ("__module__", "__dict__", "__weakref__", "__doc__", "__firstlineno__", "__static_attributes__"):
            continue
        leads_to.append(value)
        described.append([name, _plain(value)])
    return described, leads_to


def _function_parts(function: FunctionType) -> tuple[list[Any], list[Any]]:
    """What a function is by itself, and what of its module and of what encloses it it leads to."""
    reads = {
        name: function.__globals__[name] for name in sorted(_names(function.__code__)) if name in function.__globals__
    }
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            reads[name] = cell.cell_contents
        except ValueError:  # not filled yet
            continue
    modules = [value for value in reads.values() if isinstance(value, ModuleType)]
    reached = [vars(module).get(name) for module in modules for name in sorted(_names(function.__code__))]
    defaults = [function.__defaults__, function.__kwdefaults__]
    described = [function.__qualname__, _code_parts(function.__code__), _plain(defaults), _plain(reads)]
    return described, [*_inner(reads), *reached, *_inner(defaults), getattr(function, "__wrapped__", None)]


def _code_parts(code: CodeType) -> list[Any]:
    constants = [_code_parts(each) if isinstance(each, CodeType) else _plain(each) for each in code.co_consts]
    names = [list(each) for each in (code.co_names, code.co_varnames, code.co_freevars)]
    return [code.co_code, constants, *names, code.co_argcount, code.co_kwonlyargcount, code.co_flags]


def _names(code: CodeType) -> set[str]:
    """Names that code, and the code inside it, looks up in its module."""
    inside = (_names(each) for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*inside)


def _plain(value: object) -> Any:
    """A value in the words of `content_hash`; of what is no plain value, its kind and its `identity` if it has one."""
    if isinstance(value, complex):
        return repr(value)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return value
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, set | frozenset):
        return sorted(content_hash(_plain(each)) for each in value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return sorted([content_hash(_plain(key)), _plain(each)] for key, each in value.items()) if value else []
    name = _attribute(value, "__qualname__") or _attribute(value, "__name__")
    identity = _attribute(value, "identity")
    known = [_plain(each) if isinstance(each, str | Mapping) else None for each in (name, identity)]
    return [f"a {type(value).__qualname__}", *known]


def _inner(values: object) -> Iterator[Any]:
    """Everything inside lists, tuples and dictionaries."""
    for each in values.values() if isinstance(values, Mapping) else values or ():
        yield from _inner(each) if isinstance(each, list | tuple | Mapping) else (each,)

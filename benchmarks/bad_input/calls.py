"""Bad arguments of the Python API: for every parameter by its type, and those that only its meaning makes bad."""

import collections.abc
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bad_input.world import Input, World

NAN, INF = math.nan, math.inf
# Values that a parameter of a type cannot take, by what they are; the first that fits a type is taken.
WRONG: dict[Any, dict[str, Any]] = {
    bool: {"a word": "maybe", "two": 2, "a list": [True]},
    int: {"a word": "three", "a fraction": 1.5, "NaN": NAN, "a list": [3]},
    float: {"a word": "warm", "NaN": NAN, "infinity": INF, "a list": [0.5]},
    str: {"a list": ["a"], "a mapping": {"a": 1}},
    Path: {"a number": 5, "a list": ["a"]},
    list: {"a number": 5, "numbers": [NAN], "lists": [["i1"]]},
    dict: {"a number": 5, "a list": [1], "a word": "epochs"},
    Callable: {"a number": 5, "a word": "print"},
}


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the API with right arguments, and further arguments that are wrong.

    Attributes:
        name: as it is called. make: the function, from the world. right: its arguments, by name.
        wrong: what is given -> the arguments in place of the right ones.
        odd: the same of what may be refused or not.
        good: the same of what must be taken, with a check of what comes back.
        only: parameters that are also attacked by their type; None: all that have one.
        works: whether the right arguments work with the world's run.
    """

    name: str
    make: Callable[[World], Callable[..., Any]]
    right: Mapping[str, Any] = field(default_factory=dict)
    wrong: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    odd: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    good: Mapping[str, tuple[Mapping[str, Any], Callable[[Any], Any]]] = field(default_factory=dict)
    only: tuple[str, ...] | None = None
    works: bool = True


def inputs_of(call: Call) -> Iterator[Input]:
    """Bad and good arguments of one function."""
    function = inspect.unwrap(_function(call))
    # What a function returns may be of a class that only type checkers import.
    named = {name: hint for name, hint in function.__annotations__.items() if name != "return"}
    hints = typing.get_type_hints(types.SimpleNamespace(__annotations__=named), function.__globals__)
    for name, hint in hints.items():
        if call.only is None or name in call.only:
            for what, value in wrong_values(hint).items():
                yield _input("api: types", call, f"{name} is {what}", {name: value}, (name,))
    for what, arguments in call.wrong.items():
        yield _input("api: values", call, what, arguments, _words(arguments))
    for what, arguments in call.odd.items():
        yield _input("api: values", call, what, arguments, tuple(arguments), None)
    good = {"as it should be": ({}, lambda result: True), **call.good} if call.works else call.good
    for what, (arguments, check) in good.items():
        yield _input("api: good", call, what, arguments, (), True, check)


def _input(
    kind: str,
    call: Call,
    what: str,
    arguments: Mapping[str, Any],
    about: tuple[str, ...],
    right: bool | None = False,
    check: Callable[[Any], Any] | None = None,
) -> Input:
    def run(world: World) -> Any:
        return call.make(world)(**{**call.right, **arguments})

    checked = None if check is None else lambda seen: check(seen.result)
    return Input(kind, f"{call.name}: {what}", run, about, None, right, checked)


def _words(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """What a sentence may name: an argument, one of its entries, or its value."""
    words = []
    for name, value in arguments.items():
        words += [name, f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")]
        words += [str(key) for key in value] if isinstance(value, dict) else []
        words += [value] if isinstance(value, str) and value.strip() else []
    return tuple(words)


def _function(call: Call) -> Callable[..., Any]:
    """What the signature is read from: a method of a class stands there by its dotted name."""
    from recbole_navigen import quick_start
    from recbole_navigen.config import Config
    from recbole_navigen.identifiers.table import DualIdentifierTable

    names = {"Config": Config.__init__, "DualIdentifierTable": DualIdentifierTable.load}
    if call.name in names:
        return names[call.name]
    if call.name.startswith("Recommender."):
        return getattr(quick_start.Recommender, call.name.partition(".")[2])
    return getattr(quick_start, call.name, None) or call.make(None)


def wrong_values(hint: Any) -> dict[str, Any]:
    """What a parameter of a type cannot take: of a union, what none of its members can."""
    members = (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else [hint]
    )
    kinds = [kind for member in members if (kind := _kind(member)) is not None]
    found = {} if type(None) in members or not kinds else {"None": None}
    for kind in kinds:
        found |= {
            what: value for what, value in WRONG[kind].items() if not any(_takes(other, value) for other in kinds)
        }
    return found


def _kind(member: Any) -> Any:
    origin = typing.get_origin(member) or member
    if origin is type(None) or origin in (typing.Any, type):
        return None
    if origin in WRONG:
        return origin
    for base, kind in (
        (collections.abc.Mapping, dict),
        (collections.abc.Iterable, list),
        (collections.abc.Callable, Callable),
    ):
        if origin is base or (isinstance(origin, type) and issubclass(origin, base)):
            return kind
    return None


def _takes(kind: Any, value: Any) -> bool:
    """Whether a type could take a value that is wrong for another one."""
    takes = {
        bool: (bool,),
        int: (int,),
        float: (int, float),
        str: (str,),
        Path: (str,),
        list: (list,),
        dict: (dict,),
        Callable: (),
    }
    return isinstance(value, takes[kind]) and not (kind is float and not math.isfinite(value))

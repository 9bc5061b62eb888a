"""Search spaces of a sweep: read from yaml or from RecBole's `hyper.test`, and checked before anything is trained."""

import ast
import copy
import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole_navigen.config import shipped
from recbole_navigen.config.checking import fitted, refuse_unknown, setting_at
from recbole_navigen.config.description import Setting
from recbole_navigen.config.reading import INTERVAL_ENDING, nearest, parse_value, properties_folders, read_yaml
from recbole_navigen.config.rules import NOT_LEARNED
from recbole_navigen.config.sections import section_settings
from recbole_navigen.errors import InputError
from recbole_navigen.redaction import is_secret
from recbole_navigen.tuning.parameter import Parameter, label

if TYPE_CHECKING:
    from recbole_navigen.config import Config

_KEYS = {"float": {"low", "high", "step", "log"}, "int": {"low", "high", "step", "log"}, "choice": {"values"}}
_HOW = "write `key: {type: float, low: 0.0, high: 0.5}`, with type int alike, or `key: [a, b, c]`"
# Settings of a run whose defaults stand in a file of their own, properties/NAME.yaml.
_WITH_FILE = frozenset({"supervision", "reinforce"})
# What a pretrained backbone brings along; read for one from scratch only.
# What all trials of a sweep share, and what changes nothing about what they learn.
NOT_SEARCHED = (NOT_LEARNED | {"model", "dataset"}) - {"seed"}
_OF_SCRATCH = frozenset({"hidden_size", "n_layers", "n_heads", "inner_size", "attention_dropout"})
_OF_SCRATCH |= {"text_vocabulary", "instruction_vocabulary"}
_LARGEST_LOG = 700.0  # of what a float holds
# A line of RecBole's own format: name, kind, bounds or choices.
_HYPER_TEST = re.compile(r"^(\S+)[ \t]+(choice|uniform|quniform|loguniform)[ \t]+(.+)$")


def read_space(path: str | Path) -> tuple[Parameter, ...]:
    """Read a search space.

    Args:
        path: yaml, a line a setting: `dropout: {type: float, low: 0.0, high: 0.5}`, `n_layers: {type: int, low: 1,
            high: 3}` or `hidden_size: [64, 128]`; or RecBole's format: `learning_rate loguniform -8,0`.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"--params_file={path} is not a file; name one such as properties/sweep/NaviGen.yaml")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"--params_file={path} is not UTF-8 text; name a file of search spaces") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if lines and _HYPER_TEST.match(lines[0][1]):
        space = tuple(_of_hyper_test(line, f"{path}, line {number}") for number, line in lines)
    else:
        space = tuple(_of_yaml(name, given, str(path)) for name, given in read_yaml(path).items())
    if not space:
        raise InputError(f"{path} names no setting to search; {_HOW}")
    names = [parameter.name for parameter in space]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path} names {name} twice; keep one line")
    return space


def _of_yaml(name: str, entry: object, where: str) -> Parameter:
    if isinstance(entry, list):
        entry = {"type": "choice", "values": entry}
    if not isinstance(entry, dict):
        raise InputError(f"{where}: {name} is {entry!r}, which is nothing to search; {_HOW}")
    entry = dict(entry)
    kind = entry.pop("type", "choice" if "values" in entry else None)
    if not isinstance(kind, str) or kind not in _KEYS:
        raise InputError(f"{where}: {name} has type {kind!r}; use float, int or choice")
    for key in entry:
        if key not in _KEYS[kind]:
            raise InputError(f"{where}: {name} has an unknown `{key}`; the nearest is `{nearest(key, _KEYS[kind])}`")
    if kind == "choice":
        return _choice(name, entry.get("values"), where)
    for key in ("low", "high"):
        if key not in entry:
            raise InputError(f"{where}: {name} has no `{key}`; {_HOW}")
    if not isinstance(entry.get("log", False), bool):
        raise InputError(f"{where}: {name} has log {entry['log']!r}; it is true or false")
    return _range(name, kind, where=where, **entry)


def _choice(name: str, values: object, where: str) -> Parameter:
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}: {name} needs a list of at least one value; {_HOW}")
    labels = [json.dumps(value, default=str) for value in values]
    for value, text in zip(values, labels, strict=True):
        if labels.count(text) > 1:
            raise InputError(f"{where}: {name} lists {value!r} twice; keep one")
    return Parameter(name, "choice", values=tuple(values))


def _range(
    name: str, kind: str, low: object, high: object, where: str, step: object = None, log: bool = False
) -> Parameter:
    for key, value in (("low", low), ("high", high), *([("step", step)] if step is not None else [])):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"{where}: {name} has {key} {value!r}, which is no number")
        if kind == "int" and not float(value).is_integer():
            raise InputError(f"{where}: {name} has {key} {value}, and an int takes whole numbers; use type float")
    if low > high:
        raise InputError(f"{where}: {name} has low {low} above high {high}; swap them")
    if step is not None and step <= 0:
        raise InputError(f"{where}: {name} has step {step}; it must be above zero")
    if log and (low <= 0 or step is not None):
        raise InputError(f"{where}: {name} with log needs a low above zero and no step; change that or drop log")
    if step is not None:
        high = low + math.floor((high - low) / step + 1e-9) * step
    number = int if kind == "int" else float
    return Parameter(name, kind, number(low), number(high), None if step is None else number(step), log)


def _of_hyper_test(line: str, where: str) -> Parameter:
    """RecBole's `name kind values`; loguniform has bounds in natural logarithms. Nothing is evaluated as Python."""
    match = _HYPER_TEST.match(line)
    if not match:
        raise InputError(
            f"{where}: `{line}` was not understood; write `name kind values` with the kind choice, uniform, quniform "
            "or loguniform"
        )
    name, kind, text = match.groups()
    if kind == "choice":
        values = _literal(name, text)
        # RecBole quotes lists inside lists, '[64,64]', and reads them a second time; so do we, but for intervals, which
        # are text.
        if isinstance(values, list) and not name.endswith(INTERVAL_ENDING):
            values = [_literal(name, value) if isinstance(value, str) else value for value in values]
        return _choice(name, values, where)
    numbers = [parse_value(name, part.strip()) for part in text.split(",")]
    count = 3 if kind == "quniform" else 2
    if len(numbers) != count or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        raise InputError(f"{where}: {name} {kind} takes {count} numbers with commas, not `{text}`")
    if kind == "loguniform":
        if not all(-_LARGEST_LOG <= number <= _LARGEST_LOG for number in numbers):
            raise InputError(f"{where}: {name} loguniform takes natural logarithms, such as -8,0, not `{text}`")
        return _range(name, "float", *map(math.exp, numbers), where, log=True)
    if kind == "uniform":
        return _range(name, "float", *numbers, where)
    low, high, step = numbers
    if step > 0 and math.isfinite(low) and math.isfinite(high):
        # Hyperopt draws round(U / step) * step: multiples of the step, not steps above `low`. Those at the ends are all
        # that a U within the bounds rounds to.
        first, last = math.floor(low / step + 0.5), math.ceil(high / step - 0.5)
        low, high = (float(Decimal(str(step)) * count) for count in (first, max(first, last)))
    return _range(name, "int" if float(step).is_integer() else "float", low, high, where, step)


def _literal(name: str, text: str) -> Any:
    """Choices as RecBole's users write them, Python literals such as `[(64, 64), None]`; other text is read as yaml."""
    try:
        value = ast.literal_eval(text)
        json.dumps(value)  # a set, for one, is no setting
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return parse_value(name, text)
    return _lists(value)


def _lists(value: object) -> Any:
    """Tuples as lists, at any depth of them."""
    return [_lists(entry) for entry in value] if isinstance(value, list | tuple) else value


def nested(values: Mapping[str, Any], base: "Config") -> dict[str, Any]:
    """Settings from values by dotted name: `task_weights.cid2tid` changes that entry of the task_weights of `base`."""
    settings: dict[str, Any] = {}
    for name, value in values.items():
        key, *path = name.split(".")
        if not path:
            settings[key] = value
            continue
        entry, whole = settings.setdefault(key, copy.deepcopy(base[key] or {})), _entries(key, base)
        for part in path[:-1]:
            whole = whole[part]
            entry = entry.setdefault(part, copy.deepcopy(whole))
        entry[path[-1]] = value
    return settings


def shipped_space(model: str) -> Path:
    """The file of the search space that stands in properties/sweep for a model."""
    files = [folder / "sweep" / f"{model}.yaml" for folder in properties_folders()]
    known = [file for file in files if file.is_file()]
    if not known:
        raise InputError(f"there is no search space for {model}; name one with --params_file=FILE")
    return known[-1]


def _entries(key: str, base: "Config") -> Any:
    """The value of a setting, with the defaults of its file if it has one."""
    return section_settings(key, base[key]) if key in _WITH_FILE else base[key]


def refuse_unfit(space: Sequence[Parameter], base: "Config", fixed: Mapping[str, Any], where: str) -> None:
    """Refuse a space that names nested settings which do not exist, settings that are fixed at the same time, or
    settings that the backbone does not read.

    Args:
        space: what is searched. base: the settings of a run without it. fixed: those the user set.
        where: the space was read from.
    """
    for parameter in space:
        key, *path = parameter.name.split(".")
        if key in NOT_SEARCHED:
            raise InputError(f"{key} decides nothing about what a trial learns; remove it from {where}")
        if any(map(is_secret, (key, *path))):
            raise InputError(f"{parameter.name} is a secret and nothing to search; remove it from {where}")
        if key in fixed and not path:
            raise InputError(f"{key} is searched in {where} and fixed as {fixed[key]!r} at once; remove one")
        if key in _OF_SCRATCH and base["backbone"] not in (None, "scratch"):
            raise InputError(
                f"{key} is searched in {where} and would change nothing: backbone={base['backbone']} brings its own; "
                "remove it from the space"
            )
        entry = _entries(key, base)
        for part in path:
            if not isinstance(entry, dict) or part not in entry:
                known = f"; it has {', '.join(map(str, entry))}" if isinstance(entry, dict) else ""
                raise InputError(f"{where}: {parameter.name} is unknown, {key} has no entry `{part}`{known}")
            entry = entry[part]


def refuse_bad_values(space: Sequence[Parameter], described: Mapping[str, Setting], where: str) -> None:
    """Refuse a space with a name that no setting has or a value that its setting cannot take.

    Args:
        space: what is searched. described: what each setting may be. where: the space was read from.
    """
    for parameter in space:
        refuse_unknown([parameter.name.partition(".")[0]], described, f"in {where}")
        setting = setting_at(described, parameter.name, shipped.sections)
        if setting is None:
            continue  # an open dictionary takes any name; `refuse_unfit` refuses others
        for value in parameter.values if parameter.kind == "choice" else (parameter.low, parameter.high):
            fitted(setting, value, shipped.sections, f"{where}: {parameter.name}")


def defaults(space: Sequence[Parameter], base: "Config") -> dict[str, Any]:
    """Return the default settings that lie in the space, in the form in which Optuna stores them."""
    values = {}
    for parameter in space:
        key, *path = parameter.name.split(".")
        entry = _entries(key, base)
        for part in path:
            entry = entry[part]
        if parameter.holds(entry):
            values[parameter.name] = label(entry) if parameter.kind == "choice" else entry
    return values

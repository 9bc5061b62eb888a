"""Settings as text: reading yaml and the command line, and refusing what cannot be meant. No RecBole, no torch.

Values are parsed by yaml's safe rules and never evaluated as Python.
"""

import copy
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from recbole_navigen.errors import InputError
from recbole_navigen.redaction import remember

# Settings whose value is an interval such as [3,inf) or [3,10]: text that looks like a yaml list but is none.
INTERVAL_ENDING = "_interval"


_NUMBERS = ("int", "float", "timestamp")  # what yaml 1.1 takes for numbers and dates
# What PyYAML raises: its own errors, and those of Python for tags such as !!int x and for nesting without end.
_YAML_ERRORS = (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError)


def _refuse_circles(value: object, outer: tuple[int, ...]) -> None:
    """Refuse a list or mapping that holds itself, which an anchor can make."""
    if id(value) in outer:
        raise yaml.constructor.ConstructorError(None, None, "a value holds itself", None)
    for entry in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _refuse_circles(entry, (*outer, id(value)))


class SettingsLoader(yaml.SafeLoader):
    """Safe yaml. No key stands twice, and numbers are what they look like: 1e-3 is one (yaml 1.1 asks for a dot),
    while 2020-10-10, 1:30 (ninety, to yaml) and 010 (eight) stay text.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own class attribute)
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in _NUMBERS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def get_single_data(self) -> Any:
        data = super().get_single_data()
        _refuse_circles(data, ())
        return data

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern in (
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*)$"),
    ("float", r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?$"),
    ("float", r"^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$"),
    ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"),
):
    SettingsLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list("-+.0123456789"))


def properties_folders() -> list[Path]:
    """Folders that hold `overall.yaml`, `model/` and `dataset/`, later ones first in rank.

    The shipped folder lies inside the package in a wheel and beside it in a source tree; a folder `properties` in the
    working directory may add to it (a `dataset/NAME.yaml` for one's own data, for example).
    """
    package = Path(__file__).resolve().parents[1]
    inside, beside = package / "properties", package.parent / "properties"
    shipped = inside if inside.is_dir() else beside
    local = Path("properties").resolve()
    return [shipped] if local == shipped or not local.is_dir() else [shipped, local]


def added_settings(name: str) -> dict[str, Any]:
    """Read the settings that the working directory's own `properties/NAME.yaml` adds to the shipped ones."""
    files = (folder / f"{name}.yaml" for folder in properties_folders()[1:])
    return {key: value for file in files if file.is_file() for key, value in read_settings(file).items()}


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the name that a mistyped one most probably meant; case does not count."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    return by_lower[difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.0)[0]]


def expanded(path: str | Path | None) -> str | None:
    """A path with `~` as the home folder; hub ids and names pass through."""
    if path is None:
        return None
    return str(Path(path).expanduser()) if str(path).startswith("~") else str(path)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read one yaml file of settings; dots in names lead into dictionaries."""
    return without_dots(read_yaml(path), f"in config file {path}")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read one yaml file of names and values."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"config file {path} cannot be read: {error.strerror}; check --config_files") from error
    except UnicodeDecodeError as error:
        raise InputError(f"config file {path} is not UTF-8 text; check --config_files") from error
    try:
        settings = copy.deepcopy(_parsed(text))
    except _YAML_ERRORS as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise InputError(f"config file {path} is not valid yaml{where}: {problem}") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise InputError(f"config file {path} must hold lines of `key: value`, not a {type(settings).__name__}")
    settings = {str(key): value for key, value in settings.items()}
    remember(settings)
    return settings


@lru_cache(maxsize=64)
def _parsed(text: str) -> Any:
    """The same files are read for every run of a sweep or comparison, and PyYAML takes long."""
    return yaml.load(text, Loader=SettingsLoader)


def without_dots(settings: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """Turn names such as `task_weights.dense` into dictionaries; what is said twice in two ways is refused.

    Args:
        settings: by name. where: they stand, for the refusal.
    """
    plain: dict[str, Any] = {}
    for name, value in settings.items():
        _put(plain, str(name), value, str(name), where)
    return plain


def _put(into: dict[str, Any], name: str, value: object, shown: str, where: str) -> None:
    """Put a value into nested dictionaries, beside what is there."""
    key, dot, rest = name.partition(".")
    if dot and key and rest:
        inner = into.setdefault(key, Partial())
        if not isinstance(inner, dict):
            raise InputError(f"{shown} is given {where}, and so is {key} as {inner!r}; keep one")
        if type(inner) is dict:
            into[key] = inner = dict(inner)
        _put(inner, rest, value, shown, where)
    elif name not in into:
        into[name] = value
    elif isinstance(into[name], dict) and isinstance(value, Mapping):
        # A whole dictionary beside entries of it: together they are the dictionary.
        together = dict(value)
        for inner, entry in into[name].items():
            _put(together, inner, entry, f"{shown}.{inner}", where)
        into[name] = together
    elif into[name] != value or isinstance(into[name], bool) != isinstance(value, bool):
        raise InputError(f"{shown} is given twice {where}, as {into[name]} and as {value}; keep one")


class Partial(dict):
    """Entries of a dictionary that were given by name, one by one: they stand beside what it holds already."""


def parse_value(key: str, text: str) -> Any:
    """Read the value of `--key=text` by yaml's safe rules; `None` is accepted for null, as RecBole's users write it."""
    remember(text, key)
    if text == "None":
        return None
    is_interval = any(part.endswith(INTERVAL_ENDING) for part in key.split("."))
    try:
        value = yaml.load(text, Loader=SettingsLoader)
    except _YAML_ERRORS as error:
        # Text such as @home or [3,inf) is a fine string; an unclosed list or mapping is a slip.
        if text[:1] in "[{" and not is_interval:
            problem = getattr(error, "problem", None) or ""
            why = problem if problem.endswith("twice") else "is not valid yaml; quote it and close its brackets"
            raise InputError(f"--{key}={text}: {why}" if why == problem else f"--{key}={text} {why}") from error
        return text
    remember(value, key)
    return text if is_interval and isinstance(value, list) else value


def parse_argv(argv: Sequence[str]) -> dict[str, Any]:
    """Read arguments of the form `--key=value`; dots in keys lead into dictionaries."""
    settings: dict[str, Any] = {}
    for argument in argv:
        key, equals, text = argument[2:].partition("=")
        if not argument.startswith("--") or not equals or not key:
            raise InputError(
                f"argument `{argument}` was not understood; write settings as --key=value, e.g. --epochs=10 or "
                "--lora=True"
            )
        _put(settings, key, parse_value(key, text), f"--{key}", "on the command line")
    return settings

"""Settings as text: reading yaml and the command line, and refusing what cannot be meant. No RecBole, no torch.

Values are parsed by yaml's safe rules and never evaluated as Python.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from recbole_navigen.errors import InputError

# Settings that must be whole numbers above zero, beside every name that ends in one of POSITIVE_ENDINGS.
POSITIVE = frozenset(
    {
        "epochs",
        "eval_step",
        "topk",
        "MAX_ITEM_LIST_LENGTH",
        "k",
        "levels",
        "codes",
        "validation_users",
        "batch_items",
    }
)
POSITIVE_ENDINGS = ("_size", "_heads")
RATE_ENDING = "learning_rate"  # above zero, fractions welcome
REQUIRED = frozenset({"epochs", "topk", "learning_rate", "train_batch_size", "eval_batch_size"})
FOLDERS = frozenset({"data_path", "checkpoint_dir"})
# Settings whose value is an interval such as [3,inf) or [3,10]: text that looks like a yaml list but is none.
INTERVAL_ENDING = "_interval"
SECRET = re.compile(r"(^|_)(api_?key|key|secret|password|credentials?|access_token|api_token|hf_token)$", re.IGNORECASE)
_URL_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


class SettingsLoader(yaml.SafeLoader):
    """Safe yaml in which 1e-3 is a number (yaml 1.1 asks for a dot) and 2020-10-10 stays text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own class attribute)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


SettingsLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


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
    """What the working directory's own `properties/NAME.yaml` sets above the shipped one."""
    files = (folder / f"{name}.yaml" for folder in properties_folders()[1:])
    return {key: value for file in files if file.is_file() for key, value in read_settings(file).items()}


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the name that a mistyped one most probably meant; case does not count."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    return by_lower[difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.0)[0]]


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read one yaml file of settings."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"config file {path} cannot be read: {error.strerror}; check --config_files") from error
    except UnicodeDecodeError as error:
        raise InputError(f"config file {path} is not UTF-8 text; check --config_files") from error
    try:
        settings = yaml.load(text, Loader=SettingsLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise InputError(f"config file {path} is not valid yaml{where}: {problem}") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise InputError(f"config file {path} must hold lines of `key: value`, not a {type(settings).__name__}")
    return {str(key): value for key, value in settings.items()}


def parse_value(key: str, text: str) -> Any:
    """Read the value of `--key=text` by yaml's safe rules; `None` is accepted for null, as RecBole's users write it."""
    if text == "None":
        return None
    try:
        value = yaml.load(text, Loader=SettingsLoader)
    except yaml.YAMLError as error:
        # Text such as @home or [3,inf) is a fine string; an unclosed list or mapping is a slip.
        if text[:1] in "[{" and not key.endswith(INTERVAL_ENDING):
            raise InputError(f"--{key}={text} is not valid yaml; quote it and close its brackets") from error
        return text
    return text if key.endswith(INTERVAL_ENDING) and isinstance(value, list) else value


def parse_argv(argv: Sequence[str]) -> dict[str, Any]:
    """Read arguments of the form `--key=value`."""
    settings: dict[str, Any] = {}
    for argument in argv:
        key, equals, text = argument[2:].partition("=")
        if not argument.startswith("--") or not equals or not key:
            raise InputError(
                f"argument `{argument}` was not understood; write settings as --key=value, e.g. --epochs=10 or "
                "--lora=True"
            )
        value = parse_value(key, text)
        if key in settings and settings[key] != value:
            raise InputError(f"--{key} is given twice, as {settings[key]} and as {value}; keep one")
        settings[key] = value
    return settings


def refuse_unknown(settings: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Refuse settings whose name nothing reads."""
    known = set(known)
    for key in settings:
        if key not in known:
            raise InputError(f"unknown setting `{key}` {where}; the nearest valid name is `{nearest(key, known)}`")


def fit_types(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse values whose type cannot replace the default's, and turn 1e3 into 1000 where a whole number is due."""
    fitted = dict(settings)
    for key, value in settings.items():
        default = defaults.get(key)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is None or default is None:
            continue
        if isinstance(default, bool):
            if not isinstance(value, bool) and value not in (0, 1):
                raise InputError(f"{key} must be True or False, not {value!r}")
            fitted[key] = bool(value)
        elif isinstance(default, int | float):
            if not number:
                raise InputError(f"{key} must be a number such as {default}, not {value!r}")
            if isinstance(default, int) and isinstance(value, float) and value.is_integer():
                fitted[key] = int(value)
            elif isinstance(default, float):
                fitted[key] = float(value)
    return fitted


def refuse_nonpositive(settings: Mapping[str, Any]) -> None:
    """Refuse sizes, counts and rates that are not above zero, alone or in a list."""
    for key, value in settings.items():
        rate = key.endswith(RATE_ENDING)
        if not (rate or key in POSITIVE or key.endswith(POSITIVE_ENDINGS)) or (value is None and key not in REQUIRED):
            continue
        if value == []:
            raise InputError(f"{key} is an empty list; name at least one number")
        for entry in value if isinstance(value, list | tuple) else [value]:
            if isinstance(entry, bool) or not isinstance(entry, int | float):
                raise InputError(f"{key} must be a number above zero, not {entry!r}")
            if not entry > 0:
                raise InputError(f"{key} must be above zero, not {entry}")
            if not rate and not float(entry).is_integer():
                raise InputError(f"{key} must be a whole number, not {entry}")


def refuse_no_folder(settings: Mapping[str, Any]) -> None:
    """Refuse places that are no path."""
    for key in FOLDERS.intersection(settings):
        if not isinstance(settings[key], str | Path) or not str(settings[key]):
            raise InputError(f"{key} must be the path of a folder, such as ./saved, not {settings[key]!r}")


def without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with keys, passwords and logins inside addresses hidden, at any depth."""

    def hide(key: str, value: Any) -> Any:
        if value is not None and SECRET.search(key):
            return "(hidden)"
        if isinstance(value, dict):
            return {inner: hide(str(inner), entry) for inner, entry in value.items()}
        if isinstance(value, list | tuple):
            return [hide("", entry) for entry in value]
        return _URL_LOGIN.sub("(hidden)@", value) if isinstance(value, str) else value

    return {key: hide(key, value) for key, value in settings.items()}


def settings_file(name: str, own: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings of properties/NAME.yaml, a file that stands apart from RecBole's settings, with a user's own above
    them; unknown ones are refused.
    """
    settings: dict[str, Any] = {}
    for folder in properties_folders():
        if (file := folder / f"{name}.yaml").is_file():
            settings.update(read_settings(file))
    refuse_unknown(own or {}, settings, f"of {name}")
    return {**settings, **fit_types(own or {}, settings)}

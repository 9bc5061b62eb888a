"""Which settings there are for a model, and what each may be: our `properties/` over RecBole's. No RecBole, no torch.

RecBole's folder is found without importing it. Its own settings have no description that a program could read, so
properties/recbole.yaml gives one, for single names and for patterns of names; what that leaves open follows from the
default and from the choices that RecBole's comments list.
"""

import difflib
import fnmatch
import functools
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from recbole_navigen.config.description import Kind, Setting, describe_file
from recbole_navigen.config.reading import properties_folders, read_settings
from recbole_navigen.errors import InputError

OURS = ("NaviGen",)
BASELINES = (
    "Transitions",
    "HSTU",
    "SASRecText",
    "Ensemble",
    "ReleasedNaviGen",
)  # ours, and like RecBole's sequential models
SECTIONS = ("supervision", "reinforce", "generation")  # files of properties/ that stand apart from a run's settings
FAMILIES = (
    "sequential_recommender",
    "general_recommender",
    "context_aware_recommender",
    "knowledge_aware_recommender",
    "exlib_recommender",
)
# Settings beside those of yaml files: what a run is of.
NAMES = {
    name: Setting(name, (Kind("str"),), False, help=text)
    for name, text in (("model", "Name of the model."), ("dataset", "Name of the data set."))
}
_TABLE = "recbole"  # the file that describes RecBole's settings
_STEPS = Setting("steps", (Kind("int", low=1),), False, help="Steps of the optimizer in place of epochs.")
# What RecBole says of choices in its comments, such as: Range in ['BPR', 'CE'].
_LISTED = re.compile(r"\b(?:Range|ranging) in `*\[([^\]]+)\]")
_COMMENT = re.compile(r"^(?P<name>[\w-]+):.*?#\s*(?:\((?P<kind>[^)]*)\))?(?P<about>.*)$", re.MULTILINE)
READ_BY_CODE = re.compile(r"""config\[["'](\w+)["']\]""")
_IMPORTED = re.compile(r"^\s*from recbole\.model\.([\w.]+) import", re.MULTILINE)
_ARGUMENTS = re.compile(r"'(\w+)'")
_METRIC = re.compile(r"^class (\w+)\((\w+)\):", re.MULTILINE)
_TOP = re.compile(r"^([A-Za-z_][\w-]*):", re.MULTILINE)


def recbole_folder() -> Path:
    """Folder of the installed recbole package, which is not imported."""
    return Path(find_spec("recbole").origin).parent


@functools.cache
def model_names() -> tuple[str, ...]:
    """Names of all models, ours and RecBole's (RecBole's files of properties bear its exact names; Random has none)."""
    files = (recbole_folder() / "properties" / "model").glob("*.yaml")
    return tuple(sorted({*OURS, *BASELINES, "Random", *(file.stem for file in files)}, key=str.lower))


@functools.cache
def family_of(model: str) -> str | None:
    """The folder of RecBole's that holds a model, or models like it; None for NaviGen and unknown models."""
    if model in BASELINES:
        return "sequential_recommender"
    root = recbole_folder() / "model"
    return next((name for name in FAMILIES if (root / name / f"{model.lower()}.py").is_file()), None)


def described(model: str | None = None, also: frozenset[str] = frozenset()) -> Mapping[str, Setting]:
    """Every setting that a model knows, by name.

    Args:
        model: its name; None: what all models know. also: further names, of which only the name is known.
    """
    settings = dict(_described(model, also))
    # A model's file in a folder `properties` of the working directory may name settings of its own.
    for folder in properties_folders()[1:]:
        if model is not None and (file := folder / "model" / f"{model}.yaml").is_file():
            for key, value in read_settings(file).items():
                settings.setdefault(key, _named(key, value, ""))
    return settings


@functools.cache
def _described(model: str | None, also: frozenset[str]) -> Mapping[str, Setting]:
    """What is shipped of `described`. Do not change what comes back: it is kept."""
    settings = dict(NAMES)
    root = recbole_folder() / "properties"
    # 1. RecBole's own.
    for file in (root / "overall.yaml", root / "dataset" / "sample.yaml"):
        settings.update(_of_recbole(file))
    named = [name for name in _table() if "*" not in name and "?" not in name]
    for name in (*argument_names(), *named, *also):
        settings.setdefault(name, _named(name, None, ""))
    if model is not None:
        if (file := root / "model" / f"{model}.yaml").is_file():
            settings.update(_of_recbole(file))
        for name in keys_in_code(model):
            settings.setdefault(name, _named(name, None, ""))
    # 2. Ours above them.
    for name in ("overall", *([f"model/{model}"] if model is not None else [])):
        if (file := properties_folders()[0] / f"{name}.yaml").is_file():
            for key, setting in describe_file(file).items():
                below = settings.get(key)
                inside = {**below.entries, **setting.entries} if below is not None else setting.entries
                settings[key] = replace(setting, entries=inside)
    return settings


@functools.cache
def section(name: str) -> Mapping[str, Setting]:
    """The settings of one of `SECTIONS`, by name."""
    return describe_file(properties_folders()[0] / f"{name}.yaml")


def sections(word: str, name: str) -> Mapping[str, Setting]:
    """Describes settings that hold settings, see `checking.fitted`."""
    if word == "settings of":
        return section(name)
    refuse_unknown_model(name, "collaborative_config")
    return {**described(name), "steps": _STEPS}


def refuse_unknown_model(name: str, key: str = "") -> None:
    """Refuse a name that no model has, with the nearest ones.

    Args:
        name: of the model. key: of the setting that names it, for the message.
    """
    names = model_names()
    if name in names:
        return
    by_lower = {known.lower(): known for known in names}
    near = [by_lower[close] for close in difflib.get_close_matches(str(name).lower(), by_lower, n=3, cutoff=0.4)]
    where = f"{key}: " if key else ""
    raise InputError(
        f"{where}unknown model `{name}`; nearest names: {', '.join(near or ['NaviGen', 'SASRec', 'LightGCN'])}"
    )


@functools.cache
def metric_types() -> Mapping[str, str]:
    """RecBole's metrics, in small letters: RANKING or VALUE."""
    text = (recbole_folder() / "evaluator" / "metrics.py").read_text("utf-8")
    return {name.lower(): "VALUE" if base == "LossMetric" else "RANKING" for name, base in _METRIC.findall(text)}


def anywhere(name: str) -> Setting:
    """Describe a setting that the chosen model does not read and another model does."""
    return _named(name, None, "")


@functools.cache
def argument_names() -> tuple[str, ...]:
    """Names in RecBole's lists of arguments, but for `config_file`, which nothing reads."""
    text = (recbole_folder() / "utils" / "argument_list.py").read_text("utf-8")
    return tuple(name for name in _ARGUMENTS.findall(text) if name != "config_file")


@functools.cache
def dataset_arguments() -> tuple[str, ...]:
    """Names of the settings that decide how RecBole reads a data set, as RecBole lists them and as its code reads
    them beside that list.
    """
    text = (recbole_folder() / "utils" / "argument_list.py").read_text("utf-8")
    listed = _ARGUMENTS.findall(text[text.index("dataset_arguments") :])
    return tuple(
        dict.fromkeys(
            (
                *listed,
                "encoding",
                "numerical_features",
                "discretization",
                "kg_reverse_r",
                "entity_kg_num_interval",
                "relation_kg_num_interval",
            )
        )
    )


@functools.cache
def keys_in_code(model: str) -> frozenset[str]:
    """Names of the settings that RecBole's code of a model reads; some models have settings in no yaml file."""
    family = family_of(model)
    if family is None:
        return frozenset()
    root = recbole_folder() / "model"
    files, seen = [root / family / f"{model.lower()}.py"], set()
    keys: set[str] = set()
    while files:
        file = files.pop()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        text = file.read_text("utf-8")
        keys.update(READ_BY_CODE.findall(text))
        files += [root / f"{module.replace('.', '/')}.py" for module in _IMPORTED.findall(text)]
    return frozenset(keys)


@functools.cache
def keys_of_all_models() -> frozenset[str]:
    """Names of the settings of all models that have a yaml file, RecBole's and ours."""
    return frozenset().union(*_keys_by_model().values())


def models_with(key: object) -> list[str]:
    """Models whose yaml file has a setting of this name, ours first."""
    found = [model for model, keys in _keys_by_model().items() if key in keys]
    return sorted(found, key=lambda model: (model not in (*OURS, *BASELINES), model.lower()))


def _keys_by_model() -> dict[str, frozenset[str]]:
    keys: dict[str, frozenset[str]] = {}
    for folder in (recbole_folder() / "properties", *properties_folders()):
        for file in (folder / "model").glob("*.yaml"):
            keys[file.stem] = keys.get(file.stem, frozenset()).union(_TOP.findall(file.read_text("utf-8")))
    return keys


def _table() -> Mapping[str, Setting]:
    return describe_file(properties_folders()[0] / f"{_TABLE}.yaml")


@functools.cache
def _of_recbole(file: Path) -> dict[str, Setting]:
    """The settings of one of RecBole's files."""
    comments = {comment["name"]: comment for comment in _COMMENT.finditer(file.read_text("utf-8"))}
    settings = {}
    for name, value in read_settings(file).items():
        comment = comments.get(name)
        setting = _named(name, value, (comment["kind"] or "") if comment else "")
        listed = _LISTED.search(comment["about"]) if comment else None
        choices = [choice.strip(" '\"") for choice in listed[1].split(",")] if listed else []
        if isinstance(value, str) and value in choices:
            setting = replace(setting, kinds=(Kind("choice", choices=tuple(choices)),), none=False)
        settings[name] = replace(setting, help=comment["about"].strip() if comment else "", file=file.name)
    return settings


def _named(name: str, default: object, said: str) -> Setting:
    """A setting of RecBole's by its name, its default and the type that its comment says."""
    table = _table()
    if name in table:
        return replace(table[name], default=default)
    for pattern, setting in table.items():
        if ("*" in pattern or "?" in pattern) and fnmatch.fnmatchcase(name, pattern):
            kinds = setting.kinds
            if default is not None:
                is_list = isinstance(default, list)
                kinds = tuple(kind for kind in kinds if (kind.word == "list") is is_list) or kinds
            return replace(setting, name=name, kinds=kinds, default=default)
    return Setting(name, *_like(default, said), default)


def _like(default: object, said: str) -> tuple[tuple[Kind, ...], bool]:
    """What may stand in place of a default, and whether None may."""
    if isinstance(default, bool):
        return (Kind("bool"),), False
    if isinstance(default, int | float):
        low = 0 if default >= 0 else -math.inf
        return (Kind("int" if said == "int" and isinstance(default, int) else "float", low),), False
    if isinstance(default, str):
        return (Kind("str"),), False
    if isinstance(default, list):
        numbers = default and all(isinstance(entry, int | float) for entry in default)
        whole = numbers and all(isinstance(entry, int) for entry in default)
        low = 0 if numbers and min(default) >= 0 else -math.inf
        inner = (Kind("int" if whole else "float", low),) if numbers else ()
        return (Kind("list", inner=inner),), False
    if isinstance(default, dict):
        return (Kind("whole dict"),), False
    return (Kind("any"),), True

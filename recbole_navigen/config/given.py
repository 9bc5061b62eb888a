"""All settings of a run, checked as a whole and merged: what is shipped, and what files, dictionary and argv set.

No RecBole, no torch: a mistake is refused before they are imported, and `Config` is built on the same.
"""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_navigen.config import shipped
from recbole_navigen.config.calls import SETTINGS, checks
from recbole_navigen.config.checking import fitted, merged, refuse_unknown
from recbole_navigen.config.description import Setting
from recbole_navigen.config.locate import dataset_folder
from recbole_navigen.config.own_code import OwnModel, keys_of_own_models, own_model, spelled_model
from recbole_navigen.config.reading import (
    Partial,
    expanded,
    parse_argv,
    properties_folders,
    read_settings,
    without_dots,
)
from recbole_navigen.config.rules import refuse_ignored, refuse_unfit
from recbole_navigen.errors import InputError

DEFAULT_MODEL = "NaviGen"
DEFAULT_DATASET = "ml-100k"
# Kinds of models that need other columns or labelled evaluation: what RecBole ships for them stands above our defaults.
_KIND_FILES = ("context-aware", "sequential_DIN", "special_sequential", "sequential_embedding_model", "knowledge_base")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Given:
    """Settings of one run.

    Attributes:
        model: its name. dataset: the name of the data set.
        files, own, argv: what config files, dictionary and command line set, checked.
        external: these three merged. internal: what is shipped, merged. final: everything merged.
        of_dataset: names that files of the data set's properties set. described: what each setting may be.
        source: of a model in a user's file.
    """

    model: str
    dataset: str
    files: dict[str, Any]
    own: dict[str, Any]
    argv: dict[str, Any]
    external: dict[str, Any]
    internal: dict[str, Any]
    final: dict[str, Any]
    of_dataset: tuple[str, ...]
    described: Mapping[str, Setting]
    source: OwnModel | None = None

    def __getitem__(self, key: str) -> Any:
        """A setting after the merge, None if nobody set it, as RecBole's Config gives it."""
        return self.final.get(key)


@checks(dataset="str or None", **SETTINGS, comparison="bool")
def gather(
    model: str | None = None,
    dataset: str | None = None,
    config_file_list: Sequence[str | Path] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    argv: Sequence[str] = (),
    comparison: bool = False,
    family: str | None = None,
    also: frozenset[str] = frozenset(),
) -> Given:
    """Read, check and merge settings. Rank, low to high: RecBole's yaml < our `properties/` < config files (later ones
    win) < `config_dict` < `argv`.

    Args:
        model: its name; None takes `model` from the settings, or else NaviGen. dataset: alike, or else ml-100k.
        config_file_list: yaml files. config_dict: typed values. argv: settings as `--key=value`.
        comparison: True if files and command line serve several models: what only others know is left out here, and a
            section `models` is allowed.
        family: of a model class that is not found by its name, one of `shipped.FAMILIES`.
        also: names of further settings that a model class reads.

    Raises:
        InputError: whatever cannot be meant.
    """
    # 1. What was given, as it stands.
    files = [(read_settings(file), f"in config file {file}") for file in config_file_list or ()]
    from_dict = without_dots(copy.deepcopy(dict(config_dict or {})), "in config_dict")
    line = parse_argv(argv)
    if comparison:
        for settings, _ in files:
            settings.pop("models", None)
    ranks = [*files, (from_dict, "in config_dict"), (line, "on the command line")]
    for settings, _ in ranks:  # files of code are found again from any folder
        for key in ("model_file", "metrics_file"):
            if isinstance(settings.get(key), str):
                settings[key] = str(Path(expanded(settings[key])).absolute())
    model = _name(model, "model", DEFAULT_MODEL, ranks)
    if (spelled := spelled_model(model)) is not None:
        for settings, _ in ranks:
            if settings.get("model") == model:
                settings["model"] = spelled[1]
        from_dict["model_file"], model = spelled
        line.pop("model_file", None)
    dataset = _name(dataset, "dataset", DEFAULT_DATASET, ranks)
    file = next((settings["model_file"] for settings, _ in reversed(ranks) if settings.get("model_file")), None)
    source = None if file is None else own_model(file, model)
    if source is not None:
        also |= source.keys
        family = family or source.family or shipped.FAMILIES[1]
    elif family is None:
        shipped.refuse_unknown_model(model)
        family = shipped.family_of(model)

    # 2. Names, types and ranges.
    base = None if source is None else source.base
    described = {**(shipped.described(base) if base else {}), **shipped.described(model, also)}
    internal, of_dataset = _shipped_values(model, dataset, family, described, base)
    known = set(described) | set(internal)
    checked = []
    for settings, where in ranks:
        alone = settings is line and not comparison
        place = f"{where} for {model}" if settings is line else where
        if not known.issuperset(settings):
            others = shipped.keys_of_all_models() | keys_of_own_models()
            refuse_unknown(settings, known if alone else known | others, place, shipped.models_with)
        checked.append(
            {
                key: fitted(described.get(key) or shipped.anywhere(key), value, shipped.sections)
                for key, value in settings.items()
                if key in known or not comparison
            }
        )

    # 3. Merged, and checked against each other.
    *of_files, from_dict, line = checked
    of_files = merged(described, of_files, shipped.sections)
    external = merged(described, (of_files, from_dict, line), shipped.sections)
    final = merged(described, (internal, external), shipped.sections)
    _end_steps(external, final)
    # Entries that were given one by one stand beside what is shipped; whoever reads `external` gets both.
    external |= {key: copy.deepcopy(final[key]) for key, value in external.items() if type(value) is Partial}
    whole = Given(model, dataset, of_files, from_dict, line, external, internal, final, of_dataset, described, source)
    refuse_unfit(model, family, final)
    dataset_folder(final["data_path"], dataset)  # refuses an unknown data set
    refuse_ignored(whole, comparison)
    return whole


def _end_steps(external: Mapping[str, Any], final: dict[str, Any]) -> None:
    """Epochs or steps that a user gives a collaborative model stand in place of the others that are shipped for it."""
    for model, settings in (external.get("collaborative_config") or {}).items():
        if "epochs" in settings and "steps" in settings:
            raise InputError(f"collaborative_config.{model} has epochs and steps; keep one of them")
        for one, other in (("epochs", "steps"), ("steps", "epochs")):
            if one in settings:
                final["collaborative_config"][model].pop(other, None)


def _name(argument: str | None, key: str, default: str, ranks: Sequence[tuple[Mapping[str, Any], str]]) -> str:
    """The name of model or data set: as given, or of the highest rank that has one."""
    names = [settings[key] for settings, _ in ranks if settings.get(key) is not None]
    name = argument if argument is not None else (names or [default])[-1]
    return fitted(shipped.NAMES[key], name, shipped.sections)


def _shipped_values(
    model: str, dataset: str, family: str | None, described: Mapping[str, Setting], base: str | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The values that yaml files ship, RecBole's below ours, and the names that those of the data set hold.

    A user's model has below its own values those of the shipped model that it derives from (`base`).
    """
    models = [f"model/{name}" for name in (base, model) if name]
    root = shipped.recbole_folder() / "properties"
    kinds = [
        (name, read_settings(file))
        for name in _kinds(model, dataset, family)
        if (file := root / "quick_start_config" / f"{name}.yaml")
    ]
    of_recbole = [root / f"{name}.yaml" for name in ("overall", *models, "dataset/sample")]
    of_dataset = [root / "dataset" / f"{dataset}.yaml"]
    ranks = [read_settings(file) for file in (*of_recbole, *of_dataset) if file.is_file()]
    ranks += [settings for _, settings in kinds]
    local = []
    names: dict[str, None] = dict.fromkeys(key for file in of_dataset if file.is_file() for key in read_settings(file))
    for name in ("overall", *models, f"dataset/{dataset}"):
        for place, folder in enumerate(properties_folders()):
            if (file := folder / f"{name}.yaml").is_file():
                settings = read_settings(file)
                if place:
                    settings = _local(settings, file, described, name.startswith("model/"))
                    local.append(settings)
                ranks.append(settings)
                if name.startswith("dataset/"):
                    names |= dict.fromkeys(settings)
    ranks += [settings for name, settings in kinds if name.startswith(_KIND_FILES)]
    values = merged(described, ranks, shipped.sections)
    for settings in local:
        _end_steps(settings, values)
    return values, tuple(names)


def _local(settings: dict[str, Any], file: Path, described: Mapping[str, Setting], of_model: bool) -> dict[str, Any]:
    """Check what a folder `properties` in the working directory sets. A model's file may name settings of its own."""
    if not of_model:
        refuse_unknown(settings, set(described) | shipped.keys_of_all_models(), f"in {file}")
    return {
        key: fitted(described.get(key) or shipped.anywhere(key), value, shipped.sections)
        for key, value in settings.items()
    }


def _kinds(model: str, dataset: str, family: str | None) -> list[str]:
    """Names of the files that RecBole loads for a kind of model, as its Config does."""
    on_ml = dataset == "ml-100k"
    if family in ("context_aware_recommender", "exlib_recommender"):
        return ["context-aware", *(["context-aware_ml-100k"] if on_ml else [])]
    if family == "knowledge_aware_recommender":
        return ["knowledge_base"]
    if family != "sequential_recommender" and model not in shipped.OURS:
        return []
    if model in ("DIN", "DIEN"):
        return ["sequential_DIN", *(["sequential_DIN_on_ml-100k"] if on_ml else [])]
    if model in ("GRU4RecKG", "KSR"):
        return ["sequential_embedding_model"]
    special = on_ml and model in ("GRU4RecF", "SASRecF", "FDSA", "S3Rec")
    return ["sequential", *(["special_sequential_on_ml-100k"] if special else [])]

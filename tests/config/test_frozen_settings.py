"""What parts of a run read of its settings: the names and kinds of the yaml files, and the values of a `Config`."""

import dataclasses
import typing
from collections.abc import Mapping
from pathlib import Path
from types import NoneType

import pytest
from synthetic import make_config

from recbole_navigen.config import shipped
from recbole_navigen.config.description import Kind, Setting
from recbole_navigen.config.settings import (
    DataSettings,
    NaviGenSettings,
    ReinforceSettings,
    RunSettings,
    TrainingSettings,
)
from recbole_navigen.config.teachers import SupervisionSettings
from recbole_navigen.generation.settings import GenerationSettings

SECTIONS = (RunSettings, DataSettings, TrainingSettings, NaviGenSettings)
# Sections with a yaml file of their own.
FILES = {ReinforceSettings: "reinforce", SupervisionSettings: "supervision", GenerationSettings: "generation"}
# What RecBole makes of other settings or reads from the environment, what a run sets itself, and words of a file.
DERIVED = {"MODEL_TYPE", "device", "local_rank", "run_dir", "block_list"}
# Words of the yaml files that are no texts -> types of Python.
TYPES = {"int": int, "float": float, "bool": bool, "list": list, "pair": list, "empty list": list}
TYPES |= dict.fromkeys(("dict", "whole dict", "open dict", "settings of", "settings by model"), Mapping)


def types_of(kind: Kind) -> set[type]:
    """The types of Python that a kind of value has."""
    if kind.word in ("choice", "any"):
        return {type(choice) for choice in kind.choices}
    return {TYPES.get(kind.word, str)}


@pytest.mark.parametrize("section", [*SECTIONS, *FILES])
def test_fields_have_the_names_and_types_of_the_yaml_files(section: type) -> None:
    described: tuple[Mapping[str, Setting], ...] = (shipped.described("NaviGen"), shipped.described("SASRec"))
    if section in FILES:
        described = (shipped.section(FILES[section]), {"seed": described[0]["seed"]})
        described = described[: 1 + (section is ReinforceSettings)]
        assert {entry.name for entry in dataclasses.fields(section)} == set().union(*described)
    for entry in dataclasses.fields(section):
        if entry.name in DERIVED:
            continue
        settings = [settings[entry.name] for settings in described if entry.name in settings]
        assert settings, f"no yaml file names {entry.name}"
        allowed = {typing.get_origin(kind) or kind for kind in typing.get_args(entry.type) or (entry.type,)}
        if typing.get_origin(entry.type) in (Mapping, list):
            allowed = {typing.get_origin(entry.type)}
        for setting in settings:
            wanted = set().union(*map(types_of, setting.kinds), {NoneType} if setting.none else ())
            assert wanted <= allowed, f"{entry.name} is {setting}, and typed {entry.type}"


@pytest.mark.parametrize("model", ["NaviGen", "SASRec", "BPR"])
@pytest.mark.parametrize("section", SECTIONS)
def test_values_are_those_of_the_config(model: str, section: type, tiny: Path) -> None:
    config = make_config(model, tiny)
    settings = section.of(config)
    for entry in dataclasses.fields(section):
        assert getattr(settings, entry.name) == config[entry.name]
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.seed = 1


def test_reinforcement_reads_its_section_and_the_seed(tiny: Path) -> None:
    settings = ReinforceSettings.of(
        make_config("NaviGen", tiny, seed=7, reinforce={"steps": 3, "weights": {"clip": 1.0}})
    )
    assert (settings.seed, settings.steps, settings.weights, settings.group) == (7, 3, {"clip": 1.0}, 8)

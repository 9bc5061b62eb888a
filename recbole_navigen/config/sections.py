"""Settings that stand apart from those of a run: supervision, reinforcement, generation. No RecBole, no torch."""

from collections.abc import Mapping
from typing import Any

from recbole_navigen.config import shipped
from recbole_navigen.config.checking import fitted, merged, refuse_unknown
from recbole_navigen.config.description import Setting
from recbole_navigen.config.reading import properties_folders, read_settings, without_dots


def section_settings(name: str, section: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The settings of one of `shipped.SECTIONS`, with a user's own above them, checked.

    Args:
        name: supervision, reinforce or generation. section: what the user set.
    """
    described = shipped.section(name)
    ranks = []
    for place, folder in enumerate(properties_folders()):
        if (file := folder / f"{name}.yaml").is_file():
            ranks.append(_section(name, read_settings(file), described, f"in {file}") if place else read_settings(file))
    user_settings = _section(name, without_dots(section or {}, f"of {name}"), described, f"of {name}")
    return merged(described, (*ranks, user_settings), shipped.sections)


def _section(name: str, section: Mapping[str, Any], described: Mapping[str, Setting], where: str) -> dict[str, Any]:
    refuse_unknown(section, described, where)
    prefix = "" if name == "generation" else f"{name}."
    return {key: fitted(described[key], value, shipped.sections, f"{prefix}{key}") for key, value in section.items()}

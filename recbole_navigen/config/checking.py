"""Values against their description: one check and one merge for the settings of all files. No RecBole, no torch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from recbole_navigen.config.description import EMPTY, Kind, Setting, joined
from recbole_navigen.config.forms import RULES
from recbole_navigen.config.reading import Partial, expanded, nearest
from recbole_navigen.errors import InputError

# What describes a section: `settings of NAME` -> settings by name; `settings by model` -> those of a model by its name.
Sections = Callable[[str, str], Mapping[str, Setting]]


_LARGEST = {"int": 2**63 - 1, "float": 1e300}


class _Unfit(Exception):
    """A value is not of a kind."""


def fitted(setting: Setting, value: object, sections: Sections, name: str | None = None) -> Any:
    """Check one value and return it as it is to be used: 1e3 as 1000 where a whole number is due, paths without `~`.

    Args:
        setting: its description. value: what was given. sections: describes settings that hold settings.
        name: what the message calls it; None: its name.

    Raises:
        InputError: the value cannot be meant, or a dictionary has an unknown name.
    """
    name = name or setting.name
    if type(value).__module__ == "numpy":
        value = value.tolist()  # NumPy's numbers, texts and arrays count as Python's
    if value is None:
        if setting.none:
            return None
        raise InputError(f"{name} must be {joined(setting.kinds, False)}, not None")
    for kind in setting.kinds:
        try:
            fit = _fit(kind, value, setting, sections, name)
        except _Unfit:
            continue
        return Partial(fit) if isinstance(value, Partial) else fit
    raise InputError(_refusal(setting, value, name))


def _refusal(setting: Setting, value: object, name: str) -> str:
    """One sentence on what a value should have been."""
    kinds = setting.kinds
    if value in ([], ()) and any(kind.word == "list" for kind in kinds):
        return f"{name} is an empty list; name at least one entry"
    hint = ""
    if isinstance(value, bool | int | float) and any(kind.word in ("str", "path", "source") for kind in kinds):
        hint = "; quote it if it is a name"
    elif isinstance(value, str) and not isinstance(value, bool):
        words = [choice for kind in kinds for choice in kind.choices if isinstance(choice, str)]
        hint = f"; the nearest is {nearest(value, words)}" if len(words) > 2 else ""
    return f"{name} must be {setting}, not {_short(value)}{hint}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _fit(kind: Kind, value: object, setting: Setting, sections: Sections, name: str) -> Any:
    word = kind.word
    if word == "any":
        return value
    if word == "bool":
        if not isinstance(value, bool) and not (isinstance(value, int | float) and value in (0, 1)):
            raise _Unfit
        return bool(value)
    if word in ("int", "float"):
        return _number(kind, value)
    if word == "choice":
        return _choice(kind, value)
    if word == "str":
        if not isinstance(value, str):
            raise _Unfit
        return value
    if word in ("path", "source"):
        if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
            raise _Unfit
        return expanded(value)
    if word in RULES:
        if not RULES[word](value):
            raise _Unfit
        return value
    if word in ("list", "pair"):
        return _list(kind, value, setting, sections, name)
    if word == EMPTY:
        if value not in ([], ()):
            raise _Unfit
        return []
    if not isinstance(value, Mapping):
        raise _Unfit
    if word == "settings of":
        return fitted_all(sections(word, kind.section), value, sections, f"of {name}", f"{name}.")
    if word == "settings by model":
        return {
            str(model): fitted_all(
                sections(word, str(model)),
                _section(entries, f"{name}.{model}"),
                sections,
                f"of {name}.{model}",
                f"{name}.{model}.",
            )
            for model, entries in value.items()
        }
    return _dict(kind, value, setting, sections, name)


def _section(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{name} must be a dictionary {{name: value}} of settings, not {_short(value)}")
    return value


def _number(kind: Kind, value: object) -> int | float:
    # NumPy's numbers are numbers; what 64 bits do not hold is none that torch could take.
    if isinstance(value, bool) or not isinstance(value, Real):
        raise _Unfit
    value = value if isinstance(value, int) else float(value)
    if value != value or abs(value) > _LARGEST[kind.word] or (kind.word == "int" and value != int(value)):
        raise _Unfit
    if value < kind.low or value > kind.high:
        raise _Unfit
    if (kind.low_open and value == kind.low) or (kind.high_open and value == kind.high):
        raise _Unfit
    return float(value) if kind.word == "float" else int(value)


def _choice(kind: Kind, value: object) -> Any:
    """A choice, whatever the case of its letters."""
    for choice in kind.choices:
        same_type = isinstance(value, bool) == isinstance(choice, bool)
        if same_type and value == choice:
            return choice
        if isinstance(choice, str) and isinstance(value, str) and value.lower() == choice.lower():
            return choice
    raise _Unfit


def _list(kind: Kind, value: object, setting: Setting, sections: Sections, name: str) -> list[Any]:
    if not isinstance(value, list | tuple) or (kind.word == "pair" and len(value) != 2):
        raise _Unfit
    if not value and not (isinstance(setting.default, list) and not setting.default):
        raise _Unfit  # an empty list is meant only where the default is one
    if not kind.inner:
        return list(value)
    entry = Setting(f"each entry of {name}", kind.inner, kind.inner_none)
    return [fitted(entry, one, sections) for one in value]


def _dict(kind: Kind, value: Mapping[Any, Any], setting: Setting, sections: Sections, name: str) -> dict[str, Any]:
    if kind.word == "dict":
        refuse_unknown(value, setting.entries, f"of {name}")
    inner = Setting("", kind.inner or (Kind("any"),), kind.inner_none or not kind.inner)
    return {
        str(key): fitted(setting.entries.get(str(key), inner), entry, sections, f"{name}.{key}")
        for key, entry in value.items()
    }


def refuse_unknown(
    settings: Iterable[Any], known: Iterable[str], where: str, owners: Callable[[object], Sequence[str]] | None = None
) -> None:
    """Refuse settings whose name nothing reads.

    Args:
        settings, known: names. where: they stand, for the message. owners: what else a setting may belong to.
    """
    known = set(known)
    for key in settings:
        if key not in known:
            near = f"; the nearest valid name is `{nearest(str(key), known)}`" if known else ""
            if owners is not None and (models := owners(key)):
                near = f"; it belongs to {', '.join(models[:3])}{' and others' if len(models) > 3 else ''}{near}"
            raise InputError(f"unknown setting `{key}` {where}{near}")


def fitted_all(
    described: Mapping[str, Setting], values: Mapping[str, Any], sections: Sections, where: str, prefix: str = ""
) -> dict[str, Any]:
    """Check settings that stand together.

    Args:
        described: by name. values: what was given, by name. sections: see `fitted`.
        where: where they stand, for the refusal of an unknown name. prefix: of names in messages.
    """
    refuse_unknown(values, described, where)
    return {str(key): fitted(described[key], value, sections, f"{prefix}{key}") for key, value in values.items()}


def merged(described: Mapping[str, Setting], ranks: Sequence[Mapping[str, Any]], sections: Sections) -> dict[str, Any]:
    """Lay settings over each other, later ones above; dictionaries name by name, if their description says so.

    Args:
        described: by name; what is not described is replaced. ranks: settings, the lowest first.
    """
    result: dict[str, Any] = {}
    for settings in ranks:
        for key, value in settings.items():
            setting = described.get(key)
            below = result.get(key)
            is_beside = setting is not None and (
                setting.merged or (isinstance(value, Partial) and any(k.word == "whole dict" for k in setting.kinds))
            )
            if is_beside and isinstance(value, Mapping) and isinstance(below, Mapping):
                both = merged(_inside(setting, sections), (below, value), sections)
                result[key] = Partial(both) if isinstance(below, Partial) else both
            else:
                result[key] = value
    return result


def _inside(setting: Setting, sections: Sections) -> Mapping[str, Setting]:
    """Descriptions of what a dictionary holds."""
    for kind in setting.kinds:
        if kind.word == "settings of":
            return sections(kind.word, kind.section)
        if kind.word == "settings by model":
            return _ByModel(setting.name)
    return setting.entries


def setting_at(described: Mapping[str, Setting], name: str, sections: Sections) -> Setting | None:
    """The description of a setting by its dotted name; None if there is none.

    Args:
        described: by name. name: such as task_weights.dense. sections: see `fitted`.
    """
    key, _, rest = name.partition(".")
    setting = described.get(key)
    if setting is None or not rest:
        return setting
    return setting_at(_inside(setting, sections), rest, sections)


class _ByModel(dict):
    """Describes each model's settings as a dictionary that is merged, whatever the model's name."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def get(self, key: str, default: object = None) -> Setting:
        return Setting(f"{self.name}.{key}", (Kind("open dict"),), False)

"""Bad values of every setting, from its description: a new setting is attacked without a line here.

What a setting may be stands in the comments of properties/ (see `recbole_navigen.config.description`).
"""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bad_input.files import INTERVALS
from bad_input.world import BASE, DATASET, FEW, SPACE, Input, World
from recbole_navigen.errors import InputError

# Models whose settings are attacked; what several know is attacked once.
MODELS = ("NaviGen", "SASRec", "LightGCN", "GRU4Rec")
INTERVAL_WORDS = (*INTERVALS, 10, [3, "x"])
SPLITS = (
    {"LS": "last_two"},
    {"XX": 1},
    {"RS": [1]},
    {"RS": [0, 0, 0]},
    {"RS": [-1, 1, 1]},
    {"RS": "all"},
    {"LS": 5},
    {},
    "LS",
    5,
)
MODES = ("half", "uni0", "uni-5", "uni", "pop1.5", "unifull", "full100", 5, {"valid": "half"}, [])
ENCODINGS = ("klingon", "", 8, [])


def bad_values(kind: Any) -> Iterator[tuple[str, Any]]:
    """Values of which none is of a kind of the description, by what they are."""
    word = kind.word
    if word == "bool":
        yield from (("a word", "maybe"), ("two", 2), ("a list", [True]))
    elif word in ("int", "float"):
        yield from (("a word", "many"), ("a list of words", ["x"]), ("a bool", True))
        yield from (("NaN", math.nan), ("infinity", math.inf))
        if word == "int":
            yield ("a fraction", max(kind.low, 0) + 1.5)
        if kind.low > -math.inf:
            yield ("below the least", kind.low - 1 if word == "int" or kind.low >= 1 else kind.low - 0.001)
            if kind.low_open:
                yield ("the least, which is outside", kind.low)
        if kind.high < math.inf:
            yield ("above the most", kind.high + 1 if word == "int" else kind.high + 0.001)
            if kind.high_open:
                yield ("the most, which is outside", kind.high)
    elif word == "choice":
        first = str(kind.choices[0])
        yield from (
            ("a near word", f"{first}x"),
            ("a number", 77),
            ("a list", [first]),
            ("an empty word", ""),
            ("a mapping", {first: 1}),
        )
    elif word in ("str", "path", "source"):
        yield from (("a mapping", {"a": 1}), ("a list of lists", [["x"]]))
    elif word in ("list", "pair"):
        yield from (("a mapping", {"a": 1}), ("a list of mappings", [{"a": 1}]))
        for inner in kind.inner[:1]:
            yield from (
                (f"a list of {what}", [value] * (2 if word == "pair" else 1)) for what, value in bad_values(inner)
            )
        if word == "pair":
            yield from (("one", [64]), ("three", [64, 64, 64]), ("a word", "64x64"), ("a number", 64))
    elif word in ("dict", "open dict", "whole dict", "settings of", "settings by model"):
        yield from (("a number", 5), ("a list", [1]), ("a word", "all"))
    elif word == "interval":
        yield from ((f"the interval {value!r}", value) for value in INTERVAL_WORDS)
    elif word == "split":
        yield from ((f"the split {value!r}", value) for value in SPLITS)
    elif word == "mode":
        yield from ((f"the mode {value!r}", value) for value in MODES)
    elif word == "encoding":
        yield from ((f"the encoding {value!r}", value) for value in ENCODINGS)


def takes(kind: Any, value: Any) -> bool:
    """Whether a kind might take a value that is bad for another one; rather yes than no."""
    word = kind.word
    if word == "any":
        return True
    if word == "bool":
        return isinstance(value, bool) or value in (0, 1)
    if word in ("int", "float"):
        return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    if word == "choice":
        return value in kind.choices
    if word in ("str", "path", "source", "encoding", "interval"):
        return not isinstance(value, dict | list)
    if word in ("list", "pair"):
        return isinstance(value, list) and all(
            not kind.inner or any(takes(inner, one) for inner in kind.inner) for one in value
        )
    return isinstance(value, dict)


def wrong(setting: Any) -> list[tuple[str, Any]]:
    """All values that a setting may not have."""
    found = {} if setting.none else {"None": None}
    for kind in setting.kinds:
        others = [other for other in setting.kinds if other is not kind]
        found |= {what: value for what, value in bad_values(kind) if not any(takes(other, value) for other in others)}
    return list(found.items())


def right(setting: Any) -> list[tuple[str, Any]]:
    """The ends of its ranges, its choices, its default, and None where it may be."""
    found: dict[str, Any] = {"None": None} if setting.none else {}
    if setting.default is not None and not isinstance(setting.default, dict):
        found["the default"] = setting.default
    for kind in setting.kinds:
        number, step = (int, 1) if kind.word == "int" else (float, 0.001)
        if kind.word in ("int", "float") and kind.low > -math.inf:
            found["the least"] = number(kind.low + step if kind.low_open else kind.low)
        if kind.word in ("int", "float") and kind.high < math.inf:
            found["the most"] = number(kind.high - step if kind.high_open else kind.high)
        found |= {f"the choice {choice!r}": choice for choice in kind.choices}
        if kind.word == "bool":
            found |= {"True": True, "False": False}
    return list(found.items())


def settings_inputs(world: World) -> Iterator[Input]:
    """Bad values of all settings, by the ways that lead to them, in turn: command line, file, dictionary, sweep."""
    for section, (prefix, command, described) in sections(world).items():
        ways = itertools.cycle((_by_argument, _by_file, _by_dictionary))
        for setting in described:
            name = prefix + setting.name
            for what, value in wrong(setting):
                way = _by_argument if section == "generation" else next(ways)
                yield way(f"settings: {section}", f"{name} is {what}", command, name, value)
            for what, value in _unknown(setting):
                yield _by_argument(f"settings: {section}, entries", f"{name} {what}", command, name, value)
    yield from _names(world)


def _unknown(setting: Any) -> Iterator[tuple[str, Any]]:
    """Entries that a dictionary does not have."""
    words = {kind.word for kind in setting.kinds}
    if "dict" in words and setting.entries:
        known = next(iter(setting.entries)).rpartition(".")[2]
        yield ("has a mistyped entry", {f"{known}x": setting.entries[next(iter(setting.entries))].default})
        yield ("has an entry of no name", {5: 1})
    if "settings of" in words or "settings by model" in words:
        yield ("has an unknown entry", {"klingon": 1})


def _text(value: Any) -> str:
    """A value as it stands behind `--key=`."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("\n").removesuffix("\n...")


def _nested(name: str, value: Any) -> dict[str, Any]:
    key, dot, rest = name.partition(".")
    return {key: _nested(rest, value) if dot else value}


def _about(name: str) -> tuple[str, ...]:
    return (name, name.rpartition(".")[2])


def _by_argument(kind: str, what: str, command: tuple[str, ...], name: str, value: Any, right: bool = False) -> Input:
    given = f"--{name}={_text(value)}"
    data = (
        () if any(word.startswith("--run=") for word in command) else (f"--dataset={DATASET}", "--config_files", BASE)
    )
    return Input(kind, f"{what}, {given}", (*command, *data, given), _about(name), right=right)


def _by_file(kind: str, what: str, command: tuple[str, ...], name: str, value: Any, right: bool = False) -> Input:
    text = yaml.safe_dump(_nested(name, value))
    given = (*command, f"--dataset={DATASET}", "--config_files", BASE, "own.yaml")
    return Input(kind, f"{what}, file", given, _about(name), lambda world: Path("own.yaml").write_text(text), right)


def _by_dictionary(kind: str, what: str, command: tuple[str, ...], name: str, value: Any, right: bool = False) -> Input:
    model = next((word.partition("=")[2] for word in command if word.startswith("--model=")), "NaviGen")
    argv = [word for word in command[1:] if not word.startswith("--model=")]

    def call(world: World) -> Any:
        from recbole_navigen.quick_start import run_navigen

        return run_navigen(model, DATASET, [BASE], _nested(name, value), argv)

    return Input(kind, f"{what}, dictionary", call, _about(name), right=right)


def _names(world: World) -> Iterator[Input]:
    """Names that nothing reads, on each way."""
    command, kind = ("navigen", "--model=NaviGen"), "settings: names"
    names = (
        "epoch",
        "Epochs",
        "learning_rat",
        "train_batchsize",
        "max_item_list_length",
        "task_weight",
        "klingon",
        "epochs ",
        "é",
        "ep-ochs",
        "task_weights.dens",
        "task_weights..tid2cid",
        "task_weights.",
        ".tid2cid",
        "task_weights.tid2cid.more",
        "epochs.more",
        "supervision.klingon",
        "reinforce.step",
        "eval_args.split.LSS",
        "eval_args.modus",
        "clip_grad_norm.max_nrom",
        "collaborative_config.SASRec.hidden_sise",
        "collaborative_config.Nope.epochs",
        "item_text_fields.0",
        "topk.0",
    )
    for name in names:
        # A sentence may stop at the part of a name that is wrong.
        for way in (_by_argument, _by_dictionary):
            made = way(kind, name, command, name, 0)
            yield Input(made.kind, made.what, made.call, (*made.about, name.split(".")[0]), made.files)
    for command in (("compare", "--models=NaviGen,BPR"), ("hyper", "--n_trials=1", SPACE), ("generate", *FEW)):
        for name in ("epoch", "task_weights.dens", "supervision.klingon", "image_modell"):
            yield _by_argument(kind, f"{name} of {command[0]}", command, name, 0)


def equal(found: Any, value: Any) -> None:
    assert found == value and (not isinstance(value, bool) or isinstance(found, bool)), (
        f"{found!r} instead of {value!r}"
    )


def good_settings(world: World) -> Iterator[Input]:
    """The ends of every range and every choice: alone, each must be taken as it is."""
    for prefix, _, described in sections(world).values():
        for setting in described:

            def call(world: World, setting: Any = setting) -> Any:
                from recbole_navigen.config import checking, shipped

                for what, value in right(setting):
                    try:
                        equal(checking.fitted(setting, value, shipped.sections), value)
                    except (InputError, AssertionError) as error:
                        raise InputError(f"{setting.name} may be {what}, {value!r}, and: {error}") from error

            if right(setting):
                yield Input("settings: ends", f"{prefix}{setting.name}", call, (), None, True)


def sections(world: World) -> dict[str, tuple[str, tuple[str, ...], list[Any]]]:
    """Where settings are described: what stands before their names, a command that reads them, and they themselves."""
    from recbole_navigen.config import shipped
    from recbole_navigen.config.description import every

    stages = ("navigen", "--training_stages=[align,finetune,write,reinforce]")
    places = {
        **{model: ("", ("navigen", f"--model={model}"), shipped.described(model)) for model in MODELS},
        "reinforce": ("reinforce.", stages, shipped.section("reinforce")),
        "supervision": ("supervision.", stages, shipped.section("supervision")),
        "generation": ("", ("generate", f"--run={world.navigen}", *FEW), shipped.section("generation")),
    }
    seen: set[str] = set()
    found = {}
    for section, (prefix, command, described) in places.items():
        own = [setting for setting in every(described) if prefix + setting.name not in seen]
        seen.update(prefix + setting.name for setting in own)
        found[section] = (prefix, command, own)
    return found

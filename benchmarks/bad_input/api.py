"""The functions of the Python API, with arguments that only their meaning makes bad."""

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bad_input.calls import Call, inputs_of
from bad_input.world import BASE, DATASET, Input, World, recommender

NAN, INF = math.nan, math.inf


def call_inputs(world: World) -> Iterator[Input]:
    """Bad and good arguments of every function."""
    return itertools.chain.from_iterable(map(inputs_of, calls()))


def _method(name: str) -> Callable[[World], Callable[..., Any]]:
    return lambda world: getattr(recommender(world), name)


def _quick(name: str) -> Callable[[World], Callable[..., Any]]:
    def make(world: World) -> Any:
        from recbole_navigen import quick_start

        return getattr(quick_start, name)

    return make


def calls() -> list[Call]:
    """The functions of the API."""
    history, base = ["i1", "i2"], {"dataset": DATASET, "config_file_list": [BASE]}
    unknown = {
        "an unknown item": {"history": ["i1", "i99"]},
        "a number": {"history": [1, 2]},
        "None in it": {"history": [None]},
    }
    counts = {f"k={value}": {"k": value} for value in (0, -1, 25, 10**9)}
    drawn = {
        **{f"temperature={value}": {"temperature": value} for value in (-0.5, NAN, INF)},
        **{f"top_p={value}": {"top_p": value} for value in (0.0, -1.0, 7.0, NAN)},
        **{f"drafts={value}": {"drafts": value} for value in (0, -1)},
    }
    trials = {
        **{f"n_trials={value}": {"n_trials": value} for value in (0, -1, True)},
        **{f"heartbeat={value}": {"heartbeat": value} for value in (0, -1)},
        **{
            f"{key}={value!r}": {key: value}
            for key in ("sampler", "pruner", "storage", "params_file")
            for value in ("foo", " ")
        },
        "an empty sampler": {"sampler": ""},
        "an empty pruner": {"pruner": ""},
    }
    return [
        Call("Recommender.load", _quick_load, {"run_dir": "RUN"}, {"no such run": {"run_dir": "nowhere"}}),
        Call(
            "Recommender.recommend",
            _method("recommend"),
            {"history": history},
            {
                **unknown,
                **counts,
                "unknown preferences": {"preferences": "zeppelins"},
                "a number of preferences": {"preferences": 5},
                "one string": {"history": "i1"},
                "an unknown item to exclude": {"exclude": ["i99"]},
                "one string to exclude": {"exclude": "i1"},
                "everything excluded": {"exclude": [f"i{item}" for item in range(24)]},
                "more than is left": {"k": 23, "exclude_history": True},
            },
            {},
            {
                "all that are left": (
                    {"k": 22, "exclude_history": True},
                    lambda found: len({one.item for one in found}) == 22,
                ),
                "all items": (
                    {"k": 24},
                    lambda found: math.isclose(sum(one.probability for one in found), 1, abs_tol=1e-4),
                ),
                "no history": ({"history": []}, lambda found: found.basis == "popularity"),
                "a tuple": ({"history": ("i1", "i2"), "k": 3}, lambda found: len(found) == 3),
                "a longer history than it reads": ({"history": ["i1"] * 500}, lambda found: len(found) == 10),
                "NumPy's numbers and texts": (
                    {"history": np.array(["i1", "i2"]), "k": np.int64(3)},
                    lambda found: len(found) == 3,
                ),
            },
        ),
        Call(
            "Recommender.recommend_all",
            _method("recommend_all"),
            {"histories": [history, ["i3"]]},
            {
                **counts,
                "one history": {"histories": history},
                "one string": {"histories": "i1"},
                "fewer preferences": {"preferences": ["drama"]},
                "an unknown item": {"histories": [history, ["i99"]]},
                "fewer lists to exclude": {"exclude": [["i1"]]},
                "more lists to exclude": {"exclude": [["i1"], [], []]},
                "one list to exclude": {"exclude": ["i1", "i2"]},
            },
            {},
            {"no histories": ({"histories": []}, lambda found: found == [])},
        ),
        Call(
            "Recommender.instruct",
            _method("instruct"),
            {"histories": [history, ["i3"]], "drafts": 1},
            {
                **drawn,
                **{f"pool={value}": {"pool": value} for value in (0, -1)},
                "unknown preferences": {"preferences": "zeppelins"},
                "one history": {"histories": history},
                "an unknown item": {"histories": [["i99"]]},
                "an unknown medium": {"media": "song"},
                "fewer media": {"media": ["image"]},
                "more media": {"media": ["image"] * 3},
                "an unknown domain": {"domain": "books"},
                "media of no kind": {"media": [None, None]},
            },
            {"a negative seed": {"seed": -1}},
            {
                "each a medium": (
                    {"media": ["image", "video"]},
                    lambda found: [one.media for one in found] == ["image", "video"],
                ),
                "the most probable words": ({"temperature": 0}, lambda found: len(found) == 2),
                "all words": ({"top_p": 1}, lambda found: len(found) == 2),
                "no histories": ({"histories": []}, lambda found: found == []),
            },
        ),
        Call(
            "Recommender.aims",
            _method("aims"),
            {"histories": [history]},
            {
                "pool=0": {"pool": 0},
                "unknown preferences": {"preferences": "zeppelins"},
                "an unknown item": {"histories": [["i99"]]},
            },
        ),
        Call(
            "Recommender.history_of",
            _method("history_of"),
            {"user": "u1"},
            {"an unknown user": {"user": "u99"}, "a number": {"user": 1}, "None": {"user": None}},
        ),
        Call(
            "Recommender.item_of_terms",
            _method("item_of_terms"),
            {"terms": ["drama"]},
            {"no terms": {"terms": []}, "one string": {"terms": "drama"}},
            {"unknown terms": {"terms": ["klingon opera"]}, "empty terms": {"terms": [""]}},
        ),
        Call(
            "Recommender.save_pretrained",
            _method("save_pretrained"),
            {"folder": "model"},
            {
                "a folder of other things": {"folder": "dataset"},
                "a file": {"folder": BASE},
                "below a file": {"folder": f"{BASE}/model"},
                "nothing": {"folder": ""},
            },
        ),
        Call(
            "Recommender.from_pretrained",
            _quick_pretrained,
            {"folder": "MODEL"},
            {
                "no such folder": {"folder": "nowhere"},
                "a run": {"folder": "RUN"},
                "a data set": {"folder": "dataset"},
                "a file": {"folder": BASE},
            },
        ),
        Call(
            "Recommender.export_transformers",
            _method("export_transformers"),
            {"folder": "model"},
            {"slots of items": {"folder": "history"}},
            only=("folder",),
            works=False,
        ),
        Call(
            "Config",
            _config,
            {"model": "BPR", **base},
            {
                "an unknown model": {"model": "Bpr2"},
                "a number as model": {"model": 5},
                "an empty model": {"model": ""},
                "a class of no model": {"model": dict},
                "a number as data set": {"dataset": 5},
                "one file": {"config_file_list": BASE},
                "one argument": {"argv": "--epochs=3"},
                "arguments of numbers": {"argv": [5]},
                "a key that is no text": {"config_dict": {5: 3}},
                "a value of no plain kind": {"config_dict": {"epochs": object()}},
                "a function as value": {"config_dict": {"learning_rate": print}},
                "an array of words": {"config_dict": {"topk": np.array(["five"])}},
            },
            {},
            {
                "a typed value": ({"config_dict": {"epochs": 3}}, lambda config: config["epochs"] == 3),
                "above the files": (
                    {"argv": ["--epochs=4"], "config_dict": {"epochs": 3}},
                    lambda config: config["epochs"] == 4,
                ),
                "a tuple": ({"config_dict": {"topk": (5, 10)}}, lambda config: list(config["topk"]) == [5, 10]),
                "NumPy's numbers": (
                    {"config_dict": {"learning_rate": np.float64(0.5), "epochs": np.int64(3)}},
                    lambda config: config["epochs"] == 3,
                ),
                "an array": ({"config_dict": {"topk": np.array([5])}}, lambda config: config["topk"] == [5]),
                "a path": (
                    {"config_dict": {"data_path": Path("dataset")}},
                    lambda config: Path(config["data_path"]).name == DATASET,
                ),
            },
        ),
        Call(
            "create_dataset",
            _create_dataset,
            {"config": "CONFIG"},
            {"a name": {"config": DATASET}, "a mapping": {"config": {}}, "None": {"config": None}},
            only=(),
        ),
        Call(
            "run_navigen",
            _quick("run_navigen"),
            {"model": "BPR", **base},
            {"a number as model": {"model": 5}, "an unknown model": {"model": "NaviGn"}},
        ),
        Call(
            "run_compare",
            _quick("run_compare"),
            {"models": ["BPR", "Pop"], **base},
            {
                "one string": {"models": "BPR"},
                "no models": {"models": []},
                "a number among them": {"models": [5]},
                "a model twice": {"models": ["BPR", "BPR"]},
                "an unknown model": {"models": ["BPR", "Nope"]},
                **{
                    f"seeds={value!r}": {"seeds": value}
                    for value in (0, -1, [], [1, 1], [1.5], ["a"], [-1], "2", True, 1.5, [True])
                },
                "models of no mapping": {"models": None, "config_dict": {"models": [1]}},
                "settings of no mapping": {"models": None, "config_dict": {"models": {"BPR": 5}}},
                "an unknown setting of one": {"models": None, "config_dict": {"models": {"BPR": {"epoch": 5}}}},
                "a seed of one": {"models": None, "config_dict": {"models": {"BPR": {"seed": 5}}}},
                "an unknown model of one": {"models": None, "config_dict": {"models": {"BPR": {"model": "Nope"}}}},
            },
            only=("dataset", "config_file_list", "config_dict", "argv"),
        ),
        Call(
            "run_hyper",
            _quick("run_hyper"),
            {"model": "NaviGen", "n_trials": 1, "params_file": "space.yaml", **base},
            trials,
        ),
        Call(
            "run_generate",
            _run_generate,
            {"run": "RUN", "users": ["u1"], "drafts": 1},
            {
                **{
                    f"users={value!r}": {"users": value}
                    for value in (0, 3, 1.5, [], ["nobody"], "", "u1,nobody", True, ["u1", "u1"], "u1,,u2", [1])
                },
                **{f"n_users={value!r}": {"users": None, "n_users": value} for value in (0, -3, 1.5, "two", True)},
                "users and n_users": {"n_users": 1},
                **drawn,
                "an unknown medium": {"media": "song"},
                "an unknown setting of media": {"generation": {"image_modell": "x"}},
                "no folder for media": {"generation": {"image_model": "x"}},
                "a folder of the run": {"output": "RUN/out"},
            },
            {},
            {
                "all": ({"users": "all"}, lambda rows: len(rows) == 16),
                "named ones": ({"users": ["u3", "u5"]}, lambda rows: [row.user for row in rows] == ["u3", "u5"]),
            },
            only=(
                "output",
                "run",
                "media",
                "think",
                "temperature",
                "top_p",
                "drafts",
                "generation",
                "argv",
                "held_out",
                "instructions",
                "seed",
            ),
        ),
    ]


def _named(function: Callable[..., Any], world: World, **places: Any) -> Callable[..., Any]:
    """Put the world's places where arguments name them in capitals."""

    def run(**arguments: Any) -> Any:
        for name, value in arguments.items():
            for word, place in places.items():
                if isinstance(value, str) and value.startswith(word):
                    arguments[name] = place() if callable(place) else value.replace(word, str(place))
        return function(**arguments)

    return run


def _quick_load(world: World) -> Any:
    from recbole_navigen.quick_start import Recommender

    return _named(Recommender.load, world, RUN=world.navigen)


def _quick_pretrained(world: World) -> Any:
    from recbole_navigen.quick_start import Recommender

    return _named(Recommender.from_pretrained, world, RUN=world.navigen, MODEL=world.export)


def _run_generate(world: World) -> Any:
    from recbole_navigen.quick_start import run_generate

    return _named(run_generate, world, RUN=world.navigen)


def _config(world: World) -> Any:
    from recbole_navigen.config import Config

    return Config


def _create_dataset(world: World | None) -> Any:
    from recbole_navigen.config import Config
    from recbole_navigen.data import create_dataset

    return (
        create_dataset
        if world is None
        else _named(create_dataset, world, CONFIG=lambda: Config("BPR", DATASET, [BASE]))
    )

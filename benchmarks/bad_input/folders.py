"""Damaged runs and models: every file of a run, an export and a model folder, with every fault a file can have."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from bad_input.world import BASE, DATASET, FEW, Input, World, answers
from recbole_navigen.artefacts import read_json

JSON = {"a list": "[]", "an empty mapping": "{}", "nothing": "null", "a number": "3", "a text": '"text"', "NaN": "NaN"}
Fault = Callable[[Path, Path], None]


def _cut(file: Path, twin: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def _changed(file: Path, twin: Path) -> None:
    """Turn one bit in the middle."""
    data = bytearray(file.read_bytes() or b"\0")
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def _folder(file: Path, twin: Path) -> None:
    file.unlink()
    file.mkdir()


# What can become of a file; the second one stands at the same place in another run.
FAULTS: dict[str, Fault] = {
    "missing": lambda file, twin: file.unlink(),
    "empty": lambda file, twin: file.write_bytes(b""),
    "cut": _cut,
    "binary": lambda file, twin: file.write_bytes(bytes(range(256)) * 8),
    "one bit changed": _changed,
    "a folder": _folder,
    "that of another run": lambda file, twin: shutil.copyfile(twin, file),
}


def faults_of(file: Path) -> dict[str, Fault]:
    """All faults that a file can have: those of JSON too, if it is one."""
    shapes = {f"JSON: {what}": lambda path, twin, text=text: path.write_text(text) for what, text in JSON.items()}
    return {**FAULTS, **shapes} if file.suffix == ".json" else dict(FAULTS)


def run_inputs(world: World) -> Iterator[Input]:
    """Runs with a damaged file, read by the API, `run_generate --run` and `run_compare --runs`."""
    readers = itertools.cycle(
        [
            ("load", lambda world: answers("run")),
            ("generate", ("generate", "--run=run", "--temperature=0", *FEW)),
            ("compare", ("compare", "--runs", "run", str(world.baseline))),
        ]
    )
    for file in sorted(path.relative_to(world.navigen) for path in world.navigen.rglob("*") if path.is_file()):
        for fault, damage in faults_of(file).items():
            name, call = next(readers)

            def files(world: World, file: Path = file, damage: Fault = damage) -> None:
                damage(copied(world.navigen, "run") / file, world.other / file)

            # A reader may not need a file; then nothing that it says may differ.
            check = _same_answers(world) if name == "load" else None
            yield Input("runs: files", f"{file} {fault}, {name}", call, (file.name, "run"), files, None, check)
    yield from _runs_that_are_none(world)
    yield from _exports(world)


def _same_answers(world: World) -> Callable[[Any], None]:
    right = read_json(world.folder / "answers.json")

    def check(seen: Any) -> None:
        assert seen.result == right, f"{seen.result} instead of {right}"

    return check


def _runs_that_are_none(world: World) -> Iterator[Input]:
    def empty(world: World) -> None:
        Path("run").mkdir()

    def begun(world: World) -> None:
        (copied(world.navigen, "run") / "result.json").unlink()

    def named(name: str) -> dict[str, Any]:
        return {
            "load": lambda world: answers(name),
            "generate": ("generate", f"--run={name}", *FEW),
            "compare": ("compare", "--runs", name, str(world.baseline)),
        }

    cases: dict[str, tuple[str, Callable[[World], None]]] = {
        "a folder that is not there": ("nowhere", lambda world: None),
        "an empty folder": ("run", empty),
        "a file": (BASE, lambda world: None),
        "a run that has not ended": ("run", begun),
        "the folder of runs": (str(world.navigen.parent), lambda world: None),
        "a data set": (f"dataset/{DATASET}", lambda world: None),
        "nothing": ("", lambda world: None),
    }
    for what, (name, files) in cases.items():
        for reader, call in named(name).items():
            # An empty --run is as if there were none.
            right = None if not name and reader != "load" else False
            yield Input("runs: places", f"{what}, {reader}", call, (name or "folder", "run"), files, right)
    for reader, call in named(str(world.baseline)).items():
        if reader != "compare":
            yield Input("runs: places", f"a run of BPR, {reader}", call, ("BPR", "NaviGen"))
    twice = ("compare", "--runs", str(world.navigen), f"{world.navigen}/.")
    yield Input("runs: places", "a run twice, compare", twice, ("run",), None, None)
    yield Input("runs: good", "a run, load", lambda world: answers(world.navigen), (), None, True)
    yield Input("runs: good", "a run, generate", named(str(world.navigen))["generate"], (), None, True)
    yield Input("runs: good", "two runs, compare", named(str(world.navigen))["compare"], (), None, True)


def _exports(world: World) -> Iterator[Input]:
    """Model folders of `save_pretrained`, damaged one file at a time."""

    def load(world: World) -> Any:
        from recbole_navigen.quick_start import Recommender

        return [(one.item, one.log_probability) for one in Recommender.from_pretrained("model").recommend(["i1"], 3)]

    for file in sorted(path.relative_to(world.export) for path in world.export.rglob("*") if path.is_file()):
        own = faults_of(file)
        own.pop("that of another run", None)
        for fault, damage in own.items():

            def files(world: World, file: Path = file, damage: Fault = damage) -> None:
                damage(copied(world.export, "model") / file, Path())

            # What a model card says is nobody's input.
            right = None if file.name == "README.md" else False
            yield Input("runs: exports", f"{file} {fault}", load, (file.name, "model"), files, right)


def model_inputs(world: World) -> Iterator[Input]:
    """Folders of models with something missing or malformed, for every setting that names one."""
    yield from _models(world, "backbone", "backbone", [], "config.json")
    yield from _models(world, "encoder", "text_vectors", [], "config.json")
    yield from _models(world, "backbone", "supervision", [], "config.json")
    media = [f"--run={world.navigen}", "--output=out", *FEW]
    clip = f"--clip_model={world.models / 'clip'}"
    yield from _models(
        world, "clip", "clip_model", [*media, "--held_out", f"--image_model={world.models / 'image'}"], "config.json"
    )
    yield from _models(world, "image", "image_model", [*media, "--held_out", clip], "model_index.json")
    yield from _models(world, "video", "video_model", [*media, "--media=video"], "model_index.json")


def _models(world: World, folder: str, key: str, arguments: list[str], first: str) -> Iterator[Input]:
    def call(path: str) -> tuple[str, ...]:
        if arguments:
            return ("generate", *arguments, f"--{key}={path}")
        value = path
        if key == "supervision":
            value = f"{{rounds: 1, moments_per_user: 1, teacher: transformers, teacher_model: {{path: {path}}}}}"
        stages = "--training_stages=[align,finetune,write]"
        given = ("navigen", f"--dataset={DATASET}", "--config_files", BASE, f"--{key}={value}", stages)
        return (*given, "--history=tokens") if key == "backbone" else given

    def with_place(make: Callable[[Path], None]) -> Callable[[World], None]:
        return lambda world: make(Path("model"))

    places = {
        "missing": lambda path: None,
        "an empty folder": lambda path: path.mkdir(),
        "a file": lambda path: path.write_text("text"),
        "a folder of other files": lambda path: (path.mkdir(), (path / "notes.txt").write_text("text")),
    }
    for what, make in places.items():
        yield Input("models: places", f"{key} {what}", call("./model"), (key, "model"), with_place(make))
    for value in ("", "no/such/model", "5", "[a, b]"):
        if key != "supervision" or not value.startswith("["):
            about = (key, "model", "path")
            yield Input("models: places", f"{key}={value!r}", call(value), about, None, None if not value else False)

    def change(make: Callable[[Path], None]) -> Callable[[World], None]:
        return lambda world: make(copied(world.models / folder, "model"))

    for file in sorted(
        path.relative_to(world.models / folder) for path in (world.models / folder).rglob("*") if path.is_file()
    ):
        if file.name in ("manifest.json", "training.json", "generation_config.json", "README.md"):
            continue
        own = faults_of(file)
        for fault in ("that of another run", "one bit changed", "JSON: NaN", "JSON: a text"):
            own.pop(fault, None)
        for fault, damage in own.items():
            # Processing, tokenizers and schedulers have defaults of their own, so that some of it may be left out.
            needed = file.name == first or file.suffix == ".safetensors"
            yield Input(
                "models: files",
                f"{key} {file} {fault}",
                call("./model"),
                (key, "model"),
                change(lambda path, file=file, damage=damage: damage(path / file, path / file)),
                False if needed else None,
            )
    for what, make in {"only pickled weights": _pickle, "pickled weights beside": _pickle_beside}.items():
        yield Input(
            "models: weights",
            f"{key} {what}",
            call("./model"),
            (key, "model"),
            change(make),
            not what.startswith("only"),
        )
    kinds = {
        "an unknown architecture": {"model_type": "klingon", "_class_name": "KlingonPipeline"},
        "no architecture": {"model_type": None, "_class_name": None},
        "a number as architecture": {"model_type": 5, "_class_name": 5},
        "code of its own": {
            "auto_map": {"AutoModelForCausalLM": "evil.Evil", "AutoModel": "evil.Evil", "AutoConfig": "evil.Config"},
            "model_type": "evil",
        },
    }
    for what, values in kinds.items():

        def retyped(path: Path, values: dict[str, Any] = values) -> None:
            (path / first).write_text(json.dumps({**json.loads((path / first).read_text()), **values}))
            (path / "evil.py").write_text("from pathlib import Path\nPath('evaluated').touch()\n")

        # A pipeline has no use for `auto_map`; what counts is that nothing is run.
        right = None if what == "code of its own" and first == "model_index.json" else False
        yield Input(
            "models: kinds", f"{key} {what}", call("./model"), (key, "model"), change(retyped), right, _nothing_ran
        )
    others = {
        "backbone": "clip",
        "text_vectors": "image",
        "supervision": "clip",
        "clip_model": "backbone",
        "image_model": "clip",
        "video_model": "backbone",
    }
    other = str(world.models / others[key])
    yield Input("models: kinds", f"{key} is a {others[key]}", call(other), (key, others[key]))
    yield Input("models: good", key, call(str(world.models / folder)), (), None, True)


def _nothing_ran(seen: Any) -> bool:
    return not Path("evaluated").exists()


def _pickle(path: Path) -> None:
    for file in list(path.rglob("*.safetensors")):
        _pickled(file)
        file.unlink()


def _pickle_beside(path: Path) -> None:
    for file in list(path.rglob("*.safetensors")):
        _pickled(file)


def _pickled(file: Path) -> None:
    """Weights as torch pickles them, under the name that transformers and diffusers give them."""
    from safetensors.torch import load_file

    name = "pytorch_model.bin" if file.name == "model.safetensors" else "diffusion_pytorch_model.bin"
    torch.save(load_file(file), file.with_name(name))


def copied(folder: Path, name: str) -> Path:
    """A copy of a folder in the working directory, to be damaged."""
    return Path(shutil.copytree(folder, name))

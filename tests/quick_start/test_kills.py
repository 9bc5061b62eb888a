"""Commands that are killed in every stage and given again leave what they leave without a kill, byte for byte.

`benchmarks/faults.py` does the same on real data, at moments drawn by seed.
"""

import json
import math
import re
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_endpoint import answer
from small_media import FEW_STEPS, tiny_models
from synthetic import write_atomic
from tiny_settings import ENDPOINT, NAVIGEN

from harness.fault_runner import CONSOLE, Commands, Ended, Kill, contents, differing

KILL, TERM = signal.SIGKILL, signal.SIGTERM
CODES = {KILL: -KILL, TERM: 128 + TERM}
SHARED = {
    "use_gpu": False,
    "show_progress": False,
    "state": "INFO",
    "save_seconds": 0.0,
    "MAX_ITEM_LIST_LENGTH": 8,
    "train_batch_size": 16,
    "metrics": ["NDCG", "Recall"],
    "topk": [5],
    "valid_metric": "NDCG@5",
}
AVERAGED = {"average_epochs": 1.5, "lr_schedule": "cosine", "stopping_step": 3}
SAMPLED = {"eval_args": {"mode": {"valid": "uni10", "test": "uni10"}}}
SASREC = {**NAVIGEN["collaborative_config"]["SASRec"], "epochs": 8}
TRAINED = {
    **NAVIGEN,
    **SHARED,
    "collaborative_config": {"SASRec": SASREC},
    "align_epochs": 2,
    "epochs": 3,
    "dropout": 0.1,
    "embedding_dropout": 0.1,
    "writer_steps": 24,
    "training_stages": ["align", "finetune", "write", "reinforce"],
    "reinforce": {"tasks": ["cid2cid"], "steps": 4, "eval_every": 3, "prompts": 4, "group": 4, "learning_rate": 0.01},
}


def at(number: int, after: str, seconds: float = 0.0) -> Kill:
    """At a line, or so many seconds of computing behind it."""
    return Kill(number, after, seconds, itself=True)


# Where a run of NaviGen is killed in turn, and what the next one says that goes on from there.
STAGES = [
    ("collaborative", at(KILL, r"INFO +epoch 4 training"), "Resume training from epoch [1-5]"),
    ("identifiers", at(TERM, "stage identifiers started", 0.01), ""),
    ("align", at(KILL, "align epoch 0 training", 0.05), "Resume training from epoch 0"),
    ("finetune", at(TERM, r"INFO +epoch 0 evaluating", 0.02), "Resume training from epoch [01]"),
    ("validation", at(KILL, r"INFO +epoch 1 evaluating"), "Resume training from epoch [12]"),
    ("supervision", at(TERM, "stage supervision started", 0.05), ""),
    ("write", at(KILL, "write: step [2-9]"), r"write: going on from step \d+ of 24"),
    ("reinforce", at(TERM, "reinforce: step", 0.02), "reinforce: going on from step [1-4] of 4"),
    ("ranks", at(KILL, "stage ranks started"), ""),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_atomic(folder / "dataset", "tiny", users=60, items=80)
    return folder


@pytest.fixture
def place(world: Path, own_folder: Path) -> Callable[[str, dict[str, Any]], tuple[Path, list[str]]]:
    """Folders for commands, and arguments with settings."""

    def make(name: str, settings: dict[str, Any]) -> tuple[Path, list[str]]:
        folder = own_folder / name
        folder.mkdir()
        text = yaml.safe_dump({**settings, "data_path": str(world / "dataset")}, sort_keys=False)
        (folder / "own.yaml").write_text(text)
        return folder, ["--dataset=tiny", "--config_files", "own.yaml"]

    return make


def killed_in_turn(
    commands: Commands, command: str, arguments: Sequence[str], folder: Path, kills: Sequence[tuple[str, Kill, str]]
) -> Ended:
    """Kill a command at one place after the other, and then let it end: how it ended."""
    wanted = ""
    for name, kill, next_says in [*kills, ("to the end", None, "")]:
        ended = commands(command, arguments, folder, kill)
        assert ended.code == (CODES[kill.signal] if kill else 0), f"{name}: {ended.code}\n{ended.printed}"
        assert re.search(wanted, ended.printed), f"{name}: no {wanted!r} in\n{ended.printed}"
        if kill and kill.signal == TERM:
            assert ended.lines[-1][1].startswith("error: ended by SIGTERM") and "Traceback" not in ended.printed
        wanted = next_says
    return ended


def only_run(folder: Path, model: str) -> Path:
    (run,) = folder.glob(f"saved/{model}-tiny-*")
    return run


@pytest.fixture(scope="module")
def navigen(commands: Commands, world: Path) -> Path:
    """The folder in which NaviGen was trained without a kill."""
    folder = world / "whole"
    folder.mkdir()
    (folder / "own.yaml").write_text(yaml.safe_dump({**TRAINED, "data_path": str(world / "dataset")}))
    ended = commands("navigen", ["--dataset=tiny", "--config_files", "own.yaml"], folder)
    assert ended.code == 0, ended.printed
    return folder


def test_navigen_in_every_stage(commands: Commands, navigen: Path, place: Callable) -> None:
    folder, arguments = place("killed", TRAINED)
    killed_in_turn(commands, "navigen", arguments, folder, STAGES)
    whole, killed = (only_run(root, "NaviGen") for root in (navigen, folder))
    assert not differing(contents(whole), contents(killed))
    assert not differing(*(contents(root / "saved" / "cache") for root in (navigen, folder)))
    record = json.loads((killed / "result.json").read_text())
    assert record["resumed"] and [row["epoch"] for row in record["validations"]] == [0, 1, 2]
    left = [*folder.rglob("*-in-training*"), *folder.rglob("checkpoint-last")]
    assert not left


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("SASRec", {**SASREC, **AVERAGED, "epochs": 12}),
        ("BPR", {**SAMPLED, "epochs": 8}),
    ],
)
def test_a_model_of_recbole(commands: Commands, place: Callable, model: str, settings: dict[str, Any]) -> None:
    settings = {**SHARED, **settings}
    folders = []
    for name, kills in {
        "whole": (),
        "killed": (
            ("training", at(KILL, r"INFO +epoch 1 training", 0.01), "Resume training from epoch [1-3]"),
            ("validation", at(TERM, r"INFO +epoch 4 evaluating"), "Resume training from epoch [1-5]"),
            ("test", at(KILL, "stage test started"), ""),
        ),
    }.items():
        folder, arguments = place(name, settings)
        killed_in_turn(commands, "navigen", [f"--model={model}", *arguments], folder, kills)
        folders.append(contents(only_run(folder, model)))
    assert not differing(*folders)


def test_a_language_model_as_the_teacher(commands: Commands, place: Callable, endpoint: Callable) -> None:
    """Killed while it waits for answers: the endpoint gives six, and the next ones when the test is over."""
    most, over = math.inf, threading.Event()

    def script(_: int, messages: list[dict[str, str]]) -> str:
        with server.lock:
            number = sum(server.seen.values())
        if number > most:
            with open(killed / CONSOLE, "a") as console:
                print("the endpoint waits", file=console)
            over.wait()
        return answer(messages)

    server = endpoint(script)
    teacher = {"base_url": f"http://127.0.0.1:{server.server_port}/v1", "model": "tiny", "concurrency": 2}
    settings = {**TRAINED, "epochs": 1, "training_stages": ["finetune", "write"], "writer_steps": 4}
    settings["supervision"] = {**ENDPOINT, "teacher_model": teacher, "samples": 20}
    (whole, arguments), (killed, _) = place("whole", settings), place("killed", settings)
    killed_in_turn(commands, "navigen", arguments, whole, ())
    asked = [sum(server.seen.values())]
    try:
        for number in (KILL, TERM):
            most = sum(server.seen.values()) + 6
            ended = commands("navigen", arguments, killed, Kill(number, "the endpoint waits"))
            assert ended.code == CODES[number], ended.printed
        most = math.inf
        killed_in_turn(commands, "navigen", arguments, killed, ())
    finally:
        over.set()
    asked.append(sum(server.seen.values()) - asked[0])
    folders = [
        {**contents(only_run(folder, "NaviGen")), **contents(folder / "saved" / "cache")} for folder in (whole, killed)
    ]
    assert not differing(*folders)
    # What had arrived was not asked again: at most the two questions on their way at each kill.
    assert asked[0] <= asked[1] <= asked[0] + 4


def test_media(commands: Commands, navigen: Path, own_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    models = tmp_path_factory.mktemp("models")
    tiny_models.build(models, FEW_STEPS, parts=("clip", "autoencoder", "image"))
    arguments = [f"--run={only_run(navigen, 'NaviGen')}", "--output=out", "--n_users=6"]
    arguments += ["--temperature=0", "--no-think"]
    arguments += ["--held_out", f"--image_model={models / 'image'}", f"--clip_model={models / 'clip'}"]
    arguments += ["--image_steps=6", "--generation_batch_size=2", "--generation_device=cpu", "--control_users=2"]
    arguments += ["--similarity_model=tf-idf", "--fluency_model=None"]
    found = []
    for name, kills in {
        "whole": (),
        "killed": (
            ("instructions", at(TERM, "instructions: +0%"), ""),
            ("media", at(KILL, r"media: +[1-9]\d?%"), "media: .* [1-4]/[1-4]"),
            ("scores", at(TERM, "media: +100%", 0.05), ""),
        ),
    }.items():
        (own_folder / name).mkdir()
        killed_in_turn(commands, "generate", arguments, own_folder / name, kills)
        found.append(contents(own_folder / name / "out"))
    assert len([name for name in found[0] if name.startswith("images/")]) == 6
    for pages in found:
        pages.pop("report.html")  # counts what was there already
    assert not differing(*found)


def test_a_trial_of_a_sweep_and_a_run_of_a_comparison(commands: Commands, place: Callable) -> None:
    """What each of their runs leaves is what it leaves alone."""
    settings = {**SHARED, "epochs": 12, "stopping_step": 12, "embedding_size": 8}
    alone = {}
    for size in (8, 16):
        folder, arguments = place(f"alone-{size}", {**settings, "embedding_size": size})
        killed_in_turn(commands, "navigen", ["--model=BPR", *arguments], folder, ())
        alone[size] = _made(only_run(folder, "BPR"))

    settings.pop("embedding_size")
    folder, arguments = place("sweep", settings)
    (folder / "space.yaml").write_text("embedding_size: [8, 16]\n")
    arguments = ["--model=BPR", *arguments, "--params_file=space.yaml", "--sampler=grid", "--pruner=none"]
    kills = [("trial", at(KILL, "1 of 2: trial"), "2 of 2: trial")]
    killed_in_turn(commands, "hyper", [*arguments, "--storage=journal:study.log", "--output=out"], folder, kills)
    assert _changed(folder, alone) == {8: [], 16: []}

    models = {"BPR": {"embedding_size": 8}, "wide": {"model": "BPR", "embedding_size": 16}}
    folder, arguments = place("comparison", {**settings, "models": models})
    kills = [("second run", at(TERM, "run 1 of 2: .* done"), "run 1 of 2: BPR, seed 2020 found")]
    killed_in_turn(commands, "compare", arguments, folder, kills)
    assert _changed(folder, alone) == {8: [], 16: []}


def _changed(folder: Path, alone: dict[int, dict[str, Any]]) -> dict[int, list[str]]:
    """What differs in the runs of a folder from those that were made alone, by their size."""
    runs = [file.parent for file in folder.glob("saved/BPR-tiny-*/result.json")]
    sizes = [json.loads((run / "result.json").read_text())["config"]["embedding_size"] for run in runs]
    return {size: differing(alone[size], _made(run)) for size, run in zip(sizes, runs, strict=True)}


def _made(run: Path) -> dict[str, Any]:
    """Contents of a run without its settings, in which sweeps and comparisons have a part."""
    found = contents(run)
    settings = {"started.json", "result.json"}
    return {name: value for name, value in found.items() if name not in settings} | {
        "test": found["result.json"]["test_result"]
    }

"""A part of the bad inputs, drawn by a seed; and that the benchmark of them sees what it looks for."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from places import ROOT

from bad_input.trials import import_all, outcomes
from bad_input.world import Input
from bad_inputs import chosen, judged
from recbole_navigen.errors import DamagedArtefact, InputError


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """What takes long is imported before inputs are tried in forked processes."""
    import_all()


def test_some_bad_inputs_of_every_kind(own_folder: Path) -> None:
    given = [str(ROOT / "benchmarks" / "bad_inputs.py"), "--share=0.04", "--seed=2026"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *given], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " inputs, 0 of them wrong" in done.stdout


def refuses(sentence: str, error: type[Exception] = InputError) -> Input:
    def call(world: object) -> None:
        raise error(sentence)

    return Input("planted", sentence[:20], call, ("epochs",))


def trains(world: object) -> None:
    from recbole_navigen.runs.stages import Stages

    with Stages()("train"):
        raise InputError("epochs was found to be wrong in the middle of the training; lower it")


PLANTED = {
    "": refuses("epochs must be a whole number of at least 1, not 0"),
    "vague": refuses("something somewhere is not as it should be; mend it"),
    "accepted": Input("planted", "taken", lambda world: None),
    "traceback": refuses("epochs", KeyError),
    "refused": Input("planted", "good", refuses("epochs must be something else than it is").call, right=True),
    "changed": Input("planted", "means", lambda world: 3, right=True, check=lambda seen: seen.result == 4),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_what_is_wrong_is_seen(own_folder: Path, fault: str) -> None:
    world = SimpleNamespace(enter=lambda place: (place.mkdir(parents=True), os.chdir(place)))
    (outcome,) = outcomes([PLANTED[fault]], world, True, 1, lambda number, outcome: None)
    assert judged(PLANTED[fault], outcome)[0] == fault


def test_what_is_refused_in_training_is_late(own_folder: Path) -> None:
    world = SimpleNamespace(enter=lambda place: (place.mkdir(parents=True), os.chdir(place)))
    late = Input("planted", "late", trains, ("epochs",))
    (first,) = outcomes([late], world, True, 1, lambda number, outcome: None)
    (ended,) = outcomes([late], world, False, 1, lambda number, outcome: None)
    assert judged(late, first)[0] == "accepted" and judged(late, ended)[0] == "late"
    damaged = refuses("the checkpoint of epochs is damaged: it is cut short", DamagedArtefact)
    (outcome,) = outcomes([damaged], world, True, 1, lambda number, outcome: None)
    assert outcome.how == "damaged" and judged(damaged, outcome)[0] == ""


def test_each_kind_is_drawn() -> None:
    inputs = [Input(f"kind {number % 7}", str(number), ("navigen",)) for number in range(200)]
    drawn = chosen(inputs, None, 0.1, 3)
    assert {one.kind for one in drawn} == {one.kind for one in inputs} and len(drawn) in range(17, 25)
    assert drawn == chosen(inputs, None, 0.1, 3) != chosen(inputs, None, 0.1, 4)

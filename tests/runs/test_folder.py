"""Whose folder a run gets: a new one, or that of a run that was begun and not finished."""

from pathlib import Path

import pytest
from filelock import FileLock

from recbole_navigen.config import Config
from recbole_navigen.runs.folder import StopRun, own_folder
from recbole_navigen.runs.identity import identity
from recbole_navigen.runs.layout import LOCK, RESULT

WANTED = {"model": "Pop", "seed": 1}


def begun(root: Path, wanted: dict = WANTED) -> Path:
    """The folder of a run that was killed after it wrote something."""
    with pytest.raises(KeyboardInterrupt), own_folder(root, "Pop-tiny", wanted) as (folder, _):
        (folder / "checkpoint").touch()
        raise KeyboardInterrupt
    return folder


def test_a_run_that_was_not_finished_is_gone_on_with(tmp_path):
    first = begun(tmp_path)
    with own_folder(tmp_path, "Pop-tiny", {**WANTED, "seed": 2}) as (other, goes_on):
        assert other != first and not goes_on
    with own_folder(tmp_path, "Pop-tiny", WANTED) as (folder, goes_on):
        assert folder == first and goes_on
        (folder / RESULT).touch()
    with own_folder(tmp_path, "Pop-tiny", WANTED) as (folder, goes_on):
        assert folder != first and not goes_on


def test_a_folder_that_somebody_works_on_is_left_alone(tmp_path):
    first = begun(tmp_path)
    with FileLock(first / LOCK), own_folder(tmp_path, "Pop-tiny", WANTED) as (folder, goes_on):
        assert folder != first and not goes_on
    with FileLock(first / LOCK, blocking=False):
        pass  # no lock is left behind


@pytest.mark.parametrize("earlier", [False, True])
def test_a_run_that_nobody_needs_leaves_no_folder_whenever_it_began(tmp_path, earlier):
    if earlier:
        begun(tmp_path)
    with pytest.raises(StopRun), own_folder(tmp_path, "Pop-tiny", WANTED) as (folder, goes_on):
        (folder / "checkpoint").touch()
        raise StopRun
    assert goes_on == earlier and not list(tmp_path.iterdir())


def test_an_error_before_anything_was_written_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError), own_folder(tmp_path, "Pop-tiny", WANTED):
        raise ValueError
    assert not list(tmp_path.iterdir())


def test_a_run_is_named_by_the_collaborative_model_that_it_uses_alone(tiny):
    def named(**settings):
        given = {"collaborative_config": {"SASRec": {"epochs": 2}, "BPR": {"epochs": 2}}, **settings}
        return identity(Config("NaviGen", "tiny", config_dict=given))

    other = {"collaborative_config": {"SASRec": {"epochs": 2}, "BPR": {"epochs": 3}}}
    assert named() == named(**other)
    assert named(collaborative_model="BPR") != named(collaborative_model="BPR", **other)
    assert named() != named(collaborative_model="BPR")

"""What killed processes leave beside artefacts, and who may take it away."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import ROOT

from recbole_navigen import leftovers, owners
from recbole_navigen.artefacts import atomic_directory, write_bytes
from recbole_navigen.leftovers import NEW, OLD, UNTOUCHED_SECONDS, beside, remove_leftovers
from recbole_navigen.runs.folder import own_folder as own_folder_of_a_run

WRITER = """
import sys, time
from pathlib import Path
from unittest.mock import patch
from recbole_navigen.artefacts import atomic_directory, write_bytes

def stay(*_):
    print("writing", flush=True)
    time.sleep(60)

if sys.argv[1] == "file":
    with patch("os.fsync", stay):
        write_bytes("run/deep/value.json", b"new")
else:
    with atomic_directory("run/deep/stage") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "half.bin").write_bytes(b"half")
        stay()
"""


@pytest.fixture
def writing(own_folder: Path):
    """Start a process that stays in the middle of a write."""
    children = []

    def start(kind: str) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        child = subprocess.Popen([sys.executable, "-c", WRITER, kind], env=environment, stdout=subprocess.PIPE)
        children.append(child)
        assert child.stdout.readline() == b"writing\n"
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_was_writing_is_removed_and_what_a_living_one_writes_is_not(writing, kind):
    write_bytes("run/deep/other.json", b"whole")
    child = writing(kind)
    assert remove_leftovers("run") == [] and len(names(Path("run/deep"))) == 2
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    (removed,) = remove_leftovers(".")
    assert removed.name.endswith(".tmp") and names(Path("run/deep")) == ["other.json"]


def test_another_process_of_the_same_number_is_not_the_one_that_wrote(own_folder, monkeypatch):
    leftover = beside(own_folder / "stage", NEW)
    leftover.mkdir()
    assert remove_leftovers(own_folder) == []
    started = owners._started
    monkeypatch.setattr(owners, "_started", lambda pid: started(pid) + 1)
    assert remove_leftovers(own_folder) == [leftover]


def test_a_process_that_ended_lives_no_more_though_its_number_is_not_given_back(own_folder):
    code = "from recbole_navigen.owners import this_process; print(this_process(), flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    owner = child.stdout.readline().strip()
    assert owners.lives(owner) is True and owners.lives(owners.this_process()) is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    assert owners.lives(owner) is False
    child.communicate()
    assert owners.lives(owner) is False


@pytest.mark.parametrize("owner", [None, "", "deadbeef-1-2", ["boot", "pid:[1]", "7", "9"], "0123" * 8])
def test_of_a_process_elsewhere_and_of_nobody_it_cannot_be_told(owner):
    assert owners.lives(owner) is None


@pytest.mark.parametrize("name", [".stage." + "0123" * 8 + ".tmp", ".stage.deadbeef-1-2-0123456789ab.tmp"])
def test_what_is_written_elsewhere_is_left_alone_until_nobody_touched_it_for_a_day(own_folder, name):
    (own_folder / name / "inner").mkdir(parents=True)
    half = own_folder / name / "inner" / "half.bin"
    half.touch()
    long_ago = time.time() - UNTOUCHED_SECONDS - 60
    for path in (half.parent, own_folder / name):
        os.utime(path, (long_ago, long_ago))
    assert remove_leftovers(own_folder) == []
    os.utime(half, (long_ago, long_ago))
    assert remove_leftovers(own_folder) == [own_folder / name] and names(own_folder) == []


def test_who_writes_an_artefact_anew_removes_what_was_left_of_it_and_nothing_else(own_folder, monkeypatch):
    mine, others = beside(own_folder / "stage", NEW), beside(own_folder / "stage.2", NEW)
    mine.mkdir(), others.mkdir()
    monkeypatch.setattr(leftovers, "lives", lambda owner: False)
    with atomic_directory(own_folder / "stage"):
        assert not mine.exists()
    assert names(own_folder) == sorted([others.name, "stage"])


def test_a_run_begins_by_removing_what_killed_ones_left(own_folder, monkeypatch):
    for place in ("", "cache", "Pop-tiny-1", "Pop-tiny-1/writer-in-training-0123"):
        (own_folder / "saved" / place).mkdir(parents=True, exist_ok=True)
        beside(own_folder / "saved" / place / "checkpoint", NEW).mkdir()
    monkeypatch.setattr(leftovers, "lives", lambda owner: False)
    with own_folder_of_a_run("saved", "Pop-tiny", {"model": "Pop"}):
        assert not list(Path("saved").rglob("*.tmp"))


def test_an_older_version_goes_when_there_is_a_newer_one(own_folder, monkeypatch):
    older = beside(own_folder / "stage", OLD)
    older.mkdir()
    monkeypatch.setattr(leftovers, "lives", lambda owner: False)
    assert remove_leftovers(own_folder) == []
    with atomic_directory(own_folder / "stage"):
        pass
    assert remove_leftovers(own_folder) == [older] and names(own_folder) == ["stage"]


def test_other_files_are_nobodys_leftovers(own_folder):
    for name in (".hidden.tmp", "stage.0123.tmp", ".git", ".a.notahash.tmp", ".a.0123.tmp.json"):
        (own_folder / name).touch()
        os.utime(own_folder / name, (0, 0))
    assert remove_leftovers(own_folder) == [] and len(names(own_folder)) == 5
    assert remove_leftovers(own_folder / "nowhere") == []

"""Ctrl-C, a full disk, a folder that may not be written and a reader who has gone: one sentence each, or none."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from places import ROOT
from safetensors import SafetensorError

from recbole_navigen.artefacts import atomic_directory, verify_manifest, write_bytes, write_json
from recbole_navigen.cli.shared import exit_code
from recbole_navigen.errors import DamagedArtefact, InputError, machine_trouble
from recbole_navigen.interruption import Terminated, heed, interruptible

QUIET = ["--dataset=tiny", "--show_progress=False", "--use_gpu=False", "--train_batch_size=16"]
# Writes of more than so many bytes fail, as they do on a full disk; the words are those of a file that is too large.
FULL = """
import resource, sys
from recbole_navigen.__main__ import main
for limit in sys.argv[1].split(","):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    print(main(sys.argv[2:]))
"""


def child(*arguments: str, **streams: object) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    # A shell lets what it runs in the background ignore Ctrl-C, and these tests with it.
    heard = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen([sys.executable, *arguments], env=environment, text=True, preexec_fn=heard, **streams)


def errors(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("error: ") or "Traceback" in line]


def test_ctrl_c_is_one_sentence_and_the_run_can_go_on(tiny: Path) -> None:
    run = child("-m", "recbole_navigen", "--model=BPR", "--epochs=1000", "--stopping_step=1000", *QUIET)
    said = ""
    for line in run.stderr:
        said += line
        if "epoch 1 evaluating" in line:
            run.send_signal(signal.SIGINT)
    assert run.wait() == 130
    assert errors(said) == ["error: interrupted; what was finished is whole, and the same command goes on from there"]
    (folder,) = Path("saved").glob("BPR-*")
    verify_manifest(folder / "checkpoint")
    assert not list(Path("saved").rglob("*.tmp"))


def test_a_signal_that_a_library_turns_into_an_error_of_its_own_is_still_one() -> None:
    """As compiled modules do while they are imported: the signal raises inside them, and they raise ValueError."""
    with pytest.raises(Terminated), interruptible():
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException:
            raise ValueError("not a valid buffer format string") from None
    with pytest.raises(ValueError, match="a fault of its own"), interruptible():
        raise ValueError("a fault of its own")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_a_signal_that_comes_while_an_object_is_tidied_away_is_not_lost(number: int, kind: type) -> None:
    """Python drops what is raised in `__del__`."""

    class Object:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as raised, interruptible():
            Object()
            heed()
    finally:
        signal.signal(signal.SIGINT, before)
    assert type(raised.value) is kind
    with interruptible():
        heed()  # what came was dealt with


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half(tiny: Path) -> None:
    """The log, the JSON files and the tensors each meet the limit in a library of their own."""
    run = child("-c", FULL, "300,20000", "--model=BPR", "--epochs=1", *QUIET)
    codes, said = run.communicate()
    lines = errors(said)
    assert codes.split() == ["2", "2"] and len(lines) == 2 and "Logging error" not in said
    words = "cannot be written, the disk is full or the file too large"
    assert all("saved/BPR-tiny" in line and words in line for line in lines)
    assert not list(Path("saved").rglob("*.tmp"))


def test_a_reader_who_has_gone_is_met_with_silence(own_folder: Path) -> None:
    code = "import sys; from recbole_navigen.cli.shared import exit_code; sys.exit(exit_code(lambda: {} or 0, []))"
    run = child("-c", code.format("print('x' * 10**6)"))
    run.stdout.read(1)
    run.stdout.close()
    assert (run.stderr.read(), run.wait()) == ("", 141)


def wrapped(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


SPACE = os.strerror(errno.ENOSPC)
FULL_DISKS = [
    OSError(errno.ENOSPC, SPACE),
    OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "saved/file"),
    OSError(errno.EFBIG, os.strerror(errno.EFBIG)),
    OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
    SafetensorError(f"Error while serializing: I/O error: {SPACE} (os error 28)"),
    Exception("No space left on device (os error 28)"),
    sqlite3.OperationalError("database or disk is full"),
    wrapped(RuntimeError("the page could not be made"), OSError(errno.ENOSPC, SPACE, "saved/page.html")),
]


@pytest.mark.parametrize("error", FULL_DISKS, ids=repr)
def test_a_full_disk_is_known_in_whatever_it_comes(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> int:
        raise error

    assert exit_code(run, []) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and "the disk is full" in said


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EPERM, errno.EIO, errno.ENOENT, errno.EISDIR])
def test_what_the_machine_refuses_is_one_sentence_that_names_the_file(code: int, capsys) -> None:
    def run() -> int:
        raise OSError(code, os.strerror(code), "some/file.json")

    assert exit_code(run, []) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: some/file.json cannot be read or written") and os.strerror(code) in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "error", [KeyError("x"), RuntimeError("a mistake of ours"), OSError("no number"), ValueError()]
)
def test_mistakes_of_ours_keep_their_traceback(error: Exception, capsys) -> None:
    def run() -> int:
        raise error

    assert machine_trouble(error) is None
    assert exit_code(run, []) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback") and type(error).__name__ in shown


def test_errors_of_ours_are_told_from_those_of_the_machine(capsys) -> None:
    def run(error: Exception) -> int:
        return exit_code(lambda: (_ for _ in ()).throw(error), [])

    assert [run(InputError("bad")), run(DamagedArtefact("damaged")), run(KeyboardInterrupt())] == [2, 1, 130]
    assert capsys.readouterr().err.count("\n") == 3


@pytest.mark.parametrize("write", ["json", "folder", "tensors"])
def test_a_write_that_fails_names_its_artefact_and_leaves_the_older_one(own_folder, monkeypatch, write) -> None:
    def fill() -> None:
        if write == "json":
            write_json("saved/value", {"new": 1})
            return
        with atomic_directory("saved/value") as folder:
            (folder / "part").write_bytes(b"part")
            if write == "tensors":
                raise SafetensorError(f"I/O error: {SPACE} (os error 28)")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, SPACE)

    write_bytes("saved/value", b"older")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises((OSError, SafetensorError)) as caught:
        fill()
    assert machine_trouble(caught.value).startswith("saved/value cannot be written")
    assert Path("saved/value").read_bytes() == b"older" and [path.name for path in Path("saved").iterdir()] == ["value"]

"""Runs in processes of their own: how they end."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from recbole_navigen.quick_start.separate import RunFailed, RunStopped, SeparateRuns, serve


def test_a_process_that_dies_is_a_failed_run(own_folder: Path) -> None:
    server = (
        "import json, sys\n"
        "for _ in sys.stdin: print(json.dumps({'line': 'epoch 0'}), json.dumps({'exit': -9}), sep='\\n', flush=True)"
    )
    lines: list[str] = []
    with SeparateRuns() as separately:
        separately._server = subprocess.Popen(
            [sys.executable, "-c", server], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with pytest.raises(RunFailed, match="killed by SIGKILL; it may have run out of memory"):
            separately("Pop", "tiny", {}, lines.append)
    assert lines == ["epoch 0"]


def test_a_server_that_ended_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two runs or in the middle of one; that one fails, the others do not."""
    answer = "print(json.dumps({'folder': 'saved/run'}), json.dumps({'exit': 0}), sep='\\n', flush=True)"
    started = []

    def start(self: SeparateRuns) -> subprocess.Popen:
        last = "" if len(started) == 1 else answer  # the second one ends in the middle
        code = f"import json, sys\nsys.stdin.readline()\n{last}"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen([sys.executable, "-c", code], **pipes))
        return started[-1]

    monkeypatch.setattr(SeparateRuns, "_start", start)
    with SeparateRuns() as separately:
        assert separately("Pop", "tiny", {}, print) == "saved/run"
        started[0].wait()
        with pytest.raises(RunFailed, match="the process that starts runs has ended"):
            separately("Pop", "tiny", {}, print)
        assert separately("Pop", "tiny", {}, print) == "saved/run"
    assert len(started) == 3 and all(server.poll() is not None and server.stdout.closed for server in started)


def test_a_server_without_a_process_to_spare_answers_and_goes_on(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    def fork() -> int:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["separate", "0"])
    monkeypatch.setattr(sys, "stdin", io.StringIO('["Pop", "tiny", {}, false]\n' * 2))
    serve()
    answers = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    failed = "no process could be started for it: Cannot allocate memory"
    assert answers == [{"failed": failed, "details": "", "exit": 1}] * 2


def test_a_run_nobody_waits_for_ends_and_keeps_nobody_waiting(tiny: Path) -> None:
    def interrupt(line: str) -> None:
        if line.startswith("epoch 1 "):
            raise KeyboardInterrupt

    endless = {"epochs": 100_000, "stopping_step": 100_000, "show_progress": False}
    with pytest.raises(KeyboardInterrupt), SeparateRuns() as separately:
        separately("BPR", "tiny", endless, interrupt)
    (log,) = Path("log/BPR").glob("*.log")
    for _ in range(100):
        size = log.stat().st_size
        time.sleep(0.3)
        if log.stat().st_size == size:
            return
    raise AssertionError("the run goes on")


def test_a_judge_stops_a_run(tiny: Path) -> None:
    """After the evaluation it chooses; the next run of the same server is judged afresh."""
    judged: list[tuple[int, float]] = []

    def judge(epoch: int, score: float) -> bool:
        judged.append((epoch, score))
        return epoch < 2

    settings = {"epochs": 5, "stopping_step": 50, "show_progress": False, "use_gpu": False}
    with SeparateRuns() as separately:
        with pytest.raises(RunStopped):
            separately("BPR", "tiny", settings, lambda line: None, judge)
        assert [epoch for epoch, _ in judged] == [0, 1, 2] and not list(Path("saved").iterdir())
        folder = separately("BPR", "tiny", {**settings, "epochs": 2}, lambda line: None, judge)
    assert judged[3:] == judged[:2] and (Path(folder) / "result.json").is_file()

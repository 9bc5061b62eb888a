"""Runs in processes of their own: how they end."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from recbole_navigen.quick_start.separate import RunFailed, RunStopped, SeparateRuns


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

"""Runs in processes of their own: the peak memory of each is its own, and what happens to one happens to it alone.

A small server imports everything once and then forks for every run. It does nothing else, so a fork meets no threads
and no GPU context, and a run starts at once. Requests and answers are lines of JSON.
"""

import contextlib
import json
import logging
import os
import re
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from recbole_navigen.errors import InputError, machine_trouble
from recbole_navigen.redaction import hide

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
GO_ON, STOP = b"+", b"-"  # what a judge answers
_TELLING = ("epoch ", "align ", "stage ")  # how the log lines begin that tell how far a run is


class RunFailed(Exception):
    """A run ended in an error. `details` is its traceback, if it lived to give one. Neither shows a secret."""

    def __init__(self, message: str, details: str = ""):
        super().__init__(hide(message))
        self.details = hide(details)


class RunStopped(Exception):
    """A run was stopped by whoever judges its epochs."""


class SeparateRuns:
    """Runs models one after the other, each in its own process. Use it in a `with` block."""

    def __enter__(self) -> "SeparateRuns":
        self._server: subprocess.Popen | None = None  # started by the first run
        self._verdicts: int | None = None  # where runs read what their judge says
        return self

    def _start(self) -> subprocess.Popen:
        # The pipe closes when this process ends, however it ends.
        verdicts, self._verdicts = os.pipe()
        package = Path(__file__).resolve().parents[2]
        path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
        server = subprocess.Popen(
            [sys.executable, "-m", __name__, str(verdicts)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            pass_fds=(verdicts,),
        )
        os.close(verdicts)
        return server

    def __exit__(self, *exception: object) -> None:
        self._end()

    def _end(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        # After an exception a run may still be going on: with nobody listening, it ends at its next message.
        server.terminate()
        server.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            server.stdin.close()
        if self._verdicts is not None:
            os.close(self._verdicts)
            self._verdicts = None
        server.wait()

    def __call__(
        self,
        model: str,
        dataset: str,
        settings: dict[str, Any],
        progress: Callable[[str], None],
        judge: Callable[[int, float], bool] | None = None,
    ) -> str:
        """`run_navigen` in a process of its own, silently.

        Args:
            model: name of the model. dataset: name of the data set.
            settings: plain typed settings, as `config_dict`.
            progress: called with each line of the log that tells how far the run is.
            judge: called with the epoch and the valid score after every evaluation; False stops the run.

        Returns:
            The run's folder.

        Raises:
            RunFailed: in one sentence, whatever was wrong.
            RunStopped: the judge stopped it; its folder is gone.
        """
        if self._server is not None and self._server.poll() is not None:
            self._end()  # killed, for want of memory perhaps: the next runs need another
        self._server = self._server or self._start()
        request = [model, dataset, settings, judge is not None]
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(request, default=str), file=self._server.stdin, flush=True)
        answer: dict[str, Any] = {}
        for line in self._server.stdout:
            answer |= json.loads(line)
            if "exit" in answer:
                break
            if "line" in answer:
                progress(answer.pop("line"))
            if "epoch" in answer:
                verdict = judge(answer.pop("epoch"), answer.pop("score"))
                with contextlib.suppress(BrokenPipeError):  # a run that died meanwhile says so itself
                    os.write(self._verdicts, GO_ON if verdict else STOP)
        if "folder" in answer:
            return answer["folder"]
        if "stopped" in answer:
            raise RunStopped
        if "failed" in answer:
            raise RunFailed(answer["failed"], answer["details"])
        code = answer.get("exit")
        if code is None:
            self._end()
            raise RunFailed("the process that starts runs has ended")
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise RunFailed(f"its process {how}" + ("; it may have run out of memory" if code == -signal.SIGKILL else ""))


def serve() -> None:
    """Answer requests from standard input until it closes."""
    import recbole_navigen.pipeline.train
    import recbole_navigen.quick_start.run  # noqa: F401

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the run and for the comparison
    answers, verdicts = os.fdopen(os.dup(1), "w", buffering=1), int(sys.argv[1])
    for request in sys.stdin:
        try:
            child = os.fork()
        except OSError as error:  # no memory or no process left at this moment; the next run may find some
            reason = f"no process could be started for it: {error.strerror}"
            print(json.dumps({"failed": reason, "details": "", "exit": 1}), file=answers)
            continue
        if child == 0:
            try:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                _run(answers, verdicts, *json.loads(request))
                os._exit(0)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        try:
            print(json.dumps({"exit": code}), file=answers)
        except BrokenPipeError:
            os._exit(1)


def _run(answers: TextIO, verdicts: int, model: str, dataset: str, settings: dict[str, Any], judged: bool) -> None:
    from recbole_navigen.quick_start.run import run_navigen
    from recbole_navigen.runs.folder import StopRun

    threading.Thread(target=_die_with_parent, args=(verdicts,), daemon=True).start()
    # A run before this one may have died without reading its last verdict.
    while select.select([verdicts], [], [], 0)[0] and os.read(verdicts, 1):
        pass

    def judge(epoch: int, score: float) -> None:
        try:
            print(json.dumps({"epoch": epoch, "score": float(score)}), file=answers)
            verdict = os.read(verdicts, 1)
        except OSError:
            verdict = b""
        if not verdict:  # the process that judges was killed; whoever starts it again goes on with this run
            os._exit(1)
        if verdict == STOP:
            raise StopRun

    # Its log is in log/MODEL/; the terminal belongs to the comparison.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
    logging.getLogger().addHandler(_Forward(answers))
    try:
        result = run_navigen(model, dataset, config_dict=settings, callback=judge if judged else None)
        answer = {"folder": result["run_dir"]}
    except StopRun:
        answer = {"stopped": True}
    except InputError as error:
        answer = {"failed": str(error), "details": traceback.format_exc()}
    except Exception as error:  # whatever it is, it ends this run only and is reported
        reason = machine_trouble(error) or f"{type(error).__name__}: {error}"
        answer = {"failed": reason, "details": traceback.format_exc()}
    if "failed" in answer:  # hidden here, where all the run's settings were read
        answer = {key: hide(text) for key, text in answer.items()}
    print(json.dumps(answer), file=answers)


def _die_with_parent(verdicts: int) -> None:
    """End this run, as a kill would, when nobody holds the other end of a pipe: whoever started it was killed, and may
    be started again at once, to go on with it.
    """
    ended = select.poll()
    ended.register(verdicts, 0)  # a pipe without writers is told unasked
    ended.poll()
    os._exit(1)


class _Forward(logging.Handler):
    """Hands on the telling lines of a run's log."""

    def __init__(self, answers: TextIO):
        super().__init__(logging.INFO)
        self.answers = answers

    def emit(self, record: logging.LogRecord) -> None:
        line = hide(_COLOURS.sub("", record.getMessage().partition("\n")[0]))
        if line.startswith(_TELLING):
            try:
                print(json.dumps({"line": line}), file=self.answers)
            except OSError:
                os._exit(1)  # nobody waits for this run any more


if __name__ == "__main__":
    serve()

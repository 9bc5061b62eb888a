"""Commands that are killed at a chosen moment, told by what they print: for `faults.py` and for the tests.

A server imports the whole package once and forks for every command, so that a command starts at once. It does nothing
else, so a fork meets no thread that computes. Requests and answers are lines of JSON.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parents[2]
CONSOLE = "console.txt"  # of a command's folder: what the last one printed
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_WAIT = 0.005  # seconds between two looks at what a command prints
_LONGEST = 600  # seconds after which a command is taken for one that hangs


@dataclass(frozen=True, slots=True)
class Kill:
    """When a command is sent a signal: `seconds` after a line with `after`, but not later than a line with `before`.

    Both are regular expressions; of several, all must be seen in their order. The signal goes to the command alone, not
    to processes that it started. With `itself` the command sends it to itself, and the seconds are those that it
    computes, so that it comes at the same place on a busy machine and on an idle one.
    """

    signal: int
    after: str | Sequence[str]
    seconds: float = 0.0
    before: str | None = None
    itself: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code; that of a signal is negative.
        seconds: from its start. lines: what it printed, each with the seconds until then.
    """

    code: int
    seconds: float
    lines: list[tuple[float, str]]

    def since(self, begin: str | Sequence[str]) -> list[tuple[float, str]]:
        """The lines from the one on that `begin` is in, see `Kill.after`."""
        lines, wanted = self.lines, _listed(begin)
        for number, expression in enumerate(wanted):
            places = (place for place, (_, line) in enumerate(lines) if re.search(expression, line))
            first = next(places, len(lines))
            lines = lines[first + (number < len(wanted) - 1) :]
        return lines

    def between(self, begin: str | Sequence[str], end: str) -> float:
        """Seconds from one line to a later one, or to the end; 0 without the first."""
        lines = self.since(begin)
        if not lines:
            return 0.0
        return next((when for when, line in lines[1:] if re.search(end, line)), self.seconds) - lines[0][0]

    @property
    def printed(self) -> str:
        """All lines, for messages."""
        return "\n".join(line for _, line in self.lines)


def _listed(expressions: str | Sequence[str]) -> list[str]:
    return [expressions] if isinstance(expressions, str) else list(expressions)


class Commands:
    """Runs commands one after the other, each in a process of its own. Use it in a `with` block.

    Attributes:
        script: of the server.
    """

    script = Path(__file__).resolve()

    def __enter__(self) -> "Commands":
        path = os.pathsep.join(filter(None, (str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
        environment["TQDM_MININTERVAL"] = "0"  # every step of a bar is a line that a kill may wait for
        self._server = subprocess.Popen(
            [sys.executable, str(self.script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def __call__(self, command: str, arguments: Sequence[str], folder: Path, kill: Kill | None = None) -> Ended:
        """Run a command in a folder.

        Args:
            command: navigen, generate, compare or hyper. arguments: without the program's name.
            folder: its working directory. kill: None lets it end.
        """
        request = [command, list(arguments), str(folder), asdict(kill) if kill else None]
        print(json.dumps(request), file=self._server.stdin, flush=True)
        code, seconds, lines = json.loads(self._server.stdout.readline())
        return Ended(code, seconds, [tuple(line) for line in lines])


def serve() -> None:
    """Answer requests from standard input until it closes."""
    import torch

    import recbole_navigen

    torch.set_num_threads(1)
    for module in walk_packages(recbole_navigen.__path__, "recbole_navigen."):
        # The server of recommendations needs packages that are not always installed, and no command here.
        if module.name not in ("recbole_navigen.__main__", "recbole_navigen.serving.server"):
            import_module(module.name)
    for request in sys.stdin:
        command, arguments, folder, kill = json.loads(request)
        kill = Kill(**kill) if kill else None
        itself = kill is not None and kill.itself
        console = Path(folder) / CONSOLE
        console.unlink(missing_ok=True)
        console.touch()
        child = os.fork()
        if child == 0:
            _run(command, arguments, folder, console, kill if itself else None)
        print(json.dumps(_watch(child, console, None if itself else kill)), flush=True)


def of_command(name: str) -> Callable[[list[str]], int]:
    """The function behind a command: navigen, compare, generate or hyper."""
    from recbole_navigen import __main__

    return __main__.main if name == "navigen" else getattr(import_module(f"recbole_navigen.cli.{name}"), name)


class _Ending:
    """A stream whose process ends itself when, or some time after, certain lines were written to it."""

    def __init__(self, stream: TextIO, awaited: list[str], kill: Kill):
        self.stream, self.awaited, self.kill, self.rest = stream, awaited, kill, ""

    def write(self, text: str) -> int:
        written = self.stream.write(text)
        self.stream.flush()
        *lines, self.rest = re.split(r"[\r\n]+", self.rest + text)
        for line in lines:
            if self.awaited and re.search(self.awaited[0], _COLOURS.sub("", line)):
                self.awaited.pop(0)
                if not self.awaited and self.kill.seconds:
                    signal.setitimer(signal.ITIMER_PROF, self.kill.seconds)
                elif not self.awaited:
                    os.kill(os.getpid(), self.kill.signal)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _run(command: str, arguments: list[str], folder: str, console: Path, kill: Kill | None) -> None:
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        for stream, file in ((0, os.devnull), (1, console), (2, console)):
            os.dup2(os.open(file, os.O_RDONLY if stream == 0 else os.O_WRONLY | os.O_APPEND), stream)
        sys.stdout.reconfigure(line_buffering=True)
        if kill:
            signal.signal(signal.SIGPROF, lambda *_: os.kill(os.getpid(), kill.signal))
            awaited = _listed(kill.after)
            sys.stdout, sys.stderr = (_Ending(stream, awaited, kill) for stream in (sys.stdout, sys.stderr))
        code = of_command(command)(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _watch(child: int, console: Path, kill: Kill | None) -> tuple[int, float, list[tuple[float, str]]]:
    """Read along with what a command prints until it ends, and kill it on the way."""
    start, lines, rest, moment = time.perf_counter(), [], "", None
    awaited = _listed(kill.after) if kill else []
    with open(console, encoding="utf-8", errors="replace", newline="") as file:
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            now = time.perf_counter() - start
            *whole, rest = re.split(r"[\r\n]+", rest + file.read())
            for line in (_COLOURS.sub("", line) for line in whole):
                lines.append((now, line))
                if awaited and re.search(awaited[0], line):
                    awaited.pop(0)
                    moment = None if awaited else now + kill.seconds
                elif kill and moment is not None and kill.before and re.search(kill.before, line):
                    moment = now
            if done:
                return os.waitstatus_to_exitcode(status), now, lines
            if now > _LONGEST:
                os.kill(child, 9)
            elif kill and moment is not None and now >= moment:
                os.kill(child, kill.signal)
                kill = None
            time.sleep(_WAIT)


# What says when, where and how fast something was made, or that it was gone on with.
_TIMES = (
    *("seconds", "training_seconds", "test_users_per_second", "peak_memory_mb", "machine", "stages", "resumed"),
    *("counts", "models", "checksum", "size", "sha256"),  # the last three are manifests', of files that are compared
)
_LEFT_OUT = re.compile(r"\.lock|\.sqlite|\.(tmp|old)(/|$)")  # answers of a teacher, and what a kill left half-written


def contents(folder: Path) -> dict[str, Any]:
    """What a folder of results holds, by file: bytes, or for records the values that say nothing of time."""
    found: dict[str, Any] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if not file.is_file() or _LEFT_OUT.search(name):
            continue
        # Pages name their run, which is named by when it began.
        data = file.read_bytes().replace(folder.name.encode(), b"FOLDER")
        if file.suffix == ".json":
            found[name] = _timeless(json.loads(data))
        elif file.suffix == ".jsonl":
            found[name] = [_timeless(json.loads(line)) for line in data.splitlines()]
        else:
            found[name] = data
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(entry) for key, entry in value.items() if key not in _TIMES}
    return [_timeless(entry) for entry in value] if isinstance(value, list) else value


def differing(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Names of the entries that are not the same in both."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


if __name__ == "__main__":
    serve()

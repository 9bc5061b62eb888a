"""Commands in processes of their own that start at once: `fault_runner.Commands` with more that is forked.

What takes long in a process of its own is importing the package. Here the process of runs that comparisons and sweeps
start is forked as well, and `torchrun` forks its two processes. Beyond that they are what users start.
"""

import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from harness import fault_runner

SUPPORT = Path(__file__).resolve()


class ForkedCommands(fault_runner.Commands):
    """`Commands` whose server is this file. It also knows `torchrun`, two processes of a script with its arguments, and
    `together`, several commands at the same time with `&` between them, whose exit codes it prints at its end.
    """

    script = SUPPORT


class ForkedServer:
    """Stands for the process that `SeparateRuns` starts; forked before the command begins and its threads with it."""

    def __init__(self) -> None:
        requests, given = os.pipe()
        taken, answers = os.pipe()
        verdicts, self.verdicts = os.pipe()
        self.pid, self.code = os.fork(), None
        if self.pid == 0:
            for end in (given, taken, self.verdicts):
                os.close(end)
            _serve_runs(requests, answers, verdicts)
        for end in (requests, answers, verdicts):
            os.close(end)
        self.stdin, self.stdout = os.fdopen(given, "w"), os.fdopen(taken)

    def poll(self) -> int | None:
        """The exit code once it has ended."""
        if self.code is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if ended else None
        return self.code

    def wait(self) -> int:
        """Its exit code; waits until it has ended."""
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def terminate(self) -> None:
        """Ask it to end."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


def _serve_runs(requests: int, answers: int, verdicts: int) -> NoReturn:
    from recbole_navigen.quick_start import separate

    try:
        os.dup2(requests, 0)
        os.dup2(answers, 1)
        # What ends the command at a line of its own is not for its runs.
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), sys.__stdout__, sys.__stderr__
        sys.argv = ["separate", str(verdicts)]
        separate.serve()
    finally:
        os._exit(0)


def of_command(name: str) -> Callable[[list[str]], int]:
    """The function behind a command, see `fault_runner.of_command`, or behind `torchrun`."""
    if name in ("torchrun", "together"):
        return {"torchrun": torchrun, "together": together}[name]
    if name in ("compare", "hyper"):
        from recbole_navigen.quick_start.separate import SeparateRuns

        server = ForkedServer()

        def start(self: SeparateRuns) -> ForkedServer:
            self._verdicts = server.verdicts
            return server

        SeparateRuns._start = start
    return own_command(name)


def together(words: list[str]) -> int:
    """Run commands at the same time."""
    children = []
    while words:
        end = words.index("&") if "&" in words else len(words)
        (name, *arguments), words = words[:end], words[end + 1 :]
        children.append(os.fork())
        if children[-1] == 0:
            _end_with(lambda name=name, arguments=arguments: of_command(name)(arguments))
    print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
    return 0


def torchrun(words: list[str]) -> int:
    """Run a script with its arguments in two processes, with the environment and the store of `torchrun`."""
    from torch.distributed import TCPStore

    children, ports = [], []
    for rank in range(2):
        told, port = os.pipe()
        ports.append(port)
        children.append(os.fork())
        if children[-1] == 0:
            _end_with(lambda rank=rank, told=told: _work(words, rank, told))
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for port in ports:
        os.write(port, str(store.port).encode())
    return max(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) for child in children)


def _work(words: list[str], rank: int, told: int) -> int:
    os.environ.update(
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=os.read(told, 8).decode(),
        TORCHELASTIC_USE_AGENT_STORE="True",
        TORCHELASTIC_RESTART_COUNT="0",
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE="2",
        LOCAL_WORLD_SIZE="2",
    )
    sys.argv = words
    sys.path.insert(0, str(Path(words[0]).parent))
    runpy.run_path(words[0], run_name="__main__")
    return 0


def _end_with(run: Callable[[], int]) -> NoReturn:
    """End this process, which was forked, with the code that a function returns or exits with."""
    code = 1
    try:
        code = run()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    own_command, fault_runner.of_command = fault_runner.of_command, of_command
    fault_runner.serve()

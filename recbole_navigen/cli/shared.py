"""What the commands share: their common arguments, and how they end.

Only the standard library is imported before the arguments are parsed, so that `--help` answers at once.
"""

import argparse
import contextlib
import functools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recbole_navigen import __version__
from recbole_navigen.cli.command_line import CommandLine
from recbole_navigen.errors import DamagedArtefact, InputError, machine_trouble
from recbole_navigen.interruption import Terminated, heed, interruptible
from recbole_navigen.processes import size
from recbole_navigen.redaction import hide


def command_line(name: str, usage: str, description: str, epilog: str) -> CommandLine:
    """Return a parser with the arguments that all commands with settings share; what it does not know is a setting."""
    commands = bare_command_line(name, usage, description, epilog)
    commands.add_argument("--dataset", "-d", help="name of the data set (default: ml-100k, which needs no download)")
    commands.add_argument(
        "--config_files", nargs="+", action="extend", default=[], metavar="FILE", help="yaml files, later ones win"
    )
    return commands


def bare_command_line(name: str, usage: str, description: str, epilog: str) -> CommandLine:
    """Return a parser with the arguments that every command has."""
    commands = CommandLine(
        prog=name,
        usage=usage,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands.add_argument("--version", action="version", version=f"recbole-navigen {__version__}")
    return commands


def command(run: Callable[[Sequence[str] | None], int | None]) -> Callable[[Sequence[str] | None], int]:
    """Decorate a command so that it ends as `exit_code` says, with 0 where it returns nothing. Its `argv` are arguments
    without the program's name; None takes those of the process.
    """

    @functools.wraps(run)
    def ended(argv: Sequence[str] | None = None) -> int:
        return exit_code(lambda: run(argv) or 0, argv)

    return ended


def exit_code(run: Callable[[], int], argv: Sequence[str] | None) -> int:
    """Run a command; bad input, damaged artefacts, a full disk and Ctrl-C become one line on standard error.

    Args:
        run: the command. argv: its arguments, None for those of the process; `--debug` shows the traceback too.

    Returns:
        What the command returns, 2 on bad input or where the machine does not let it write, 1 on a damaged artefact,
        130 on Ctrl-C, 143 after SIGTERM and, without a word, 141 where nobody reads the output any more (`| head`), as
        a shell counts.
    """
    debug = "--debug" in (sys.argv if argv is None else argv)
    threading.excepthook = _quiet_on_trouble
    try:
        with interruptible():
            code = run()
            heed()
        sys.stdout.flush()
        return code
    except Terminated as error:
        sentence = "ended by SIGTERM; what is finished is kept, the same command goes on from it"
        return _said(error, sentence, 128 + signal.SIGTERM, debug)
    except (InputError, DamagedArtefact) as error:
        return _said(error, str(error), 2 if isinstance(error, InputError) else 1, debug)
    except KeyboardInterrupt as error:
        return _said(
            error, "interrupted; what was finished is whole, and the same command goes on from there", 130, debug
        )
    except BrokenPipeError:
        # Python flushes its streams once more when it ends.
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                with contextlib.suppress(OSError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return 141
    except Exception as error:
        if (trouble := machine_trouble(error)) is None:  # a fault of ours, shown whole but for secrets
            print(hide(traceback.format_exc()), end="", file=sys.stderr)
            return 1
        return _said(error, trouble, 2, debug)


def _said(error: BaseException, sentence: str, code: int, debug: bool) -> int:
    if debug:
        print(hide("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    print(f"error: {hide(' '.join(sentence.split()))}", file=sys.stderr)
    return code


def _quiet_on_trouble(error: threading.ExceptHookArgs) -> None:
    """What becomes of an error in another thread: what the main thread meets too, and says in words, is not shown."""
    if error.exc_value is None or machine_trouble(error.exc_value) is None:
        threading.__excepthook__(error)


def refuse_torchrun(command: str) -> None:
    """Refuse a command that `torchrun` has started several times over."""
    if size() > 1:
        raise InputError(
            f"{command} was started by torchrun as {size()} processes; start it once. torchrun is for run_navigen.py"
        )


def bare_arguments(commands: CommandLine, argv: Sequence[str] | None) -> dict[str, Any]:
    """The arguments of a command that takes no settings, by name and without `debug`. What it does not know is refused,
    with the nearest of its options.
    """
    arguments, others = commands.split(argv)
    if others:
        from recbole_navigen.config.reading import nearest

        known = [name for name in commands._option_string_actions if name.startswith("--")]
        near = nearest(others[0].partition("=")[0], known)
        raise InputError(f"{commands.prog} has no option `{others[0]}`; the nearest is `{near}`")
    refuse_torchrun(f"{commands.prog}.py")
    return by_name(arguments)


def by_name(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that a command hands on to its function, by name."""
    return {name: value for name, value in vars(arguments).items() if name not in ("config_files", "debug", "facts")}


def split_files(names: Sequence[str]) -> list[str]:
    """Read `--config_files a.yaml b.yaml` and RecBole's `--config_files "a.yaml b.yaml"` alike."""
    return [file for name in names for file in ([name] if Path(name).exists() else name.split())]

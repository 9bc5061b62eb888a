"""The command line: named arguments of a command, and settings as `--key=value` in any place between them."""

import argparse
import sys
from collections.abc import Sequence

from recbole_navigen.errors import InputError


class CommandLine(argparse.ArgumentParser):
    """A parser that refuses bad input as everything else here does, with an InputError."""

    def error(self, message: str) -> None:
        raise InputError(f"{message}; see {self.prog} --help")

    def split(self, argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
        """Read the named arguments, each given once at most, and leave the settings.

        Args:
            argv: arguments without the program's name; None takes those of the process.

        Returns:
            The named arguments, and all others as they stand.
        """
        named, settings, seen = [], [], set()
        for argument in sys.argv[1:] if argv is None else argv:
            option = argument.partition("=")[0]
            action = self._option_string_actions.get(option)
            # argparse would take `--task_weights={dense: 0}` behind `--config_files a.yaml` for a file: it has a space.
            if argument.startswith("--") and len(argument) > 2 and action is None:
                settings.append(argument)
                continue
            if action is not None and action.dest in seen and not isinstance(action, argparse._ExtendAction):
                raise InputError(f"{option} is given twice; keep one")
            seen.add(None if action is None else action.dest)
            named.append(argument)
        arguments, others = self.parse_known_args(named)
        return arguments, [*others, *settings]

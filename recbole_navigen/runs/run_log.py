"""The log of a run: as RecBole writes it, in a file of its own, without secrets."""

import logging
import sys
from functools import partial
from pathlib import Path

import colorama.initialise
from recbole.utils import init_logger

from recbole_navigen.config import Config
from recbole_navigen.errors import InputError
from recbole_navigen.redaction import HiddenSecrets

_log_handlers: list[logging.Handler] = []


def start_logging(config: Config) -> None:
    """Log as RecBole does: coloured on the console, plain in `log/MODEL/`.

    RecBole adds its handlers only to a root logger without any. So those of an earlier run in this process are closed,
    and those of the program around us stand aside for a moment: every run gets a log file of its own.
    """
    root = logging.getLogger()
    while _log_handlers:
        handler = _log_handlers.pop()
        root.removeHandler(handler)
        handler.close()
    # RecBole wraps the streams by colorama each time. Undone only where they are still the ones it put there: a program
    # that has redirected its output since must not get the old one back.
    if (sys.stdout, sys.stderr) == (colorama.initialise.wrapped_stdout, colorama.initialise.wrapped_stderr):
        colorama.deinit()
    others, root.handlers = root.handlers, []
    try:
        init_logger(config)
    except OSError as error:
        raise InputError(
            f"the folder {Path('log').resolve()} for log files cannot be written ({error.strerror}); "
            "run from a folder that can"
        ) from error
    finally:
        for handler in root.handlers:
            handler.setFormatter(HiddenSecrets(handler.formatter))
            handler.handleError = partial(_pass_over, handler)
        _log_handlers.extend(root.handlers)
        root.handlers = others + root.handlers


def _pass_over(handler: logging.Handler, record: logging.LogRecord) -> None:
    """A line that finds no space on the disk, or nobody to read it, is no reason for a traceback beside the log."""
    if not isinstance(sys.exc_info()[1], OSError):
        logging.Handler.handleError(handler, record)

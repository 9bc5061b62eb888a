"""Ctrl-C and SIGTERM end a command in the same orderly way. Standard library only."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from recbole_navigen.processes import size

_came: KeyboardInterrupt | None = None


class Terminated(KeyboardInterrupt):
    """SIGTERM. Whatever tidies up after Ctrl-C does so after it, being of the same kind."""


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM raise, and remember them for `heed`, for as long as the block lasts.

    Ctrl-C stays ignored where it was, as in a job in the background of a shell. Processes that torchrun started are
    ended at once: one that waits for another would not hear of it.
    """
    global _came
    if threading.current_thread() is not threading.main_thread() or size() > 1:
        yield
        return

    def end(number: int, _: object) -> None:
        global _came
        _came = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        raise _came

    heard = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        heard.append(signal.SIGINT)
    before = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    except Exception as error:
        if _came is None:
            raise
        raise _came from error  # a library in C may turn what is raised inside it into an error of its own
    finally:
        _came = None  # what came is on its way, or was dealt with
        for number, handler in before.items():
            signal.signal(number, handler)


def heed() -> None:
    """Raise again what came and was lost: Python drops whatever is raised while it tidies an object away."""
    if _came is not None:
        raise _came

"""Which process made something, so that another one can tell whether that process still lives."""

import contextlib
import os
import re
import socket
from functools import cache
from hashlib import sha256
from pathlib import Path

OWNER = "[0-9a-f]{8}-[0-9a-f]+-[0-9a-f]+"  # place, number and start of a process
_ENDED = ("Z", "X")  # states of a process of which only its number is left


def this_process() -> str:
    """Return a name that no other process has ever had, here or on another machine. It matches OWNER."""
    pid = os.getpid()
    return f"{_place()}-{pid:x}-{_started(pid) or 0:x}"


def lives(owner: str | None) -> bool | None:
    """Whether the process that `this_process` named runs. A process of this machine is dead if there is none of its
    number that started when it did.

    Args:
        owner: that name. None, and what is no such name, is nobody known.

    Returns:
        None: it cannot be told, as with a process of another machine or container.
    """
    if not isinstance(owner, str) or not re.fullmatch(OWNER, owner):
        return None
    place, *process = owner.split("-")
    if place != _place():
        return None
    pid, started = (int(part, 16) for part in process)
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        pass
    now = _started(pid)
    return not started or now is None or now == started


def _started(pid: int) -> int | None:
    """When a process started, in the machine's own ticks; None where the system does not say, -1 if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        state, *numbers = stat.rpartition(")")[2].split()  # the name in brackets may hold anything
        return -1 if state in _ENDED else int(numbers[18])
    except (OSError, ValueError, IndexError):
        return None


@cache
def _place() -> str:
    """Names where process numbers mean what they mean here: this machine since it was started, and this container."""
    known = [socket.gethostname()]
    with contextlib.suppress(OSError):
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        known.append(os.readlink("/proc/self/ns/pid"))
    return sha256("\n".join(known).encode()).hexdigest()[:8]

"""The two errors that a user of RecBole-NaviGen may meet, and what the machine's own errors are in words. No message
shows a secret, whoever prints it.
"""

import errno
import os
import re
from collections.abc import Iterator

from recbole_navigen.redaction import hide


class InputError(ValueError):
    """Bad input. The message is one clear sentence: what is wrong, where, and what to do about it.

    The command line prints the message as one line and leaves with exit code 2.
    """

    def __init__(self, message: str):
        super().__init__(hide(str(message)))


class DamagedArtefact(RuntimeError):
    """A stored artefact differs from what was written. The message names the file."""

    def __init__(self, message: str):
        super().__init__(hide(str(message)))


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Libraries that are not written in Python give the system's words, or its number, in an error of their own.
_FULL_WORDS = re.compile(
    "|".join([*(re.escape(os.strerror(code)) for code in _FULL), "database or disk is full"])
    + rf"|os error ({'|'.join(map(str, _FULL))})\b",
    re.IGNORECASE,
)


def machine_trouble(error: BaseException) -> str | None:
    """One sentence on an error that is neither the user's nor ours: a full disk, a folder that may not be written, any
    other file that the system refuses. None for other errors.
    """
    for each in _chain(error):
        if getattr(each, "errno", None) in _FULL or _FULL_WORDS.search(str(each)):
            words = os.strerror(each.errno) if isinstance(each, OSError) and each.errno else str(each)
            return (
                f"{_file(each)} cannot be written, the disk is full or the file too large for it ({words}); free some "
                "space and run again: what was finished is whole and is kept"
            )
    if not isinstance(error, OSError) or error.errno is None or isinstance(error, ConnectionError):
        return None
    return (
        f"{_file(error)} cannot be read or written ({error.strerror or os.strerror(error.errno)}); check the path and "
        "its permissions, and run again: what was finished is whole and is kept"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it was raised from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _file(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else "a file"

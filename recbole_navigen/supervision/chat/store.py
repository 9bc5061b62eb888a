"""Answers of language models, kept in SQLite so that nothing is paid for twice.

An answer is found by the hash of its messages and of what the model would do with them. Each is committed as it
arrives: a killed process loses the answers in flight and no other. Several processes may use one file at once. SQLite
keeps no checksums, so each answer has its own: one that has changed on the disk is asked for again.
"""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from recbole_navigen.artefacts import content_hash
from recbole_navigen.errors import DamagedArtefact, InputError

WAIT_SECONDS = 60.0  # for another process that is writing
_PARAMETERS = 500  # keys in one query

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's reply as it came, and what it cost in tokens."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class AnswerStore:
    """key -> Answer, on disk. Keys are hashes; neither messages nor keys of endpoints are written."""

    def __init__(self, path: str | Path):
        """
        Args:
            path: the SQLite file; it and its folder are made when missing.
        """
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._readable():
            self._connection = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
        try:
            # One process at a time: SQLite waits for a writer, but not for another one that turns a new file to WAL.
            with FileLock(f"{path}.lock", timeout=WAIT_SECONDS), self._readable():
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS checked_answers (key TEXT PRIMARY KEY, text TEXT NOT NULL, "
                    "prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, checksum TEXT NOT NULL) "
                    "WITHOUT ROWID"
                )
        except Timeout as error:
            self._connection.close()
            raise InputError(f"{path} is being opened by another process; run again when that one goes on.") from error
        except BaseException:
            self._connection.close()
            raise

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        """Name the file where SQLite finds it broken, or cannot use it at the moment."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname == "SQLITE_ERROR":  # another database: it has no such columns
                raise self._damaged(error) from error
            raise InputError(
                f"{self.path}, the store of answers, cannot be used ({error}); check that its disk has space and that "
                "it may be written, and run again"
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DamagedArtefact:
        return DamagedArtefact(f"{self.path} is not a readable store of answers ({error}); delete or move it")

    def get(self, keys: Sequence[str]) -> dict[str, Answer]:
        """The answers that are known among some keys."""
        answers, changed = {}, []
        for begin in range(0, len(keys), _PARAMETERS):
            some = list(keys[begin : begin + _PARAMETERS])
            marks = ", ".join("?" * len(some))
            with self._readable():
                rows = self._connection.execute(
                    f"SELECT * FROM checked_answers WHERE key IN ({marks})", some
                ).fetchall()
            for key, *answer, checksum in rows:
                if checksum == _checksum(key, answer):
                    answers[key] = Answer(*answer)
                else:
                    changed.append((key, checksum))
        if changed:
            logger.warning(
                "%s is damaged: %d answers are not what was stored; they are asked for again", self.path, len(changed)
            )
            with self._readable():
                self._connection.executemany("DELETE FROM checked_answers WHERE key = ? AND checksum = ?", changed)
        return answers

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer, at once. The first one stays: whoever asked meanwhile has read the same."""
        row = (key, *astuple(answer), _checksum(key, astuple(answer)))
        with self._readable():
            self._connection.execute("INSERT OR IGNORE INTO checked_answers VALUES (?, ?, ?, ?, ?)", row)

    def __len__(self) -> int:
        with self._readable():
            return self._connection.execute("SELECT COUNT(*) FROM checked_answers").fetchone()[0]

    def close(self) -> None:
        """Close the file; what was put is already there."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _checksum(key: str, answer: Sequence[str | int]) -> str:
    return content_hash(key, list(answer))[:16]

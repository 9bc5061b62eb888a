"""Answers of language models, kept in SQLite so that nothing is paid for twice.

An answer is found by the hash of its messages and of what the model would do with them. Each is committed as it
arrives: a killed process loses the answers in flight and no other. Several processes may use one file at once.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from recbole_navigen.errors import DamagedArtefact, InputError

WAIT_SECONDS = 60.0  # for another process that is writing
_PARAMETERS = 500  # keys in one query


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
        self._connection = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
        try:
            # One process at a time: SQLite waits for a writer, but not for another one that turns a new file to WAL.
            with FileLock(f"{path}.lock", timeout=WAIT_SECONDS):
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, text TEXT NOT NULL, "
                    "prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL) WITHOUT ROWID"
                )
        except Timeout as error:
            self._connection.close()
            raise InputError(f"{path} is being opened by another process; run again when that one goes on.") from error
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise DamagedArtefact(f"{path} is not a readable store of answers ({error}); delete or move it") from error

    def get(self, keys: Sequence[str]) -> dict[str, Answer]:
        """The answers that are known among some keys."""
        found = {}
        for begin in range(0, len(keys), _PARAMETERS):
            some = list(keys[begin : begin + _PARAMETERS])
            marks = ", ".join("?" * len(some))
            rows = self._connection.execute(f"SELECT * FROM answers WHERE key IN ({marks})", some)
            found |= {key: Answer(*rest) for key, *rest in rows}
        return found

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer, at once. The first one stays: whoever asked meanwhile has read the same."""
        row = (key, answer.text, answer.prompt_tokens, answer.completion_tokens)
        self._connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", row)

    def __len__(self) -> int:
        return self._connection.execute("SELECT COUNT(*) FROM answers").fetchone()[0]

    def close(self) -> None:
        """Close the file; what was put is already there."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

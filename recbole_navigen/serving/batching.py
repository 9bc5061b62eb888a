"""Questions of many clients, answered together: one thread has the model, and takes what came while it computed."""

import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from recbole_navigen.errors import InputError


class Busy(Exception):
    """So many questions wait already that another one would wait too long."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        kind: questions of one kind are answered in one call. own: what this one asks. answer: will hold its answer.
    """

    kind: Hashable
    own: Any
    answer: Future = field(default_factory=Future)


class Batcher:
    """Answers questions in batches. Nobody waits for a batch to become full: it is what came in the meantime."""

    def __init__(self, answers: Callable[[Hashable, list[Any]], Sequence[Any]], most: int, waiting: int):
        """
        Args:
            answers: called with a kind and questions of it, in one thread alone.
            most: questions in a batch. waiting: questions that may wait.
        """
        self._answers, self._most = answers, most
        self._waiting: queue.Queue[Question | None] = queue.Queue(waiting)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def ask(self, kind: Hashable, request: object) -> Future:
        """Put a question; the answer, or the error, comes with the future.

        Raises:
            Busy: too many questions wait.
        """
        question = Question(kind, request)
        if self._closed:
            raise Busy
        try:
            self._waiting.put_nowait(question)
        except queue.Full:
            raise Busy from None
        return question.answer

    @property
    def waiting(self) -> int:
        """Questions that wait."""
        return self._waiting.qsize()

    def close(self) -> None:
        """Answer what waits, and end the thread."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, ends = [first], False
            while len(batch) < self._most and not ends:
                try:
                    following = self._waiting.get_nowait()
                except queue.Empty:
                    break
                ends = following is None
                batch += [] if ends else [following]
            for kind in dict.fromkeys(question.kind for question in batch):
                self._answer(kind, [q for q in batch if q.kind == kind and q.answer.set_running_or_notify_cancel()])
            if ends:
                return

    def _answer(self, kind: Hashable, batch: list[Question]) -> None:
        """Answer questions of one kind. One that cannot be answered does not take the others along."""
        if not batch:
            return
        try:
            answers = self._answers(kind, [question.own for question in batch])
        except Exception as error:
            if len(batch) == 1 or not isinstance(error, InputError):
                for question in batch:
                    question.answer.set_exception(error)
                return
            for question in batch:
                self._answer(kind, [question])
            return
        for question, answer in zip(batch, answers, strict=True):
            question.answer.set_result(answer)

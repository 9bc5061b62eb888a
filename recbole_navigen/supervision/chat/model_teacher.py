"""Teacher and judge by language model, whatever serves it: questions, stored answers, strict reading, one repair."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from recbole_navigen.artefacts import content_hash
from recbole_navigen.bars import tqdm
from recbole_navigen.supervision.chat import prompts
from recbole_navigen.supervision.chat import replies as parsing
from recbole_navigen.supervision.chat.prompts import Messages
from recbole_navigen.supervision.chat.replies import BadAnswer
from recbole_navigen.supervision.chat.store import Answer, AnswerStore
from recbole_navigen.supervision.evolution import SearchResult
from recbole_navigen.supervision.interfaces import Draft, Judgement, Review, Sample, Task


@dataclass(frozen=True, slots=True)
class Failure:
    """A conversation that got no answer.

    Attributes:
        reason: in a few words. prompt_tokens, completion_tokens: what it cost nevertheless.
        final: True where the same question would always fail.
    """

    reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    final: bool = False


class Chat(Protocol):
    """A served model.

    Attributes:
        identity: all that decides an answer beside the messages: model, sampling, limits. Plain values, no secrets.
        name: of the model, for reports.
    """

    identity: dict[str, Any]
    name: str

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Money for some tokens."""

    def complete(self, conversations: Sequence[Messages]) -> Iterator[tuple[int, Answer | Failure]]:
        """Answer conversations, in any order, each with its place in the list, as soon as it is there."""


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation and how its answer is read; `read` raises BadAnswer."""

    messages: Messages
    read: Callable[[str], Any]


class LanguageModel:
    """Asks a chat, through the store.

    Attributes:
        counts: `asked`, `stored` (answered from the store or by an equal question of the same batch), `paid`,
            `prompt_tokens` and `completion_tokens` of all requests, `repaired`, and `failed: REASON`.
        unanswered: by reason, the failed ones that may be answered another time; an invalid answer is an answer.
    """

    def __init__(self, chat: Chat, store: AnswerStore, show_progress: bool = False):
        self.chat, self.store, self.show_progress = chat, store, show_progress
        self.counts: Counter[str] = Counter()
        self.unanswered: Counter[str] = Counter()

    def report(self) -> dict[str, Any]:
        """`model`, the counts, and the `cost` of this process's questions by the prices in the settings."""
        cost = self.chat.cost(self.counts["prompt_tokens"], self.counts["completion_tokens"])
        return {"model": self.chat.name, **self.counts, "cost": round(cost, 6)}

    def ask(self, questions: Sequence[Question]) -> list[Any | None]:
        """Ask, and return what was read from each answer; None, counted by reason, where a second try fails, too."""
        values: list[Any | None] = [None] * len(questions)
        broken: list[tuple[int, Question]] = []
        for place, reply in enumerate(self._complete([question.messages for question in questions])):
            try:
                values[place] = self._read(questions[place], reply)
            except BadAnswer as problem:
                messages = prompts.repair_prompt(questions[place].messages, reply.text, str(problem))
                broken.append((place, Question(messages, questions[place].read)))
        replies = self._complete([question.messages for _, question in broken]) if broken else []
        for (place, question), reply in zip(broken, replies, strict=True):
            try:
                values[place] = self._read(question, reply)
                self.counts["repaired"] += values[place] is not None
            except BadAnswer:
                self.counts["failed: invalid answer"] += 1
        return values

    def _read(self, question: Question, reply: Answer | Failure) -> Any | None:
        if isinstance(reply, Failure):
            self.counts[f"failed: {reply.reason}"] += 1
            if not reply.final:
                self.unanswered[reply.reason] += 1
            return None
        return question.read(reply.text)

    def _complete(self, conversations: Sequence[Messages]) -> list[Answer | Failure]:
        """Replies in order. Equal conversations are asked once, known ones not at all."""
        keys = [content_hash(self.chat.identity, list(messages)) for messages in conversations]
        replies: dict[str, Answer | Failure] = dict(self.store.get(list(dict.fromkeys(keys))))
        missing = {key: messages for key, messages in zip(keys, conversations, strict=True) if key not in replies}
        self.counts["asked"] += len(keys)
        self.counts["stored"] += len(keys) - len(missing)
        names = list(missing)
        answers = self.chat.complete(list(missing.values())) if missing else iter(())
        bar = tqdm(answers, total=len(missing), desc="answers", disable=not (self.show_progress and missing))
        for place, reply in bar:
            replies[names[place]] = reply
            if isinstance(reply, Answer):
                self.store.put(names[place], reply)
                self.counts["paid"] += 1
            self.counts["prompt_tokens"] += reply.prompt_tokens
            self.counts["completion_tokens"] += reply.completion_tokens
        return [replies[key] for key in keys]


class ModelTeacher:
    """Implements `Teacher`, `Judge` and `Reasoner` by a language model: one question for each task or review."""

    def __init__(self, model: LanguageModel):
        self.model = model

    def write(self, tasks: Sequence[Task]) -> list[tuple[Draft, ...] | None]:
        """See `Teacher`."""
        asked = [prompts.drafts_prompt(task) for task in tasks]
        return self.model.ask(
            [Question(text, lambda answer, n=names: parsing.read_drafts(answer, n)) for text, names in asked]
        )

    def judge(self, reviews: Sequence[Review]) -> list[tuple[Judgement, ...] | None]:
        """See `Judge`."""
        asked = [prompts.judge_prompt(review.sample, review.drafts) for review in reviews]
        return self.model.ask(
            [Question(text, lambda answer, n=names: parsing.read_judgements(answer, n)) for text, names in asked]
        )

    def identifier(self, samples: Sequence[Sample]) -> list[str | None]:
        """See `Reasoner`."""
        return self._paragraphs([prompts.identifier_prompt(sample) for sample in samples])

    def distilled(self, results: Sequence[SearchResult], identifier: Sequence[str | None]) -> list[str | None]:
        """See `Reasoner`."""
        return self._paragraphs(
            [
                prompts.distilled_prompt(result.sample, before, result.draft.prompt)
                for result, before in zip(results, identifier, strict=True)
            ]
        )

    def terms(self, texts: Sequence[str], read: Callable[[str], Any] = parsing.read_terms) -> list[Any | None]:
        """See `Teacher`."""
        return self.model.ask([Question(prompts.terms_prompt(text), read) for text in texts])

    def _paragraphs(self, questions: Sequence[Messages]) -> list[str | None]:
        return self.model.ask(
            [Question(text, lambda answer: parsing.read_text(answer, "reasoning")) for text in questions]
        )

"""The strict reader of what the model wrote: raw text in, the parts of the answer out, or why it is none.

Nothing is repaired: text around the JSON, another order of keys or an eleventh term refuse the answer.
"""

import json
import re
from dataclasses import dataclass

from recbole_navigen.language.answer_grammar import MAX_TERMS
from recbole_navigen.language.vocabulary import THINK, THINK_END

KEYS = ["target_tid", "target_ins"]
_THOUGHT = re.compile(r"<think>\n(.*?)\n</think>\n\n(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """A cid2ins answer: terms of the next item, the instruction, and the thought before them (None without one)."""

    target_tid: tuple[str, ...]
    target_ins: str
    reasoning: str | None


def answer_text(answer: Answer) -> str:
    """The raw text that `parse_answer` reads an answer from."""
    thought = "" if answer.reasoning is None else f"{THINK}{answer.reasoning}{THINK_END}"
    fields = dict(zip(KEYS, (list(answer.target_tid), answer.target_ins), strict=True))
    return thought + json.dumps(fields, ensure_ascii=False)


class InvalidAnswer(ValueError):
    """A text that is no answer. The message is one of few, so that reasons can be counted."""


def parse_answer(text: str) -> Answer:
    """Read `<think>\\n...\\n</think>\\n\\n{"target_tid": [...], "target_ins": "..."}`; the thought may be missing.

    Raises:
        InvalidAnswer: with the first reason found.
    """
    reasoning = None
    if text.startswith("<think>"):
        thought = _THOUGHT.fullmatch(text)
        if thought is None:
            raise InvalidAnswer("the thought is not closed")
        reasoning, text = thought.groups()
        if not reasoning.strip():
            raise InvalidAnswer("the thought is empty")
    if "<think>" in text.partition("{")[0]:
        raise InvalidAnswer("text before the thought")
    try:
        value = json.loads(text, object_pairs_hook=list)
        json.dumps([reasoning, value], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InvalidAnswer("half a character") from None  # "\ud83d" is fine JSON, but no text that could be stored
    except (ValueError, RecursionError):  # ValueError also for a number of thousands of digits
        raise InvalidAnswer("not one JSON value") from None
    if text != text.strip():
        raise InvalidAnswer("space around the JSON")
    # Objects come as lists of pairs, so that order and repeats of keys can be seen.
    if not text.startswith("{") or [key for key, _ in value] != KEYS:
        raise InvalidAnswer("not an object of target_tid and target_ins")
    terms, instruction = (entry for _, entry in value)
    if not isinstance(terms, list) or not all(isinstance(term, str) for term in terms):
        raise InvalidAnswer("target_tid is not a list of strings")
    if not 1 <= len(terms) <= MAX_TERMS:
        raise InvalidAnswer(f"target_tid has not 1 to {MAX_TERMS} terms")
    if not all(term.strip() for term in terms):
        raise InvalidAnswer("a term is blank")
    if not isinstance(instruction, str) or not instruction.strip():
        raise InvalidAnswer("target_ins is not a text")
    return Answer(tuple(terms), instruction, reasoning)

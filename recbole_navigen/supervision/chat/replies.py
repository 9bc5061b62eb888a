"""Strict reading of a language model's answers. Whoever asks gets what was asked for, or a BadAnswer that says why."""

import contextlib
import json
import re
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from recbole_navigen.supervision.interfaces import DIMENSIONS, Draft, Judgement

LONGEST_REASON = 200  # letters of a reason that are kept
PROMPT_LENGTH = (20, 4000)  # letters of an instruction
# A chat template may have opened the thought, so that only its end comes back; one without an end was cut off.
_THOUGHT_ENDS = re.compile(r"</\s*(?:think|thinking|thought|reasoning)\s*>|<\|channel\|>\s*final\s*<\|message\|>", re.I)
_THOUGHT_BEGINS = re.compile(r"<\s*(?:think|thinking|thought|reasoning)\s*>", re.I)
_FENCE = re.compile(r"^\s*(?:`{3,}|~{3,})[ \t]*\w*\s*")
_OBJECT_BEGINS = re.compile(r'\{(?=\s*["}])')

T = TypeVar("T")


class BadAnswer(ValueError):
    """An answer that is not what was asked for. The message goes back to the model once."""


def read_one(text: str, read: Callable[[dict[str, Any]], T]) -> T:
    """What `read` makes of the one JSON object that an answer must hold: behind a thought, in a fence of any spelling,
    with words around it. Of several objects one alone may be what was asked for.

    Args:
        text: the answer. read: raises BadAnswer for an object that is something else.
    """
    values: list[T] = []
    problems: list[BadAnswer] = []
    objects = _objects(text)
    for value in objects:
        try:
            reading = read(value)
        except BadAnswer as problem:
            problems.append(problem)
        else:
            values += [reading] if reading not in values else []
    if len(values) == 1:
        return values[0]
    if len(objects) == 1:
        raise problems[0]
    raise BadAnswer(f"the answer is not one JSON object: it holds {len(objects)}, and {len(values)} of them fit")


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects of an answer that stand in no other one, at least one."""
    decoder = json.JSONDecoder(object_pairs_hook=_without_repeats)
    # An answer that is one object may say anything inside of it, marks of thoughts too.
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(value := decoder.decode(text.strip()), dict):
            json.dumps(value, ensure_ascii=False).encode()
            return [value]
    body = text
    for end in _THOUGHT_ENDS.finditer(text):
        body = text[end.end() :]
    if begun := _THOUGHT_BEGINS.search(body):
        body = body[: begun.start()]
    body = _FENCE.sub("", body)
    try:
        if body.lstrip()[:1] == "[":
            value, _ = decoder.raw_decode(body.lstrip())
            raise BadAnswer(f"the answer is a JSON {type(value).__name__}, not an object")
        objects, place = [], 0
        # What begins as an object does and is none ends the search: inside of it, parts would pass for the whole.
        while begin := _OBJECT_BEGINS.search(body, place):
            value, place = decoder.raw_decode(body, begin.start())
            # Half a character ("\ud83d") is fine JSON, but could be neither stored nor sent.
            json.dumps(value, ensure_ascii=False).encode()
            objects.append(value)
    except BadAnswer:
        raise
    except (ValueError, RecursionError) as error:  # ValueError also for a number of thousands of digits
        raise BadAnswer(f"the answer is not one JSON object: {error}") from error
    if not objects:
        raise BadAnswer("the answer is not one JSON object: it holds none")
    return objects


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise BadAnswer("the answer repeats a key")
    return value


def read_drafts(text: str, names: Collection[str]) -> tuple[Draft, ...]:
    """Drafts in the order of `names`, from {name: {"prompt": ..., "reasoning": ...}}."""
    return read_one(text, lambda value: _drafts(_named(value, names)))


def _drafts(entries: dict[str, dict]) -> tuple[Draft, ...]:
    drafts = []
    for name, entry in entries.items():
        prompt = " ".join(_text(entry, "prompt", name).split())
        if not PROMPT_LENGTH[0] <= len(prompt) <= PROMPT_LENGTH[1]:
            raise BadAnswer(
                f"the prompt of {name} has {len(prompt)} letters, not {PROMPT_LENGTH[0]}..{PROMPT_LENGTH[1]}"
            )
        drafts.append(Draft(prompt, shorten(_text(entry, "reasoning", name))))
    return tuple(drafts)


def read_judgements(text: str, names: Collection[str]) -> tuple[Judgement, ...]:
    """Judgements in the order of `names`, from {name: {four scores, "reason": ...}}."""
    return read_one(text, lambda value: _judgements(_named(value, names)))


def _judgements(entries: dict[str, dict]) -> tuple[Judgement, ...]:
    judgements = []
    for name, entry in entries.items():
        for dimension in DIMENSIONS:
            value = entry.get(dimension)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10:
                raise BadAnswer(f"{dimension} of {name} is {value!r}, not a number between 0 and 10")
        scores = (float(entry[dimension]) for dimension in DIMENSIONS)
        judgements.append(Judgement(*scores, shorten(_text(entry, "reason", name))))
    return tuple(judgements)


def read_text(text: str, key: str) -> str:
    """One non-empty string, from {key: ...}."""
    return read_one(text, lambda value: _text(value, key, "the answer").strip())


def read_terms(text: str) -> list[str]:
    """A list of strings, from {"terms": [...]}."""
    return read_one(text, _terms)


def _terms(value: dict[str, Any]) -> list[str]:
    terms = value.get("terms")
    if not isinstance(terms, list) or not terms or not all(isinstance(term, str) for term in terms):
        raise BadAnswer("`terms` is not a list of strings")
    return terms


def shorten(text: str) -> str:
    """A reason on one line, cut after its last whole clause if it is too long."""
    text = " ".join(text.split())
    if len(text) <= LONGEST_REASON:
        return text
    head = text[: LONGEST_REASON - 3]
    end = max(head.rfind(mark) for mark in ".;,!?")
    return head[: end + 1] if end >= LONGEST_REASON - 60 else head + "..."


def _named(value: dict[str, Any], names: Collection[str]) -> dict[str, dict]:
    if set(value) != set(names):
        raise BadAnswer(f"the answer has the keys {sorted(value)}, not {sorted(names)}")
    for name in names:
        if not isinstance(value[name], dict):
            raise BadAnswer(f"{name} is not an object")
    return {name: value[name] for name in names}


def _text(entry: dict[str, Any], key: str, where: str) -> str:
    text = entry.get(key)
    if not isinstance(text, str) or not text.strip():
        raise BadAnswer(f"`{key}` of {where} is not a text")
    return text

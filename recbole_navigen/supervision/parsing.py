"""Strict reading of a language model's answers. Whoever asks gets what was asked for, or a BadAnswer that says why."""

import json
import re
from collections.abc import Collection
from typing import Any

from recbole_navigen.supervision.protocol import DIMENSIONS, Draft, Judgement

LONGEST_REASON = 200  # letters of a reason that are kept
PROMPT_LENGTH = (20, 4000)  # letters of an instruction
_THOUGHT = re.compile(r"^\s*<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"^```(?:json)?\s*\n(.*)\n```$", re.DOTALL)


class BadAnswer(ValueError):
    """An answer that is not what was asked for. The message goes back to the model once."""


def read_object(text: str) -> dict[str, Any]:
    """The one JSON object that an answer must be, after a block of thoughts and without a code fence around it."""
    body = _THOUGHT.sub("", text).strip()
    if fenced := _FENCE.match(body):
        body = fenced[1]
    try:
        value = json.loads(body, object_pairs_hook=_without_repeats)
        # Half a character ("\ud83d") is fine JSON, but could be neither stored nor sent.
        json.dumps(value, ensure_ascii=False).encode()
    except BadAnswer:
        raise
    except (ValueError, RecursionError) as error:  # ValueError also for a number of thousands of digits
        raise BadAnswer(f"the answer is not one JSON object: {error}") from error
    if not isinstance(value, dict):
        raise BadAnswer(f"the answer is a JSON {type(value).__name__}, not an object")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise BadAnswer("the answer repeats a key")
    return value


def read_drafts(text: str, names: Collection[str]) -> tuple[Draft, ...]:
    """Drafts in the order of `names`, from {name: {"prompt": ..., "reasoning": ...}}."""
    entries = _named(read_object(text), names)
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
    judgements = []
    for name, entry in _named(read_object(text), names).items():
        for dimension in DIMENSIONS:
            value = entry.get(dimension)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10:
                raise BadAnswer(f"{dimension} of {name} is {value!r}, not a number between 0 and 10")
        scores = (float(entry[dimension]) for dimension in DIMENSIONS)
        judgements.append(Judgement(*scores, shorten(_text(entry, "reason", name))))
    return tuple(judgements)


def read_text(text: str, key: str) -> str:
    """One non-empty string, from {key: ...}."""
    return _text(read_object(text), key, "the answer").strip()


def read_terms(text: str) -> list[str]:
    """A list of strings, from {"terms": [...]}."""
    terms = read_object(text).get("terms")
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

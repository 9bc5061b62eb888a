"""What users said of their media, read from `feedback.jsonl`: kept, edited or discarded, one JSON object a line."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_navigen.config.calls import checked
from recbole_navigen.errors import InputError
from recbole_navigen.supervision.template.lexicons import content_words

FEEDBACK = "feedback.jsonl"
VERDICTS = ("keep", "edit", "discard")
CHANGED, DISCARDED = 3.0, -0.25  # weights of terms, see `stated_terms`
KINDS = {
    "verdict": f"one of {', '.join(VERDICTS)}",
    "user": "str",
    "media": "str",
    "sha256": "str",
    "terms": "list of str",
    "edited": "str or None",
}
# What a line says of how the medium came about; lines of earlier versions do not.
ORIGIN = {
    "instruction": "str or None",
    "domain": "str or None",
    "history": "list of str",
    "aim": "str or None",
    "plan": "whole dict of str or None",
}


def read_feedback(path: str | Path) -> list[dict[str, Any]]:
    """Lines of a `feedback.jsonl`, the last of each medium and user by their time; one that was cut short is passed
    over.
    """
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    lines = json_lines(path, f"feedback={path} cannot be read; name a {FEEDBACK} that navigen-feedback wrote")
    for line in (checked_line(line, path) for line in sorted(lines, key=lambda line: _time(line.get("time")))):
        key = (line["user"], line["sha256"])
        latest.pop(key, None)
        latest[key] = line
    return list(latest.values())


def checked_line(line: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """A line of feedback, refused where it is none. path: where it stands, for the message."""
    if missing := [name for name in KINDS if name not in line]:
        raise InputError(f"{path}: a line says nothing of {missing[0]}; it is not of navigen-feedback.")
    kinds = {name: kind for name, kind in (KINDS | ORIGIN).items() if name in line}
    return {**line, **{name: checked(f"{name} in {path}", kind, line[name]) for name, kind in kinds.items()}}


def json_lines(path: str | Path, sentence: str) -> list[dict[str, Any]]:
    """JSON objects of a file; a last line without its end was never whole. sentence: said where it cannot be read."""
    try:
        # Not `splitlines`: JSON that is not ASCII may hold other characters that Unicode takes for line ends.
        texts = Path(path).read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{sentence}.") from error
    lines = []
    for text in filter(str.strip, texts):
        try:
            line = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def stated_terms(line: Mapping[str, Any], known: Sequence[str]) -> dict[str, float]:
    """What a line says of a user's taste, as weights of terms.

    The terms of what was kept are wanted, and so are those that the text of an edit names; what an edit brings in or
    takes away counts CHANGED times, since it was said of just this. A medium that was discarded does not say why: each
    of its terms is a little less wanted.

    Args:
        line: from `read_feedback`. known: the terms of the catalogue, for edits.
    """
    if line["verdict"] == "keep":
        return dict.fromkeys(line["terms"], 1.0)
    if line["verdict"] == "discard":
        return dict.fromkeys(line["terms"], DISCARDED)
    before, after = (set(content_words(text or "")) for text in (line.get("instruction"), line["edited"]))
    words = {term: own for term in known if (own := set(content_words(term)))}
    wanted = {term: 1.0 if own <= before else CHANGED for term, own in words.items() if own <= after}
    return wanted | {term: -CHANGED for term, own in words.items() if own <= before and not own <= after}


def _time(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0

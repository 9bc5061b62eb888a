"""Terms of items by a teacher, `tid_source: teacher`, beside the tf-idf terms of `identifiers.textual`.

Two ways to read its answer. `strict` (default) takes the JSON that was asked for and nothing else, and
normalises terms as the catalogue's own: lower-case ASCII of at most four words. `released` follows the released code
step by step (arXiv:2606.24196): whatever the answer, something is made of it, in the end its prose cut at commas.
"""

import json
import re
from collections.abc import Iterable, Sequence

from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.terms import TermResult, term_counts
from recbole_navigen.supervision.chat.replies import BadAnswer, read_terms
from recbole_navigen.supervision.interfaces import Teacher

MAX_TERMS = 10
LONGEST_PIECE = 40  # letters of a piece of text that the released fallback takes for a term
MOST_WORDS = 4
_ENGLISH = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9\s&+/\-,'().]*")
_TERMS_ARRAY = re.compile(r'"?terms"?\s*:\s*(\[.*?\])', re.DOTALL)
_ARRAY = re.compile(r"\[.*?\]", re.DOTALL)
_ENDS = "[]{}()\"'`\u201c\u201d\u2018\u2019 \t\r\n"
_PUNCTUATION = re.compile(r"[,.;:|!?\n\r\uff0c\u3002\uff1b\uff1a\uff01\uff1f\u3001]+")


def released_terms(answer: str, text: str) -> list[str]:
    """The released reading of an answer; of the item's text where nothing of the answer survives. May be empty."""
    return clean_terms(_released_parse(answer)) or clean_terms(
        piece for piece in map(str.strip, _PUNCTUATION.split(text)) if len(piece) <= LONGEST_PIECE
    )


def clean_terms(terms: Iterable[object]) -> list[str]:
    """The released cleaning: trim, English only, no repeats whatever their case, the first ten."""
    cleaned_terms: dict[str, str] = {}
    for term in terms:
        cleaned = " ".join(str(term).strip().strip(_ENDS).split()).rstrip(" ,;|")
        if _ENGLISH.fullmatch(cleaned):
            cleaned_terms.setdefault(cleaned.lower(), cleaned)
    return list(cleaned_terms.values())[:MAX_TERMS]


def _released_parse(answer: str) -> list[object]:
    """JSON with `terms`, or a JSON list; else the first array found; else the prose cut at separators."""
    attempts = [answer, *_TERMS_ARRAY.findall(answer)[:1], *_ARRAY.findall(answer)[:1]]
    for attempt in attempts:
        try:
            value = json.loads(attempt)
        except (ValueError, RecursionError):
            continue
        value = value.get("terms") if isinstance(value, dict) else value
        if isinstance(value, list):
            return value
    return re.split(r"[,;|\n]", answer)


def strict_terms(answer: str) -> list[str]:
    """Terms of an answer in the asked shape, normalised; BadAnswer if it has another or none is left."""
    terms = [term.lower() for term in clean_terms(read_terms(answer))]
    terms = [term for term in terms if len(term) <= LONGEST_PIECE and len(term.split()) <= MOST_WORDS]
    if not terms:
        raise BadAnswer("none of the terms is a short English term")
    return terms


def teacher_terms(texts: Sequence[str], teacher: Teacher, by_text: TermResult, reading: str = "strict") -> TermResult:
    """Ask a teacher for the terms of each item.

    Args:
        texts: N item texts; an item without text is not asked for.
        teacher: asks. by_text: the catalogue's own terms, for items without text or without a usable answer.
        reading: `strict` or `released`.

    Returns:
        The terms of N items, none empty. The report counts `items_by_teacher` and `items_by_text`, and terms as that of
        `by_text` does.
    """
    if reading not in ("strict", "released"):
        raise InputError(f"reading={reading!r} of a teacher's terms is unknown; use strict or released.")
    described = [index for index, text in enumerate(texts) if text.strip()]
    read = strict_terms if reading == "strict" else lambda answer: released_terms(answer, "")
    answers = teacher.terms([texts[index] for index in described], read)
    terms = list(by_text.terms)
    by_teacher = 0
    for index, answer in zip(described, answers, strict=True):
        by_teacher += bool(answer)
        if not answer and reading == "released":
            answer = released_terms("", texts[index])
        if answer:
            terms[index] = tuple(answer)
    report = {**by_text.report, "items_by_teacher": by_teacher, "items_by_text": len(texts) - by_teacher}
    report |= term_counts(terms, MAX_TERMS)
    return TermResult(tuple(terms), report)

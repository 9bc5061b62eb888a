"""Thoughts that lead from a history to an instruction, and the checks they must pass.

A thought speaks of the person, in two or three sentences: what runs through the history, what has come lately, what
follows from it. Identifier reasoning ends at the target's terms, the distilled thought at the picture. One that fails a
check is counted by its reason and not returned: nobody should learn from it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from recbole_navigen.supervision.evolution import SearchResult
from recbole_navigen.supervision.interfaces import Sample

LENGTH = (10, 120)  # words

_FIRST_PERSON = re.compile(r"(?<!\w)(?:I|I'm|I've|I'd|I'll|my|My|me|myself)(?!\w)")
_MARKUP = re.compile(r"[<>{}*`|]|\n|^\s*\d+[.)]\s")
_SEARCH_TALK = re.compile(
    r"\b(?:selections?|cross-?overs?|mutat\w+|founders?|elites?|mates?|generations?|populations?|evolution\w*|evolv\w+"
    r"|offspring|genomes?|fitness|candidates?|judges?|scores?|scored|algorithms?|parents?|drafts?)\b",
    re.IGNORECASE,
)


class Reasoner(Protocol):
    """Writes paragraphs; None where it could not."""

    def identifier(self, samples: Sequence[Sample]) -> list[str | None]:
        """Write paragraphs that lead from the terms of a history to those of the target."""

    def distilled(self, results: Sequence[SearchResult], identifier: Sequence[str | None]) -> list[str | None]:
        """Write paragraphs that lead from a history, by way of improving an idea, to the final instruction.

        Args:
            results: what was found. identifier: the identifier reasoning of each; None where it was refused.
        """


def problem(text: str, sample: Sample) -> str | None:
    """Why a thought cannot be used, in a few words; None if it can.

    Words that are terms of the sample itself, or of its items' names, are no talk of the search (a film may be called
    Generations).
    """
    words = len(text.split())
    if not LENGTH[0] <= words <= LENGTH[1]:
        return "too short" if words < LENGTH[0] else "too long"
    if _MARKUP.search(text):
        return "markup"
    if not _FIRST_PERSON.search(text):
        return "not in the first person"
    own = " ".join(term for terms in (*sample.history, sample.target, sample.seen) for term in terms).lower()
    if sample.brief is None and any(
        not re.search(rf"\b{re.escape(match[0].lower())}", own) for match in _SEARCH_TALK.finditer(text)
    ):
        return "talk of the search"
    return None


def checked(texts: Sequence[str | None], samples: Sequence[Sample]) -> tuple[list[str | None], Counter[str]]:
    """Paragraphs that pass, None for the others, and how many failed by reason; `no answer` for missing ones."""
    passed: list[str | None] = []
    reasons: Counter[str] = Counter()
    for text, sample in zip(texts, samples, strict=True):
        reason = "no answer" if text is None else problem(text, sample)
        passed.append(text if reason is None else None)
        if reason is not None:
            reasons[reason] += 1
    return passed, reasons

"""Reasoning that leads from a history to a target and to an instruction, and the checks it must pass.

Two paragraphs a sample: identifier reasoning (history terms to target terms), and the distilled paragraph, which takes
it up and goes on to tell in plain words how the idea for the picture got better. A paragraph that fails a check is
counted by its reason and not returned: nobody should learn from it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

from recbole_navigen.supervision.evolution import SearchResult
from recbole_navigen.supervision.fitness import term_pattern
from recbole_navigen.supervision.interfaces import CROSSOVER, DIMENSIONS, FOUNDERS, MUTATION, Sample

LENGTH = (25, 260)  # words
END = 0.6  # the target's own terms may not stand before this share of the text
NAMED = 3  # at most so many of the target's terms must be named; half of them if it has fewer than six

_FIRST_PERSON = re.compile(r"(?<!\w)(?:I|I'm|I've|I'd|I'll|my|My|me|myself)(?!\w)")
_MARKUP = re.compile(r"[<>{}#*`|]|\n|^\s*\d+[.)]\s")
_SEARCH_TALK = re.compile(
    r"\b(?:selections?|cross-?overs?|mutat\w+|founders?|elites?|mates?|generations?|populations?|evolution\w*|evolv\w+"
    r"|offspring|genomes?|fitness|candidates?|judges?|scores?|scored|algorithms?|parents?)\b",
    re.IGNORECASE,
)
LABELS = dict(
    zip((*FOUNDERS, CROSSOVER, MUTATION), ("cautious", "balanced", "bold", "blended", "refined"), strict=True)
)
GAINS = dict(
    zip(
        DIMENSIONS,
        (
            "it came closer to what I am after",
            "it felt fresher",
            "it was richer to look at",
            "it became clearer to make",
        ),
        strict=True,
    )
)


class Reasoner(Protocol):
    """Writes paragraphs; None where it could not."""

    def identifier(self, samples: Sequence[Sample]) -> list[str | None]:
        """From the terms of a history to those of the target."""

    def distilled(self, results: Sequence[SearchResult], identifier: Sequence[str | None]) -> list[str | None]:
        """From a history over the improvement of an idea to the final instruction.

        Args:
            results: what was found. identifier: the identifier reasoning of each; None where it was refused.
        """


def problem(text: str, sample: Sample) -> str | None:
    """Why a paragraph cannot be used, in a few words; None if it can.

    Words that are terms of the sample itself are no talk of the search (a film may be called Generations), and a term
    that the history shares with the target may stand anywhere.
    """
    words = len(text.split())
    if not LENGTH[0] <= words <= LENGTH[1]:
        return "too short" if words < LENGTH[0] else "too long"
    if _MARKUP.search(text):
        return "markup"
    if not _FIRST_PERSON.search(text):
        return "not in the first person"
    own = " ".join(term for terms in (*sample.history, sample.target) for term in terms).lower()
    if any(not re.search(rf"\b{re.escape(match[0].lower())}", own) for match in _SEARCH_TALK.finditer(text)):
        return "talk of the search"
    known = {term.lower() for terms in sample.history for term in terms}
    begin_of_end = int(len(text) * END)
    news = term_pattern(tuple(term for term in sample.target if term.lower() not in known))
    if news is not None and news.search(text, 0, begin_of_end):
        return "names the target early"
    patterns = [pattern for term in sample.target if (pattern := term_pattern((term,))) is not None]
    named = sum(pattern.search(text, begin_of_end) is not None for pattern in patterns)
    if named < min(NAMED, (len(patterns) + 1) // 2):
        return "does not name the target at its end"
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


def plain_steps(trace: dict[str, Any]) -> list[str]:
    """How the best draft came about, in sentences without the words of the search; the final one last.

    One sentence on the first idea, then one for each round in which something better was found.
    """
    candidates = trace["candidates"]
    elites = list(dict.fromkeys(entry["elite"] for entry in trace["rounds"]))
    steps = [f"The {LABELS[candidates[elites[0]]['operator']]} version made the best start"]
    for old, new in pairwise(elites):
        before, after = candidates[old], candidates[new]
        gain = GAINS[max(DIMENSIONS, key=lambda name: after[name] - before[name])]
        genes = [gene for gene in after["genome"] if after["genome"][gene] != before["genome"].get(gene)]
        visible = [gene for gene in genes if gene not in ("wording", "motif", "more_details", "duration")]
        if visible:
            steps.append(f"After I changed the {listed(visible[:3])}, {gain}")
        else:
            steps.append(f"With a {LABELS[after['operator']]} version {gain}")
    return steps


def listed(words: Sequence[str]) -> str:
    """Words as English lists them: "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

"""Whether a text names a term: as words of its own, or as the released rule has it, anywhere."""

import re
from collections.abc import Sequence
from functools import lru_cache

from recbole_navigen.errors import InputError

MATCHES = ("word", "substring")


@lru_cache(maxsize=65_536)
def term_pattern(terms: tuple[str, ...], match: str = "word") -> re.Pattern | None:
    """A pattern that finds any of the terms in a text; None if no term has the two letters that the rule asks for.

    Args:
        terms: of the target. match: `word` or `substring`.
    """
    if match not in MATCHES:
        raise InputError(f"match={match!r} is no rule for finding terms; use {' or '.join(MATCHES)}.")
    longest_first = sorted(
        {term.strip().lower() for term in terms if len(term.strip()) >= 2}, key=lambda t: (-len(t), t)
    )
    if not longest_first:
        return None
    escaped = "|".join(re.escape(term).replace(r"\ ", r"\s+") for term in longest_first)
    return re.compile(escaped if match == "substring" else rf"(?<!\w)(?:{escaped})(?:e?s)?(?!\w)", re.IGNORECASE)


def names_target(prompt: str, terms: Sequence[str], match: str = "word") -> bool:
    """Whether a text contains one of the terms."""
    pattern = term_pattern(tuple(terms), match)
    return pattern is not None and pattern.search(prompt) is not None

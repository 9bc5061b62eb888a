"""What makes a prompt unusable, whoever wrote it: such a draft is refused before it is scored.

A prompt says each thing once and nothing that contradicts it, speaks of time only where something moves, and fits the
encoder that will read it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from recbole_navigen.language.budget import CLIP_LENGTH, clip_tokens
from recbole_navigen.supervision.template.lexicons import content_words, lexicons

_DURATION = re.compile(
    r"\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty|thirty)[\s-]+"
    r"(?:seconds?|secs?|minutes?|frames)\b",
    re.IGNORECASE,
)
_PALETTE = re.compile(r"\b(?:palette|colou?r scheme)\b", re.IGNORECASE)
ECHO = 3  # content words in a row that may stand in a prompt but once


def draft_problem(prompt: str, media: str, budget: int = CLIP_LENGTH, named: Sequence[str] = ()) -> str | None:
    """Why a prompt is refused, in a few words that can be counted; None if it is fine.

    Args:
        prompt: the text. media: `image` or `video`. budget: CLIP tokens at most, begin and end included.
        named: titles that stand in it; they may say what they like.
    """
    if not prompt.strip():
        return "empty"
    if clip_tokens(prompt) > budget:
        return "past the budget"
    for title in sorted(named, key=len, reverse=True):  # one may stand in another
        prompt = re.sub(re.escape(title), "", prompt, flags=re.IGNORECASE)  # it may have opened a sentence
    durations = len(_DURATION.findall(prompt))
    if durations > (media == "video"):
        return "two durations" if media == "video" else "a duration in a still picture"
    if len(_PALETTE.findall(prompt)) > 1:
        return "two palettes"
    words = content_words(prompt)
    parts = [content_words(part) for part in re.split(r"[.:;!?]", prompt)]
    if any(one == other for part in parts for one, other in pairwise(part)):
        return "a word twice in a row"
    if re.search(r"\b(\w+(?: \w+){0,5}),? (?:and|or|next to|beside|with) (?:an? |the )?\1\b", prompt, re.IGNORECASE):
        return "a phrase joined to itself"
    runs = Counter(zip(*(words[start:] for start in range(ECHO)), strict=False))
    if runs and max(runs.values()) > 1:
        return "a phrase twice"
    different = set(words)
    if any(left & different and right & different for left, right in lexicons().exclusive):
        return "a contradiction"
    return None

"""How many tokens a text takes in CLIP, whose text encoders read 77 and cut the rest off.

CLIP's tokenizer lower-cases a text, splits it into runs of letters, single digits and runs of signs, and each of these
by byte-pair merges. The splitting is done here exactly; the merges (1.3 MB) are not at hand, so what a word costs is an
upper estimate by its length, from the titles of three catalogues. `benchmarks/clip_budget.py` compares it with the real
tokenizer: of 3,000 random plans of films, and of games, none takes more than is said here.
"""

import html
import math
import re
from functools import lru_cache

CLIP_LENGTH = 77  # begin and end of the text included
MARGIN = 4.0
_PIECES = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\w\s]|_)+", re.IGNORECASE)
# Letters of a word at most -> tokens that it takes on average, and a little more.
_COSTS = ((4, 1.05), (5, 1.1), (6, 1.2), (7, 1.3), (8, 1.4), (10, 1.5), (11, 1.6), (12, 1.9), (14, 2.2))
_PER_LETTER = 0.35  # of a longer word


def clip_tokens(text: str) -> int:
    """At most so many tokens does a text take, begin and end included; an estimate that is meant to be too high."""
    return math.ceil(2.0 + MARGIN + sum(map(_cost, _PIECES.findall(html.unescape(text).lower()))))


@lru_cache(maxsize=65_536)
def _cost(piece: str) -> float:
    if not piece.isascii():
        return 2.0 * len(piece)
    if piece.isalpha():
        return next((cost for letters, cost in _COSTS if len(piece) <= letters), _PER_LETTER * len(piece))
    return math.ceil(len(piece) / 2)

"""Writers that anybody could have thought of, beside which an instruction must show what it is worth.

    last item             the text of the last item of the history
    most popular item     the text of the item with the most interactions, the same for everyone
    kinds of last ten     the commonest kinds (genres, categories, tags) of the last ten items
    five best titles      the titles of the five items that the recommender ranks first
    next item (oracle)    the text of the next item itself, which nobody knows: what there is to win

Each also names terms of the next item: those of its item, or the commonest of its items.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recbole_navigen.evaluation.instruction_scores import raw_answer

LAST, POPULAR, KINDS, BEST, ORACLE = SIMPLE = (
    "last item",
    "most popular item",
    "kinds of last ten",
    "five best titles",
    "next item (oracle)",
)
RECENT, TOP = 10, 5  # newest items whose kinds count; items ranked first whose titles are named
NAMED_KINDS, NAMED_TERMS = 3, 5
_MOST_KINDS = 10  # an item's entry of more words than this is a text and names no kinds
_HASHTAG = re.compile(r"#\s*([^#]+)")
_BETWEEN = re.compile(r"\s*[|,;>]\s*")


@dataclass(frozen=True, slots=True)
class Items:
    """What is known of the items, by raw id.

    Attributes:
        texts: the whole text. titles: its title. kinds: its genres, categories or tags, commonly few words.
        terms: of its textual identifier.
    """

    texts: Mapping[str, str]
    titles: Mapping[str, str]
    kinds: Mapping[str, Sequence[str]]
    terms: Mapping[str, Sequence[str]]


def item_kinds(fields: Mapping[str, Sequence[str]], terms: Sequence[Sequence[str]]) -> tuple[list[list[str]], str]:
    """The kinds of N items, and where they are from.

    The first of these that says something: a field behind the title that lists a few words an item (genres,
    categories); the hashtags of the title; the terms of the textual identifiers, which every item has.

    Args:
        fields: name -> its text of each item, the title first. terms: of each item.
    """
    title, *others = fields
    for name in others:
        # One list with commas or bars in it says how all of them are to be read.
        split = _BETWEEN.split if any(map(_BETWEEN.search, fields[name])) else str.split
        kinds = [[part for part in split(text) if part] for text in fields[name]]
        if any(kinds) and sum(map(len, kinds)) <= _MOST_KINDS * sum(map(bool, kinds)):
            return kinds, name
    tags = [[tag.strip() for tag in _HASHTAG.findall(text) if tag.strip()] for text in fields[title]]
    if 2 * sum(map(bool, tags)) >= len(tags):
        return tags, f"hashtags of {title}"
    return [list(entry) for entry in terms], "terms"


def simple_answers(
    histories: Sequence[Sequence[str]],
    targets: Sequence[str],
    best: Sequence[Sequence[str]],
    popular: str,
    items: Items,
) -> dict[str, list[str]]:
    """Raw answers of each of `SIMPLE`, one a user.

    Args:
        histories: raw item ids of B users, oldest first. targets: the next item of each.
        best: of each user the items ranked first, best first. popular: the item with the most interactions.
    """

    def of_items(chosen: Sequence[str]) -> list[str]:
        return [raw_answer(items.terms[item], items.texts[item] or items.titles[item]) for item in chosen]

    recent = [history[-RECENT:] for history in histories]
    first = [ranked[:TOP] for ranked in best]
    return {
        LAST: of_items([history[-1] for history in histories]),
        POPULAR: of_items([popular] * len(histories)),
        KINDS: [
            raw_answer(
                commonest(items.terms, ids, NAMED_TERMS),
                ", ".join(commonest(items.kinds, ids, NAMED_KINDS) or commonest(items.terms, ids, NAMED_KINDS)),
            )
            for ids in recent
        ],
        BEST: [
            raw_answer(commonest(items.terms, ids, NAMED_TERMS), ". ".join(items.titles[item] for item in ids))
            for ids in first
        ],
        ORACLE: of_items(targets),
    }


def commonest(entries: Mapping[str, Sequence[str]], chosen: Sequence[str], count: int) -> list[str]:
    """The entries that most of some items have, those of the newest item first among equals."""
    counts = Counter(entry for item in reversed(chosen) for entry in dict.fromkeys(entries[item]))
    return [entry for entry, _ in counts.most_common(count)]

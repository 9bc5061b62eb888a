"""Textual identifiers: at most ten ordered, normalised terms an item, from the catalogue's own text.

Symbols: N items, M neighbours an item, df = number of items that have a term.

A TID must do two things. It says what the item *is*, so it needs words that few other items have; and it lets the
model carry what it learnt from one item to the next, so it needs words that other items have too. Plain tf-idf serves
only the first: it puts every word that occurs once in the catalogue before "animation", and beside a plot summary it
leaves no room for "comedy" at all. The importance of a term in an item is therefore

    weight = (1 + ln tf) * sqrt(idf) * support * lead,    idf = 1 + ln((1 + N) / (1 + df)),    support = df / (df + 4)

- sublinear tf and smooth idf are scikit-learn's; the root keeps the order by rarity but halves its reach, so that a
  category held by a third of the catalogue still stands beside a word held by ten items;
- `support` says how far other items confirm a term: 1/5 for a word of one item only, nearly 1 from some twenty items
  on. So shared terms come first, the item's own words after them;
- `lead` falls from 2 at the first word towards 1, with a half-life of eight words: the text starts with the title, and
  a long description must not outvote it.

Up to a fifth of a full list is kept for words of that item only (df = 1): they tell it from its like.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.scripts import segment
from recbole_navigen.identifiers.words import collocations_of, merge_pairs, plural_map, singulars, words_of
from recbole_navigen.identifiers.words import stop_words as stop_words  # named here, too

SUPPORT = 4.0
LEAD_HALF_LIFE = 8.0
LAST_RESORT = "item"  # the term of every item in a catalogue without a single word


@dataclass(frozen=True, slots=True, eq=False)
class TermResult:
    """Terms of all items.

    Attributes:
        terms: 1 to max_terms terms an item, most important first. N tuples.
        report: plain JSON values; see `extract_terms`.
    """

    terms: tuple[tuple[str, ...], ...]
    report: dict


def extract_terms(texts: Sequence[str], neighbours: np.ndarray | None = None, max_terms: int = 10) -> TermResult:
    """Choose each item's terms.

    Args:
        texts: text by item index, the title first; "" where there is none. N strings.
        neighbours: item indices of each item's nearest items, nearest first, -1 for none. Shape (N, M).
        max_terms: 1..10.

    Returns:
        The terms: lower case with a letter in them, Latin ones as ASCII, no stop words, no two of an item alike up to
        plural. The report: `items_without_text`, `items_without_terms` (text, but no word in it), `first_without_terms`
        (index of the first of these, or None), `items_borrowed` (terms come from neighbours), `items_last_resort` (the
        catalogue's commonest term), `terms_per_item` (entry n: items with n terms), `distinct_terms`, `shared_terms`
        (of these, held by two items or more), `collocations`, `items_with_equal_terms` (the same list as another item),
        `commonest` (ten pairs of term and items).
    """
    n_items = len(texts)
    if not 1 <= max_terms <= 10:
        raise InputError(f"max_terms={max_terms} must be between 1 and 10.")
    if not n_items:
        raise InputError("there are no items to find terms for.")
    if neighbours is not None:
        neighbours = np.asarray(neighbours)
        if neighbours.ndim != 2 or len(neighbours) != n_items or not np.issubdtype(neighbours.dtype, np.integer):
            raise InputError(
                f"neighbours must be integers with one row for each of {n_items} items, not {neighbours.shape}."
            )
        if neighbours.size and not -1 <= neighbours.min() <= neighbours.max() < n_items:
            raise InputError(f"neighbours must be item indices 0..{n_items - 1}, or -1 for none.")

    # 1. Words, then one spelling for singular and plural, then pairs of words that belong together.
    phrases = segment([words_of(text) for text in texts])
    one_spelling = plural_map(phrases)
    phrases = [[[one_spelling.get(word, word) for word in phrase] for phrase in item] for item in phrases]
    collocations = collocations_of(phrases)
    documents = [merge_pairs(item, collocations) for item in phrases]

    # 2. Weigh and order.
    top_terms = _ranked_terms(documents, max_terms)

    # 3. Items that have no term of their own.
    terms, borrowed, last_resort = list(top_terms), 0, 0
    if neighbours is not None:
        terms, borrowed = _borrow(terms, neighbours, max(max_terms // 2, 1))
    items_with = Counter(term for item in top_terms for term in item)
    commonest = sorted(items_with.items(), key=lambda pair: (-pair[1], pair[0]))
    for index, item in enumerate(terms):
        if not item:
            terms[index] = (commonest[0][0] if commonest else LAST_RESORT,)
            last_resort += 1

    wordless = [index for index, item in enumerate(top_terms) if not item and texts[index].strip()]
    report = {
        "items": n_items,
        "items_without_text": sum(not text.strip() for text in texts),
        "items_without_terms": len(wordless),
        "first_without_terms": wordless[0] if wordless else None,
        "items_borrowed": borrowed,
        "items_last_resort": last_resort,
        "collocations": len(collocations),
        **term_counts(terms, max_terms),
    }
    return TermResult(tuple(terms), report)


def term_counts(terms: Sequence[tuple[str, ...]], max_terms: int) -> dict[str, object]:
    """Count the terms of a catalogue for the report of `extract_terms`.

    Args:
        terms: of each item, N tuples. max_terms: as many as an item may have.
    """
    items_with = Counter(term for item in terms for term in item)
    return {
        "terms_per_item": np.bincount([len(item) for item in terms], minlength=max_terms + 1).tolist(),
        "distinct_terms": len(items_with),
        "shared_terms": sum(count > 1 for count in items_with.values()),
        "items_with_equal_terms": sum(count for count in Counter(terms).values() if count > 1),
        "commonest": [list(pair) for pair in sorted(items_with.items(), key=lambda pair: (-pair[1], pair[0]))[:10]],
    }


def _ranked_terms(documents: list[list[str]], max_terms: int) -> list[tuple[str, ...]]:
    """Each document's most important terms, by the weight that the module's docstring defines."""
    if not any(documents):
        return [()] * len(documents)
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer=list, sublinear_tf=True, smooth_idf=True, norm=None)
    matrix = vectorizer.fit_transform(documents)
    names = vectorizer.get_feature_names_out().tolist()
    items_with = np.bincount(matrix.indices, minlength=len(names))  # df
    # The matrix holds (1 + ln tf) * idf.
    matrix.data *= (items_with / (items_with + SUPPORT) / np.sqrt(vectorizer.idf_))[matrix.indices]
    ranked = []
    for row, document in enumerate(documents):
        entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
        columns = matrix.indices[entries].tolist()
        weights = {names[column]: weight for column, weight in zip(columns, matrix.data[entries].tolist(), strict=True)}
        alone = {names[column] for column in columns if items_with[column] == 1}
        ranked.append(_best(document, weights, alone, max_terms))
    return ranked


def _best(document: list[str], weights: dict[str, float], alone: set[str], max_terms: int) -> tuple[str, ...]:
    """A document's most important terms.

    Args:
        document: terms in order of appearance. weights: of each term, without `lead`. alone: terms of this item only.
        max_terms: how many, at most.
    """
    place = {term: position for position, term in reversed(list(enumerate(document)))}  # of its first appearance
    scored = []
    for name, weight in weights.items():
        lead = 1.0 + 0.5 ** (place[name] / LEAD_HALF_LIFE)
        scored.append((-weight * lead, place[name], name, name in alone))
    scored.sort()  # ties by first appearance
    if len(scored) > max_terms:
        own = [entry for entry in scored if entry[3]][: max_terms // 5]
        others = [entry for entry in scored if entry not in own]
        scored = sorted(others[: max_terms - len(own)] + own)
    return tuple(name for _, _, name, _ in scored)


def terms_of_new(texts: Sequence[str], known: Sequence[Sequence[str]], max_terms: int = 10) -> list[tuple[str, ...]]:
    """Terms of items that come to a catalogue later, spelled and weighed by the terms that its items have.

    A word is spelled as the catalogue spells it (singular or plural), two words that are one of its terms stay one, and
    the weight is that of the module's docstring, with df counted over the known TIDs and the item itself.

    Args:
        texts: of the new items, the title first. known: TIDs of the catalogue, N lists.
        max_terms: 1..10.

    Returns:
        For each text 0 to max_terms terms, most important first.
    """
    items_with = Counter(term for item in known for term in item)
    words = {word for term in items_with for word in term.split()}
    spelling = {singular: word for word in sorted(words) for singular in singulars(word)}
    pairs = {pair: 1.0 for term in items_with if len(pair := tuple(term.split())) == 2}
    # Runs of letters without blanks are cut by what the catalogue's terms share.
    phrases = segment([[[word] for word in sorted(words) if not word.isascii()], *map(words_of, texts)])[1:]
    result = []
    for item in phrases:
        spelled = []
        for phrase in item:
            forms = [[word, *singulars(word), *([spelling[word]] if word in spelling else [])] for word in phrase]
            spelled.append([next((form for form in own if form in words), own[0]) for own in forms])
        document = merge_pairs(spelled, pairs)
        weights = {}
        for term, count in Counter(document).items():
            df = items_with[term] + 1
            idf = 1 + np.log((2 + len(known)) / (1 + df))
            weights[term] = float((1 + np.log(count)) * np.sqrt(idf) * df / (df + SUPPORT))
        result.append(_best(document, weights, {term for term in weights if term not in items_with}, max_terms))
    return result


def _borrow(terms: list[tuple[str, ...]], neighbours: np.ndarray, most: int) -> tuple[list[tuple[str, ...]], int]:
    """Fill empty lists with what the nearest items' terms agree on.

    Args:
        terms: N lists, some empty.
        neighbours: nearest first, -1 for none. Shape (N, M).
        most: terms to borrow at most.

    Returns:
        The lists, and how many were filled.

    The term at place p of the list of the neighbour at rank r gets 1 / ((1 + r) (1 + p)) votes. Where all neighbours
    are empty too, they are filled first: terms spread along the neighbour graph until nothing changes.
    """
    terms, borrowed = list(terms), 0
    empty = [index for index, item in enumerate(terms) if not item]
    while empty:
        filled = {}
        for index in empty:
            votes: dict[str, float] = {}
            for rank, neighbour in enumerate(neighbours[index].tolist()):
                for place, term in enumerate(terms[neighbour] if neighbour >= 0 else ()):
                    votes[term] = votes.get(term, 0.0) + 1.0 / ((1 + rank) * (1 + place))
            if votes:
                filled[index] = tuple(sorted(votes, key=lambda term: (-votes[term], term))[:most])
        if not filled:
            break
        for index, item in filled.items():
            terms[index] = item
        borrowed += len(filled)
        empty = [index for index in empty if index not in filled]
    return terms, borrowed

"""Which questions to somebody of whom little is known are worth their time: those with the most expected information.

The next item i has the probability p_i under all that is known so far. The answer Y of a question is uncertain even of
somebody who wants item i, who says yes with the probability a(i):

    a(i) = a_t(i)                                                             of a term t: "do you like ...?"
    a(i) = NOISE + (1 - 2 NOISE) sigmoid(SHARP (u(i, j) - u(i, k)))           of two items: "rather j, or rather k?"

a_t(i) is counted over training histories (see `Evidence`): an answer on "drama" says little of the next film, one on
"horror" more. The answer goes back in as a preference of weight 1 or -1, which multiplies p_i by the same a_t(i), or by
1 - a_t(i): what a question promises is what its answer does. u is the agreement of two items (see `Agreement`). A
question is worth the mutual information of Y and the next item

    I(Y; i) = H(sum_i p_i a(i)) - sum_i p_i H(a(i))

as in Bayesian experimental design (Lindley, 1956), and several are chosen one after another by the information of all
their answers together. That is bounded so that a person can answer: a term is held by enough items, and the model
neither expects nor excludes it already; items are among the most probable, and so the best known.

Symbols: N items, S items of the support, Q questions, Y patterns of answers.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from recbole_navigen.errors import InputError
from recbole_navigen.serving.agreement import Agreement
from recbole_navigen.serving.evidence import NOISE
from recbole_navigen.serving.preferences import Preferences, words_of

KINDS = ("terms", "items")
PAIR = 1.0  # what the answer to a comparison weighs, all its terms together: as much as that to one term
SHARP = 4.0  # of a comparison of two items
SUPPORT = 2000  # most probable items that a question is weighed by
LEAST, MOST = 0.04, 0.96  # of the probability that may lie on the items of a term, for the term to be asked for
HOLDERS, HOLDER_SHARE = 3, 0.005  # items that hold a term, at least, and of the catalogue
ITEMS = 24  # most probable items that are compared with each other
YES, NO, SKIP = "yes", "no", "skip"


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        text: as it is asked. reason: why it is asked.
        about: the term, or the raw ids of two items.
        answers: what may be said -> the preferences that it states; `skip` states none.
        information: bits that its answer is expected to tell of the next item, beyond the questions before it.
    """

    text: str
    about: tuple[str, ...]
    answers: Mapping[str, Preferences]
    information: float
    reason: str

    def preferences(self, answer: str) -> Preferences:
        """What an answer states, to be added to the preferences so far. answer: one of `answers`, or how it begins."""
        said = " ".join(str(answer).lower().split())
        meant = [own for own in self.answers if said and own.startswith(said)]
        if len(meant) != 1:
            raise InputError(f"answer={answer!r} is none of {', '.join(self.answers)}; say one of them.")
        return self.answers[meant[0]]


def term_questions(
    probabilities: np.ndarray,
    holders: Mapping[str, Sequence[int]],
    spoken: Sequence[str],
    count: int,
    likes: Callable[[str], np.ndarray],
) -> list[Question]:
    """The terms that are best asked for.

    Args:
        probabilities: of the items, given all that is known, (N,). holders: from `term_holders`.
        spoken: phrases that were stated or asked for; what they speak of is not asked again. count: questions at most.
        likes: term -> a_t of the items, (N,).
    """
    chances = np.asarray(probabilities, dtype=np.float64)
    shares = answerable(chances, holders, spoken)
    asked = list(shares)
    support, weights = _support(chances)
    words = [words_of(term) for term in asked]
    yes = np.array([likes(term)[support] for term in asked]).reshape(-1, len(support)).T
    chosen = _chosen(weights, yes, count, lambda one, other: not words[one].isdisjoint(words[other]))
    return [term_question(asked[place], shares[asked[place]], bits) for place, bits in chosen]


def term_question(term: str, share: float, bits: float) -> Question:
    """The question after a term. share: of what is expected next. bits: see `Question`."""
    return Question(
        f"Do you like {term}?",
        (term,),
        {YES: Preferences({term: 1.0}), NO: Preferences({term: -1.0}), SKIP: Preferences()},
        bits,
        f"{share:.0%} of what is expected next is {term}, so the answer tells {bits:.2f} bits of it",
    )


def answerable(
    probabilities: np.ndarray, holders: Mapping[str, Sequence[int]], spoken: Sequence[str]
) -> dict[str, float]:
    """Terms that a person can answer for, see `term_questions`, and the probability that lies on the items of each."""
    said = set().union(*map(words_of, spoken))
    shares = {term: float(probabilities[items].sum()) for term, items in holders.items()}
    return {term: share for term, share in shares.items() if LEAST <= share <= MOST and words_of(term).isdisjoint(said)}


def item_questions(
    probabilities: np.ndarray,
    terms: Sequence[Sequence[str]],
    holders: Mapping[str, Sequence[int]],
    agreement: Agreement,
    item_tokens: Sequence[str],
    titles: Mapping[str, str],
    spoken: Collection[str],
    count: int,
) -> list[Question]:
    """The pairs of items that are best compared.

    Args:
        probabilities, holders, count: as of `term_questions`. terms: TIDs by item index, N lists.
        agreement: of the items. item_tokens: raw ids by item index. titles: of raw ids. spoken: raw ids asked for.
    """
    chances = np.asarray(probabilities, dtype=np.float64)
    support, weights = _support(chances)
    known = [item for item in support.tolist() if item_tokens[item] not in spoken][:ITEMS]
    # Of a term that hardly any other item has, nothing follows.
    telling = [{term: None for term in terms[item] if term in holders} for item in known]
    pairs = [
        (one, other)
        for one, other in combinations(range(len(known)), 2)
        if telling[one].keys() - telling[other].keys() and telling[other].keys() - telling[one].keys()
    ]
    if not pairs:
        return []
    near = agreement.between(support, known)
    left, right = (np.array(side) for side in zip(*pairs, strict=True))
    prefers = NOISE + (1 - 2 * NOISE) / (1 + np.exp(-SHARP * (near[:, left] - near[:, right])))
    questions = []
    for place, bits in _chosen(weights, prefers, count, lambda one, other: not {*pairs[one]}.isdisjoint(pairs[other])):
        both = pairs[place]
        tokens = tuple(item_tokens[known[one]] for one in both)
        own, others = ([term for term in telling[one] if term not in telling[two]] for one, two in (both, both[::-1]))
        sides = [_between(own, others), _between(others, own)]
        questions.append(
            Question(
                f"Rather (a) {titles[tokens[0]]}, or rather (b) {titles[tokens[1]]}?",
                tokens,
                {"a": sides[0], "b": sides[1], SKIP: Preferences()},
                bits,
                f"{', '.join(own[:2])} or {', '.join(others[:2])} divides what is expected next, and the answer tells "
                f"{bits:.2f} bits of it",
            )
        )
    return questions


def term_holders(terms: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    """Item indices of each term that enough items have, so that a person may know it. terms: TIDs by item index."""
    holders: dict[str, list[int]] = {}
    for item, own in enumerate(terms):
        for term in dict.fromkeys(own):
            holders.setdefault(term, []).append(item)
    enough = max(HOLDERS, HOLDER_SHARE * len(terms))
    return {term: items for term, items in holders.items() if len(items) >= enough}


def _between(wanted: Sequence[str], others: Sequence[str]) -> Preferences:
    """Rather some terms than others."""
    half = PAIR / 2
    return Preferences({term: half / len(wanted) for term in wanted} | {term: -half / len(others) for term in others})


def _support(chances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most probable items, the best first, and their probabilities as if there were no others. (S,) each."""
    support = (-chances).argsort(kind="stable")[:SUPPORT]
    return support, chances[support] / chances[support].sum()


def _chosen(
    weights: np.ndarray, yes: np.ndarray, count: int, alike: Callable[[int, int], bool]
) -> list[tuple[int, float]]:
    """Questions one after another, each with the most information beyond those before it, in bits.

    Args:
        weights: probabilities of items, (S,). yes: a of each question, (S, Q).
        count: how many at most. alike: whether two questions are too near to be asked both.
    """
    doubt = weights @ _entropy(yes, 1 - yes)  # what an answer leaves open of somebody who knows what comes next
    patterns, known, chosen = weights[None], 0.0, []
    free = np.ones(yes.shape[1], dtype=bool)
    while len(chosen) < count and free.any():
        agreed = patterns @ yes  # (Y, Q)
        total = _entropy(agreed, patterns.sum(axis=1, keepdims=True) - agreed).sum(axis=0)
        gains = np.where(free, (total - doubt).round(8) - known, -np.inf)
        best = int(gains.argmax())
        known += gains[best] + doubt[best]
        chosen.append((best, float(gains[best] / np.log(2))))
        patterns = np.concatenate([patterns * yes[:, best], patterns * (1 - yes[:, best])])
        free &= [not alike(best, other) for other in range(len(free))]
    return chosen


def _entropy(*shares: np.ndarray) -> np.ndarray:
    """- sum x log x over some shares, in nats, by element."""
    return -sum(np.where(share > 0, share * np.log(np.maximum(share, 1e-300)), 0.0) for share in shares)

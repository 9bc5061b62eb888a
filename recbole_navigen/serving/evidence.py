"""How much a statement tells of the items that somebody takes, counted over the histories of training users.

The first events of each training user, FIRST of them but no more than half, are what a new user does; those behind
them are the user's taste. A user is taken to like a phrase whose match m (see `PreferenceSpace`) has a higher mean over
the taste than it has with all users together. With n_i events on item i among the first ones, y_i of them by users who
like the phrase:

    hit   = (sum_i m_i y_i + 1) / (sum_i m_i n_i + 2)                   who takes what matches and likes the phrase
    false = (sum_i (1 - m_i) y_i + 1) / (sum_i (1 - m_i) n_i + 2)       who takes what does not match, and likes it
    a_i   = (y_i + SHRUNK prior_i) / (n_i + SHRUNK),                    prior_i = false + m_i (hit - false)

a_i is the probability that somebody who takes item i next likes the phrase. An item that few users took has that of its
words, prior_i; one that many took has its own, whatever its words say. By Bayes' rule, somebody who likes the phrase
takes item i with a probability in proportion to p_i a_i, and somebody who does not in proportion to p_i (1 - a_i).

Symbols: N items, U training users.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import scipy.sparse as sp

FIRST = 10  # events of a user that stand for those of somebody new
SHRUNK = 50.0  # events that the words of an item weigh
NOISE = 0.15  # how often what is said is not what is taken, where no histories tell


class Evidence:
    """What training histories say of statements.

    Args:
        histories: item indices of the training events of each user, oldest first, U lists. count: N.
        rates: phrase -> hit and false, where histories are not at hand; other phrases have their mean.
        shrunk: see above.
    """

    def __init__(
        self,
        histories: Iterable[Sequence[int]],
        count: int,
        rates: Mapping[str, Sequence[float]] | None = None,
        shrunk: float = SHRUNK,
    ):
        halves = [(own[:cut], own[cut:]) for own in histories if (cut := min(FIRST, len(own) // 2))]
        self._first, self._taste = (
            (_counts(side, count) for side in zip(*halves, strict=True)) if halves else (None,) * 2
        )
        self._events = None if self._first is None else np.asarray(self._first.sum(axis=0)).ravel()
        self._rates, self._shrunk = dict(rates or {}), shrunk

    def rates(self, phrase: str, match: np.ndarray) -> tuple[float, float]:
        """hit and false of a phrase that matches the items so, (N,)."""
        return self._counted(phrase, match)[:2]

    def likelihood(self, phrase: str, match: np.ndarray) -> np.ndarray:
        """a of the items, for a phrase that matches them so, (N,). (N,)."""
        hit, false, likes = self._counted(phrase, match)
        words = false + match * (hit - false)
        return words if likes is None else (likes + self._shrunk * words) / (self._events + self._shrunk)

    def _counted(self, phrase: str, match: np.ndarray) -> tuple[float, float, np.ndarray | None]:
        """hit, false, and y of the items, (N,), or None without histories."""
        if self._first is None:
            mean = np.mean(list(self._rates.values()), axis=0) if self._rates else (1 - NOISE, NOISE)
            return *map(float, self._rates.get(phrase, mean)), None
        taste = self._taste @ match / np.asarray(self._taste.sum(axis=1)).ravel()
        likes = self._first.T @ (taste > taste.mean()).astype(np.float64)
        hit, false = (float((side @ likes + 1) / (side @ self._events + 2)) for side in (match, 1 - match))
        return hit, false, likes


def _counts(histories: Sequence[Sequence[int]], count: int) -> sp.csr_matrix:
    """How often each user had each item, (U, N)."""
    columns = np.concatenate([np.asarray(own, dtype=np.int64) for own in histories])
    begins = np.cumsum([0, *map(len, histories)])
    return sp.csr_matrix((np.ones(len(columns)), columns, begins), (len(histories), count))

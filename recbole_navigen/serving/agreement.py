"""For which of the probable next items, or for which of their terms, an instruction is most the user's own.

A single guess at the next item is mostly wrong, and an item that agrees with everything says nothing of a person. So
items are compared by how well they are expected to agree with the next one, less how well with the catalogue at large:

    u(i, j) = F1(terms of i, terms of j) + v_i v_j
    gain_i  = sum_j p_j u(i, j) - 1 / N sum_j u(i, j)

The first sum alone is the choice of minimum Bayes risk (Kumar and Byrne, 2004). With the second, the gain is what a
control of mismatched users is expected to leave of it (`evaluation.instruction_scores`).

Terms need not be those of one item. k of them gain, by their F1, the sum of what each of them gains:

    gain_t = sum_j (p_j - 1 / N) 2 [t is a term of j] / (k + number of terms of j)

Symbols: N items, C candidates, W terms of an item, D width.
"""

import functools
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

BLOCK = 256  # items that are compared with the whole catalogue at once


class Agreement:
    """How items of one catalogue agree.

    Args:
        terms: TIDs by item index, N lists; none is empty.
        vectors: of the same items, of length 1 or less. Shape (N, D).
    """

    def __init__(self, terms: Sequence[Sequence[str]], vectors: np.ndarray):
        sets = [dict.fromkeys(item) for item in terms]
        places = {term: place for place, term in enumerate(dict.fromkeys(term for item in sets for term in item))}
        self._terms = list(places)
        self._sizes = np.array([len(item) for item in sets])
        columns = [places[term] for item in sets for term in item]
        begins = np.concatenate([[0], self._sizes.cumsum()])
        self._held = sp.csr_matrix((np.ones(len(columns)), columns, begins), shape=(len(sets), len(places)))
        # Where in a TID a term stands on average.
        ranks = np.concatenate([np.arange(size) for size in self._sizes])
        self._ranks = np.bincount(columns, weights=ranks) / np.bincount(columns)
        self.vectors = vectors
        self._usual = np.full(len(sets), np.nan)  # mean agreement with the catalogue, filled where it is asked for

    def between(self, left: np.ndarray, right: np.ndarray | slice) -> np.ndarray:
        """u of some items and others. Item indices (C,), (M,) -> (C, M), float64."""
        shared = (self._held[left] @ self._held[right].T).toarray()
        f1 = 2 * shared / (self._sizes[left][:, None] + self._sizes[right])
        return f1 + self.vectors[left] @ self.vectors[right].T

    def gains(self, items: Sequence[int], probabilities: Sequence[float]) -> np.ndarray:
        """The gain of each candidate; the next item is one of them.

        Args:
            items: item indices, C. probabilities: theirs, above 0; they need not add up to 1.

        Returns:
            Shape (C,), float64, rounded to 8 decimals: the same choice wherever products are summed in another order.
        """
        items, weights = np.asarray(items), np.asarray(probabilities, dtype=np.float64)
        new = np.unique(items[np.isnan(self._usual[items])])
        for begin in range(0, len(new), BLOCK):
            block = new[begin : begin + BLOCK]
            self._usual[block] = self.between(block, slice(None)).mean(axis=1)
        return (self.between(items, items) @ (weights / weights.sum()) - self._usual[items]).round(8)

    @functools.cached_property
    def _together(self) -> sp.csr_matrix:
        """How many items have two terms at once. Shape (terms, terms)."""
        return (self._held.T @ self._held).tocsr()

    def expected_terms(self, items: Sequence[int], probabilities: Sequence[float], count: int) -> tuple[str, ...]:
        """Terms expected of the next item more than of any other, in the order in which TIDs have them.

        They are taken one after another, the greatest gain first, and only while it is above 0. A term that no item has
        together with one taken before is left out: two colours may be probable, and nothing has both.

        Args:
            items, probabilities: as of `gains`. count: of terms, at most; at least one comes back.
        """
        items, weights = np.asarray(items), np.asarray(probabilities, dtype=np.float64)
        shares = -np.ones(self._held.shape[0]) / self._held.shape[0]
        shares[items] += weights / weights.sum()
        gains = (2 * shares / (count + self._sizes)) @ self._held
        gains = np.where(self._held[items].getnnz(axis=0), gains.round(8), -np.inf)
        taken: list[int] = []
        while len(taken) < count and (not taken or gains.max() > 0):
            taken.append(int(gains.argmax()))
            gains[self._together[taken[-1]].toarray()[0] == 0] = -np.inf
            gains[taken[-1]] = -np.inf
        return tuple(self._terms[term] for term in sorted(taken, key=self._ranks.__getitem__))

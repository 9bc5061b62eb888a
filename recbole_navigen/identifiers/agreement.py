"""How well an item's terms are expected to agree with those of a next item that is known only by its probabilities."""

from collections.abc import Sequence

import numpy as np


def expected_f1(terms: Sequence[Sequence[str]], probabilities: Sequence[float]) -> np.ndarray:
    """Expected F1 of each candidate's terms with those of the next item, which is one of the candidates.

        E_i = sum_j p_j 2 |t_i & t_j| / (|t_i| + |t_j|)

    The candidate with the greatest value is the choice of minimum Bayes risk (Kumar and Byrne, 2004) when an item is
    right as far as its terms are.

    Args:
        terms: of C candidates, as sets; none is empty. probabilities: of the candidates, above 0; need not add up to 1.

    Returns:
        Shape (C,), float64, in 0..1.
    """
    places = {term: place for place, term in enumerate(dict.fromkeys(term for item in terms for term in item))}
    held = np.zeros((len(terms), len(places)))
    for row, item in enumerate(terms):
        held[row, [places[term] for term in item]] = 1.0
    sizes = held.sum(axis=1)
    weights = np.asarray(probabilities, dtype=np.float64)
    return 2 * (held @ held.T) / (sizes[:, None] + sizes) @ (weights / weights.sum())

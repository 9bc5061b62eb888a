"""What an item's vector would be by its text alone: ridge regression from text to the vectors that training gave.

    v_i = m + W f_i,    W = argmin sum over training items of |v_i - m - W f_i|^2 + r |W|^2

f_i holds a latent semantic analysis of the item's terms, the sum of its terms' text rows, which are trained with the
model, and the components of its text embedding, where there is one; each part has unit variance. The solution is
closed, for all r by one eigenvalue decomposition, and r is the one that predicts held-out training items best.

Symbols: N training items, M new items, D width, F features.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

LATENT = 192  # features of the terms at most
FOLDS = 5
STRENGTHS = np.logspace(-4, 2, 13)  # of the ridge, by N


class TextRegression:
    """Predicts item vectors.

    Args:
        terms: TIDs of the training items, N lists. rows: their dense text features, (N, any).
        vectors: what is predicted, (N, D). seed: of the parts that are held out.

    Attributes:
        strength: r / N, as held-out training items chose it.
        explained: share of the variance of held-out training items' vectors that their text explains; 1 is all.
    """

    def __init__(self, terms: Sequence[Sequence[str]], rows: np.ndarray, vectors: np.ndarray, seed: int):
        # 1. Features.
        self._words = TfidfVectorizer(analyzer=list, sublinear_tf=True).fit(terms)
        weighted = self._words.transform(terms)
        width = min(LATENT, *(size - 1 for size in weighted.shape)) or 1
        self._latent = randomized_svd(weighted, width, random_state=0)[2].T
        parts = self._parts(weighted, rows)
        self._means = [part.mean(axis=0) for part in parts]
        self._scales = [
            np.sqrt((part - mean).var(axis=0).sum()) or 1.0 for part, mean in zip(parts, self._means, strict=True)
        ]
        features, vectors = self._joined(parts), vectors.astype(np.float64)

        # 2. The ridge's strength, by training items that are held out in turn.
        place = np.random.default_rng(seed).permutation(len(features)) % FOLDS
        errors, total = np.zeros(len(STRENGTHS)), 0.0
        for fold in range(FOLDS) if len(features) > FOLDS else ():
            seen, held_out = place != fold, place == fold
            mean, weights = _solved(features[seen], vectors[seen], STRENGTHS)
            missed = vectors[held_out] - mean
            total += np.square(missed).sum()
            errors += [np.square(missed - features[held_out] @ own).sum() for own in weights]
        best = int(errors.argmin()) if total else len(STRENGTHS) - 1
        self.strength = float(STRENGTHS[best])
        self.explained = float(1 - errors[best] / total) if total else 0.0

        # 3. The solution on all of them.
        self._mean, (self._weights,) = _solved(features, vectors, STRENGTHS[best : best + 1])

    def __call__(self, terms: Sequence[Sequence[str]], rows: np.ndarray) -> np.ndarray:
        """Vectors of items by their terms, M lists, and dense text features, (M, any) -> (M, D), float32."""
        features = self._joined(self._parts(self._words.transform(terms), rows))
        return (self._mean + features @ self._weights).astype(np.float32)

    def _parts(self, weighted: sp.csr_matrix, rows: np.ndarray) -> list[np.ndarray]:
        return [weighted @ self._latent, rows.astype(np.float64)]

    def _joined(self, parts: list[np.ndarray]) -> np.ndarray:
        """All features side by side, (any, F)."""
        scaled = zip(parts, self._means, self._scales, strict=True)
        return np.concatenate([(part - mean) / scale for part, mean, scale in scaled], axis=1)


def _solved(features: np.ndarray, vectors: np.ndarray, strengths: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The mean vector, (D,), and W for each strength, (F, D). features (N, F), vectors (N, D)."""
    mean = vectors.mean(axis=0)
    values, basis = np.linalg.eigh(features.T @ features / len(features))
    projected = basis.T @ (features.T @ (vectors - mean)) / len(features)
    return mean, [basis @ (projected / (values.clip(min=0) + own)[:, None]) for own in strengths]

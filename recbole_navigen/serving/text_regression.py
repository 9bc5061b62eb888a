"""What an item's vector would be by its text alone: ridge regression, and what the nearest items add to it.

    v_i = r(f_i) + sum over the NEAREST training items j of w_ij (v_j - r(f_j)),    r(f) = m + W f,
    W   = argmin sum over training items of |v_i - m - W f_i|^2 + s N |W|^2

f_i is a latent semantic analysis of the item's terms, of unit variance, and w_ij are cosines of terms that add up to 1
(regression kriging: Hengl et al., 2007, with cosines for the covariance). A ridge alone draws every vector towards the
mean, and an item that is near the mean is in nobody's top 10. The solution is closed, for all s by one eigenvalue
decomposition, and s is the one that predicts held-out training items best. The terms' text rows are no features: they
were trained with the items that are held out.

Symbols: N training items, M new items, D width, F features.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

LATENT = 192  # features of the terms at most
NEAREST = 5  # of 2, 3, 5, 8, 10 and 20 the best on held-out items of ml-100k at equal exposure
FOLDS = 5
STRENGTHS = np.logspace(-4, 2, 13)


class TextRegression:
    """Predicts item vectors.

    Args:
        terms: TIDs of the training items, N lists. vectors: what is predicted, (N, D).
        more: further text features of the items, (N, any), or None. seed: of the parts that are held out.

    Attributes:
        strength: s, as held-out training items chose it.
        explained: share of the variance of held-out training items' vectors that the ridge explains; 1 is all.
    """

    def __init__(self, terms: Sequence[Sequence[str]], vectors: np.ndarray, more: np.ndarray | None, seed: int):
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.utils.extmath import randomized_svd

        # 1. Features.
        self._words = TfidfVectorizer(analyzer=list, sublinear_tf=True).fit(terms)
        self._rows = self._words.transform(terms)
        width = min(LATENT, *(size - 1 for size in self._rows.shape)) or 1
        self._latent = randomized_svd(self._rows, width, random_state=0)[2].T
        parts = self._parts(self._rows, more)
        self._means = [part.mean(axis=0) for part in parts]
        scaled = zip(parts, self._means, strict=True)
        self._scales = [np.sqrt((part - mean).var(axis=0).sum()) or 1.0 for part, mean in scaled]
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

        # 3. The solution on all of them, and what it leaves.
        self._mean, (self._weights,) = _solved(features, vectors, STRENGTHS[best : best + 1])
        self._left = vectors - self._mean - features @ self._weights

    def __call__(self, terms: Sequence[Sequence[str]], more: np.ndarray | None) -> np.ndarray:
        """Vectors of items by their terms, M lists, and further features, (M, any) or None -> (M, D), float32."""
        rows = self._words.transform(terms)
        predicted = self._mean + self._joined(self._parts(rows, more)) @ self._weights
        for place, cosines in enumerate((rows @ self._rows.T).toarray()):
            near = (-cosines).argsort(kind="stable")[:NEAREST]
            if weight := cosines[near].sum():
                predicted[place] += cosines[near] @ self._left[near] / weight
        return predicted.astype(np.float32)

    def _parts(self, rows: sp.csr_matrix, more: np.ndarray | None) -> list[np.ndarray]:
        return [rows @ self._latent, *([] if more is None else [more.astype(np.float64)])]

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

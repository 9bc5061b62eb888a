"""What a CLIP-like model makes of objects: unit vectors of their parts, and the cosines of these.

Symbols: n objects, P parts, D width.
"""

from dataclasses import dataclass

import numpy as np

_PAIRS = 2**16  # pairs multiplied at once


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Unit vectors of the parts of n objects.

    Attributes:
        parts: (P, D), float32.
        offsets: object i owns parts offsets[i] to offsets[i + 1]; one without parts is missing. Shape (n + 1,), int64.
        truncated: whether anything of the object was cut off. Shape (n,), bool.
    """

    parts: np.ndarray
    offsets: np.ndarray
    truncated: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Parts of each object. Shape (n,)."""
        return np.diff(self.offsets)

    @property
    def means(self) -> np.ndarray:
        """Mean of each object's parts, not renormalised; nan for a missing object. Shape (n, D), float32."""
        means = np.full((len(self.offsets) - 1, self.parts.shape[1]), np.nan, np.float32)
        nonempty = self.counts > 0
        if nonempty.any():
            sums = np.add.reduceat(self.parts.astype(np.float64), self.offsets[:-1][nonempty], axis=0)
            means[nonempty] = sums / self.counts[nonempty, None]
        return means

    def of(self, place: int) -> np.ndarray:
        """Parts of one object. Shape (parts, D)."""
        return self.parts[self.offsets[place] : self.offsets[place + 1]]


def cosines(left: Encoded, right: Encoded, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of pairs: the mean over their parts, and the least of them.

    Args:
        left, right: of n and m objects. rows, columns: the pairs. Shapes (p,), (p,).

    Returns:
        Shapes (p,), (p,), float32; nan where one of both is missing.
    """
    mean, first, second = np.empty(len(rows), np.float32), left.means, right.means
    for begin in range(0, len(rows), _PAIRS):
        chunk = slice(begin, begin + _PAIRS)
        mean[chunk] = np.einsum("pd,pd->p", first[rows[chunk]], second[columns[chunk]])
    least = mean.copy()
    for place in np.flatnonzero((left.counts[rows] > 1) | (right.counts[columns] > 1)):
        pair = left.of(rows[place]) @ right.of(columns[place]).T
        least[place] = pair.min() if pair.size else np.nan
    return mean, least

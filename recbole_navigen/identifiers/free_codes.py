"""Codes for items that no training saw."""

import numpy as np

from recbole_navigen.errors import InputError

BEAM, LEAVES = 64, 16  # prefixes of codes that are followed at once, and how many whole codes for each of them


def free_codes(targets: np.ndarray, code_rows: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Codes that no item has, each the nearest to its target that a beam finds: the sum of a code's rows is near it.

    Args:
        targets: (M, D). code_rows: (L, K, D). taken: codes of the items there are, (N, L).

    Returns:
        Shape (M, L), int64, no two rows alike and none of them taken.
    """
    levels, size, _ = code_rows.shape
    used = set(map(tuple, taken.tolist()))
    if len(used) + len(targets) > size**levels:
        raise InputError(f"{levels} levels of {size} codes have no room for {len(targets)} more items; train again.")
    rows = code_rows.astype(np.float64)
    squares = np.square(rows).sum(axis=2)
    result = []
    for target in targets.astype(np.float64):
        beam, new_code = BEAM, None
        while new_code is None:
            prefixes, rest = np.zeros((1, 0), dtype=np.int64), target[None]
            for level in range(levels):
                missed = np.square(rest).sum(axis=1)[:, None] - 2 * rest @ rows[level].T + squares[level]
                kept = beam if level < levels - 1 else beam * LEAVES
                parents, codes = np.divmod(_smallest(missed.ravel(), kept), size)
                prefixes = np.concatenate([prefixes[parents], codes[:, None]], axis=1)
                rest = rest[parents] - rows[level, codes]
            new_code = next((code for code in map(tuple, prefixes.tolist()) if code not in used), None)
            beam *= 8
        used.add(new_code)
        result.append(new_code)
    return np.array(result, dtype=np.int64)


def _smallest(values: np.ndarray, count: int) -> np.ndarray:
    """Places of so many of the smallest values, in order. (any,)."""
    some = np.argpartition(values, count)[:count] if count < len(values) else np.arange(len(values))
    return some[np.lexsort((some, values[some]))]

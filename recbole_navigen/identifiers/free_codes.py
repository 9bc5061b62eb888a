"""Codes for items that no training saw."""

import numpy as np

from recbole_navigen.errors import InputError

BEAM = 64  # prefixes of codes that are followed at once


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
    result = []
    for target in targets.astype(np.float64):
        beam, new_code = BEAM, None
        while new_code is None:
            prefixes, rest = np.zeros((1, 0), dtype=np.int64), target[None]
            for level in range(levels):
                missed = rest[:, None] - code_rows[level]
                order = np.square(missed).sum(axis=2).ravel().argsort(kind="stable")
                if level < levels - 1:
                    order = order[:beam]
                rows, codes = np.divmod(order, size)
                prefixes = np.concatenate([prefixes[rows], codes[:, None]], axis=1)
                rest = missed[rows, codes]
            new_code = next((code for code in map(tuple, prefixes.tolist()) if code not in used), None)
            beam *= 8
        used.add(new_code)
        result.append(new_code)
    return np.array(result, dtype=np.int64)

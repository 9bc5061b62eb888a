"""Where the rows of items and codes start: at what the collaborative model and the text encoder know of them.

Symbols: N items, L levels, K codes, D width.
"""

import numpy as np


def collaborative_start(
    codebooks: np.ndarray, residuals: np.ndarray | None, width: int, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Centroids as code rows and residuals as item rows, scaled so that the first level has unit standard deviation.

    Vectors of another width are carried over by a random orthonormal map (seeded), which keeps angles and distances
    when it widens and nearly keeps them when it narrows. It is the same for both, so an item's rows add up to its
    collaborative vector.

    Args:
        codebooks: (L, K, any). residuals: (N, any), or None. width: D.

    Returns:
        Code rows (L, K, D) and item rows (N, D) or None, float32.
    """
    source, basis = codebooks.shape[-1], None
    if source != width:
        noise = np.random.default_rng(seed).standard_normal((max(source, width), min(source, width)))
        basis = np.linalg.qr(noise)[0]
        basis = basis.T if source < width else basis
    carried = [
        vectors if basis is None else vectors @ basis for vectors in (codebooks, residuals) if vectors is not None
    ]
    scale = carried[0][0].std() or 1.0
    codes, *items = ((vectors / scale).astype(np.float32) for vectors in carried)
    return codes, items[0] if items else None


def sentence_start(sentences: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Text embeddings as principal components, and the map that carries the first D of them to D.

    The components are scaled by one number, so that the vectors the map gives have unit standard deviation.

    Args:
        sentences: (N, any). width: D.

    Returns:
        Components with a zero row for the padding item (N + 1, any), and the map (D, any), float32.
    """
    centred = sentences - sentences.mean(axis=0)
    components = centred @ np.linalg.svd(centred.T @ centred)[0]
    identity = np.eye(width, components.shape[1], dtype=np.float32)
    scale = (components @ identity.T).std() or 1.0
    return np.pad(components / scale, ((1, 0), (0, 0))).astype(np.float32), identity

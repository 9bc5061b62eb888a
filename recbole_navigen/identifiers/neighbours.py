"""What stands near an item: what users took beside it, and what shares its terms. Sparse tables over the catalogue.

Symbols: N items, M new items, S interactions, B users, K steps, V words.
"""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

COMMON = 2000  # a term of more items tells too little, and would compare everything with everything
CHUNK = 1024  # items that are compared with all at once


def transitions(
    items: np.ndarray, offsets: np.ndarray, n_items: int, steps: int, smoothing: float
) -> sparse.csr_matrix:
    """How often users took one item near another one, in either order, over the root of how popular the second is.

        T[h, i] = c[h, i] / sqrt(n_i + s),    c[h, i] = sum over pairs of h and i at most K places apart of 1 / distance

    Args:
        items: internal ids of all users' training interactions, one user after the other. Shape (S,).
        offsets: user b has items[offsets[b]:offsets[b + 1]]. Shape (B + 1,).
        n_items: N + 1, with the padding item. steps: K. smoothing: s.

    Returns:
        Without a diagonal. Shape (N + 1, N + 1), float64.
    """
    users = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    counts = sparse.csr_matrix((n_items, n_items))
    for distance in range(1, steps + 1):
        together = (users[distance:] == users[:-distance]) & (items[distance:] != items[:-distance])
        one, other = items[:-distance][together], items[distance:][together]
        weights = np.full(len(one), 1 / distance)
        counts = counts + sparse.csr_matrix((weights, (one, other)), shape=counts.shape)
    popularity = np.bincount(items, minlength=n_items)
    return ((counts + counts.T) @ sparse.diags(1 / np.sqrt(popularity + smoothing))).tocsr()


def term_vectors(
    terms: Sequence[Sequence[str]], new: Sequence[Sequence[str]] = ()
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """TF-IDF vectors of unit length of the items' terms, (N, V), and with the same weights those of new items, (M, V);
    rows of items whose terms nobody shares, or everybody, are empty.
    """
    weigh = TfidfVectorizer(analyzer=list, sublinear_tf=True, max_df=COMMON)
    try:
        vectors = weigh.fit_transform(terms)
    except ValueError:  # what scikit-learn says of no words
        return sparse.csr_matrix((len(terms), 1)), sparse.csr_matrix((len(new), 1))
    return vectors, weigh.transform(new) if len(new) else sparse.csr_matrix((0, vectors.shape[1]))


def nearest(vectors: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    """Cosines between each row of unit length and its nearest others. (N, V) -> (N, N), at most `count` in a row."""
    parts = []
    for begin in range(0, vectors.shape[0], CHUNK):
        likeness = (vectors[begin : begin + CHUNK] @ vectors.T).tocsr()
        for row in range(likeness.shape[0]):
            columns = likeness.indices[likeness.indptr[row] : likeness.indptr[row + 1]]
            values = likeness.data[likeness.indptr[row] : likeness.indptr[row + 1]]
            values[columns == begin + row] = 0
            if len(values) > count:
                values[np.argpartition(-values, count - 1)[count:]] = 0
        likeness.eliminate_zeros()
        parts.append(likeness)
    return sparse.vstack(parts, format="csr")


def behind(histories: np.ndarray, table: sparse.csr_matrix, last: int, decay: float) -> sparse.csr_matrix:
    """Rows of a table summed over the last items of each history, each weighed by decay^(items behind it).

    Args:
        histories: internal ids, oldest first, right-padded with 0. Shape (B, any). table: (N + 1, N + 1).
        last: how many items count. decay: above 0, at most 1.

    Returns:
        (B, N + 1), of the table's type.
    """
    ages = (histories > 0).sum(axis=1, keepdims=True) - 1 - np.arange(histories.shape[1])
    rows, places = np.nonzero((ages >= 0) & (ages < last))
    weights = (decay ** ages[rows, places]).astype(table.dtype)
    shape = (len(histories), table.shape[0])
    return sparse.csr_matrix((weights, (rows, histories[rows, places])), shape=shape) @ table


def extended(
    table: sparse.csr_matrix, vectors: sparse.csr_matrix, new: sparse.csr_matrix, weight: float
) -> sparse.csr_matrix:
    """A table of neighbours with new items behind its own: each stands where its nearest item stands, as far as their
    terms are alike, and beside that item. The entries of the old items stay as they are.

    Args:
        table: (N + 1, N + 1), with the padding item. vectors, new: from `term_vectors`, (N, V) and (M, V).
        weight: of likeness beside transitions.
    """
    likeness = (new @ vectors.T).tolil()
    alike = sparse.lil_matrix((new.shape[0], table.shape[0]), dtype=table.dtype)
    for row, (columns, values) in enumerate(zip(likeness.rows, likeness.data, strict=True)):
        if columns:
            alike[row, 1 + columns[int(np.argmax(values))]] = max(values)
    alike = alike.tocsr()
    own = alike @ table @ alike.T + weight * (alike @ alike.T)
    own.setdiag(0)
    own.eliminate_zeros()
    blocks = [[table, table @ alike.T + weight * alike.T], [alike @ table + weight * alike, own]]
    return sparse.bmat(blocks, format="csr").astype(table.dtype)

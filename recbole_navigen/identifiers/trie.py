"""The trie over the catalogue's codes, as arrays.

Symbols: N items, L levels, K codes per level, V_l nodes at level l (V_0 = 1, the root; V_L = N, the leaves).

Every level's nodes are numbered in lexicographic order of their prefixes, so the children of a node, and the leaves
under it, are contiguous ranges: two row pointers per level (``child_start``, ``leaf_start``) say all there is to say
about the tree's shape, and a masked decoder needs no Python object per node. The builder is NumPy only; whoever decodes
copies the arrays into tensors once.
"""

from dataclasses import dataclass

import numpy as np

from recbole_navigen.errors import InputError

DENSE_MASK_LIMIT = 256  # codes; above it a dense (V_l, K) mask wastes more memory than it saves time


def lexicographic_order(codes: np.ndarray, codebook_size: int) -> np.ndarray:
    """The stable permutation that sorts the rows of ``codes``, first column first.

    Args:
        codes: in-range codes. Shape (N, L), int64.
        codebook_size: K.

    Returns:
        Row numbers in sorted order; equal rows keep their order. Shape (N,), int64.
    """
    bits = max(int(codebook_size - 1).bit_length(), 1)
    if bits * codes.shape[1] > 63:
        return np.lexsort(codes.T[::-1])
    # One sort of packed keys is several times faster than one sort per column.
    keys = np.zeros(len(codes), dtype=np.int64)
    for column in codes.T:
        keys = (keys << bits) | column
    return np.argsort(keys, kind="stable")


def checked_codes(codes: np.ndarray, codebook_size: int) -> np.ndarray:
    """``codes`` as a C-contiguous int64 array, or an InputError that names the first bad row. Shape (N, L)."""
    codes = np.asarray(codes)
    if codes.ndim != 2 or 0 in codes.shape:
        raise InputError(
            f"codes must be a table of at least one item by one level, not an array of shape {codes.shape}."
        )
    if not np.issubdtype(codes.dtype, np.integer):
        raise InputError(f"codes must be integers, not {codes.dtype}; convert them before building the trie.")
    if codebook_size < 1:
        raise InputError(f"codebook_size={codebook_size} must be at least 1.")
    bad = np.argwhere((codes < 0) | (codes >= codebook_size))
    if len(bad):
        row, level = bad[0]
        raise InputError(
            f"row {row} has code {codes[row, level]} at level {level}, outside 0..{codebook_size - 1}; "
            "raise codebook_size or rebuild the codes."
        )
    return np.ascontiguousarray(codes, dtype=np.int64)


def _frozen(array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array, dtype=np.int64)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueTrie:
    """All legal code sequences of a catalogue. Make one with `build` or `from_sorted`; its arrays are read-only int64.

    Attributes:
        codebook_size: K.
        parent: entry l = 1..L, the node of level l-1 above each node of level l. Shape (V_l,). Entry 0 is empty.
        token: entry l = 1..L, the code 0..K-1 on the edge into each node of level l. Shape (V_l,). Entry 0 is empty.
        child_start: entry l = 0..L-1; the children of node v are nodes child_start[l][v] to child_start[l][v+1]-1 of
            level l+1, in increasing order of their codes. Shape (V_l + 1,).
        leaf_start: entry l = 0..L; the leaves under node v are leaf_start[l][v] to leaf_start[l][v+1]-1.
            Shape (V_l + 1,).
        leaf_item: item index at each leaf. Shape (N,).
        item_leaf: leaf of each item index, the inverse of leaf_item. Shape (N,).
        item_path: node numbers at levels 1..L on the way from the root to each item index. Shape (N, L).
    """

    codebook_size: int
    parent: tuple[np.ndarray, ...]
    token: tuple[np.ndarray, ...]
    child_start: tuple[np.ndarray, ...]
    leaf_start: tuple[np.ndarray, ...]
    leaf_item: np.ndarray
    item_leaf: np.ndarray
    item_path: np.ndarray

    @classmethod
    def build(cls, codes: np.ndarray, codebook_size: int) -> "CatalogueTrie":
        """Sort a catalogue's codes and index them.

        Args:
            codes: one row per item index, no two alike. Shape (N, L), integers in 0..K-1.
            codebook_size: K.
        """
        codes = checked_codes(codes, codebook_size)
        order = lexicographic_order(codes, codebook_size)
        return cls.from_sorted(codes[order], order, codebook_size)

    @classmethod
    def from_sorted(cls, codes: np.ndarray, items: np.ndarray, codebook_size: int) -> "CatalogueTrie":
        """Index rows that are already in strictly increasing lexicographic order.

        Args:
            codes: one row per leaf. Shape (N, L), integers in 0..K-1.
            items: item index at each leaf, a permutation of 0..N-1. Shape (N,).
            codebook_size: K.

        Sorting the columns one by one gives an index that looks right and holds items that do not exist, so order and
        uniqueness are checked rather than assumed.
        """
        # 1. Refuse what is not a list of leaves: all later steps trust these checks.
        codes = checked_codes(codes, codebook_size)
        n_items, levels = codes.shape
        items = np.asarray(items)
        if items.shape != (n_items,) or not np.issubdtype(items.dtype, np.integer):
            raise InputError(f"items must be {n_items} integers, one per code row, not {items.dtype} of {items.shape}.")
        items = items.astype(np.int64)
        outside = np.flatnonzero((items < 0) | (items >= n_items))
        if len(outside):
            raise InputError(f"row {outside[0]} names item {items[outside[0]]}, outside 0..{n_items - 1}.")
        repeated = np.flatnonzero(np.bincount(items, minlength=n_items) > 1)
        if len(repeated):
            rows = np.flatnonzero(items == repeated[0])
            raise InputError(f"rows {rows[0]} and {rows[1]} both name item {repeated[0]}; give each item one row.")

        # 2. The first column in which a row differs from the row before it. It decides both whether the rows are in
        #    order and, at every level, whether the row opens a new node.
        differs = codes[1:] != codes[:-1]
        first = np.where(differs.any(axis=1), differs.argmax(axis=1), levels)
        same = np.flatnonzero(first == levels)
        if len(same):
            row = same[0]
            raise InputError(
                f"rows {row} and {row + 1} (items {items[row]} and {items[row + 1]}) share the code "
                f"{tuple(codes[row].tolist())}; every item needs its own code, so resolve the collision first."
            )
        step = np.arange(n_items - 1)
        falls = np.flatnonzero(codes[step + 1, first] < codes[step, first])
        if len(falls):
            row = falls[0]
            raise InputError(
                f"rows {row} and {row + 1} (codes {tuple(codes[row].tolist())} and {tuple(codes[row + 1].tolist())}) "
                "are not in lexicographic order; use CatalogueTrie.build, which sorts whole rows."
            )

        # 3. Number the nodes of each level by the row that opens them: a running count is the node number.
        opens = np.concatenate(([-1], first))
        leaf_start, path = [], np.empty((n_items, levels), dtype=np.int64)
        for level in range(levels + 1):
            new_node = opens < level
            new_node[0] = True
            leaf_start.append(np.append(np.flatnonzero(new_node), n_items))
            if level:
                path[:, level - 1] = np.cumsum(new_node) - 1

        # 4. Edges. A node's first leaf also opens its first child, so row pointers are a look-up of first leaves.
        empty = np.empty(0, dtype=np.int64)
        parent, token, child_start = [empty], [empty], []
        for level in range(1, levels + 1):
            rows = leaf_start[level][:-1]
            parent.append(path[rows, level - 2] if level > 1 else np.zeros(len(rows), dtype=np.int64))
            token.append(codes[rows, level - 1])
            child_start.append(np.searchsorted(leaf_start[level], leaf_start[level - 1]))

        # 5. From leaves to items and back.
        item_leaf, item_path = np.empty_like(items), np.empty_like(path)
        item_leaf[items] = np.arange(n_items)
        item_path[items] = path
        return cls(
            codebook_size=int(codebook_size),
            parent=tuple(map(_frozen, parent)),
            token=tuple(map(_frozen, token)),
            child_start=tuple(map(_frozen, child_start)),
            leaf_start=tuple(map(_frozen, leaf_start)),
            leaf_item=_frozen(items),
            item_leaf=_frozen(item_leaf),
            item_path=_frozen(item_path),
        )

    @property
    def levels(self) -> int:
        """L."""
        return len(self.child_start)

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.leaf_item)

    @property
    def nbytes(self) -> int:
        """Memory of all arrays, in bytes."""
        lists = (self.parent, self.token, self.child_start, self.leaf_start)
        single = (self.leaf_item, self.item_leaf, self.item_path)
        return sum(array.nbytes for arrays in lists for array in arrays) + sum(array.nbytes for array in single)

    def n_nodes(self, level: int) -> int:
        """V_l, for level 0..L."""
        return len(self.leaf_start[self._checked_level(level, self.levels)]) - 1

    def n_children(self, level: int) -> np.ndarray:
        """Number of legal children of each node of level 0..L-1. Shape (V_l,), int64."""
        return np.diff(self.child_start[self._checked_level(level, self.levels - 1)])

    def children_mask(self, level: int) -> np.ndarray:
        """True where node v of level 0..L-1 has child k. Shape (V_l, K), bool.

        Only for codebooks of at most 256 codes: a wider mask is mostly zeros.
        """
        self._checked_level(level, self.levels - 1)
        if self.codebook_size > DENSE_MASK_LIMIT:
            raise InputError(
                f"a dense mask over {self.codebook_size} codes is refused (the limit is {DENSE_MASK_LIMIT}); "
                "read child_start[level] and token[level + 1] instead, they list the children of each node."
            )
        mask = np.zeros((self.n_nodes(level), self.codebook_size), dtype=bool)
        mask[self.parent[level + 1], self.token[level + 1]] = True
        return mask

    def find(self, codes: np.ndarray) -> np.ndarray:
        """Item index of each code row, -1 where the catalogue has no such item. Shapes (B, L) to (B,), int64."""
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != self.levels:
            raise InputError(f"codes to look up must have {self.levels} columns; their shape is {codes.shape}.")
        legal = ((codes >= 0) & (codes < self.codebook_size)).all(axis=1)
        node = np.zeros(len(codes), dtype=np.int64)
        for level in range(1, self.levels + 1):
            # (parent, token) pairs increase with the node number, so one binary search walks all rows one level down.
            edges = self.parent[level] * self.codebook_size + self.token[level]
            wanted = node * self.codebook_size + np.where(legal, codes[:, level - 1], 0)
            node = np.minimum(np.searchsorted(edges, wanted), len(edges) - 1)
            legal &= edges[node] == wanted
        return np.where(legal, self.leaf_item[node], -1)

    @staticmethod
    def _checked_level(level: int, last: int) -> int:
        if not 0 <= level <= last:
            raise InputError(f"level {level} does not exist here; use 0..{last}.")
        return level

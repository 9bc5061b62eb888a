"""The catalogue trie, against brute force on random catalogues."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.trie import DENSE_MASK_LIMIT, CatalogueTrie, lexicographic_order


@st.composite
def catalogues(draw):
    """(codes, K): 1..60 distinct rows of 1..4 levels in random order; K from 1 (one item) to beyond packed sorting."""
    levels = draw(st.integers(1, 4))
    size = draw(st.sampled_from([1, 2, 3, 5, 256, 257, 8192, 2**40]))
    code = st.integers(0, min(size, 4) - 1) | st.integers(max(size - 2, 0), size - 1)
    rows = draw(st.lists(st.tuples(*[code] * levels), min_size=1, max_size=60, unique=True))
    return np.array(rows), size


@given(catalogues())
@settings(max_examples=150, deadline=None)
def test_every_item_is_walked_from_the_root_to_its_own_leaf(catalogue):
    codes, size = catalogue
    trie = CatalogueTrie.build(codes, size)
    for item, row in enumerate(codes):
        node = 0
        for level, code in enumerate(row):
            children = range(trie.child_start[level][node], trie.child_start[level][node + 1])
            (node,) = [child for child in children if trie.token[level + 1][child] == code]
            assert trie.item_path[item, level] == node
            assert trie.leaf_start[level + 1][node] <= trie.item_leaf[item] < trie.leaf_start[level + 1][node + 1]
        assert node == trie.item_leaf[item] and trie.leaf_item[node] == item


@given(catalogues())
@settings(max_examples=150, deadline=None)
def test_nodes_are_exactly_the_prefixes_in_lexicographic_order(catalogue):
    codes, size = catalogue
    trie = CatalogueTrie.build(codes, size)
    assert (trie.levels, trie.n_items) == (codes.shape[1], len(codes))
    prefixes = [()]
    for level in range(1, trie.levels + 1):
        spelled = [prefixes[p] + (int(t),) for p, t in zip(trie.parent[level], trie.token[level], strict=True)]
        assert spelled == sorted({tuple(row[:level].tolist()) for row in codes})
        under = [sum(tuple(row[:level].tolist()) == prefix for row in codes) for prefix in spelled]
        assert np.diff(trie.leaf_start[level]).tolist() == under
        prefixes = spelled
    assert prefixes == [tuple(codes[item].tolist()) for item in trie.leaf_item]


@given(catalogues())
@settings(max_examples=150, deadline=None)
def test_parents_children_and_counts_agree(catalogue):
    trie = CatalogueTrie.build(*catalogue)
    assert trie.parent[0].size == trie.token[0].size == 0 and trie.n_nodes(0) == 1
    for level in range(trie.levels):
        start = trie.child_start[level]
        assert start[0] == 0 and start[-1] == trie.n_nodes(level + 1) and (np.diff(start) > 0).all()
        assert (np.repeat(np.arange(trie.n_nodes(level)), np.diff(start)) == trie.parent[level + 1]).all()
        assert (trie.n_children(level) == np.bincount(trie.parent[level + 1])).all()
        # the same leaves hang under a node and under its children
        assert (trie.leaf_start[level] == trie.leaf_start[level + 1][start]).all()
    assert sorted(trie.leaf_item) == list(range(trie.n_items))
    assert (trie.item_leaf[trie.leaf_item] == np.arange(trie.n_items)).all()


@given(catalogues())
@settings(max_examples=150, deadline=None)
def test_the_mask_is_the_set_of_legal_children(catalogue):
    codes, size = catalogue
    trie = CatalogueTrie.build(codes, size)
    prefixes = [()]
    for level in range(trie.levels):
        if size > DENSE_MASK_LIMIT:
            with pytest.raises(InputError, match="child_start"):
                trie.children_mask(level)
            continue
        mask = trie.children_mask(level)
        assert mask.dtype == bool and mask.shape == (len(prefixes), size)
        rows = [tuple(row.tolist()) for row in codes]
        for prefix, allowed in zip(prefixes, mask, strict=True):
            assert set(np.flatnonzero(allowed).tolist()) == {row[level] for row in rows if row[:level] == prefix}
        prefixes = sorted({row[: level + 1] for row in rows})


@given(catalogues(), st.data())
@settings(max_examples=150, deadline=None)
def test_find_returns_the_item_or_minus_one(catalogue, data):
    codes, size = catalogue
    trie = CatalogueTrie.build(codes, size)
    index = {tuple(row.tolist()): item for item, row in enumerate(codes)}
    code = st.sampled_from(sorted(set(codes.ravel().tolist()) | {-1, 0, size - 1, size}))
    strangers = data.draw(st.lists(st.tuples(*[code] * trie.levels), max_size=20))
    queries = np.array(list(index) + strangers)
    assert trie.find(queries).tolist() == [index.get(tuple(row), -1) for row in queries.tolist()]


@given(st.integers(0, 2**32), st.sampled_from([3, 100, 2**40]))
@settings(max_examples=40, deadline=None)
def test_order_is_stable_and_the_same_for_packed_and_column_sorting(seed, size):
    rows = np.random.default_rng(seed).integers(0, 3, (50, 3))
    expected = sorted(range(50), key=lambda row: (*rows[row], row))
    assert lexicographic_order(rows, size).tolist() == expected


@pytest.mark.parametrize(
    ("codes", "items", "size", "message"),
    [
        ([[0, 1], [0, 0]], [0, 1], 2, r"rows 0 and 1 .*\(0, 1\).*\(0, 0\).* not in lexicographic order"),
        ([[0, 0], [1, 0], [0, 1]], [0, 1, 2], 2, "rows 1 and 2 .*lexicographic"),
        ([[0, 0], [0, 1], [0, 1]], [2, 0, 1], 2, r"rows 1 and 2 \(items 0 and 1\) share the code \(0, 1\)"),
        ([[0, 0], [0, 2]], [0, 1], 2, r"row 1 has code 2 at level 1, outside 0\.\.1"),
        ([[-1, 0], [0, 1]], [0, 1], 2, "row 0 has code -1 at level 0"),
        ([[0, 0], [0, 1]], [0, 0], 2, "rows 0 and 1 both name item 0"),
        ([[0, 0], [0, 1]], [0, 2], 2, "row 1 names item 2"),
        ([[0, 0], [0, 1]], [0], 2, "items must be 2 integers"),
        ([[0.0, 0.0]], [0], 2, "integers"),
        ([0, 1], [0, 1], 2, "at least one item by one level"),
        (np.empty((0, 3), int), [], 2, "at least one item by one level"),
        ([[0]], [0], 0, "codebook_size=0"),
    ],
)
def test_from_sorted_refuses_by_name(codes, items, size, message):
    with pytest.raises(InputError, match=message):
        CatalogueTrie.from_sorted(np.array(codes), np.array(items, dtype=int), size)


def test_build_names_the_items_that_share_a_code():
    with pytest.raises(InputError, match=r"\(items 1 and 3\) share the code \(0, 1\)"):
        CatalogueTrie.build(np.array([[1, 1], [0, 1], [1, 0], [0, 1]]), 2)


def test_arrays_are_read_only_and_levels_are_checked():
    trie = CatalogueTrie.build(np.array([[0, 1], [1, 1]]), 2)
    with pytest.raises(ValueError, match="read-only"):
        trie.token[1][0] = 1
    for call in (trie.n_children, trie.children_mask, trie.n_nodes):
        for level in (-1, 3):
            with pytest.raises(InputError, match=f"level {level} does not exist"):
                call(level)
    with pytest.raises(InputError, match="2 columns"):
        trie.find(np.array([[0]]))


def test_a_large_catalogue_is_indexed_without_a_loop_over_items():
    """200,000 items, 8,192 codes: any per-item Python object would show in the memory; every item must be found."""
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.unique(rng.integers(0, 8192, (200_000, 3)), axis=0))
    trie = CatalogueTrie.build(codes, 8192)
    assert (trie.find(codes) == np.arange(len(codes))).all()
    assert trie.nbytes < 150 * len(codes)

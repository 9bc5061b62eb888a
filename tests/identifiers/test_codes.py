"""Residual k-means, its collision resolution and the bounded assignment underneath."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from recbole_navigen.errors import InputError
from recbole_navigen.identifiers import balanced as assignment
from recbole_navigen.identifiers import codes as quantizer
from recbole_navigen.identifiers.balanced import bounded_assignment, nearest_centre, squared_distances
from recbole_navigen.identifiers.codes import residual_kmeans, resolve_collisions


@st.composite
def catalogues(draw):
    """(vectors, levels, codes): 1..60 items, many of them coinciding, down to a single distinct vector."""
    n_items = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    distinct = draw(st.integers(1, n_items))
    vectors = rng.normal(size=(distinct, draw(st.integers(1, 4))))[rng.integers(0, distinct, n_items)]
    levels = draw(st.integers(1, 4))
    fewest = next(k for k in range(1, n_items + 1) if k**levels >= n_items)
    return (
        vectors * draw(st.sampled_from([1e-6, 1.0, 1e6])),
        levels,
        draw(st.integers(fewest, min(n_items, fewest + 6))),
    )


@given(catalogues(), st.booleans())
@settings(max_examples=120, deadline=None)
def test_every_item_gets_its_own_code_in_range(catalogue, balanced):
    vectors, levels, codes = catalogue
    result = residual_kmeans(vectors, levels, codes, seed=3, balanced=balanced)
    assert result.codes.shape == (len(vectors), levels) and result.codes.dtype == np.int64
    assert result.codes.min() >= 0 and result.codes.max() < codes
    assert len(np.unique(result.codes, axis=0)) == len(vectors)
    for book in result.codebooks:
        assert book.shape == (codes, vectors.shape[1]) and book.dtype == np.float32 and np.isfinite(book).all()
    assert result.mean.shape == result.scale.shape == (vectors.shape[1],) and (result.scale > 0).all()


@given(catalogues())
@settings(max_examples=80, deadline=None)
def test_the_report_counts_what_a_recount_finds(catalogue):
    vectors, levels, codes = catalogue
    result = residual_kmeans(vectors, levels, codes, seed=1)
    report = json.loads(json.dumps(result.report))
    assert report == result.report and len(report["per_level"]) == levels
    points = (vectors - result.mean) / result.scale
    left, total = points.astype(np.float32), np.square(points).sum()
    for level, entry in enumerate(report["per_level"]):
        column = result.codes[:, level].tolist()
        share = np.array([column.count(code) for code in set(column)]) / len(column)
        assert entry["codes_in_use"] == len(share)
        assert entry["entropy_bits"] == pytest.approx(-(share * np.log2(share)).sum())
        prefixes = [tuple(row) for row in result.codes[:, : level + 1].tolist()]
        assert entry["shared_after"] == sum(prefixes.count(prefix) > 1 for prefix in prefixes)
        left = left - result.codebooks[level][column]
        if total > 1e-9:
            assert entry["reconstruction_error"] == pytest.approx(np.square(left).sum() / total, rel=1e-2, abs=1e-4)
        # only coarser levels that ran out of room may have moved an item
        assert entry["items_moved"] <= report["items_moved"]
    assert report["colliding_items_after"] == 0
    assert (report["colliding_items_before"] == 0) == (report["largest_group_before"] == 1)
    assert (report["colliding_items_before"] == 0) == (report["items_moved"] == 0)
    # n items that share a code need at least n - 1 moves, so pairs give the fewest: half of the colliding items
    assert report["items_moved"] >= report["colliding_items_before"] / 2


def test_a_level_without_collisions_is_plain_nearest_centroid_coding():
    vectors = np.random.default_rng(0).normal(size=(200, 8))
    result = residual_kmeans(vectors, 4, 32, seed=0)
    assert result.report["items_moved"] == 0
    residual = ((vectors - result.mean) / result.scale).astype(np.float32)
    for level, book in enumerate(result.codebooks):
        assert (nearest_centre(residual, book)[0] == result.codes[:, level]).all()
        residual -= book[result.codes[:, level]]
    errors = [entry["reconstruction_error"] for entry in result.report["per_level"]]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.1


def test_well_separated_clusters_are_found_whatever_the_scale_of_the_dimensions():
    """Without standardisation the second dimension, a thousandth of the first, would not count."""
    rng = np.random.default_rng(1)
    corners = np.array(list(product([-1.0, 1.0], repeat=2)))
    group = rng.integers(0, 4, 80)
    vectors = (corners[group] + rng.normal(scale=0.05, size=(80, 2))) * [1000.0, 1.0] + [0.0, 5000.0]
    codes = residual_kmeans(vectors, 4, 4, seed=0).codes[:, 0]
    assert len({(a, b) for a, b in zip(group.tolist(), codes.tolist(), strict=True)}) == 4


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_resolution_is_optimal_within_each_group_and_moves_only_what_must(seed, n_codes, levels):
    """Every group of the last level costs what linear_sum_assignment of the whole group costs."""
    rng = np.random.default_rng(seed)
    n_items = int(rng.integers(1, min(n_codes**levels, 40) + 1))
    points = rng.normal(size=(n_items, 3))[rng.integers(0, n_items, n_items)].astype(np.float32)  # some coincide
    books = [rng.normal(scale=0.5**level, size=(n_codes, 3)).astype(np.float32) for level in range(levels)]
    rest, columns = points.copy(), []
    for book in books:
        columns.append(nearest_centre(rest, book)[0])
        rest -= book[columns[-1]]
    before = np.stack(columns, axis=1)
    after = resolve_collisions(points, before, books)
    assert len(np.unique(after, axis=0)) == n_items and after.min() >= 0 and after.max() < n_codes

    rest = points.copy()
    for level, book in enumerate(books[:-1]):
        rest -= book[after[:, level]]
    groups: dict[tuple, list[int]] = {}
    for item, row in enumerate(after[:, :-1].tolist()):
        groups.setdefault(tuple(row), []).append(item)
    for items in groups.values():
        cost = np.square(rest[items][:, None] - books[-1]).sum(axis=-1)
        best = cost[linear_sum_assignment(cost)].sum()
        assert cost[np.arange(len(items)), after[items, -1]].sum() == pytest.approx(best, rel=1e-4)

    # a prefix is only left where it was too crowded
    for level in range(levels):
        room = n_codes ** (levels - level - 1)
        moved = np.flatnonzero((after[:, :level] == before[:, :level]).all(1) & (after[:, level] != before[:, level]))
        for item in moved:
            same_parent = (before[:, :level] == before[item, :level]).all(1) | (
                after[:, :level] == after[item, :level]
            ).all(1)
            assert same_parent.sum() > room, "an item moved although its group had room"


def test_a_group_larger_than_the_codebook_spills_into_its_neighbours():
    """28 coinciding items, 16 codes: the overflow moves to other codes of the level above, first code kept."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(300, 6))
    vectors[:28] = vectors[0]
    result = residual_kmeans(vectors, 3, 16, seed=0)
    assert len(np.unique(result.codes, axis=0)) == 300
    assert len(set(result.codes[:28, 0].tolist())) == 1
    assert 2 <= len(set(result.codes[:28, 1].tolist())) <= 3
    assert result.report["largest_group_before"] >= 28


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_an_item_that_had_to_leave_its_first_code_is_encoded_afresh_below(seed):
    """Two codes, three levels: a first code has room for 4 of the 5 items, and the fifth is alone where it goes."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(5, 2)).astype(np.float32)
    books = [rng.normal(size=(2, 2)).astype(np.float32) for _ in range(3)]
    books[0] = np.array([[0, 0], [10, 0]], dtype=np.float32)  # everybody's nearest is the first
    before = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [0, 1, 1]])
    after = resolve_collisions(points, before, books)
    (mover,) = np.flatnonzero(after[:, 0])
    regret = np.square(points - books[0][1]).sum(axis=1) - np.square(points - books[0][0]).sum(axis=1)
    assert mover == regret.argmin(), "the item that loses least moves"
    rest = points[mover] - books[0][1]
    for level in (1, 2):
        assert after[mover, level] == np.square(rest - books[level]).sum(axis=1).argmin()
        rest = rest - books[level][after[mover, level]]


@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(1, 40))
@settings(max_examples=80, deadline=None)
def test_bounded_assignment_is_exact_and_the_auction_keeps_its_bound(seed, n_centres, n_points):
    rng = np.random.default_rng(seed)
    capacity = -(-n_points // n_centres) + int(rng.integers(0, 3))
    cost = np.square(rng.normal(size=(n_points, n_centres))).round(int(rng.integers(0, 4)))  # rounded: many ties
    best = cost[linear_sum_assignment_with_room(cost, capacity)].sum()
    exact = bounded_assignment(cost, capacity)
    assert np.bincount(exact).max() <= capacity
    assert cost[np.arange(n_points), exact].sum() == pytest.approx(best)
    for step in (0.5, 0.01, 0.0005):
        home = assignment._auction(cost, capacity, step)
        assert home.min() >= 0 and np.bincount(home).max() <= capacity
        assert cost[np.arange(n_points), home].sum() <= best + n_points * step + 1e-9


def linear_sum_assignment_with_room(cost: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = linear_sum_assignment(np.tile(cost, capacity))
    return rows, columns % cost.shape[1]


@pytest.mark.parametrize("exact_up_to", [assignment.EXACT_UP_TO, 0])
def test_balanced_codes_are_bounded_before_resolution(monkeypatch, exact_up_to):
    monkeypatch.setattr(assignment, "EXACT_UP_TO", exact_up_to)
    vectors = np.random.default_rng(2).normal(size=(130, 5)) ** 3  # heavy tails: plain k-means is uneven here
    free, even = (residual_kmeans(vectors, 3, 12, seed=0, balanced=balanced) for balanced in (False, True))
    assert free.report["per_level"][0]["largest_code"] > 11
    assert even.report["per_level"][0]["largest_code"] == 11  # ceil(130 / 12); room for 144 above, so nobody moves
    assert even.report["per_level"][0]["entropy_bits"] > free.report["per_level"][0]["entropy_bits"]
    assert len(np.unique(even.codes, axis=0)) == 130


def test_dead_codes_are_reseeded_from_the_worst_represented_points(monkeypatch):
    vectors = np.random.default_rng(3).normal(size=(60, 2)).astype(np.float32)

    class Collapsed:
        """A k-means whose centroids all coincide, so that all but one code is dead."""

        def __init__(self, codes, **_):
            self.cluster_centers_ = np.zeros((codes, 2))

        def fit(self, points, sample_weight):
            return self

    monkeypatch.setattr("sklearn.cluster.KMeans", Collapsed)
    centres, reseeded, spare = quantizer._fit_codebook(vectors, 8, np.random.default_rng(0))
    assert (reseeded, spare) == (7, 0)
    assert len(np.unique(nearest_centre(vectors, centres)[0])) == 8
    worst = np.argsort(-np.square(vectors).sum(axis=1))[:7]
    assert {tuple(row) for row in vectors[worst]} < {tuple(row) for row in centres}


def test_fewer_distinct_points_than_codes_ends_and_is_reported():
    vectors = np.repeat(np.eye(3), [20, 6, 4], axis=0)
    result = residual_kmeans(vectors, 2, 8, seed=0)
    first = result.report["per_level"][0]
    assert (first["spare_codes"], first["reseeded_codes"], result.report["distinct_vectors"]) == (5, 0, 3)
    assert len(np.unique(result.codes, axis=0)) == 30
    assert len(np.unique(result.codebooks[0], axis=0)) == 8, "spare codes must not coincide"


@pytest.mark.parametrize("chunk", [1, 7, 10**6])
def test_nearest_centre_is_the_same_in_any_chunk(monkeypatch, chunk):
    monkeypatch.setattr(assignment, "CHUNK", chunk)
    rng = np.random.default_rng(4)
    points, centres = rng.normal(size=(50, 3)), rng.normal(size=(5, 3))
    direct = np.square(points[:, None] - centres).sum(axis=-1)
    label, least = nearest_centre(points, centres)
    assert (label == direct.argmin(axis=1)).all() and np.allclose(least, direct.min(axis=1))
    assert np.allclose(squared_distances(points, centres), direct)


def test_minibatches_serve_large_catalogues(monkeypatch):
    monkeypatch.setattr(quantizer, "MINIBATCH_ABOVE", 100)
    vectors = np.random.default_rng(6).normal(size=(400, 4))
    result = residual_kmeans(vectors, 3, 16, seed=0)
    assert len(np.unique(result.codes, axis=0)) == 400
    assert result.report["per_level"][0]["codes_in_use"] == 16
    assert result.report["per_level"][-1]["reconstruction_error"] < 0.1


SCRIPT = """
import hashlib, numpy as np
from recbole_navigen.identifiers.codes import residual_kmeans
vectors = np.random.default_rng(0).normal(size=(700, 16)).astype(np.float32)
vectors[:50] = vectors[0]
for balanced in (False, True):
    result = residual_kmeans(vectors, 3, 24, seed=SEED, balanced=balanced)
    print(hashlib.sha256(result.codes.tobytes() + b"".join(b.tobytes() for b in result.codebooks)).hexdigest())
"""


def test_the_seed_fixes_the_result_in_any_process_and_with_any_number_of_threads():
    def run(seed: int, threads: int) -> str:
        package = str(Path(quantizer.__file__).parents[2])
        environment = {"OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(threads), "PYTHONPATH": package}
        command = [sys.executable, "-c", SCRIPT.replace("SEED", str(seed))]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    assert run(1, 1) == run(1, 2) != run(2, 1)


VECTORS = np.random.default_rng(0).normal(size=(9, 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codes": 10}, "10 codes per level are more than the 9 items"),
        ({"levels": 3, "codes": 2}, "3 levels of 2 codes spell 8 identifiers, too few for 9 items"),
        ({"codes": 0}, "codes=0 must be a whole number of at least 1"),
        ({"levels": -1}, "levels=-1 must be a whole number of at least 1"),
        ({"codes": 2.5}, "codes=2.5 must be a whole number"),
        ({"levels": True}, "levels=True must be a whole number"),
        ({"seed": -1}, "seed=-1 must be"),
        ({"vectors": np.where(np.arange(9)[:, None] == 4, np.nan, VECTORS)}, "item index 4 is not finite"),
        ({"vectors": np.where(np.arange(9)[:, None] == 8, np.inf, VECTORS)}, "item index 8 is not finite"),
        ({"vectors": np.empty((0, 3))}, "table of items by dimensions"),
        ({"vectors": np.zeros(9)}, "table of items by dimensions"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(changes, message):
    with pytest.raises(InputError, match=message):
        residual_kmeans(**({"vectors": VECTORS, "levels": 2, "codes": 4, "seed": 0} | changes))

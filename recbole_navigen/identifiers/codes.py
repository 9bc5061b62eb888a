"""Residual k-means: collaborative vectors to one distinct tuple of codes per item.

Symbols: N items, D width, L levels, K codes per level, P distinct points (P <= N).

Level by level, k-means splits what the coarser levels left over (the residual). No training, no collapse, and a
centroid for every code that the language model's new rows can start from. Two facts of real catalogues shape this
file. Items that few people touched have *the same* vector, so no quantizer can tell them apart and a tie-break must:
here it is an assignment by distance inside the group, never a counter that means nothing. And a group can hold more
items than there are codes below it, so room is made from the coarsest level down.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.balanced import bounded_assignment, nearest_centre, squared_distances
from recbole_navigen.identifiers.table import code_use

N_INIT = 2  # k-means++ starts, the better by inertia is kept; starts differ by 0.1%, and starting costs most
MAX_ITER = 100
MINIBATCH_ABOVE = 100_000  # distinct points; full Lloyd steps would take minutes beyond it
RESEED_ROUNDS = 10
BALANCE_ROUNDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Quantization:
    """Codes of all items and what is needed to read them.

    Attributes:
        codes: no two rows alike. Shape (N, L), int64 in 0..K-1.
        codebooks: per level, the centroid of each code in standardised space. L arrays of shape (K, D), float32.
        residuals: what the centroids of an item's codes leave of its standardised vector. Shape (N, D), float32.
        mean: subtracted from each dimension. Shape (D,), float64.
        scale: then divided by; 1 where a dimension is constant. Shape (D,), float64.
        report: plain JSON values; see `residual_kmeans`.
    """

    codes: np.ndarray
    codebooks: tuple[np.ndarray, ...]
    residuals: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    report: dict


def residual_kmeans(vectors: np.ndarray, levels: int, codes: int, seed: int, balanced: bool = False) -> Quantization:
    """Give every item its own tuple of codes.

    Args:
        vectors: one row per item index. Shape (N, D).
        levels: L.
        codes: K, the same at every level.
        seed: fixes the result, whatever the number of threads.
        balanced: bound each code to ceil(N / K) items at every level before collisions are resolved, by
            `bounded_assignment` (exact on small input, else near-exact with a stated bound).

    Returns:
        The quantization. Its report holds, over all levels: `colliding_items_before` and `_after` (items whose whole
        code another item had), `largest_group_before`, `items_moved` (whose code changed to make it unique),
        `distinct_vectors`; and `per_level`: `codes_in_use`, `entropy_bits`, `largest_code`, `reseeded_codes`,
        `spare_codes`, `shared_before` and `shared_after` (items that share the code up to this level with another),
        `items_moved`, and the mean squared reconstruction error as a fraction of the input's variance
        (`reconstruction_error`, after; `reconstruction_error_before`).
    """
    import sklearn.cluster  # noqa: F401 (the limit below holds for libraries that are loaded by then)

    data = _checked(vectors, levels, codes, seed)
    n_items = len(data)
    # Multi-threaded reductions add in a different order every run; one thread makes the result a function of the seed.
    with threadpool_limits(limits=1):
        # 1. Standardise: k-means follows whichever dimension is largest, and unit-norm inputs are known to collapse.
        mean, scale = data.mean(axis=0), data.std(axis=0)
        scale[scale <= 1e-7 * np.abs(mean)] = 1.0  # a constant dimension's deviation is rounding, not information
        points = ((data - mean) / scale).astype(np.float32)
        rng = np.random.default_rng(seed)

        # 2. One codebook per level, on the residual of the level before.
        residual, codebooks, columns, per_level = points.copy(), [], [], []
        for _ in range(levels):
            centres, reseeded, spare = _fit_codebook(residual, codes, rng)
            if balanced:
                centres, column = _balance(residual, centres)
            else:
                column = nearest_centre(residual, centres)[0]
            residual = residual - centres[column]
            codebooks.append(centres)
            columns.append(column)
            per_level.append({"reseeded_codes": reseeded, "spare_codes": spare})
        before = np.stack(columns, axis=1).astype(np.int64)

        # 3. Make every code unique.
        after = resolve_collisions(points, before, codebooks)

    # 4. Count what happened.
    total = float(np.square(points, dtype=np.float64).sum()) or 1.0
    old, new = points.copy(), points.copy()
    for level, entry in enumerate(per_level):
        old -= codebooks[level][before[:, level]]
        new -= codebooks[level][after[:, level]]
        entry |= {
            **code_use(after[:, level]),
            "shared_before": int((group := _group_sizes(before[:, : level + 1]))[group > 1].sum()),
            "shared_after": int((group := _group_sizes(after[:, : level + 1]))[group > 1].sum()),
            "items_moved": int((before[:, level] != after[:, level]).sum()),
            "reconstruction_error": float(np.square(new, dtype=np.float64).sum() / total),
            "reconstruction_error_before": float(np.square(old, dtype=np.float64).sum() / total),
        }
    report = {
        "items": n_items,
        "levels": levels,
        "codes": codes,
        "seed": seed,
        "balanced": balanced,
        "distinct_vectors": len(np.unique(data, axis=0)),
        "colliding_items_before": per_level[-1]["shared_before"],
        "colliding_items_after": per_level[-1]["shared_after"],
        "largest_group_before": int(_group_sizes(before).max()),
        "items_moved": int((before != after).any(axis=1).sum()),
        "per_level": per_level,
    }
    return Quantization(after, tuple(codebooks), new, mean, scale, report)


def _checked(vectors: np.ndarray, levels: int, codes: int, seed: int) -> np.ndarray:
    """The vectors in float64, or an InputError. Shape (N, D)."""
    data = np.asarray(vectors, dtype=np.float64)
    if data.ndim != 2 or 0 in data.shape:
        raise InputError(f"the vectors to quantize must be a table of items by dimensions, not of shape {data.shape}.")
    for name, value in (("levels", levels), ("codes", codes)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise InputError(f"{name}={value!r} must be a whole number of at least 1.")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed={seed!r} must be a whole number of at least 0.")
    n_items = len(data)
    bad = np.flatnonzero(~np.isfinite(data).all(axis=1))
    if len(bad):
        raise InputError(
            f"the vector of item index {bad[0]} is not finite ({len(bad)} of {n_items} items); "
            "check the collaborative model's training."
        )
    if codes > n_items:
        raise InputError(f"{codes} codes per level are more than the {n_items} items; lower the codebook size.")
    if codes ** int(levels) < n_items:
        raise InputError(
            f"{levels} levels of {codes} codes spell {codes ** int(levels)} identifiers, too few for {n_items} items; "
            "raise the number of levels or the codebook size."
        )
    return data


def _fit_codebook(residual: np.ndarray, codes: int, rng: np.random.Generator) -> tuple[np.ndarray, int, int]:
    """K centroids for one level.

    Args:
        residual: what the coarser levels left over. Shape (N, D), float32.
        codes: K.
        rng: source of this level's randomness.

    Returns:
        Centroids, shape (K, D), float32; how many dead ones were re-seeded; how many are spare (P < K, so that no item
        can use them).
    """
    points, weight = np.unique(residual, axis=0, return_counts=True)
    state = int(rng.integers(2**31))

    # 1. Too few distinct points: each is its own centroid. The spare codes lie close to the most crowded points, whose
    #    coinciding items are the ones that will need codes of their own.
    if len(points) <= codes:
        crowded = np.argsort(-weight, kind="stable")
        near = points[crowded[np.arange(codes - len(points)) % len(points)]]
        jitter = 0.01 * (points.std() + 1e-3) * rng.standard_normal(near.shape)
        return np.concatenate((points, near + jitter.astype(np.float32))), 0, len(near)

    # 2. k-means, coinciding points as one point of greater weight.
    from sklearn import cluster, exceptions

    if len(points) > MINIBATCH_ABOVE:
        batch = max(8192, 4 * codes)
        model = cluster.MiniBatchKMeans(codes, n_init=N_INIT, max_iter=MAX_ITER, batch_size=batch, random_state=state)
    else:
        model = cluster.KMeans(codes, n_init=N_INIT, max_iter=MAX_ITER, random_state=state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)  # dead codes are dealt with below
        centres = model.fit(points, sample_weight=weight.astype(np.float32)).cluster_centers_.astype(np.float32)

    # 3. A dead code moves onto the point that is represented worst. A round can orphan another code, hence a few
    #    rounds; P > K, so there are always enough points that are no centroid yet.
    reseeded = 0
    for _ in range(RESEED_ROUNDS):
        label, error = nearest_centre(points, centres)
        dead = np.flatnonzero(np.bincount(label, minlength=codes) == 0)
        if not len(dead):
            break
        centres[dead] = points[np.argsort(-weight * error, kind="stable")[: len(dead)]]
        reseeded += len(dead)
    return centres, reseeded, 0


def _balance(residual: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounded Lloyd steps: no code keeps more than ceil(N / K) items. Shapes (N, D), (K, D) to (K, D), (N,)."""
    capacity = -(-len(residual) // len(centres))
    column = bounded_assignment(squared_distances(residual, centres), capacity)
    for _ in range(BALANCE_ROUNDS):
        counts = np.bincount(column, minlength=len(centres))
        ones, items = np.ones(len(column), dtype=np.float32), np.arange(len(column))
        members = csr_array((ones, (column, items)), shape=(len(centres), len(column)))
        means = (members @ residual) / np.maximum(counts, 1)[:, None].astype(np.float32)
        centres = np.where(counts[:, None] > 0, means, centres)
        column = bounded_assignment(squared_distances(residual, centres), capacity)
    return centres, column


def _group_sizes(codes: np.ndarray) -> np.ndarray:
    """Number of items with each distinct row. Shape (N, L) to (groups,)."""
    return np.unique(codes, axis=0, return_counts=True)[1]


def resolve_collisions(points: np.ndarray, codes: np.ndarray, codebooks: list[np.ndarray]) -> np.ndarray:
    """Reassign items, at the least cost in distance, so that no two share a code.

    Args:
        points: standardised vectors. Shape (N, D), float32.
        codes: codes before. Shape (N, L).
        codebooks: L arrays of shape (K, D).

    Returns:
        Codes after, unique rows. Shape (N, L), int64. Needs K ** L >= N.

    From the coarsest level down: under a prefix of l codes there is room for K ** (L - l) items, and a group that has
    more gives the overflow to other codes of the same parent, which has the room because it was dealt with before.
    The assignment within a parent minimises the summed squared distance. At the last level the room is one item per
    code, which makes this the optimal reassignment of every group that collides. An item that moved at one level
    takes its nearest codes at the levels below.
    """
    codes = codes.copy()
    n_items, levels = codes.shape
    n_codes = len(codebooks[0])
    residual = points.copy()
    parent = np.zeros(n_items, dtype=np.int64)  # number of each item's prefix
    for level, centres in enumerate(codebooks):
        room = n_codes ** (levels - level - 1)
        # 1. Parents with a crowded child, and their items as contiguous runs.
        edge = parent * n_codes + codes[:, level]
        values, counts = np.unique(edge, return_counts=True)
        crowded = np.unique(values[counts > room] // n_codes)
        order = np.argsort(parent, kind="stable")
        starts = np.searchsorted(parent[order], crowded, side="left")
        stops = np.searchsorted(parent[order], crowded, side="right")
        # 2. Share out each such parent's items over its K codes.
        moved = []
        for start, stop in zip(starts, stops, strict=True):
            items = order[start:stop]
            cost = squared_distances(residual[items], centres)
            chosen = linear_sum_assignment(cost)[1] if room == 1 else bounded_assignment(cost, room)
            changed = chosen != codes[items, level]
            codes[items[changed], level] = chosen[changed]
            moved.append(items[changed])
        residual -= centres[codes[:, level]]
        # 3. What a moved item has left over is new: encode it again below.
        if moved and level + 1 < levels and len(again := np.concatenate(moved)):
            rest = residual[again].copy()
            for below in range(level + 1, levels):
                codes[again, below] = nearest_centre(rest, codebooks[below])[0]
                rest -= codebooks[below][codes[again, below]]
        parent = np.unique(parent * n_codes + codes[:, level], return_inverse=True)[1]
    return codes

"""Intervals and tests over users: the paired bootstrap, all pairs of models at once, and groups of users."""

from dataclasses import dataclass

import numpy as np

from recbole_navigen.errors import InputError

RESAMPLES = 10_000
_CHUNK = 2**22  # resampled users held at once


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its two-sided bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


def resampled_means(values: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Means of several values a user over the same resamples of users, so that all comparisons are paired.

    Args:
        values: one row a quantity, one column a user. Shape (V, B).
        resamples: draws of B users with replacement, R.
        seed: of the draws.

    Returns:
        (V, R), float64.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise InputError(f"an interval needs at least two users in one row, not an array of shape {values.shape}.")
    users = values.shape[1]
    rng = np.random.default_rng(seed)
    means = np.empty((len(values), resamples))
    step = max(1, _CHUNK // users)
    for begin in range(0, resamples, step):
        # A resample is the number of times each user was drawn; all means are then one matrix product.
        rows = min(step, resamples - begin)
        drawn = rng.integers(users, size=(rows, users)) + users * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * users).reshape(rows, users)
        means[:, begin : begin + rows] = values @ times.T.astype(np.float64) / users
    return means


def interval(mean: float, draws: np.ndarray, level: float = 0.95) -> Interval:
    """Percentile interval of a mean from its resampled values, shape (R,)."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(mean), float(low), float(high))


def bootstrap(values: np.ndarray, resamples: int = RESAMPLES, level: float = 0.95, seed: int = 0) -> Interval:
    """Percentile bootstrap of a mean over users; of per-user differences, it is the paired bootstrap.

    Args:
        values: one value a user. Shape (B,).
        resamples: draws of B users with replacement.
        level: coverage. seed: of the draws.
    """
    row = np.asarray(values, dtype=np.float64)[None]
    return interval(float(row.mean()), resampled_means(row, resamples, seed)[0], level)


def resampled_choice(valid: np.ndarray, test: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Test means of the trial that validation chooses, over resamples of users *and* of trials: with other validation
    users, or other draws from the search space, another trial would have been chosen, and its test is what would count.

    Args:
        valid: values of each trial for each validation user. Shape (T, V).
        test: the same for each test user, who are drawn as `resampled_means` draws them under `seed`, so that the
            result is paired with that of other models. Shape (T, B).
        resamples: R. seed: of the draws.

    Returns:
        Shape (R,).
    """
    trials, each = len(valid), np.arange(resamples)
    drawn = np.zeros((trials, resamples), dtype=bool)
    drawn[np.random.default_rng([seed, 2]).integers(trials, size=(trials, resamples)), each] = True
    scores = np.where(drawn, resampled_means(valid, resamples, seed + 1), -np.inf)
    return resampled_means(test, resamples, seed)[scores.argmax(axis=0), each]


def mean_interval(values: np.ndarray, resamples: int = RESAMPLES) -> Interval:
    """`bootstrap` of any number of users, shape (B,): of one there is a mean and no interval, of none neither (nan)."""
    if len(values) > 1:
        return bootstrap(values, resamples)
    return Interval(float(values[0]) if len(values) else np.nan, np.nan, np.nan)


def two_sided_p(draws: np.ndarray) -> float:
    """Two-sided p-value of a difference from its resampled means, shape (R,): the level at which the percentile
    interval starts to hold 0. Never below 2 / (R + 1), the finest that R draws can tell.
    """
    below, above = int((draws <= 0).sum()), int((draws >= 0).sum())
    return min(1.0, 2 * (1 + min(below, above)) / (1 + len(draws)))


def all_pairs_p(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """P-values of the differences of all pairs of models, corrected for the whole family of pairs.

    The largest of all pairs' studentised differences is resampled: with probability 1 - a no pair of equal models has a
    p-value below a, whichever pairs are looked at afterwards. So models may be compared with the best one *observed*,
    which a correction over the other models alone does not allow, since which model is the best was seen first. This is
    the single-step maximum statistic (Westfall and Young, 1993, section 2.5) over Tukey's family.

    Args:
        values: of each model for each user. Shape (M, B).
        draws: the models' resampled means, of the same draws of users. Shape (M, R).

    Returns:
        Shape (M, M), symmetric; 1 on the diagonal and between models that agree on every user. Never below 1 / (R + 1).
    """
    models, users = values.shape
    distances, largest = np.zeros((models, models)), np.zeros(draws.shape[1])
    for one in range(models):
        for other in range(one):
            differences = values[one] - values[other]
            error = differences.std() / np.sqrt(users)
            if error == 0 and not differences[0]:
                continue
            mean = differences.mean()
            # A difference that is the same for every user has no error, and none of its draws differs from it.
            distances[one, other] = distances[other, one] = abs(mean) / error if error else np.inf
            if error:
                np.maximum(largest, np.abs(draws[one] - draws[other] - mean) / error, out=largest)
    found = (1 + len(largest) - np.searchsorted(np.sort(largest), distances)) / (1 + len(largest))
    return np.where(distances == 0, 1.0, found)


def thirds(values: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Cut values into three groups of about equal mass, the smallest values first.

    Args:
        values: what to sort by. Shape (N,).
        mass: weight of each. Shape (N,), not negative.

    Returns:
        0, 1 or 2. Shape (N,), int64. Equal values stay together, in the third in which the middle of their mass lies.
    """
    levels, place = np.unique(values, return_inverse=True)
    held = np.bincount(place, weights=mass, minlength=len(levels))
    middle = (np.cumsum(held) - held / 2) / max(held.sum(), 1)
    return np.minimum((3 * middle).astype(np.int64), 2)[place]

"""Intervals over users."""

from dataclasses import dataclass

import numpy as np

from recbole_navigen.errors import InputError

_CHUNK = 2**24  # resampled values held at once


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its two-sided bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


def bootstrap(values: np.ndarray, resamples: int = 10_000, level: float = 0.95, seed: int = 0) -> Interval:
    """Percentile bootstrap of a mean over users; of per-user differences, it is the paired bootstrap.

    Args:
        values: one value a user. Shape (B,).
        resamples: draws of B users with replacement.
        level: coverage. seed: of the draws.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise InputError(f"an interval needs at least two users in one row, not an array of shape {values.shape}.")
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    step = max(1, _CHUNK // len(values))
    for begin in range(0, resamples, step):
        end = min(begin + step, resamples)
        means[begin:end] = values[rng.integers(len(values), size=(end - begin, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))

"""Who gets what: exposure and quality by groups of items and users, and what instructions show beside what users chose.

Exposure of a rank is 1 / log2(1 + rank) (Singh and Joachims, 2018). An amplification ratio is a share in what is handed
out divided by the same share in the histories (Zhao et al., 2017): above 1, what was common gets more common. Diversity
is the entropy of such shares. All intervals are over users, and paired: both sides of a ratio are of one resample.

Symbols: B users, K ranks, C groups of items or values of an attribute, R resamples.
"""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from recbole_navigen.evaluation.statistics import Interval, interval, resampled_means

RESAMPLES = 2000
# Words that say of a person what a picture will show: attribute -> value -> words.
PERSONS = {
    "gender": {
        "women": "woman women girl girls she her hers lady ladies mother daughter sister wife bride queen princess "
        "actress heroine witch nun aunt grandmother female",
        "men": "man men boy boys he him his gentleman gentlemen father son brother husband groom king prince actor "
        "hero wizard monk uncle grandfather male",
    },
    "age": {
        "young": "child children kid kids boy boys girl girls baby babies young teen",
        "old": "old elderly aged grandmother grandfather grandma grandpa retired",
    },
}
_WORDS = re.compile(r"[a-z]+")


def exposure(groups: np.ndarray, count: int) -> np.ndarray:
    """The share of each user's exposure that each group of items gets.

    Args:
        groups: group of the item at each rank, the best first. Shape (B, K). count: of groups, C.

    Returns:
        Shape (B, C); rows add up to 1.
    """
    weight = 1 / np.log2(2 + np.arange(groups.shape[1]))
    return np.stack([(groups == group) @ weight for group in range(count)], axis=1) / weight.sum()


def mentions(texts: Sequence[str], values: Mapping[str, str]) -> np.ndarray:
    """How often each text names a value of an attribute. values: value -> its words. Shape (B, C)."""
    counts, known = np.zeros((len(texts), len(values))), [set(names.split()) for names in values.values()]
    for row, text in enumerate(texts):
        words = _WORDS.findall(text.lower())
        counts[row] = [sum(word in names for word in words) for names in known]
    return counts


def amplification(after: np.ndarray, before: np.ndarray) -> list[Interval]:
    """Ratio of a share in what is handed out to the share in the histories, one for each of C values.

    Args:
        after, before: how much of each value every user has. Shapes (B, C). Shares are those of the sums over users.
    """
    means = _ratio(_shares(after.mean(axis=0)), _shares(before.mean(axis=0)))
    ratios = []
    for mean, draws in zip(means, _drawn(after, before, _ratio), strict=True):
        known = draws[np.isfinite(draws)]
        ratios.append(interval(float(mean), known) if len(known) else Interval(float(mean), np.nan, np.nan))
    return ratios


def diversity_ratio(after: np.ndarray, before: np.ndarray) -> tuple[float, float, Interval]:
    """Entropy in bits of what is handed out and of the histories, and the ratio of the two; see `amplification`."""
    own, history = (float(entropy(_shares(side.mean(axis=0)))) for side in (after, before))
    draws = _drawn(after, before, lambda one, other: (entropy(one) / np.maximum(entropy(other), 1e-12))[None])[0]
    return own, history, interval(own / max(history, 1e-12), draws)


def entropy(shares: np.ndarray) -> np.ndarray:
    """Entropy in bits along the first axis. (C, ...) -> (...)."""
    return -np.where(shares > 0, shares * np.log2(np.maximum(shares, 1e-300)), 0.0).sum(axis=0)


def largest_gap(values: np.ndarray, groups: np.ndarray, seed: int = 0) -> Interval:
    """The best group's mean less the worst one's, with users resampled within groups. (B,), (B,) ints.

    Both groups are those of the data, so that chance alone does not make a gap in every resample.
    """
    means = {group: values[groups == group].mean() for group in np.unique(groups)}
    best, worst = max(means, key=means.get), min(means, key=means.get)
    sides = [_resampled(values[groups == group], seed + place) for place, group in enumerate((best, worst))]
    return interval(float(means[best] - means[worst]), sides[0] - sides[1])


def _resampled(values: np.ndarray, seed: int) -> np.ndarray:
    """Resampled means of one group, (R,)."""
    if len(values) < 2:
        return np.full(RESAMPLES, values.mean())
    return resampled_means(values[None], RESAMPLES, seed)[0]


def _drawn(after: np.ndarray, before: np.ndarray, ratio: Callable) -> np.ndarray:
    """A ratio of shares in each resample of the users. Shape (any, R)."""
    count = after.shape[1]
    means = resampled_means(np.concatenate([after, before], axis=1).T, RESAMPLES)
    return ratio(_shares(means[:count]), _shares(means[count:]))


def _shares(amounts: np.ndarray) -> np.ndarray:
    """Amounts as shares along the first axis."""
    return amounts / np.maximum(amounts.sum(axis=0), 1e-12)


def _ratio(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.where(other > 0, own / np.where(other > 0, other, 1), np.nan)

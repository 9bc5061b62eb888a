"""The rank of every user's target in an exact full ranking: all top-k metrics of leave-one-out follow from it.

Two protocols: among *all* items, and among the *unseen* ones, that is without what the user consumed before the target
(the target itself always stays). RecBole's evaluator uses the first for sequential and the second for general models;
here both are computed for every model from the same scores. Ranks count from 0.

Symbols: B users, N items, k places of a list.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.data.dataset import TARGET_POSITION


def rank_among(scores: Tensor, target: Tensor) -> Tensor:
    """Rank of a score among others.

    Args:
        scores: of every candidate, the target included. Shape (B, N).
        target: the target's. Shape (B, 1).

    Returns:
        How many are above it, and half of those that tie with it: a model that scores everything alike gains nothing.
        Scores that are not numbers count as ties. Shape (B,), int64.
    """
    above, below = (scores > target).sum(dim=1), (scores < target).sum(dim=1)
    return (above + scores.shape[1] - 1 - below) // 2


@torch.no_grad()
def full_sort_ranks(model, loader) -> tuple[np.ndarray, np.ndarray]:
    """Rank the target of every user in both protocols, from one pass over all scores.

    Args:
        model: a RecBole model with `full_sort_predict`, on its device.
        loader: a full-ranking loader of a leave-one-out split, with one row a user: of the test part, or of either part
            for models that read histories, whose rows know the places of their targets.

    Returns:
        Ranks among all items and among unseen items, int64, in the order of internal user ids. Shapes (B,), (B,).
    """
    model.eval()
    data = loader._dataset
    last = data.timeline.last()
    ranks = np.full((2, len(last)), -1)
    for interaction, *_ in loader:
        rows = np.searchsorted(data.timeline.users[last], interaction[data.uid_field].cpu().numpy())
        targets = interaction[TARGET_POSITION].cpu().numpy() if TARGET_POSITION in interaction else last[rows]
        ranks[:, rows] = _both(_scores(model, interaction), data.timeline, targets)
    return ranks[0], ranks[1]


@torch.no_grad()
def ranks_at(model, interaction, timeline) -> np.ndarray:
    """Ranks of the targets that rows name by their `TARGET_POSITION`, in both protocols. (2, B), int64.

    Args:
        model: a RecBole model that reads histories, in evaluation mode. interaction: rows with histories.
        timeline: all interactions.
    """
    return np.array(_both(_scores(model, interaction), timeline, interaction[TARGET_POSITION].cpu().numpy()))


def _scores(model, interaction) -> Tensor:
    """Scores of all items with the padding item last in every ranking. Shape (B, N + 1)."""
    scores = model.full_sort_predict(interaction.to(model.device)).view(-1, model.n_items)
    scores[:, 0] = -torch.inf
    return scores


def _both(scores: Tensor, timeline, positions: np.ndarray) -> list[np.ndarray]:
    """Ranks of the targets at `positions` (B,) under scores (B, N + 1), in both protocols. The scores are used up."""
    target = scores.gather(1, torch.from_numpy(timeline.items[positions])[:, None].to(scores.device))
    among_all = rank_among(scores, target)
    scores[tuple(torch.from_numpy(part) for part in timeline.history(positions))] = -torch.inf
    return [among_all.cpu().numpy(), rank_among(scores, target).cpu().numpy()]


def ndcg(ranks: np.ndarray, k: int) -> np.ndarray:
    """NDCG@k of single targets from their ranks: 1 / log2(rank + 2) within the first k, else 0. Shape as ranks."""
    return np.where(ranks < k, 1.0 / np.log2(ranks + 2.0), 0.0)


def recall(ranks: np.ndarray, k: int) -> np.ndarray:
    """Recall@k (= Hit@k) of single targets from their ranks: 1 within the first k, else 0. Shape as ranks."""
    return (ranks < k).astype(np.float64)


def reciprocal_rank(ranks: np.ndarray, k: int) -> np.ndarray:
    """MRR@k (= MAP@k) of single targets from their ranks: 1 / (rank + 1) within the first k, else 0. Shape as ranks."""
    return np.where(ranks < k, 1.0 / (ranks + 1.0), 0.0)


def precision(ranks: np.ndarray, k: int) -> np.ndarray:
    """Precision@k of single targets from their ranks: 1 / k within the first k, else 0. Shape as ranks."""
    return recall(ranks, k) / k


# RecBole's names of the metrics that follow from the rank of a single target.
METRICS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "ndcg": ndcg,
    "recall": recall,
    "hit": recall,
    "mrr": reciprocal_rank,
    "map": reciprocal_rank,
    "precision": precision,
}


def places(metric: str) -> int:
    """How many places a metric such as ndcg@10 looks at."""
    return int(metric.partition("@")[2])


def metric_values(metric: str, ranks: np.ndarray) -> np.ndarray:
    """Values of a metric such as ndcg@10 for single targets from their ranks. Shape as ranks, float64."""
    return METRICS[metric.partition("@")[0]](ranks, places(metric))

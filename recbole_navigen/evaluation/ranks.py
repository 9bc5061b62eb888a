"""The rank of every user's target in an exact full ranking: all top-k metrics of leave-one-out follow from it."""

import numpy as np
import torch

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.errors import InputError


@torch.no_grad()
def target_ranks(model, loader) -> tuple[np.ndarray, np.ndarray]:
    """Rank each target among all items, as RecBole's evaluator would, in the loader's order.

    Args:
        model: a RecBole model with `full_sort_predict`, on its device.
        loader: a full-ranking evaluation loader with one target a row, such as data_preparation's.

    Returns:
        Internal user ids (B,) and ranks from 0 (B,), int64. Ties count half of the items that share the target's score,
        so that a model that scores everything alike gains nothing.
    """
    model.eval()
    users, ranks = [], []
    for interaction, history, positive_rows, positive_items in loader:
        scores = model.full_sort_predict(interaction.to(model.device)).view(-1, model.n_items).float()
        scores[:, 0] = -torch.inf
        if history is not None:
            scores[history] = -torch.inf
        if len(positive_items) != len(scores):
            raise InputError("ranks need one target a row; use a leave-one-out split.")
        own = scores[positive_rows, positive_items][:, None]
        above, tied = (scores > own).sum(dim=1), (scores == own).sum(dim=1) - 1
        ranks.append((above + tied // 2).cpu().numpy())
        users.append(interaction[loader._dataset.uid_field].cpu().numpy())
    return np.concatenate(users), np.concatenate(ranks)


def ndcg(ranks: np.ndarray, k: int) -> np.ndarray:
    """NDCG@k of single targets from their ranks: 1 / log2(rank + 2) within the first k, else 0. Shape as ranks."""
    return np.where(ranks < k, 1.0 / np.log2(ranks + 2.0), 0.0)


def recall(ranks: np.ndarray, k: int) -> np.ndarray:
    """Recall@k (= Hit@k) of single targets from their ranks: 1 within the first k, else 0. Shape as ranks."""
    return (ranks < k).astype(np.float64)

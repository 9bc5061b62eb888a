"""Several finished runs as one model: the mean of what they expect, or one that nominates and one that ranks.

`fusion: mean` is the ensemble that any gain of a single model has to be told from: two SASRecs of different seeds are
better than one. `fusion: rerank` is the way of generators with a dense head (LIGER, arXiv:2411.18814): the first member
nominates its best items, the second ranks these among themselves.

Symbols: B users, N items, M members.
"""

import math
from collections.abc import Sequence

import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from torch import Tensor

from recbole_navigen.baselines.untrained import Untrained


class Ensemble(Untrained):
    """Scores of finished models, put together; nothing is trained.

    Args:
        config: RecBole's config with the keys of properties/model/Ensemble.yaml.
        dataset: the training part of the data set.
        members: trained models of the same data set. They are no parameters of this one.
    """

    def __init__(self, config: Config, dataset: Dataset, members: Sequence[AbstractRecommender] = ()):
        super().__init__(config, dataset)
        self._members = [tuple(members)]  # in a list, so that they are not registered
        self.fusion, self.candidates = config["fusion"], config["candidates"]

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items by internal id, log-probabilities with `fusion: mean`; -inf for the padding item. Shape
        (B, N + 1), float32.
        """
        each = []
        for member in self._members[0]:
            scores = member.full_sort_predict(interaction).view(-1, self.n_items).float().clone()
            scores[:, 0] = -torch.inf
            each.append(scores.log_softmax(dim=1))
        if self.fusion == "mean":
            return torch.logsumexp(torch.stack(each), dim=0) - math.log(len(each))
        # The nominated in the order of the second, all of them above the rest, which keeps that of the first.
        first, second = each
        nominated = first.topk(min(self.candidates, self.n_items - 1), dim=1).indices
        order = second.gather(1, nominated)
        above = first.max(dim=1, keepdim=True).values + order - order.min(dim=1, keepdim=True).values
        return first.scatter(1, nominated, above + 1e-3)

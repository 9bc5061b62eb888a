"""NaviGen: a RecBole sequential recommender around a causal language model over dual identifiers.

Reference: "Navigating User Behavior toward Personalized Multimodal Generation", arXiv:2606.24196.
"""

import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor
from torch.nn import functional as F

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.rendering import Rendered
from recbole_navigen.model.build import build_lm
from recbole_navigen.model.dense import item_softmax_loss, softmax_size
from recbole_navigen.model.repeats import seen_items
from recbole_navigen.model.scoring import ExactScorer
from recbole_navigen.model.topk import TopK, TopKSearch, log_normaliser, recommend


class NaviGen(SequentialRecommender):
    """Reads a history of dual identifiers and gives every item its exact log-probability of being next.

    Args:
        config: RecBole's config with the keys of properties/model/NaviGen.yaml.
        dataset: the training part of the data set.
        table: both identifiers of every item, in the order of RecBole's internal ids.
        tokenizer: of the text part of the stream; the backbone's own, or one trained on the catalogue.
    """

    input_type = InputType.POINTWISE
    scores_are_log_probabilities = True

    def __init__(self, config: Config, dataset: Dataset, table: DualIdentifierTable, tokenizer):
        super().__init__(config, dataset)
        if table.n_items != self.n_items - 1:
            raise InputError(
                f"the identifier table has {table.n_items} items and the data set {self.n_items - 1}; "
                "build it for this data."
            )
        self.table = table
        self.lm, self.renderer = build_lm(config, table, tokenizer)
        self.scorer = ExactScorer(self.lm, config["scoring_memory"])
        self.search = TopKSearch(self.scorer)
        self.sampled_softmax = softmax_size(config["sampled_softmax"], table.n_items)
        self.label_smoothing = config["label_smoothing"]
        self.evaluation_top_k: int | None = None

    def losses(self, interaction: Interaction) -> dict[str, Tensor]:
        """Negative log-likelihoods of every next item of the windows in a batch, in nats an item: `cid2cid` by its
        codes and, with `fusion: dense`, `dense` by the dense score.

        Args:
            interaction: ITEM_SEQ (B, T) windows of user rows and ITEM_SEQ_LEN (B,), as UserRowLoader yields them.
        """
        lm = self.lm
        rendered = self.renderer.cid2cid(interaction[self.ITEM_SEQ].cpu(), interaction[self.ITEM_SEQ_LEN].cpu(), True)
        rendered = rendered.to(self.device)
        states = lm.target_states(rendered)
        log_probs = lm.target_log_probs(rendered, states, self.label_smoothing)
        losses = {"cid2cid": -log_probs.sum(dim=0).mean()}
        if lm.dense is not None:
            wanted = rendered.targets > 0
            query = lm.dense.query(states[0][wanted])
            losses["dense"] = item_softmax_loss(
                query, rendered.targets[wanted], lm.item_vectors, self.n_items - 1, self.sampled_softmax
            )
        return losses

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Sum of `losses`, a scalar; the trainer weighs them by `task_weights`."""
        return sum(self.losses(interaction).values())

    @torch.no_grad()
    def predict(self, interaction: Interaction) -> Tensor:
        """Exact log-probability of one given item a row, shape (B,)."""
        histories, items = interaction[self.ITEM_SEQ], interaction[self.ITEM_ID][:, None]
        rendered = self.history(interaction)
        log_probs = self.scorer.of_items(rendered, items, self.lm.second)[:, 0]
        shifts = self.lm.repeats.shifts((histories == items).any(dim=1))
        return log_probs + shifts - log_normaliser(self.scorer, rendered, histories)

    @torch.no_grad()
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Log-probability of every item, by internal id; the padding item has -inf. Shape (B, N + 1), float32.

        While `evaluation_top_k` is set (by the trainer, for metrics that look at the top of the ranking only), just the
        exact top of each row carries its value; all other items share one finite score below it.
        """
        rendered = self.history(interaction)
        shifts = self.lm.repeats.shifts(seen_items(interaction[self.ITEM_SEQ], self.table.n_items))
        if self.evaluation_top_k is None:
            log_probs = (self.scorer.full_sort(rendered, self.lm.second) + shifts).log_softmax(dim=1)
            return F.pad(log_probs, (1, 0), value=-torch.inf)
        # The normaliser is the same for all items of a user, so it does not touch the ranking.
        top_k = min(self.evaluation_top_k, self.table.n_items)
        top = self.search.top_k(rendered, top_k, second=self.lm.second, shifts=shifts)
        floor = top.log_probs[:, -1:] - 1.0
        scores = floor.repeat(1, self.n_items).scatter_(1, top.items + 1, top.log_probs)
        scores[:, 0] = -torch.inf
        return scores

    def recommend(
        self, histories: Tensor, lengths: Tensor, k: int, banned: Tensor | None = None, normalised: bool = True
    ) -> TopK:
        """Exact top-k after some histories; see `recommend`.

        Args:
            histories: internal item ids, oldest first, right-padded with 0. Shape (B, W).
            lengths: (B,). k: how many items. banned: (B, N) by item index, True where an item must not appear.
            normalised: whether probabilities are wanted, not only the order.

        Returns:
            `TopK` with item indices (internal id - 1).
        """
        histories, lengths = histories[:, -self.max_seq_length :], lengths.clamp(max=self.max_seq_length)
        return recommend(self.search, self._rendered(histories, lengths), histories, k, banned, normalised)

    def history(self, interaction: Interaction) -> Rendered:
        """The histories of a batch as the model reads them."""
        return self._rendered(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])

    def _rendered(self, histories: Tensor, lengths: Tensor) -> Rendered:
        return self.renderer.cid2cid(histories.cpu(), lengths.cpu()).to(self.device)

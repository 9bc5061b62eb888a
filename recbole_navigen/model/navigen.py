"""NaviGen: a RecBole sequential recommender around a causal language model over dual identifiers.

Reference: "Navigating User Behavior toward Personalized Multimodal Generation", arXiv:2606.24196.
"""

from importlib import import_module

import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import Tensor
from transformers import PreTrainedTokenizerBase

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.rendering import Rendered
from recbole_navigen.model.ranking import Ranking, TopK
from recbole_navigen.network.build import build_lm


class NaviGen(SequentialRecommender):
    """Reads a history of dual identifiers and gives every item its exact log-probability of being next.

    Args:
        config: RecBole's config with the keys of properties/model/NaviGen.yaml.
        dataset: the training part of the data set.
        table: both identifiers of every item, in the order of RecBole's internal ids; None has the stages of a run make
            everything from the settings and the training part, which is RecBole's own way to build a model.
        tokenizer: of the text part of the stream; the backbone's own, or one trained on the catalogue.
    """

    input_type = InputType.POINTWISE
    scores_are_log_probabilities = True
    instruction_rows = None  # what cid2ins learns, of a model that the stages of a run made

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        table: DualIdentifierTable | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ):
        if table is None:
            # The stages stand above this room; they call this constructor again, with a table.
            vars(self).update(vars(import_module("recbole_navigen.pipeline.train").build(config, dataset)))
            return
        super().__init__(config, dataset)
        if table.n_items != self.n_items - 1:
            raise InputError(
                f"the identifier table has {table.n_items} items and the data set {self.n_items - 1}; "
                "build it for this data."
            )
        self.table = table
        self.lm, self.renderer = build_lm(config, table, tokenizer)
        self.ranking = Ranking(self.lm, config["scoring_memory"])

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Mean negative log-likelihood of every next item of the windows in a batch, in nats an item; a scalar.

        Args:
            interaction: ITEM_SEQ (B, T) windows of user rows and ITEM_SEQ_LEN (B,), as UserRowLoader yields them.
        """
        rendered = self._rendered(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN], targets=True)
        return self.lm.decoder.loss(self.lm, rendered)

    def predict(self, interaction: Interaction) -> Tensor:
        """Exact log-probability of one given item a row, shape (B,). A history that stands in several rows, as it does
        where items are sampled for a ranking, is read once.
        """
        histories = torch.cat([interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN][:, None]], dim=1)
        distinct, row = torch.unique(histories, dim=0, return_inverse=True)
        rows = Interaction({self.ITEM_SEQ: distinct[:, :-1], self.ITEM_SEQ_LEN: distinct[:, -1]})
        return self.full_sort_predict(rows)[row, interaction[self.ITEM_ID]]

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Log-probability of every item, by internal id; the padding item has -inf. Shape (B, N + 1), float32."""
        return self.ranking.log_probs_by_id(self.history(interaction), interaction[self.ITEM_SEQ])

    def recommend(self, histories: Tensor, lengths: Tensor, k: int, banned: Tensor | None = None) -> TopK:
        """Exact top-k after some histories.

        Args:
            histories: internal item ids, oldest first, right-padded with 0. Shape (B, W).
            lengths: (B,). k: how many items. banned: (B, N) by item index, True where an item must not appear.

        Returns:
            `TopK` with item indices (internal id - 1).
        """
        histories, lengths = histories[:, -self.max_seq_length :], lengths.clamp(max=self.max_seq_length)
        return self.ranking.top_k(self._rendered(histories, lengths), k, histories, banned)

    def scalars(self) -> dict[str, float]:
        """Fitted numbers that are worth watching, for TensorBoard: factor of repeats, share of the memory."""
        return {"factor": float(self.lm.repeats.log_factor.exp()), "memory": float(self.lm.memory.share)}

    def history(self, interaction: Interaction) -> Rendered:
        """The histories of a batch as the model reads them."""
        return self._rendered(interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN])

    def _rendered(self, histories: Tensor, lengths: Tensor, targets: bool = False) -> Rendered:
        return self.renderer.cid2cid(histories.to(self.device), lengths.to(self.device), targets)

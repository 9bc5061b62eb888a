"""The distribution over items, factorised along the codes (`decoder: tree`): as good, and as cheap, as a dot product.

    p(i | s)    = product over the levels of  p(child on the way to i | node, s)
    p(c | n, s) = softmax over the children c of n of  log sum over items j below c of exp(q(s) . v_j)
    q(s)        = W s + b

s is the state behind the history and v_j the vector of item j: its code rows, its TID vector and, where there are any,
its text embedding and its own row. So an inner node knows the items below it exactly, a code carries what its items
share, and the product telescopes: it is the softmax over all items of q(s) . v_i. Ranking is one matrix product, and
the probability of a node is the sum of those of the items below it, at any level.

Symbols: B users, M rows, R items a row, N items, L levels, V_l nodes of level l, D width.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from recbole_navigen.identifiers.trie import CatalogueTrie
from recbole_navigen.language.rendering import Rendered
from recbole_navigen.network.softmax import sampled_softmax_loss, softmax_loss

if TYPE_CHECKING:
    from recbole_navigen.network.item_model import DualIdentifierLM


class TreeDecoder(nn.Module):
    """The query of the items, and the tree's nodes as ranges of items.

    Args:
        trie: the catalogue. width: D.
        sampled: items that the loss is normalised over, 0 for all (`softmax_size`).
        smoothing: of labels over all items in training, from 0 to below 1.
    """

    def __init__(self, trie: CatalogueTrie, width: int, sampled: int = 0, smoothing: float = 0.0):
        super().__init__()
        self.trie, self.sampled, self.smoothing = trie, sampled, smoothing
        self.query = nn.Linear(width, width)
        nn.init.eye_(self.query.weight)
        nn.init.zeros_(self.query.bias)
        self.register_buffer("leaf_item", torch.from_numpy(trie.leaf_item.copy()), persistent=False)
        self._queries_kept: dict[bytes, Tensor] | None = None

    @contextlib.contextmanager
    def one_reading(self) -> Iterator[None]:
        """In here, where weights do not change, contexts that are ranked again are not read again."""
        self._queries_kept = {}
        try:
            yield
        finally:
            self._queries_kept = None

    @property
    def reads_all(self) -> bool:
        """Whether the loss reads the vectors of all items."""
        return not self.sampled

    def loss(self, lm: "DualIdentifierLM", rendered: Rendered) -> Tensor:
        """Mean negative log-probability of the targets that are not 0, in nats an item; a scalar."""
        wanted = rendered.targets > 0
        states = self.query(lm.anchor_states(rendered)[wanted])
        n_items, targets = self.trie.n_items, rendered.targets[wanted]
        if not self.sampled:
            return softmax_loss(states, targets, lm.all_vectors(), self.smoothing)
        order, smoothing = self.leaf_item, self.smoothing
        return sampled_softmax_loss(states, targets, lm.item_vectors, n_items, self.sampled, None, order, smoothing)

    def log_probs(self, lm: "DualIdentifierLM", rendered: Rendered) -> Tensor:
        """Log-probability of every item after each context, (B, N) by item index, float32; with gradients if asked."""
        vectors = lm.catalogue_vectors()
        return (self.query(lm.states(rendered)) @ vectors.T).float().log_softmax(dim=1)

    def write_scores(self, lm: "DualIdentifierLM", rendered: Rendered, scores: Tensor) -> None:
        """Write a score of every item after each context: `log_probs` but for a constant of each user.

        scores: filled by item index. Shape (B, N), float32.
        """
        queries, vectors = self._queries(lm, rendered), lm.catalogue_vectors()
        if queries.dtype == scores.dtype == vectors.dtype:
            torch.mm(queries, vectors.T, out=scores)
        else:
            scores.copy_(queries @ vectors.T)

    def _queries(self, lm: "DualIdentifierLM", rendered: Rendered) -> Tensor:
        """Queries of the items after each context, (B, D)."""
        if self._queries_kept is None:
            return self.query(lm.states(rendered))
        key = b"".join(part.cpu().numpy().tobytes() for part in (rendered.tokens, rendered.items))
        if key not in self._queries_kept:
            self._queries_kept[key] = self.query(lm.states(rendered))
        return self._queries_kept[key]

    def log_probs_of(self, lm: "DualIdentifierLM", rendered: Rendered, items: Tensor) -> Tensor:
        """Log-probability of some items after each context, (B, R), float32; -inf where there is none.

        items: internal ids, 0 for none. Shape (B, R).
        """
        every = self.log_probs(lm, rendered)
        return every.gather(1, (items - 1).clamp(min=0)).masked_fill(items == 0, -torch.inf)

    def node_log_probs(self, log_probs: Tensor, level: int) -> Tensor:
        """Log-probability of each node of a level 1..L: (B, N) by item index -> (B, V_l), float32.

        Nodes are ranges of the tree's leaves; each sum is taken relative to its own largest term, so a node far below
        the best one keeps its digits.
        """
        lengths = torch.from_numpy(np.diff(self.trie.leaf_start[level])).to(log_probs.device)
        leaves = log_probs.T[self.leaf_item].contiguous()
        largest = torch.segment_reduce(leaves, "max", lengths=lengths, axis=0)
        above = leaves - largest.repeat_interleave(lengths, dim=0)
        return (torch.segment_reduce(above.exp(), "sum", lengths=lengths, axis=0).log() + largest).T

    def user_bytes(self, lm: "DualIdentifierLM", tokens: int) -> float:
        """Working memory of one user's ranking behind a context of so many tokens, in bytes (an upper estimate)."""
        return lm.backbone.token_bytes(tokens) * tokens + 20.0 * self.trie.n_items

    def trainable(self) -> list[nn.Parameter]:
        """What reinforcement may change of it."""
        return list(self.query.parameters())

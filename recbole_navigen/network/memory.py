"""A memory beside the network: what followed what in training, and which items share their terms, mixed into the
distribution over items as nearest neighbours are into language models (kNN-LM, arXiv:1911.00172).

    p'(i | history) = (1 - a) p(i | history) + a m(i | history)
    m(i | history)  = share of i in  sum over the last H items h of the history of  DECAY^age(h) M[h, i]
    M[h, i]         = T[h, i] + WEIGHT cos(terms of h, terms of i)

T are transitions of the training split (`identifiers/neighbours.py`), terms those of the TIDs. A network of D numbers
an item cannot hold what was seen two or three times; a table of counts can, and knows little else. The share a is
fitted on validation. The result is an exact distribution over all items.

Symbols: B users, W items of a window, N items, M pairs of neighbours.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from recbole_navigen.identifiers.neighbours import extended, nearest, term_vectors, transitions

# The last items of a history that count, and what each counts by the number of those behind it.
HISTORY, DECAY = 15, 0.7
STEPS, SMOOTHING = 3, 5.0  # of transitions
NEAREST, WEIGHT = 100, 1.0  # items by their terms, and what likeness counts beside transitions
_BUFFERS = ("starts", "neighbours", "weights")


class Memory(nn.Module):
    """The table M, packed by rows, and the share.

    Args:
        n_items: N. share: a, None to have it fitted.
    """

    def __init__(self, n_items: int, share: float | None = None):
        super().__init__()
        self.given = share
        self.register_buffer("share", torch.tensor(0.0 if share is None else float(share)))
        self.take(sparse.csr_matrix((n_items + 1, n_items + 1), dtype=np.float32))

    @property
    def table(self) -> sparse.csr_matrix:
        """M by internal ids, (N + 1, N + 1), float32."""
        starts, neighbours, weights = (getattr(self, name).cpu().numpy() for name in _BUFFERS)
        return sparse.csr_matrix((weights, neighbours, starts), shape=(len(starts) - 1,) * 2)

    @property
    def used(self) -> bool:
        """Whether it changes anything."""
        return bool(self.share) and len(self.weights) > 0

    def take(self, table: sparse.csr_matrix) -> None:
        """Hold another table, (N + 1, N + 1)."""
        table.sort_indices()
        parts = (table.indptr.astype(np.int64), table.indices.astype(np.int32), table.data.astype(np.float32))
        for name, part in zip(_BUFFERS, parts, strict=True):
            self.register_buffer(name, torch.from_numpy(part).to(self.share.device))

    def learn(self, items: np.ndarray, offsets: np.ndarray, terms: Sequence[Sequence[str]]) -> None:
        """Fill it.

        Args:
            items, offsets: of the training split, see `transitions`.
            terms: TIDs by item index, N lists; empty ones of a model that reads no text.
        """
        alike = nearest(term_vectors(terms)[0], NEAREST)
        alike = sparse.bmat([[sparse.csr_matrix((1, 1)), None], [None, alike]])
        self.take((transitions(items, offsets, len(terms) + 1, STEPS, SMOOTHING) + WEIGHT * alike).tocsr())

    def with_items(self, terms: Sequence[Sequence[str]], new: Sequence[Sequence[str]]) -> sparse.csr_matrix:
        """The table with new items, see `extended`. terms: of the items there are. new: of those to come."""
        return extended(self.table, *term_vectors(terms, new), WEIGHT)

    def mass(self, histories: Tensor) -> Tensor:
        """m of every item, by internal id; a row of zeros behind a history of which nothing is known.

        Args:
            histories: internal ids, oldest first, right-padded with 0. Shape (B, W).

        Returns:
            (B, N + 1), float32.
        """
        size = len(self.starts) - 1
        ages = (histories > 0).sum(dim=1, keepdim=True) - 1 - torch.arange(histories.shape[1], device=histories.device)
        rows, places = ((ages >= 0) & (ages < HISTORY)).nonzero(as_tuple=True)
        items = histories[rows, places]
        begins, counts = self.starts[items], self.starts[items + 1] - self.starts[items]
        entries = (begins - counts.cumsum(0) + counts).repeat_interleave(counts)
        entries += torch.arange(len(entries), device=entries.device)
        flat = (rows * size).repeat_interleave(counts) + self.neighbours[entries]
        values = self.weights[entries] * (DECAY ** ages[rows, places].float()).repeat_interleave(counts)
        result = torch.zeros(len(histories) * size, device=histories.device).index_add_(0, flat, values)
        result = result.view(len(histories), size)
        return result.div_(result.sum(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny))

    def mix(self, log_probs: Tensor, histories: Tensor) -> None:
        """Turn log p into log p', in place. log_probs: by internal id, normalised, (B, N + 1). histories: (B, W)."""
        mass = self.mass(histories)
        known = mass.any(dim=1, keepdim=True)
        log_probs += torch.where(known, torch.log1p(-self.share), 0.0)
        flat = mass.flatten().nonzero()[:, 0]
        values, every = (mass.flatten()[flat] * self.share).log(), log_probs.view(-1)
        every[flat] = torch.logaddexp(every[flat], values)

    def _load_from_state_dict(self, state: Mapping[str, Tensor], prefix: str, *args: object) -> None:
        # The table of the run is as long as its data made it; runs of before there was a memory have none.
        for name in (*_BUFFERS, "share"):
            self.register_buffer(name, state.get(prefix + name, getattr(self, name)).to(self.share.device))
            state.setdefault(prefix + name, getattr(self, name))
        super()._load_from_state_dict(state, prefix, *args)

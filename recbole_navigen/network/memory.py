"""A memory beside the network: what followed what in training, and which items share their terms, mixed into the
distribution over items as nearest neighbours are into language models (kNN-LM, arXiv:1911.00172).

    p'(i | history) = (1 - a) p(i | history) + a m(i | history)
    m(i | history)  = share of i in  sum over the last H items h of the history of  DECAY^age(h) M[h, i]
    M[h, i]         = T[h, i] + WEIGHT cos(terms of h, terms of i)

T are transitions of the training split (`identifiers/neighbours.py`), terms those of the TIDs. A network of D numbers
an item cannot hold what was seen two or three times; a table of counts can, and knows little else. The share a is
fitted on validation. The result is an exact distribution over all items.

Symbols: B users, W items of a window, N items.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from recbole_navigen.identifiers.neighbours import behind, extended, nearest, term_vectors, transitions

# The last items of a history that count, and what each counts by the number of those behind it.
HISTORY, DECAY = 15, 0.7
STEPS, SMOOTHING = 3, 5.0  # of transitions
NEAREST, WEIGHT = 100, 1.0  # items by their terms, and what likeness counts beside transitions
_BUFFERS = ("starts", "neighbours", "weights")


class Memory(nn.Module):
    """The table M and the share.

    Args:
        n_items: N. share: a, None to have it fitted.

    Attributes:
        table: M by internal ids, (N + 1, N + 1), float32; the same as the buffers, which travel with the weights.
    """

    def __init__(self, n_items: int, share: float | None = None):
        super().__init__()
        self.given = share
        self.register_buffer("share", torch.tensor(0.0 if share is None else float(share)))
        self.take(sparse.csr_matrix((n_items + 1, n_items + 1), dtype=np.float32))

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
        self.table = sparse.csr_matrix((parts[2], parts[1], parts[0]), shape=table.shape)

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

    def known(self, histories: Tensor) -> sparse.csr_matrix:
        """m behind some histories, by internal id; an empty row where nothing is known of the history.

        Args:
            histories: internal ids, oldest first, right-padded with 0. Shape (B, W).

        Returns:
            (B, N + 1), float32, computed on the processor; all entries are above 0.
        """
        found = behind(histories.cpu().numpy(), self.table, HISTORY, DECAY)
        found.data /= np.repeat(np.asarray(found.sum(axis=1)).ravel(), np.diff(found.indptr))
        return found

    def mix(self, log_probs: Tensor, histories: Tensor) -> None:
        """Turn log p into log p' in place; where nothing is known of a history it stays log p.

        log_probs: by internal id, normalised, (B, N + 1), float32. histories: (B, W).
        """
        found, device = self.known(histories), log_probs.device
        counts = np.diff(found.indptr)
        places = torch.from_numpy(np.repeat(np.arange(len(counts)), counts) * found.shape[1] + found.indices).to(device)
        known = torch.from_numpy(counts > 0).to(device)
        log_probs.add_(torch.where(known, (1 - self.share).log(), 0.0)[:, None])
        added = (torch.from_numpy(found.data).to(device) * self.share).log()
        every = log_probs.view(-1)
        every.scatter_(0, places, torch.logaddexp(every.index_select(0, places), added))

    def _load_from_state_dict(self, state: Mapping[str, Tensor], prefix: str, *args: object) -> None:
        # The table of the run is as long as its data made it; runs of before there was a memory have none.
        for name in (*_BUFFERS, "share"):
            state.setdefault(prefix + name, getattr(self, name))
        starts, neighbours, weights = (state[prefix + name].cpu().numpy() for name in _BUFFERS)
        self.take(sparse.csr_matrix((weights, neighbours, starts), shape=(len(starts) - 1,) * 2))
        super()._load_from_state_dict(state, prefix, *args)

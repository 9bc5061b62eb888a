"""The catalogue's trie as tensors: which codes are legal where, and log-probabilities over the legal ones only.

Symbols: V_l nodes at level l (V_0 = 1, V_L = N), V = V_1 + ... + V_L, K codes, F the largest number of children at a
level, M any number of rows. Legal children are found by a dense mask while K is small and by row pointers (CSR) above:
either way the work depends on the rows asked about, never on the number of items.
"""

import numpy as np
import torch
from torch import Tensor, nn

from recbole_navigen.identifiers.trie import DENSE_MASK_LIMIT, CatalogueTrie


class LegalCodes(nn.Module):
    """Log-softmax over legal children, in float32.

    Args:
        trie: the catalogue.
        dense: use (V_l, K) masks; None decides by K.
    """

    def __init__(self, trie: CatalogueTrie, dense: bool | None = None):
        super().__init__()
        self.trie = trie
        self.levels = trie.levels
        self.codebook_size = trie.codebook_size
        self.dense = trie.codebook_size <= DENSE_MASK_LIMIT if dense is None else dense
        self.fan = [int(trie.n_children(level).max()) for level in range(trie.levels)]
        for level in range(trie.levels):
            self._keep(f"start{level}", trie.child_start[level])
            self._keep(f"token{level + 1}", trie.token[level + 1])
            self._keep(f"parent{level + 1}", trie.parent[level + 1])
            if self.dense:
                self._keep(f"mask{level}", trie.children_mask(level))
        self._keep("item_path", trie.item_path)
        self._keep("leaf_item", trie.leaf_item)
        self._number_all_nodes()

    def _number_all_nodes(self) -> None:
        """One numbering of the nodes of all levels, for rows that stand at mixed levels.

        Node v of level l = 1..L has the number base[l - 1] + v; the root has none.
        """
        trie, levels = self.trie, range(1, self.levels + 1)
        self.base = [0, *np.cumsum([trie.n_nodes(level) for level in levels]).tolist()]
        rows = [trie.token[level] + (level - 1) * self.codebook_size for level in levels]
        self._keep("code_row", np.concatenate(rows))
        # A prefix with one leaf below it is as good as complete: its score is the item's.
        only = []
        for level in levels:
            start = trie.leaf_start[level]
            only.append(np.where(np.diff(start) == 1, trie.leaf_item[start[:-1]], -1))
        self._keep("only_item", np.concatenate(only))

    def _keep(self, name: str, array: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(array.copy()), persistent=False)

    def child_nodes(self, level: int, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Children of some nodes of one level.

        Args:
            level: 0..L-1. nodes: node numbers of that level, any shape (...).

        Returns:
            Node numbers at level + 1, shape (..., F), and which of them exist, shape (..., F), bool.
        """
        start = getattr(self, f"start{level}")
        first, count = start[nodes], start[nodes + 1] - start[nodes]
        place = torch.arange(self.fan[level], device=nodes.device)
        exists = place < count[..., None]
        return torch.where(exists, first[..., None] + place, first[..., None]), exists

    def normaliser(self, level: int, logits: Tensor, nodes: Tensor) -> Tensor:
        """Log of the summed exponentials of the legal codes' logits.

        Args:
            level: 0..L-1. logits: (..., M, K).
            nodes: the node each row stands at, (M,), shared by what stands before M.

        Returns:
            (..., M), float32. A node with a single child has exactly its child's logit here, so that child gets exactly
            0.0.
        """
        return self._legal_logits(level, logits, nodes)[0].logsumexp(dim=-1)

    def _legal_logits(self, level: int, logits: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of codes with -inf where a code is not legal, float32 (..., M, any), and which are legal, (M, any)."""
        logits = logits.float()
        if self.dense:
            legal = getattr(self, f"mask{level}")[nodes]
        else:
            child, legal = self.child_nodes(level, nodes)
            logits = logits.gather(-1, getattr(self, f"token{level + 1}")[child].expand(*logits.shape[:-1], -1))
        return logits.masked_fill(~legal, float("-inf")), legal

    def log_prob(self, level: int, logits: Tensor, nodes: Tensor, child: Tensor, smoothing: float = 0.0) -> Tensor:
        """Log-probability of one legal child a row.

        Args:
            level: 0..L-1. logits: (M, K). nodes: (M,). child: nodes of level + 1, (M,).
            smoothing: share of the mean over all legal children; above 0 it is a training target, no probability.

        Returns:
            (M,), float32.
        """
        legal_logits, legal = self._legal_logits(level, logits, nodes)
        code = getattr(self, f"token{level + 1}")[child]
        chosen = logits.float().gather(-1, code[:, None])[:, 0]
        if smoothing:
            mean = legal_logits.masked_fill(~legal, 0.0).sum(dim=-1) / legal.sum(dim=-1)
            chosen = torch.lerp(chosen, mean, smoothing)
        return chosen - legal_logits.logsumexp(dim=-1)

    def children_log_probs(self, level: int, logits: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities of all legal children.

        Args:
            level: 0..L-1. logits: (M, K). nodes: (M,).

        Returns:
            Log-probabilities (M, F) float32, -inf where no child is; child nodes (M, F); and which exist (M, F), bool.
        """
        child, exists = self.child_nodes(level, nodes)
        legal = logits.float().gather(-1, getattr(self, f"token{level + 1}")[child])
        legal = legal.masked_fill(~exists, float("-inf"))
        return legal - legal.logsumexp(dim=-1, keepdim=True), child, exists

    def path_nodes(self, items: Tensor) -> Tensor:
        """Nodes at levels 0..L-1 on the way to some items. Item indices (M,) -> (M, L); column 0 is the root."""
        path = self.item_path[items]
        return torch.cat([torch.zeros_like(path[:, :1]), path[:, :-1]], dim=1)

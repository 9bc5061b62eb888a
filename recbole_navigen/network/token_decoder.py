"""Items decoded code by code (`decoder: tokens`): the language model reads the codes that it has chosen.

    log p(item | history) = sum over levels of log softmax over the legal children of the item's prefix

This is the published way, and what a pretrained backbone's users expect. It is exact all the same: training and ranking
normalise over legal children only, and ranking decodes every inner node of the tree below the history.

1. Each user's context is run once; its keys and values are shared by all nodes of the tree.
2. All inner nodes that matter are decoded below it, in chunks. A node matters if it has more than one child (a single
   child has probability 1, so its node adds exactly 0) or if one that matters stands below it.
3. The head is sliced to the level's codes and normalised over legal children, in float32.
4. Two gathers a level add edges up along the paths: no loop over items, no beam, nothing dropped.

Symbols: B users, R targets a row, M targets, V nodes, N items, L levels, K codes, D width.
"""

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_navigen.identifiers.trie import CatalogueTrie
from recbole_navigen.language.attention import KeyValue, Tree
from recbole_navigen.language.rendering import Rendered
from recbole_navigen.network.legal_codes import LegalCodes
from recbole_navigen.network.text_model import Context

if TYPE_CHECKING:
    from recbole_navigen.network.item_model import DualIdentifierLM

CHUNK_BYTES = 64 * 2**20  # of a pass over nodes; a larger one leaves a processor's caches and is 1.4 times slower
MIN_CHUNK = 64  # nodes; fewer than this at once leave the processor idle


@dataclass(frozen=True, slots=True)
class Chunk:
    """Nodes of one tree-shaped pass, in an order in which ancestors come first within their line.

    Attributes:
        levels: (level, start, end, nodes) of each level present: rows start..end-1 of the pass are these nodes of it.
        depth: level of each row. Shape (V,), int64.
        ancestors: rows of each row's strict ancestors below the root, -1 for none. Shape (V, L - 2), int64.
        scored: for each entry of `levels`, which of its rows have more than one child here to be scored; others run
            only because nodes below them read their keys and values.
    """

    levels: tuple[tuple[int, int, int, Tensor], ...]
    depth: Tensor
    ancestors: Tensor
    scored: tuple[Tensor, ...]


def plan_chunks(trie: CatalogueTrie, size: int) -> list[Chunk]:
    """Cut the inner nodes that need a forward pass into chunks of about `size` nodes.

    Subtrees stay together, so that an ancestor is rarely run twice. Nodes with one child and nothing to score below
    them are left out.
    """
    needed = nodes_to_score(trie)
    if not any(len(nodes) for nodes in needed):
        return []
    # 1. One list of all of them in depth-first order: by first leaf, then by level.
    level = np.concatenate([np.full(len(nodes), number + 1) for number, nodes in enumerate(needed)])
    node = np.concatenate(needed)
    first = np.concatenate([trie.leaf_start[number + 1][nodes] for number, nodes in enumerate(needed)])
    order = np.lexsort((level, first))
    level, node, first = level[order], node[order], first[order]

    # 2. Each slice, plus the ancestors that fell into an earlier slice, is a chunk.
    chunks = []
    for begin in range(0, len(node), size):
        part_level, part_node = level[begin : begin + size], node[begin : begin + size]
        leaf = first[begin : begin + size]
        path = trie.item_path[trie.leaf_item[leaf]]  # nodes on the way to the first leaf: the node's own line
        rows: list[tuple[int, int, int, Tensor]] = []
        scored, depth, where = [], [], {}
        start = 0
        for number in range(1, trie.levels):
            of_level = part_node[part_level == number]
            above = path[part_level > number, number - 1]
            nodes = np.union1d(of_level, above)
            if not len(nodes):
                continue
            where[number] = (start, nodes)
            rows.append((number, start, start + len(nodes), torch.from_numpy(nodes)))
            keep = np.isin(nodes, of_level) & (trie.n_children(number)[nodes] > 1)
            scored.append(torch.from_numpy(np.flatnonzero(keep)))
            depth.append(np.full(len(nodes), number))
            start += len(nodes)
        ancestors = np.full((start, max(trie.levels - 2, 0)), -1)
        for number, begin_row, end_row, nodes in rows:
            line = trie.item_path[trie.leaf_item[trie.leaf_start[number][nodes.numpy()]]]
            for above in range(1, number):
                offset, present = where[above]
                ancestors[begin_row:end_row, above - 1] = offset + np.searchsorted(present, line[:, above - 1])
        chunks.append(
            Chunk(tuple(rows), torch.from_numpy(np.concatenate(depth)), torch.from_numpy(ancestors), tuple(scored))
        )
    return chunks


def nodes_to_score(trie: CatalogueTrie) -> list[np.ndarray]:
    """Nodes of levels 1..L-1 that need a forward pass: those with several children, and their ancestors."""
    needed: list[np.ndarray] = []
    for level in range(trie.levels - 1, 0, -1):
        nodes = np.flatnonzero(trie.n_children(level) > 1)
        if needed:
            nodes = np.union1d(nodes, trie.parent[level + 1][needed[0]])
        needed.insert(0, nodes)
    return needed


class TokenDecoder(nn.Module):
    """Output biases of the codes; their output weights are their input rows.

    Args:
        legal: the catalogue's trie as tensors.
        smoothing: of labels over the legal codes of each node in training, from 0 to below 1.
    """

    def __init__(self, legal: LegalCodes, smoothing: float = 0.0):
        super().__init__()
        self.legal, self.trie, self.smoothing = legal, legal.trie, smoothing
        self.code_bias = nn.Parameter(torch.zeros(legal.levels, legal.codebook_size))
        self._plans: dict[int, list[Chunk]] = {}

    reads_all = False  # the loss reads rows of codes
    one_reading = staticmethod(contextlib.nullcontext)  # keys and values of all contexts would be too much to keep

    # ---- training ---------------------------------------------------------------------------------------------------

    def loss(self, lm: "DualIdentifierLM", rendered: Rendered) -> Tensor:
        """Mean negative log-probability of the targets that are not 0, in nats an item; a scalar."""
        return -self.target_log_probs(lm, rendered, self.smoothing).sum(dim=0).mean()

    def target_log_probs(self, lm: "DualIdentifierLM", rendered: Rendered, smoothing: float = 0.0) -> Tensor:
        """Log-probability of each target item, renormalised over legal codes at every level.

        Args:
            rendered: with targets.
            smoothing: of labels over the legal codes of each node, for training (see `LegalCodes.log_prob`).

        Returns:
            One entry per target that is not 0, level by level: shape (L, M), float32. Levels at which the target has no
            sibling are exactly 0.
        """
        wanted = rendered.targets > 0
        items = rendered.targets[wanted] - 1
        nodes, path = self.legal.path_nodes(items), self.legal.item_path[items]
        result = []
        for level, state in enumerate(self.target_states(lm, rendered)):
            logits = self.code_logits(lm, level, state[wanted])
            result.append(self.legal.log_prob(level, logits, nodes[:, level], path[:, level], smoothing))
        return torch.stack(result)

    def target_states(self, lm: "DualIdentifierLM", rendered: Rendered) -> list[Tensor]:
        """Hidden states that decode each level of each target: L tensors of shape (B, R, D)."""
        hidden, layers = lm.backbone.run_context(lm.embed(rendered), rendered.lengths)
        rows = torch.arange(len(hidden), device=hidden.device)[:, None]
        last = hidden.shape[1] - 1
        if rendered.in_stream:
            return [hidden[rows, (rendered.anchors + level).clamp(max=last)] for level in range(self.legal.levels)]
        states = [hidden[rows, rendered.anchors.clamp(max=last)]]
        return states if self.legal.levels == 1 else states + self._states_below(lm, rendered, layers)

    def _states_below(self, lm: "DualIdentifierLM", rendered: Rendered, layers: list[KeyValue]) -> list[Tensor]:
        """States at the inner nodes on the way to each target, below the stream: L - 1 tensors (B, R, D).

        A node with one item below it decides nothing, so it is not run; its state is some other node's.
        """
        legal, (users, count) = self.legal, rendered.targets.shape
        depth = legal.levels - 1
        # 1. All nodes on the way to all targets, level after level: (B, depth * R).
        path = legal.item_path[(rendered.targets - 1).clamp(min=0)][..., :depth]
        number = (path + torch.tensor(legal.base[:depth], device=path.device)).transpose(1, 2).flatten(1)
        needed = (legal.only_item[number] < 0) & (rendered.targets > 0).repeat(1, depth)
        level = torch.arange(1, legal.levels, device=path.device).repeat_interleave(count)

        # 2. Those that decide something, packed to the left: (B, V).
        order = needed.int().argsort(dim=1, descending=True, stable=True)[:, : max(1, int(needed.sum(dim=1).max()))]
        place = (needed.cumsum(dim=1) - 1).clamp(min=0)
        anchor, level = rendered.anchors.repeat(1, depth).gather(1, order), level[order]
        above = [
            torch.where(level > up + 1, place.gather(1, up * count + order % count), -1) for up in range(depth - 1)
        ]
        tokens = torch.arange(layers[0][0].shape[2], device=path.device)
        tree = Tree(
            context=layers,
            context_mask=tokens <= anchor[..., None],
            ancestors=torch.stack(above, dim=-1) if above else None,
        )

        # 3. One tree-shaped pass, and every state back to its target.
        embeddings = lm.dropout(F.embedding(legal.code_row[number.gather(1, order)], lm.code_rows))
        hidden = lm.backbone.run_nodes(embeddings, anchor + level, tree)
        below = hidden.gather(1, place[..., None].expand(-1, -1, hidden.shape[2]))
        return list(below.view(users, depth, count, -1).unbind(dim=1))

    def code_logits(self, lm: "DualIdentifierLM", level: int, states: Tensor) -> Tensor:
        """Scores of the codes of level 0..L-1 from states one level above.

        (..., D) -> (..., K): the head's slice only.
        """
        size = self.legal.codebook_size
        return F.linear(states, lm.code_rows[level * size : (level + 1) * size], self.code_bias[level])

    # ---- ranking ----------------------------------------------------------------------------------------------------

    def log_probs(self, lm: "DualIdentifierLM", rendered: Rendered) -> Tensor:
        """Log-probability of every item after each context, (B, N) by item index, float32."""
        context = lm.read(rendered)
        nodes = CHUNK_BYTES / (len(rendered.tokens) * self._node_bytes(lm, rendered.tokens.shape[1]))
        return self._score(lm, context, self._plan(max(MIN_CHUNK, int(nodes))))

    def write_scores(self, lm: "DualIdentifierLM", rendered: Rendered, scores: Tensor) -> None:
        """Write `log_probs` into scores, (B, N) by item index."""
        scores.copy_(self.log_probs(lm, rendered))

    def log_probs_of(self, lm: "DualIdentifierLM", rendered: Rendered, items: Tensor) -> Tensor:
        """Log-probability of some items after each context, at the cost of those items alone, with gradients.

        Internal ids (B, R), 0 for none -> (B, R), float32, -inf for none.
        """
        asked = replace(rendered, targets=items, anchors=rendered.anchors[:, :1].expand_as(items))
        scores = torch.full(items.shape, -torch.inf, device=items.device)
        return scores.masked_scatter(items > 0, self.target_log_probs(lm, asked).sum(dim=0))

    def user_bytes(self, lm: "DualIdentifierLM", tokens: int) -> float:
        """Working memory of one user's ranking behind a context of so many tokens, in bytes (an upper estimate)."""
        scores = 8.0 * sum(self.trie.n_nodes(level) for level in range(1, self.trie.levels + 1))
        return self._node_bytes(lm, tokens) * (tokens + MIN_CHUNK) + scores

    def trainable(self) -> list[nn.Parameter]:
        """What reinforcement may change of it: nothing, its rows are those of the input."""
        return []

    def _node_bytes(self, lm: "DualIdentifierLM", tokens: int) -> float:
        return lm.backbone.token_bytes(tokens + self.trie.levels) + 12.0 * self.legal.codebook_size

    def _plan(self, size: int) -> list[Chunk]:
        if size not in self._plans:
            self._plans[size] = plan_chunks(self.trie, size)
        return self._plans[size]

    def _score(self, lm: "DualIdentifierLM", context: Context, plan: list[Chunk]) -> Tensor:
        legal, device = self.legal, context.state.device
        users = len(context.state)
        # 1. Log-probability of each edge: the root's at once, 0 for single children until a chunk says otherwise.
        root = torch.zeros(users, dtype=torch.long, device=device)
        edges = [legal.children_log_probs(0, self.code_logits(lm, 0, context.state), root)[0]]
        edges += [torch.zeros(users, self.trie.n_nodes(level), device=device) for level in range(2, legal.levels + 1)]
        for chunk in plan:
            codes = [
                getattr(legal, f"token{level}")[nodes.to(device)] + (level - 1) * legal.codebook_size
                for level, _, _, nodes in chunk.levels
            ]
            embeddings = lm.dropout(F.embedding(torch.cat(codes), lm.code_rows))
            tree = Tree(context=context.layers, context_mask=context.mask, ancestors=chunk.ancestors.to(device))
            positions = context.lengths[:, None] - 1 + chunk.depth.to(device)
            hidden = lm.backbone.run_nodes(embeddings.expand(users, -1, -1), positions, tree)
            for (level, start, _, nodes), scored in zip(chunk.levels, chunk.scored, strict=True):
                if len(scored):
                    self._add_edges(
                        lm, edges[level], level, hidden[:, start + scored.to(device)], nodes[scored].to(device)
                    )

        # 2. Two gathers a level: the parent's score and the edge's.
        score = edges[0]
        for level in range(2, legal.levels + 1):
            score = score[:, getattr(legal, f"parent{level}")] + edges[level - 1]
        result = torch.empty_like(score)
        result[:, legal.leaf_item] = score
        return result

    def _add_edges(self, lm: "DualIdentifierLM", edges: Tensor, level: int, hidden: Tensor, nodes: Tensor) -> None:
        """Write log-probabilities of the edges below some nodes of one level: hidden (B, V, D), nodes (V,)."""
        legal = self.legal
        logits = self.code_logits(lm, level, hidden).float()
        child, exists = legal.child_nodes(level, nodes)
        owner = torch.arange(len(nodes), device=nodes.device)[:, None].expand_as(child)[exists]
        child = child[exists]
        code = getattr(legal, f"token{level + 1}")[child]
        edges[:, child] = logits[:, owner, code] - legal.normaliser(level, logits, nodes)[:, owner]

"""Exact log-probability of every item: dynamic programming over the trie on top of a tree-shaped forward pass.

    log p(item | history) = sum over levels of log softmax over the legal children of the item's prefix

1. Each user's context is run once; its keys and values are shared by all trie nodes.
2. All inner nodes that matter are decoded below it, in chunks. A node matters if it has more than one child (a single
   child has probability 1, so its node adds exactly 0) or if one that matters stands below it.
3. The head is sliced to the level's codes and normalised over legal children, in float32.
4. Two gathers a level add edges up along the paths: no loop over items, no beam, nothing dropped.

Symbols: B users, V nodes, N items, L levels, K codes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.trie import CatalogueTrie
from recbole_navigen.language.attention import Tree
from recbole_navigen.language.rendering import Rendered
from recbole_navigen.model.lm import Context, DualIdentifierLM
from recbole_navigen.model.mixture import SecondScore

Second = Callable[[Context], SecondScore]  # gives the second score of some users from their contexts

MIN_CHUNK = 64  # nodes; fewer than this at once leave the processor idle, so users are split first
NEAR_CACHES = 64 * 2**20  # bytes; a larger pass of the full ranking leaves a processor's caches and is 1.4 times slower


@dataclass(frozen=True, slots=True)
class Chunk:
    """Nodes of one tree-shaped pass, in an order in which ancestors come first within their line.

    Attributes:
        levels: (start, end, nodes) of each level present: rows start..end-1 of the pass are these nodes of that level.
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
            own = part_node[part_level == number]
            above = path[part_level > number, number - 1]
            nodes = np.union1d(own, above)
            if not len(nodes):
                continue
            where[number] = (start, nodes)
            rows.append((number, start, start + len(nodes), torch.from_numpy(nodes)))
            keep = np.isin(nodes, own) & (trie.n_children(number)[nodes] > 1)
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


class ExactScorer:
    """Full ranking with a bound on memory.

    Args:
        lm: the model.
        memory: budget for a pass, in MB. It sets how many users and nodes run at once, so neither a larger catalogue
            nor a larger batch can exhaust memory; the result (B, N) itself is the caller's.
    """

    def __init__(self, lm: DualIdentifierLM, memory: float):
        if memory <= 0:
            raise InputError(f"scoring_memory={memory} must be a positive number of MB.")
        self.lm = lm
        self.budget = float(memory) * 2**20
        self.trie = lm.legal.trie
        self.n_needed = sum(len(nodes) for nodes in nodes_to_score(self.trie))
        self._plans: dict[int, list[Chunk]] = {}

    def node_bytes(self, tokens: int) -> float:
        """Working memory of one node of one user below a context of so many tokens, in bytes (an upper estimate)."""
        config = self.lm.backbone.lm.config
        heads, width = config.num_attention_heads, config.hidden_size
        inner = getattr(config, "intermediate_size", None) or 4 * width
        return 4.0 * (16 * width + 3 * inner + 3 * heads * (tokens + self.trie.levels) + 3 * self.lm.codebook_size)

    def split(self, tokens: int, users: int) -> tuple[int, int]:
        """How many users and how many nodes run at once. Both at least 1."""
        node = self.node_bytes(tokens)
        nodes = max(self.n_needed, 1)
        # Besides its nodes a user needs the context, and scores at every trie node on the way to the result.
        own = tokens * node + 4.0 * sum(self.trie.n_nodes(level) for level in range(1, self.trie.levels + 1)) * 2
        on_cpu = self.lm.code_rows.device.type == "cpu"
        budget = min(self.budget, NEAR_CACHES) if on_cpu else self.budget
        users = int(min(max(budget / (own + node * min(nodes, MIN_CHUNK)), 1), users))
        chunk = (budget / users - own) / node
        return users, int(min(max(chunk, 1), nodes))

    def users_at_once(self, tokens: int, nodes: int, extra: float = 0.0) -> int:
        """How many users a pass over some nodes each may hold, at least 1. `extra`: further bytes a user."""
        return max(1, int(self.budget / (self.node_bytes(tokens) * (tokens + nodes) + extra)))

    @torch.no_grad()
    def full_sort(self, rendered: Rendered, second: Second | None = None) -> Tensor:
        """Log-probability of every item after each context.

        Args:
            rendered: contexts as `Renderer.cid2cid` makes them for inference, B rows.
            second: another distribution over the items to mix in; called once for each part of the users.

        Returns:
            (B, N) by item index, float32; each row's exponentials sum to 1.
        """
        users, chunk = self.split(rendered.tokens.shape[1], len(rendered.tokens))
        plan = self._plan(chunk)
        result = torch.empty(len(rendered.tokens), self.trie.n_items, device=rendered.tokens.device)
        for begin in range(0, len(result), users):
            context = self.lm.read(rendered.rows(slice(begin, begin + users)), begin)
            scores = self._score(context, plan)
            result[begin : begin + users] = scores if second is None else second(context).mix(scores)
        return result

    @torch.no_grad()
    def of_items(self, rendered: Rendered, items: Tensor, second: Second | None = None) -> Tensor:
        """Log-probability of some items after each context, at the cost of those items alone.

        Args:
            rendered: contexts as `Renderer.cid2cid` makes them for inference, B rows.
            items: internal ids, 0 for none. Shape (B, R).
            second: as in `full_sort`.

        Returns:
            (B, R), float32, -inf where there is no item.
        """
        parts, width = [], items.shape[1]
        extra = 0.0 if second is None else 8.0 * self.trie.n_items
        users = self.users_at_once(rendered.tokens.shape[1], self.lm.levels * width, extra)
        for begin in range(0, len(items), users):
            part, wanted = rendered.rows(slice(begin, begin + users)), items[begin : begin + users]
            part = replace(part, targets=wanted, anchors=part.anchors[:, :1].expand(-1, width))
            scores = torch.full(wanted.shape, -torch.inf, device=items.device)
            scores[wanted > 0] = self.lm.target_log_probs(part).sum(dim=0)
            if second is not None:
                scores = second(self.lm.read(part)).of(wanted).mix(scores)
            parts.append(scores.masked_fill(wanted == 0, -torch.inf))
        return torch.cat(parts)

    def _plan(self, chunk: int) -> list[Chunk]:
        if chunk not in self._plans:
            self._plans[chunk] = plan_chunks(self.trie, chunk)
        return self._plans[chunk]

    def _score(self, context: Context, plan: list[Chunk]) -> Tensor:
        lm, legal, device = self.lm, self.lm.legal, context.state.device
        users = len(context.state)
        # 1. Log-probability of each edge: the root's at once, 0 for single children until a chunk says otherwise.
        root = torch.zeros(users, dtype=torch.long, device=device)
        edges = [legal.children_log_probs(0, lm.code_logits(0, context.state), root)[0]]
        edges += [torch.zeros(users, self.trie.n_nodes(level), device=device) for level in range(2, legal.levels + 1)]
        for chunk in plan:
            embeddings = torch.cat(
                [lm.node_embeddings(level, nodes.to(device)) for level, _, _, nodes in chunk.levels], dim=0
            )
            tree = Tree(context=context.layers, context_mask=context.mask, ancestors=chunk.ancestors.to(device))
            positions = context.lengths[:, None] - 1 + chunk.depth.to(device)
            hidden = lm.backbone.run_nodes(embeddings.expand(users, -1, -1), positions, tree)
            for (level, start, _, nodes), scored in zip(chunk.levels, chunk.scored, strict=True):
                if len(scored):
                    self._add_edges(edges[level], level, hidden[:, start + scored.to(device)], nodes[scored].to(device))

        # 2. Two gathers a level: the parent's score and the edge's.
        score = edges[0]
        for level in range(2, legal.levels + 1):
            score = score[:, getattr(legal, f"parent{level}")] + edges[level - 1]
        result = torch.empty_like(score)
        result[:, legal.leaf_item] = score
        return result

    def _add_edges(self, edges: Tensor, level: int, hidden: Tensor, nodes: Tensor) -> None:
        """Write log-probabilities of the edges below some nodes of one level: hidden (B, V, D), nodes (V,)."""
        legal = self.lm.legal
        logits = self.lm.code_logits(level, hidden).float()
        child, exists = legal.child_nodes(level, nodes)
        owner = torch.arange(len(nodes), device=nodes.device)[:, None].expand_as(child)[exists]
        child = child[exists]
        code = getattr(legal, f"token{level + 1}")[child]
        edges[:, child] = logits[:, owner, code] - legal.normaliser(level, logits, nodes)[:, owner]

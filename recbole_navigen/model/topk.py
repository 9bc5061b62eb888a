"""Exact top-k with a certificate: batched best-first search over the trie.

Edge log-probabilities are at most 0, so a prefix's score bounds every item below it. Each round expands the most
promising open prefixes of all users in one forward pass; a user is done when the k-th complete item beats every open
bound. Then no item left unseen can enter the list: that is the certificate, and nothing approximate stands behind it.

Symbols: B users, M expansions a round, F open prefixes, L levels, K codes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_navigen.errors import InputError
from recbole_navigen.language.attention import Tree
from recbole_navigen.language.rendering import Rendered
from recbole_navigen.model.lm import Context
from recbole_navigen.model.scoring import ExactScorer

WIDTH = 8  # prefixes a user expands in one round
SHRINK = 0.7  # users who are done leave the batch when fewer than this share still search


@dataclass(frozen=True, slots=True)
class TopK:
    """The k best items of each user, best first.

    Attributes:
        items: item indices. Shape (B, k), int64.
        log_probs: exact log-probabilities. Shape (B, k), float32.
        expansions: prefixes expanded for each user, the root included. Shape (B,), int64.
        certified: True if the k-th item beats every bound left open. Shape (B,), bool.
    """

    items: Tensor
    log_probs: Tensor
    expansions: Tensor
    certified: Tensor


@dataclass(slots=True)
class _Search:
    """State of all users still searching."""

    rows: Tensor  # which users, (B,)
    context: Context
    bound: Tensor  # score of each open prefix, -inf where none is, (B, F)
    level: Tensor  # (B, F)
    node: Tensor  # (B, F)
    line: Tensor  # places of the prefix's ancestors in the store, -1 for none, (B, F, L - 2)
    best: Tensor  # scores of the best complete items, -inf where none is, (B, k)
    item: Tensor  # (B, k)
    store: list[tuple[Tensor, Tensor]]
    banned: Tensor | None  # (B, N)

    def select(self, keep: Tensor) -> None:
        """Keep some users only."""
        for name in ("rows", "bound", "level", "node", "line", "best", "item"):
            setattr(self, name, getattr(self, name)[keep])
        self.context = self.context.select(keep)
        self.store = [(key[keep], value[keep]) for key, value in self.store]
        if self.banned is not None:
            self.banned = self.banned[keep]


class TopKSearch:
    """Exact top-k on top of an `ExactScorer`'s model and memory budget.

    Args:
        scorer: the model and the budget.
    """

    def __init__(self, scorer: ExactScorer):
        self.scorer = scorer
        self.lm = scorer.lm
        self.legal = scorer.lm.legal
        trie = scorer.trie
        # A prefix with one leaf below it is as good as complete: its score is the item's.
        for level in range(1, trie.levels + 1):
            leaves = trie.leaf_start[level][1:] - trie.leaf_start[level][:-1]
            single = trie.leaf_item[trie.leaf_start[level][:-1]].copy()
            single[leaves > 1] = -1
            self.legal.register_buffer(f"only_item{level}", torch.from_numpy(single), persistent=False)

    @torch.no_grad()
    def top_k(self, rendered: Rendered, k: int, banned: Tensor | None = None) -> TopK:
        """The k most probable items after each context.

        Args:
            rendered: contexts as `Renderer.cid2cid` makes them for inference, B rows.
            k: how many.
            banned: True where an item must not be recommended to a user. Shape (B, N), bool. The probabilities of the
                others stay as they are.
        """
        users = len(rendered.tokens)
        allowed = torch.full((users,), self.scorer.trie.n_items)
        if banned is not None:
            allowed = allowed - banned.sum(dim=1).cpu()
        if k < 1 or int(allowed.min()) < k:
            raise InputError(
                f"k={k} items were asked for but only {int(allowed.min())} are left for some user after exclusions; "
                "lower k (at least 1) or exclude fewer items."
            )
        tokens = rendered.tokens.shape[1]
        own = self.scorer.node_bytes(tokens) * (tokens + 4 * WIDTH) + 64.0 * self.lm.codebook_size * WIDTH
        size = int(max(1, min(users, self.scorer.budget / own)))
        parts = []
        for begin in range(0, users, size):
            rows = slice(begin, begin + size)
            parts.append(self._search(rendered.rows(rows), k, None if banned is None else banned[rows]))
        return TopK(*(torch.cat([getattr(part, name) for part in parts]) for name in TopK.__slots__))

    def _search(self, rendered: Rendered, k: int, banned: Tensor | None) -> TopK:
        device = rendered.tokens.device
        context = self.lm.read(rendered)
        users = len(context.state)
        result = TopK(
            torch.zeros(users, k, dtype=torch.long, device=device),
            torch.full((users, k), -torch.inf, device=device),
            torch.ones(users, dtype=torch.long, device=device),
            torch.zeros(users, dtype=torch.bool, device=device),
        )
        # 1. The root's children open the search.
        root = torch.zeros(users, dtype=torch.long, device=device)
        scores, child, _ = self.legal.children_log_probs(0, self.lm.code_logits(0, context.state), root)
        depth = max(self.legal.levels - 2, 0)
        empty = torch.empty(users, 0, device=device)
        search = _Search(
            rows=torch.arange(users, device=device),
            context=context,
            bound=empty,
            level=empty.long(),
            node=empty.long(),
            line=torch.empty(users, 0, depth, dtype=torch.long, device=device),
            best=result.log_probs.clone(),
            item=result.items.clone(),
            store=[],
            banned=banned,
        )
        self._admit(search, scores, torch.ones_like(child), child, child.new_full((*child.shape, depth), -1))

        # 2. Rounds: settle who is done, expand the best open prefixes of the others.
        while len(search.rows):
            threshold = search.best[:, -1]
            active = (search.bound > threshold[:, None]).any(dim=1)
            done = ~active
            if done.any():
                rows = search.rows[done]
                result.items[rows], result.log_probs[rows] = search.item[done], search.best[done]
                open_bound = search.bound[done].amax(dim=1) if search.bound.shape[1] else -torch.inf
                result.certified[rows] = search.best[done, -1] >= open_bound
            if not active.any():
                break
            if active.float().mean() < SHRINK:
                search.select(active.nonzero()[:, 0])
            expanded = self._expand(search)
            result.expansions[search.rows] += expanded
        return result

    def _expand(self, search: _Search) -> Tensor:
        """Expand up to WIDTH open prefixes of each user. Returns how many, (B,)."""
        lm, legal = self.lm, self.legal
        width = min(WIDTH, search.bound.shape[1])
        bound, place = search.bound.topk(width, dim=1)
        live = bound > search.best[:, -1:]
        level, node = search.level.gather(1, place), search.node.gather(1, place)
        line = search.line.gather(1, place[..., None].expand(-1, -1, search.line.shape[2]))
        search.bound.scatter_(1, place, -torch.inf)

        # 1. One pass for all users. Earlier prefixes' keys and values stand in the store; these are added to it.
        first = search.store[0][0].shape[2] if search.store else 0
        embeddings = lm.node_embeddings_at(level, node)
        context = search.context
        tree = Tree(context=context.layers, context_mask=context.mask, ancestors=line, store=search.store)
        hidden = lm.backbone.run_nodes(embeddings, context.lengths[:, None] - 1 + level, tree)
        if legal.levels > 2:
            search.store = (
                tree.captured
                if not search.store
                else [
                    (torch.cat([key, new_key], dim=2), torch.cat([value, new_value], dim=2))
                    for (key, value), (new_key, new_value) in zip(search.store, tree.captured, strict=True)
                ]
            )

        # 2. Children of every level, in columns wide enough for the level with the most of them.
        fan = max(legal.fan[1:])
        scores = torch.full((*level.shape, fan), -torch.inf, device=bound.device)
        child = torch.zeros((*level.shape, fan), dtype=torch.long, device=bound.device)
        for number in range(1, legal.levels):
            here = (level == number) & live
            if not here.any():
                continue
            logits = lm.code_logits(number, hidden[here])
            steps, children, _ = legal.children_log_probs(number, logits, node[here])
            columns = steps.shape[1]
            padded = steps.new_full((len(steps), fan), -torch.inf)
            padded[:, :columns] = steps + bound[here][:, None]
            scores[here] = padded
            child[here] = torch.nn.functional.pad(children, (0, fan - columns))

        # 3. Their lines: the parent's, and the parent's own place in the store.
        slot = torch.arange(first, first + width, device=bound.device).expand_as(level)
        below = line.clone()
        for number in range(1, legal.levels - 1):
            below[..., number - 1] = torch.where(level == number, slot, line[..., number - 1])
        below = below[:, :, None].expand(-1, -1, fan, -1).flatten(1, 2)
        self._admit(search, scores.flatten(1), (level + 1).repeat_interleave(fan, dim=1), child.flatten(1), below)
        return live.sum(dim=1)

    def _admit(self, search: _Search, scores: Tensor, level: Tensor, node: Tensor, line: Tensor) -> None:
        """Take in new prefixes, (B, new): complete ones into the best items, the others among the open prefixes."""
        item = torch.full_like(node, -1)
        for number in range(1, self.legal.levels + 1):
            here = level == number
            if here.any():
                item = torch.where(here, getattr(self.legal, f"only_item{number}")[torch.where(here, node, 0)], item)
        complete = item >= 0
        final = scores.masked_fill(~complete, -torch.inf)
        if search.banned is not None:
            final = final.masked_fill(search.banned.gather(1, item.clamp(min=0)), -torch.inf)
        k = search.best.shape[1]
        best, place = torch.cat([search.best, final], dim=1).topk(k, dim=1)
        search.best, search.item = best, torch.cat([search.item, item], dim=1).gather(1, place)

        # Open prefixes that can still enter the list, packed to the left; the rest is dropped for good.
        bound = torch.cat([search.bound, scores.masked_fill(complete, -torch.inf)], dim=1)
        alive = bound > best[:, -1:]
        count = int(alive.sum(dim=1).max()) if alive.numel() else 0
        search.bound, place = bound.masked_fill(~alive, -torch.inf).topk(count, dim=1)
        search.level = torch.cat([search.level, level], dim=1).gather(1, place)
        search.node = torch.cat([search.node, node], dim=1).gather(1, place)
        lines = torch.cat([search.line, line], dim=1)
        search.line = lines.gather(1, place[..., None].expand(-1, -1, lines.shape[2]))

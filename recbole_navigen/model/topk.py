"""Exact top-k with a certificate: batched best-first search over the trie.

Edge log-probabilities are at most 0, so a prefix's score bounds every item below it. Each round expands the most
promising open prefixes of all users in one forward pass; a user is done when the k-th complete item beats every open
bound. Then no item left unseen can enter the list: that is the certificate, and nothing approximate stands behind it.

A second score (see `mixture.py`) is mixed in probability space. It joins the bound by its maximum over the subtree:

    p(item below prefix) <= (1 - w) p_generative(prefix) + w max over items below of p_second(item)

with equality once a single item is left below the prefix, so the search stays exact.

Symbols: B users, W expansions a round, F open prefixes, N items, V trie nodes, L levels, K codes.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from recbole_navigen.errors import InputError
from recbole_navigen.language.attention import Tree, extend_store
from recbole_navigen.language.rendering import Rendered
from recbole_navigen.model.repeats import distinct, seen_items
from recbole_navigen.model.scoring import ExactScorer, Second
from recbole_navigen.model.text import Context

WIDTH = 8  # prefixes a user expands in one round
SHRINK = 0.7  # users who are done leave the batch when fewer than this share still search


@dataclass(frozen=True, slots=True)
class TopK:
    """The k best items of each user, best first.

    Attributes:
        items: item indices. Shape (B, k), int64.
        log_probs: exact log-probabilities. Shape (B, k), float32.
        expansions: prefixes expanded for each user, the root included. Shape (B,), int64.
        certified: True if the k-th item beats every bound left open. Never where a score of the user's search was not
            a number, or where fewer than k items have any probability. Shape (B,), bool.
    """

    items: Tensor
    log_probs: Tensor
    expansions: Tensor
    certified: Tensor


@dataclass(slots=True)
class _Search:
    """State of all users still searching. Prefixes are nodes in the numbering of all levels (`LegalCodes`)."""

    rows: Tensor  # which users, (B,)
    context: Context
    score: Tensor  # generative log-probability of each open prefix, with log(1 - w) under a second score, (B, F)
    bound: Tensor  # what no item below can exceed, -inf where no prefix is, (B, F)
    node: Tensor  # (B, F)
    line: Tensor  # places of the prefix's ancestors in the store, -1 for none, (B, F, L - 2)
    best: Tensor  # scores of the best complete items, -inf where none is, (B, k)
    item: Tensor  # (B, k)
    store: list[tuple[Tensor, Tensor]]
    shifts: Tensor | None  # added to the score of each item, never above 0, -inf for what is banned, (B, N)
    second: Tensor | None  # log(w p_second), the largest below each node, (B, V)
    doubtful: Tensor  # True where a score was NaN: it compares with nothing, so nothing is proved, (B,)

    def select(self, keep: Tensor) -> None:
        """Keep some users only."""
        for name in ("rows", "score", "bound", "node", "line", "best", "item", "shifts", "second", "doubtful"):
            if (value := getattr(self, name)) is not None:
                setattr(self, name, value[keep])
        self.context = self.context.select(keep)
        self.store = [(key[keep], value[keep]) for key, value in self.store]


class TopKSearch:
    """Exact top-k on top of an `ExactScorer`'s model and memory budget.

    Args:
        scorer: the model and the budget.
    """

    def __init__(self, scorer: ExactScorer):
        self.scorer = scorer
        self.lm = scorer.lm
        self.legal = scorer.lm.legal

    @torch.no_grad()
    def top_k(
        self,
        rendered: Rendered,
        k: int,
        banned: Tensor | None = None,
        second: Second | None = None,
        shifts: Tensor | None = None,
    ) -> TopK:
        """The k most probable items after each context.

        Args:
            rendered: contexts as `Renderer.cid2cid` makes them for inference, B rows.
            k: how many.
            banned: True where an item must not be recommended to a user. Shape (B, N), bool. The probabilities of the
                others stay as they are.
            second: another distribution over the items to mix in, called once for each part of the users;
                probabilities returned are the mixture's.
            shifts: what to add to the log-probability of each item before ranking, at most 0; what is returned holds
                it. Shape (B, N).
        """
        users, trie = len(rendered.tokens), self.scorer.trie
        allowed = torch.full((users,), trie.n_items)
        if banned is not None:
            allowed = allowed - banned.sum(dim=1).cpu()
            shifts = (torch.zeros(banned.shape, device=banned.device) if shifts is None else shifts).masked_fill(
                banned, -torch.inf
            )
        if k < 1 or int(allowed.min()) < k:
            raise InputError(
                f"k={k} items were asked for but only {int(allowed.min())} are left for some user after exclusions; "
                "lower k (at least 1) or exclude fewer items."
            )
        extra = 64.0 * self.lm.codebook_size * WIDTH + (0.0 if second is None else 8.0 * self.legal.base[-1])
        size = self.scorer.users_at_once(rendered.tokens.shape[1], 4 * WIDTH, extra)
        parts = []
        for begin in range(0, users, size):
            rows = slice(begin, begin + size)
            context = self.lm.read(rendered.rows(rows), begin)
            parts.append(self._search(context, k, None if shifts is None else shifts[rows], second))
        return TopK(*(torch.cat([getattr(part, name) for part in parts]) for name in TopK.__slots__))

    def _search(self, context: Context, k: int, shifts: Tensor | None, second: Second | None) -> TopK:
        users, device = len(context.state), context.state.device
        result = TopK(
            torch.zeros(users, k, dtype=torch.long, device=device),
            torch.full((users, k), -torch.inf, device=device),
            torch.ones(users, dtype=torch.long, device=device),
            torch.zeros(users, dtype=torch.bool, device=device),
        )
        # 1. The root's children open the search; nodes of level 1 come first in the numbering of all levels.
        root = torch.zeros(users, dtype=torch.long, device=device)
        scores, child, _ = self.legal.children_log_probs(0, self.lm.code_logits(0, context.state), root)
        depth = max(self.legal.levels - 2, 0)
        empty = torch.empty(users, 0, device=device)
        other = None if second is None else second(context)
        search = _Search(
            rows=torch.arange(users, device=device),
            context=context,
            score=empty,
            bound=empty,
            node=empty.long(),
            line=torch.empty(users, 0, depth, dtype=torch.long, device=device),
            best=result.log_probs.clone(),
            item=result.items.clone(),
            store=[],
            shifts=shifts,
            second=None if other is None else self.legal.subtree_max(other.log_share),
            doubtful=torch.zeros(users, dtype=torch.bool, device=device),
        )
        if other is not None:
            scores = scores + other.log_rest
        self._admit(search, scores, child, child.new_full((*child.shape, depth), -1))

        # 2. Rounds: settle who is done, expand the best open prefixes of the others.
        while len(search.rows):
            active = (search.bound > search.best[:, -1:]).any(dim=1)
            done = ~active
            if done.any():
                rows = search.rows[done]
                result.items[rows], result.log_probs[rows] = search.item[done], search.best[done]
                open_bound = search.bound[done].amax(dim=1) if search.bound.shape[1] else -torch.inf
                proved = search.best[done, -1] >= open_bound
                result.certified[rows] = proved & search.best[done].isfinite().all(dim=1) & ~search.doubtful[done]
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
        bound, place = search.bound.topk(min(WIDTH, search.bound.shape[1]), dim=1)
        live = bound > search.best[:, -1:]
        width = int(live.sum(dim=1).max())
        place, live = place[:, :width], live[:, :width]
        node, score = search.node.gather(1, place), search.score.gather(1, place)
        line = search.line.gather(1, place[..., None].expand(-1, -1, search.line.shape[2]))
        search.bound.scatter_(1, place, -torch.inf)
        # A user with fewer prefixes left runs the first node in the free places; `live` keeps it from counting.
        node = torch.where(live, node, 0)
        level = legal.levels_of(node)

        # 1. One pass for all users. Earlier prefixes' keys and values stand in the store; these are added to it.
        first = search.store[0][0].shape[2] if search.store else 0
        context = search.context
        tree = Tree(context=context.layers, context_mask=context.mask, ancestors=line, store=search.store)
        hidden = lm.backbone.run_nodes(lm.node_embeddings_at(node), context.lengths[:, None] - 1 + level, tree)
        if legal.levels > 2:
            search.store = extend_store(search.store, tree.captured)

        # 2. Log-probabilities of all children, in columns wide enough for the node with the most of them.
        count = legal.child_count[node]
        column = torch.arange(int(count.max()), device=node.device)
        exists = (column < count[..., None]) & live[..., None]
        child = legal.first_child[node][..., None] + torch.where(exists, column, 0)
        code = legal.code_row[child] - level[..., None] * lm.codebook_size
        steps = lm.code_logits_at(level, hidden).float().gather(-1, code).masked_fill(~exists, -torch.inf)
        steps = steps - steps.logsumexp(dim=-1, keepdim=True)
        scores = (score[..., None] + steps).masked_fill(~exists, -torch.inf)

        # 3. Their lines: the parent's, and the parent's own place in the store.
        if legal.levels > 2:
            slot = torch.arange(first, first + width, device=node.device).expand_as(node)
            depth = torch.arange(1, legal.levels - 1, device=node.device)
            line = torch.where(level[..., None] == depth, slot[..., None], line)
        line = line[:, :, None].expand(-1, -1, len(column), -1).flatten(1, 2)
        self._admit(search, scores.flatten(1), child.flatten(1), line)
        return live.sum(dim=1)

    def _admit(self, search: _Search, scores: Tensor, node: Tensor, line: Tensor) -> None:
        """Take in new prefixes, (B, new): complete ones into the best items, the others among the open prefixes."""
        bound = scores
        if search.second is not None:
            # Places without a child stay at -inf, whatever stands in the second score for the node they repeat.
            mixed = torch.logaddexp(scores, search.second.gather(1, node))
            bound = torch.where(scores == -torch.inf, scores, mixed)
        item = self.legal.only_item[node]
        complete = item >= 0
        final = bound.masked_fill(~complete, -torch.inf)
        if search.shifts is not None:
            final = final + search.shifts.gather(1, item.clamp(min=0))
        search.doubtful = search.doubtful | (bound.isnan() | final.isnan()).any(dim=1)
        k = search.best.shape[1]
        search.best, place = torch.cat([search.best, final], dim=1).topk(k, dim=1)
        search.item = torch.cat([search.item, item], dim=1).gather(1, place)

        # Open prefixes that can still enter the list, packed to the left; the rest is dropped for good.
        bound = torch.cat([search.bound, bound.masked_fill(complete, -torch.inf)], dim=1)
        alive = bound > search.best[:, -1:]
        count = int(alive.sum(dim=1).max()) if alive.numel() else 0
        search.bound, place = bound.masked_fill(~alive, -torch.inf).topk(count, dim=1)
        search.score = torch.cat([search.score, scores], dim=1).gather(1, place)
        search.node = torch.cat([search.node, node], dim=1).gather(1, place)
        lines = torch.cat([search.line, line], dim=1)
        search.line = lines.gather(1, place[..., None].expand(-1, -1, lines.shape[2]))


def recommend(
    search: TopKSearch,
    rendered: Rendered,
    histories: Tensor,
    k: int,
    banned: Tensor | None = None,
    normalised: bool = True,
) -> TopK:
    """Exact top-k of everything the model knows: both scores, and the factor of repeats.

    Args:
        search: over the model. rendered: the histories as the model reads them, B rows.
        histories: internal item ids, padded with 0. Shape (B, H).
        k, banned: as in `TopKSearch.top_k`.
        normalised: False leaves out what is the same for all items of a user, where only the order counts.
    """
    lm = search.lm
    shifts = lm.repeats.shifts(seen_items(histories, search.scorer.trie.n_items))
    top = search.top_k(rendered, k, banned, lm.second, shifts)
    if not normalised:
        return top
    log_probs = top.log_probs - log_normaliser(search.scorer, rendered, histories)[:, None]
    return replace(top, log_probs=log_probs, certified=top.certified & log_probs.isfinite().all(dim=1))


def log_normaliser(scorer: ExactScorer, rendered: Rendered, histories: Tensor) -> Tensor:
    """Log of what the factor of repeats makes of the sum over all items. Arguments as in `recommend`; (B,)."""
    lm = scorer.lm
    seen = scorer.of_items(rendered, distinct(histories), lm.second)
    return lm.repeats.log_normaliser(seen.exp().sum(dim=1))

"""Items drawn from the model's own distribution over the catalogue, for rollouts of reinforcement learning.

Codes are drawn level by level among the legal children only, so an illegal code is never drawn and never has to be
masked afterwards; the log-probabilities returned are those of exactly the distribution drawn from, and
`DualIdentifierLM.target_log_probs` gives the same values with gradients.

Symbols: B users, S samples a user, N items, L levels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_navigen.errors import InputError
from recbole_navigen.language.attention import Tree, extend_store
from recbole_navigen.language.rendering import Rendered
from recbole_navigen.model.lm import DualIdentifierLM
from recbole_navigen.model.scoring import ExactScorer


@dataclass(frozen=True, slots=True)
class Samples:
    """Items drawn with replacement.

    Attributes:
        items: item indices. Shape (B, S), int64.
        log_probs: log-probability of each code given the codes before it; exactly 0 where a code was the only legal
            one. Shape (B, S, L), float32.
        states: hidden states of the contexts, from which they were drawn. Shape (B, D).
    """

    items: Tensor
    log_probs: Tensor
    states: Tensor


@torch.no_grad()
def sample(scorer: ExactScorer, rendered: Rendered, count: int, generator: torch.Generator | None = None) -> Samples:
    """Draw items after each context.

    Args:
        scorer: the model and the memory budget.
        rendered: contexts as `Renderer.cid2cid` makes them for inference, B rows.
        count: S. generator: of the draws; torch's own if left out.
    """
    if count < 1:
        raise InputError(f"{count} samples were asked for; ask for at least 1.")
    users = scorer.users_at_once(rendered.tokens.shape[1], count * scorer.trie.levels)
    starts = range(0, len(rendered.tokens), users)
    parts = [_sample(scorer.lm, rendered.rows(slice(begin, begin + users)), count, generator) for begin in starts]
    return Samples(*(torch.cat([getattr(part, name) for part in parts]) for name in ("items", "log_probs", "states")))


def _sample(lm: DualIdentifierLM, rendered: Rendered, count: int, generator: torch.Generator | None) -> Samples:
    legal, context = lm.legal, lm.read(rendered)
    users, device = len(context.state), context.state.device
    node = torch.zeros(users, count, dtype=torch.long, device=device)
    states, chosen, store = context.state[:, None].expand(-1, count, -1), [], []
    for level in range(legal.levels):
        # 1. Draw a legal child of every sample's node.
        logits = lm.code_logits(level, states).flatten(0, 1)
        log_probs, child, _ = legal.children_log_probs(level, logits, node.flatten())
        place = torch.multinomial(log_probs.exp(), 1, generator=generator)
        node = child.gather(1, place).view(users, count)
        chosen.append(log_probs.gather(1, place).view(users, count))
        if level == legal.levels - 1:
            break
        # 2. Run the new nodes below the context and below the samples' own earlier nodes, which lie in the store level
        #    after level.
        ancestors = torch.full((count, max(legal.levels - 2, 0)), -1, device=device)
        own = torch.arange(count, device=device)
        for above in range(level):
            ancestors[:, above] = above * count + own
        tree = Tree(context=context.layers, context_mask=context.mask, ancestors=ancestors, store=store)
        positions = (context.lengths + level)[:, None].expand(-1, count)
        states = lm.backbone.run_nodes(lm.node_embeddings(level + 1, node), positions, tree)
        store = extend_store(store, tree.captured)
    return Samples(legal.leaf_item[node], torch.stack(chosen, dim=-1), context.state)

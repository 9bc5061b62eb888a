"""One attention function for every forward pass, registered with transformers under ``ATTENTION``.

Plain calls behave as SDPA. A call that carries a :class:`Tree` runs trie nodes instead of a sequence: every node reads
the user's context (keys and values computed once, shared by all nodes), its own ancestors, and itself. No (V, V) mask
is ever built: a node has at most L - 1 ancestors, so their scores are plain dot products beside one (V, T) matrix
product.

Because the hook is the attention interface of transformers, any decoder that uses it (Qwen3, Llama, Mistral, ...), with
grouped-query attention and rotary positions, runs through the same code unmodified.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

ATTENTION = "navigen_tree"

KeyValue = tuple[Tensor, Tensor]


@dataclass(slots=True)
class Tree:
    """What the nodes of one forward pass may read. G key-value heads, E head width, A ancestors (at most L - 2).

    Attributes:
        context: per layer the keys and values of the context, (B, G, T, E) each; empty while the context itself is run.
        context_mask: True where a node may read a context token. Shape (B or 1, V or 1, T), bool.
        ancestors: for each node, where its strict ancestors stand in [store, nodes of this pass]; -1 for none.
            Shape (V, A) when all users share the nodes, or (B, V, A).
        store: per layer keys and values of nodes run in earlier passes, (B, G, P, E); empty for none.
        captured: filled by the pass: per layer the keys and values of the tokens just run.
    """

    context: list[KeyValue] = field(default_factory=list)
    context_mask: Tensor | None = None
    ancestors: Tensor | None = None
    store: list[KeyValue] = field(default_factory=list)
    captured: list[KeyValue] = field(default_factory=list)


def tree_attention(
    module, query: Tensor, key: Tensor, value: Tensor, attention_mask, scaling=None, dropout=0.0, **kwargs
):
    """Attention interface of transformers. query (B, H, V, E), key and value (B, G, V, E) -> (B, V, H, E), None."""
    tree: Tree | None = kwargs.pop("tree", None)
    if tree is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    tree.captured.append((key, value))
    if not tree.context:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)

    layer = len(tree.captured) - 1
    context_key, context_value = tree.context[layer]
    users, heads, nodes, width = query.shape
    groups, tokens = context_key.shape[1], context_key.shape[2]
    query = (query * scaling).view(users, groups, heads // groups, nodes, width)

    # 1. The shared context: one matrix product for all heads of a group and all nodes.
    context = torch.matmul(query.flatten(2, 3), context_key.transpose(2, 3))
    context = context.view(users, groups, heads // groups, nodes, tokens)
    context = context.masked_fill(~tree.context_mask[:, None, None], float("-inf"))

    # 2. Ancestors and the node itself: A + 1 dot products a node.
    keys, values, missing = _gather_ancestors(tree, layer, key, value)
    line = torch.einsum("bgrve,bgvae->bgrva", query, keys)
    if missing is not None:
        line = line.masked_fill(missing[:, None, None], float("-inf"))

    # 3. One softmax over both, in float32.
    weights = torch.cat([context, line], dim=-1).softmax(dim=-1, dtype=torch.float32).to(value.dtype)
    if dropout:
        weights = F.dropout(weights, dropout, training=module.training)
    out = torch.matmul(weights[..., :tokens].flatten(2, 3), context_value).view(users, groups, -1, nodes, width)
    out = out + torch.einsum("bgrva,bgvae->bgrve", weights[..., tokens:], values)
    return out.reshape(users, heads, nodes, width).transpose(1, 2).contiguous(), None


def _gather_ancestors(tree: Tree, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys and values of each node's ancestors, then its own: (B, G, V, A + 1, E);
    and where none stands, (B or 1, V, A + 1).
    """
    own_key, own_value = key[:, :, :, None], value[:, :, :, None]
    if tree.ancestors is None or tree.ancestors.shape[-1] == 0:
        return own_key, own_value, None
    pool_key, pool_value = key, value
    if tree.store:
        pool_key = torch.cat([tree.store[layer][0], key], dim=2)
        pool_value = torch.cat([tree.store[layer][1], value], dim=2)
    index = tree.ancestors.clamp(min=0)
    if index.ndim == 2:
        ancestor_key, ancestor_value = pool_key[:, :, index], pool_value[:, :, index]
    else:
        rows = torch.arange(key.shape[0], device=key.device)[:, None, None]
        ancestor_key = pool_key.transpose(1, 2)[rows, index].permute(0, 3, 1, 2, 4)
        ancestor_value = pool_value.transpose(1, 2)[rows, index].permute(0, 3, 1, 2, 4)
    missing = F.pad(tree.ancestors < 0, (0, 1), value=False)
    return (
        torch.cat([ancestor_key, own_key], dim=3),
        torch.cat([ancestor_value, own_value], dim=3),
        missing if missing.ndim == 3 else missing[None],
    )


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, tree_attention)

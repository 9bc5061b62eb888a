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
        ancestors: for each node, where its strict ancestors stand among the nodes of this pass; -1 for none. Shape
            (V, A) when all users share the nodes, or (B, V, A).
        captured: filled by the pass: per layer the keys and values of the tokens just run.
    """

    context: list[KeyValue] = field(default_factory=list)
    context_mask: Tensor | None = None
    ancestors: Tensor | None = None
    captured: list[KeyValue] = field(default_factory=list)


def tree_attention(
    module, query: Tensor, key: Tensor, value: Tensor, attention_mask, scaling=None, dropout=0.0, **kwargs
):
    """Attention interface of transformers. query (B, H, V, E), key and value (B, G, V, E) -> (B, V, H, E), None."""
    tree: Tree | None = kwargs.pop("tree", None)
    if tree is None:
        return _sequence_attention(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
    # A layer that runs again in the backward pass (gradient checkpointing) has been captured before.
    layer = module.layer_idx
    if layer == len(tree.captured):
        tree.captured.append((key, value))
    if not tree.context:
        return _sequence_attention(module, query, key, value, attention_mask, dropout, scaling, **kwargs)

    context_key, context_value = tree.context[layer]
    users, heads, nodes, width = query.shape
    groups, tokens = context_key.shape[1], context_key.shape[2]
    query = (query * scaling).view(users, groups, heads // groups, nodes, width)

    # 1. The shared context: one matrix product for all heads of a group and all nodes.
    context = torch.matmul(query.flatten(2, 3), context_key.transpose(2, 3))
    context = context.view(users, groups, heads // groups, nodes, tokens)
    context = context.masked_fill(~tree.context_mask[:, None, None], float("-inf"))

    # 2. The node itself and its ancestors: one dot product each.
    line = _line(tree, layer, key, value)
    scores = [context]
    for line_key, _, missing in line:
        score = (query * line_key[:, :, None]).sum(dim=-1, keepdim=True)
        scores.append(score if missing is None else score.masked_fill(missing[:, None, None, :, None], float("-inf")))

    # 3. One softmax over both, in float32.
    weights = torch.cat(scores, dim=-1).softmax(dim=-1, dtype=torch.float32).to(value.dtype)
    if dropout:
        weights = F.dropout(weights, dropout, training=module.training)
    out = torch.matmul(weights[..., :tokens].flatten(2, 3), context_value).view(users, groups, -1, nodes, width)
    for place, (_, line_value, _) in enumerate(line, start=tokens):
        out = out + weights[..., place : place + 1] * line_value[:, :, None]
    return out.reshape(users, heads, nodes, width).transpose(1, 2).contiguous(), None


def _sequence_attention(module, query: Tensor, key: Tensor, value: Tensor, *args, **kwargs):
    """SDPA as transformers calls it, in float32 where a processor would train in bfloat16: torch's backward pass in
    bfloat16 takes six times as long there.
    """
    half = torch.is_autocast_enabled("cpu") or query.dtype == torch.bfloat16
    if query.device.type != "cpu" or not query.requires_grad or not half:
        return sdpa_attention_forward(module, query, key, value, *args, **kwargs)
    with torch.autocast("cpu", enabled=False):
        out, weights = sdpa_attention_forward(module, query.float(), key.float(), value.float(), *args, **kwargs)
    return out.to(value.dtype), weights


def _line(tree: Tree, layer: int, key: Tensor, value: Tensor) -> list[tuple[Tensor, Tensor, Tensor | None]]:
    """What each node reads beside the context, one entry for itself and one for each rank of ancestor.

    Returns:
        Keys and values, (B, G, V, E) each, and where there is no such ancestor, (B or 1, V), or None if always.
    """
    line: list[tuple[Tensor, Tensor, Tensor | None]] = [(key, value, None)]
    if tree.ancestors is None or tree.ancestors.shape[-1] == 0:
        return line
    for place in tree.ancestors.unbind(dim=-1):
        index, missing = place.clamp(min=0), place < 0
        if place.ndim == 1:
            line.append((key[:, :, index], value[:, :, index], missing[None]))
        else:
            index = index[:, None, :, None].expand(-1, key.shape[1], -1, key.shape[3])
            line.append((key.gather(2, index), value.gather(2, index), missing))
    return line


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, tree_attention)

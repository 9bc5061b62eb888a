"""Beam search as the field does it, over the same trained model: the baselines of `scoring.py`.

`plain_causal_lm` turns a NaviGen model into an ordinary Hugging Face causal LM whose vocabulary holds text, special
tokens, codes and one token an item (its pooled vector), so that `generate` can run it with nothing of ours in the way.
Both searches renormalise over legal codes, so their scores mean what the exact ones mean.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from recbole_navigen.language.rendering import Rendered
from recbole_navigen.network.item_model import DualIdentifierLM

NEVER = -1e9  # logit of tokens that are no codes


@dataclass(frozen=True, slots=True)
class Plain:
    """An ordinary causal LM over one flat vocabulary."""

    model: PreTrainedModel
    first_code: int
    first_item: int  # token of the item with internal id i is first_item + i


@torch.no_grad()
def plain_causal_lm(lm: DualIdentifierLM) -> Plain:
    """Copy a NaviGen language model into a plain one with SDPA attention."""
    vocabulary, source = lm.vocabulary, lm.backbone.lm
    config = type(source.config)(**{**source.config.to_dict(), "tie_word_embeddings": False})
    items = lm.item_vectors(torch.arange(len(lm.codes)))
    rows = torch.cat([lm.backbone.text_rows, lm.special_rows, lm.code_rows, items])
    config.vocab_size = len(rows)
    config._attn_implementation = "sdpa"
    model = type(source)(config)
    state = {name: weight for name, weight in source.state_dict().items() if not name.startswith("lm_head")}
    model.load_state_dict({**state, "model.embed_tokens.weight": rows}, strict=False)
    # Only text, special tokens and codes are ever outputs: the rows of items would make each step slower for nothing.
    head = nn.Linear(config.hidden_size, vocabulary.size)
    head.weight.zero_()
    head.bias.fill_(NEVER)
    codes = slice(vocabulary.first_code, vocabulary.size)
    head.weight[codes] = lm.code_rows
    head.bias[codes] = lm.decoder.code_bias.flatten() if hasattr(lm.decoder, "code_bias") else 0.0
    model.lm_head, model.config.vocab_size = head, vocabulary.size
    return Plain(model.eval(), vocabulary.first_code, vocabulary.size)


def flat_tokens(plain: Plain, rendered: Rendered) -> tuple[Tensor, Tensor]:
    """Left-padded token ids (B, T) and attention mask (B, T) of rendered contexts."""
    tokens = torch.where(rendered.items > 0, plain.first_item + rendered.items, rendered.tokens)
    width = tokens.shape[1]
    source = torch.arange(width) - (width - rendered.lengths)[:, None]
    mask = source >= 0
    return torch.where(mask, tokens.gather(1, source.clamp(min=0)), 0), mask.long()


def dictionary_trie(lm: DualIdentifierLM) -> dict[tuple[int, ...], list[int]]:
    """Prefix of code tokens -> legal next tokens, in a Python dictionary."""
    first, size = lm.vocabulary.first_code, lm.codebook_size
    children: dict[tuple[int, ...], set[int]] = {}
    for row in lm.codes[1:].tolist():
        tokens = [first + level * size + code for level, code in enumerate(row)]
        for level, token in enumerate(tokens):
            children.setdefault(tuple(tokens[:level]), set()).add(token)
    return {prefix: sorted(tokens) for prefix, tokens in children.items()}


@torch.no_grad()
def generate_beam(plain: Plain, lm: DualIdentifierLM, trie: dict, rendered: Rendered, beams: int) -> Tensor:
    """(a) `generate`, beam search, `prefix_allowed_tokens_fn` over a dictionary. Codes (B, beams, L), best first."""
    tokens, mask = flat_tokens(plain, rendered)
    width = tokens.shape[1]
    out = plain.model.generate(
        input_ids=tokens,
        attention_mask=mask,
        max_new_tokens=lm.levels,
        min_new_tokens=lm.levels,
        num_beams=beams,
        num_return_sequences=beams,
        do_sample=False,
        renormalize_logits=True,
        length_penalty=0.0,
        pad_token_id=0,
        eos_token_id=None,
        prefix_allowed_tokens_fn=lambda _, sequence: trie.get(tuple(sequence[width:].tolist()), [0]),
    )
    codes = out[:, width:] - plain.first_code - torch.arange(lm.levels) * lm.codebook_size
    return codes.view(len(tokens), beams, lm.levels)


@torch.no_grad()
def vectorised_beam(plain: Plain, lm: DualIdentifierLM, rendered: Rendered, beams: int) -> tuple[Tensor, Tensor]:
    """(b) Beam search with tensor masks and a KV cache repeated per beam. Items (B, beams) by index, and scores."""
    tokens, mask = flat_tokens(plain, rendered)
    users, legal = len(tokens), lm.decoder.legal
    body = plain.model.model
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    cache = DynamicCache(config=plain.model.config)
    hidden = body(
        input_ids=tokens, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
    ).last_hidden_state[:, -1]
    root = torch.zeros(users, dtype=torch.long)
    scores, nodes, _ = legal.children_log_probs(0, lm.decoder.code_logits(lm, 0, hidden), root)
    width = min(beams, scores.shape[1])
    scores, place = scores.topk(width, dim=1)
    nodes = nodes.gather(1, place)
    cache.batch_repeat_interleave(width)
    mask = mask.repeat_interleave(width, dim=0)
    position = rendered.lengths.repeat_interleave(width)[:, None]
    for level in range(1, lm.levels):
        code = getattr(legal, f"token{level}")[nodes.flatten()]
        step = plain.first_code + (level - 1) * lm.codebook_size + code
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        hidden = body(
            input_ids=step[:, None],
            attention_mask=mask,
            position_ids=position + level - 1,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        steps, child, _ = legal.children_log_probs(level, lm.decoder.code_logits(lm, level, hidden), nodes.flatten())
        total = (scores.flatten()[:, None] + steps).view(users, -1)
        kept = min(beams, total.shape[1])
        scores, place = total.topk(kept, dim=1)
        nodes = child.view(users, -1).gather(1, place)
        origin = place // steps.shape[1] + torch.arange(users)[:, None] * (total.shape[1] // steps.shape[1])
        if level < lm.levels - 1:
            cache.reorder_cache(origin.flatten())
            mask, position = mask[origin.flatten()], position[origin.flatten()]
    return legal.leaf_item[nodes], scores


@torch.no_grad()
def brute_force(plain: Plain, lm: DualIdentifierLM, rendered: Rendered) -> Tensor:
    """Log-probability of every item, each item's codes decoded by the plain model behind each context. (B, N)."""
    legal = lm.decoder.legal
    items = torch.arange(legal.trie.n_items)
    nodes, path = legal.path_nodes(items), legal.item_path
    steps = plain.first_code + lm.codes[1:, :-1] + torch.arange(lm.levels - 1) * lm.codebook_size
    scores = torch.zeros(len(rendered.tokens), len(items))
    for user in range(len(scores)):
        tokens, _ = flat_tokens(plain, rendered.rows(slice(user, user + 1)))
        cache, run = DynamicCache(config=plain.model.config), plain.model.model
        root = run(input_ids=tokens, past_key_values=cache, use_cache=True).last_hidden_state[0, -1]
        cache.batch_repeat_interleave(len(items))
        below = run(input_ids=steps, past_key_values=cache, use_cache=True).last_hidden_state
        states = [root.expand(len(items), -1), *below.unbind(dim=1)]
        for level, state in enumerate(states):
            scores[user] += legal.log_prob(
                level, lm.decoder.code_logits(lm, level, state), nodes[:, level], path[:, level]
            )
    return scores

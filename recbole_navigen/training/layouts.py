"""How RecBole's sequential models read whole windows: every position of a window at once, one forward a window.

Symbols: B users, T tokens, N items, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_navigen.network.softmax import sampled_softmax_loss, softmax_loss


def encode_windows(model: nn.Module, inputs: Tensor) -> Tensor:
    """Run a causal model over whole windows, as its own `forward` does for their last position.

    Args:
        model: of SASRec's or GRU4Rec's layout, or one with `encode_windows` of its own.
        inputs: internal item ids, right-padded with 0. Shape (B, T).

    Returns:
        State after each position. Shape (B, T, D).
    """
    if hasattr(model, "encode_windows"):
        return model.encode_windows(inputs)
    if hasattr(model, "gru_layers"):
        states, _ = model.gru_layers(model.emb_dropout(model.item_embedding(inputs)))
        return model.dense(states)
    positions = torch.arange(inputs.shape[1], device=inputs.device)
    embedded = model.item_embedding(inputs) + model.position_embedding(positions)
    hidden = model.dropout(model.LayerNorm(embedded))
    return model.trm_encoder(hidden, model.get_attention_mask(inputs), output_all_encoded_layers=True)[-1]


def fills_gaps(model: nn.Module) -> bool:
    """Whether a model is BERT4Rec's: it reads both ways, and learns items that are masked."""
    return all(hasattr(model, part) for part in ("mask_token", "output_ffn", "output_bias"))


def cloze_loss(
    model: nn.Module, rows: Tensor, last_share: float, sampled: int = 0, generator: torch.Generator | None = None
) -> Tensor:
    """Mean cross entropy of the masked items of windows, as BERT4Rec learns them.

    Items are masked at the model's `mask_ratio`, and in some windows the last one alone, as ranking asks for it.

    Args:
        model: RecBole's BERT4Rec. rows: windows, right-padded with 0. Shape (B, T).
        last_share: of the windows whose last item alone is masked, RecBole's setting `ft_ratio`.
        sampled: items to normalise over, 0 for all; see `sampled_softmax_loss`. generator: of all draws.

    Returns:
        A scalar.
    """
    # 1. As many items as the model has positions: the last ones of longer windows.
    over = max(0, rows.shape[1] - model.max_seq_length)
    start = ((rows != 0).sum(dim=1, keepdim=True) - model.max_seq_length).clamp(min=0)
    places = start + torch.arange(rows.shape[1] - over, device=rows.device)
    rows = rows.gather(1, places)

    # 2. What is masked: always something.
    last = F.one_hot((rows != 0).sum(dim=1) - 1, rows.shape[1]).bool()
    drawn = torch.rand(rows.shape, generator=generator, device=rows.device) < model.mask_ratio
    only_last = torch.rand((len(rows), 1), generator=generator, device=rows.device) < last_share
    masked = torch.where(only_last, last, drawn & (rows != 0))
    masked = torch.where(masked.any(dim=1, keepdim=True), masked, last)

    # 3. The bias of an item is its vector's last component, where all states have a 1.
    states = F.pad(model.forward(rows.masked_fill(masked, model.mask_token))[masked], (0, 1), value=1.0)
    vectors = torch.cat([model.item_embedding.weight[: model.n_items], model.output_bias[:, None]], dim=1)
    if not sampled:
        return softmax_loss(states, rows[masked], vectors[1:])
    return sampled_softmax_loss(
        states, rows[masked], lambda ids: F.embedding(ids, vectors), model.n_items - 1, sampled, generator
    )

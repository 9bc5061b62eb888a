"""A causal filter on the inputs of a history (`fir_taps`): what came just before an item is added to it.

    y_t = x_t + sum over k from 0 to K - 1 of  w_k x_(t - k)

The taps w are shared by all channels and start at 0, so that training starts without the filter. Attention has to learn
that neighbours matter; on sparse data it does not see enough to do so, on dense data the taps stay near 0.

Symbols: B users, T tokens, K taps, D width.
"""

import torch
from torch import Tensor, nn


class CausalFilter(nn.Module):
    """The taps. count: K."""

    def __init__(self, count: int):
        super().__init__()
        self.taps = nn.Parameter(torch.zeros(count))

    def forward(self, x: Tensor, filtered: Tensor) -> Tensor:
        """Filter the places of a stream that belong to the history, among themselves.

        Args:
            x: embeddings, (B, T, D). filtered: these places, (B, T), bool.

        Returns:
            (B, T, D); other places are as they were.
        """
        place = torch.arange(x.shape[1], device=x.device)
        distance = place[:, None] - place
        inside = (distance >= 0) & (distance < len(self.taps))
        weights = self.taps[distance.clamp(0, len(self.taps) - 1)] * inside
        own = filtered[..., None]
        return x + (weights @ (x * own)) * own

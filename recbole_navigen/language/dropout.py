"""Dropout whose mask does not cost more than the layer before it.

torch draws Bernoulli numbers one by one on a CPU, which takes several times as long as the matrix product whose output
is dropped. Here a mask is made of random bytes, eight to a draw: the probability becomes a multiple of 1/256, and the
scale is that of the probability in fact used. Bytes come from a generator seeded by torch's, so torch's state alone
decides, and resuming restores it. Other devices use torch's own kernel.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_STEPS = 256


def dropout(values: Tensor, probability: float) -> Tensor:
    """Set a share of the values to 0 and scale the others up, as in training. Any shape."""
    if values.device.type != "cpu":
        return F.dropout(values, probability)
    dropped = round(probability * _STEPS)
    if dropped == 0:
        return values
    if dropped == _STEPS:
        return torch.zeros_like(values)
    seed = int(torch.randint(2**63 - 1, ()))
    draws = np.random.SFC64(seed).random_raw(-(-values.numel() // 8)).view(np.uint8)[: values.numel()]
    kept = torch.from_numpy(draws).view(values.shape) >= dropped
    return values * kept.to(values.dtype).mul_(_STEPS / (_STEPS - dropped))


class Dropout(torch.nn.Module):
    """`dropout` as a module: active in training mode only."""

    def __init__(self, probability: float):
        super().__init__()
        self.probability = probability

    def forward(self, values: Tensor) -> Tensor:
        """Any shape in, the same shape out."""
        return dropout(values, self.probability) if self.training and self.probability else values

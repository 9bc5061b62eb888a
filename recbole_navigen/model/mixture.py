"""A second score beside the generative one, mixed in probability space.

    p(item) = (1 - w) p_generative(item) + w p_second(item)

Mixing probabilities, not logits, keeps both exact paths exact: the full ranking adds two vectors, and the search bounds
the second part of a subtree by its largest entry there (`LegalCodes.subtree_max`).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_navigen.errors import InputError


@dataclass(frozen=True, slots=True)
class SecondScore:
    """Another distribution over the same items.

    Attributes:
        log_probs: log-probabilities by item index, normalised over all items. Shape (B, N), float32; of fewer items
            where only those are mixed.
        weight: w, its share of the mixture, above 0 and below 1.
    """

    log_probs: Tensor
    weight: float

    def __post_init__(self) -> None:
        if not 0.0 < self.weight < 1.0:
            raise InputError(
                f"the weight of a second score must lie between 0 and 1, not at {self.weight}; leave the second score "
                "out for a share of 0."
            )

    @property
    def log_share(self) -> Tensor:
        """log(w p_second). Shape (B, N)."""
        return self.log_probs.float() + math.log(self.weight)

    @property
    def log_rest(self) -> float:
        """log(1 - w), what the generative score's logarithm is shifted by."""
        return math.log1p(-self.weight)

    def of(self, items: Tensor) -> "SecondScore":
        """The score of some items alone. Internal ids, (B, R); what stands at 0, no item, is any number."""
        return SecondScore(self.log_probs.gather(1, (items - 1).clamp(min=0)), self.weight)

    def mix(self, log_probs: Tensor) -> Tensor:
        """Log-probabilities of the mixture from generative ones. (B, N) -> (B, N)."""
        return torch.logaddexp(log_probs + self.log_rest, self.log_share)

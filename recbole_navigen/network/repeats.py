"""Repeats: how much likelier, or less likely, an item is because the user has had it already.

    p'(i | history) = c^[i in history] p(i | history) / Z,    Z = 1 + (c - 1) p(history's items)

An encoder that reads a history finds its items near; in most data sets nobody buys, watches or reviews the same thing
twice, and the ranking fills with what the user knows. In others repeats are the rule. One number c, fitted on
validation, tells the two apart. The model stays an exact distribution over all items.

Symbols: B users, N items, H items of a history.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RepeatFactor(nn.Module):
    """c, as its logarithm; 0 (c = 1) until it is fitted."""

    def __init__(self):
        super().__init__()
        self.register_buffer("log_factor", torch.tensor(0.0))

    def shifts(self, seen: Tensor) -> Tensor:
        """What stands between log p and log p' but for a constant of each user; never above 0.

        Args:
            seen: True for items of the history. Any shape, bool.

        Returns:
            The same shape, float32.
        """
        log_factor = float(self.log_factor)
        return torch.zeros(seen.shape, device=seen.device).masked_fill(
            seen if log_factor < 0 else ~seen, -abs(log_factor)
        )

    def log_normaliser(self, seen_mass: Tensor) -> Tensor:
        """Log of the sum of p exp(shift) over all items. seen_mass: p of the history's items together, (B,) -> (B,)."""
        factor = self.log_factor.exp()
        return torch.log1p((factor - 1) * seen_mass.clamp(0, 1)) - self.log_factor.clamp(min=0)


def fit_log_factor(seen_mass: Tensor, repeats: int, rounds: int = 60) -> float:
    """log c under which a split repeats as often as its users do: the maximum of the likelihood in c.

    Args:
        seen_mass: p of the history's items together, for each user. Shape (B,).
        repeats: users whose target is in their history. Half a repeat is added on either side, so that c stays finite.
    """
    mass = seen_mass.double().clamp(1e-9, 1 - 1e-9)
    goal = (repeats + 0.5) / (len(mass) + 1) * len(mass)
    odds, low, high = torch.logit(mass), -30.0, 30.0
    for _ in range(rounds):
        middle = (low + high) / 2
        low, high = (middle, high) if float((odds + middle).sigmoid().sum()) < goal else (low, middle)
    return (low + high) / 2


def distinct(items: Tensor) -> Tensor:
    """Each id of a row once, 0 in the place of its copies. (B, any) -> same shape, in another order."""
    items = items.sort(dim=1).values
    copies = F.pad(items[:, 1:] == items[:, :-1], (1, 0))
    return items.masked_fill(copies, 0)

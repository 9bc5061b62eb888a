"""The dense score beside the generative one: the language model's state against one vector an item.

    p_dense(i | history) = softmax over all items of  (W h + b) . v_i / t

h is the state that also decodes the first code; v_i is the item's input vector (code rows, TID vector and, where there
are any, the item's own row), so nothing is learned twice. A code that many items share cannot tell them apart before
its last level; a dot product can, which is what sparse catalogues need. `SecondScore` mixes both in probability space.

A dense score that has learnt a sparse training split too well is surer than it should be: its temperature t, fitted on
validation together with its share of the mixture, brings its probabilities down to what they are worth.

Symbols: B users, M rows, N items, D width.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recbole_navigen.errors import InputError

WHOLE_BELOW, SAMPLED_ABOVE = 5_000, 1_024  # items
TEMPERATURES = (1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 4.0)  # of which validation chooses


def softmax_size(setting: int | None, n_items: int) -> int:
    """Items a softmax is normalised over in training, 0 for all of them.

    Args:
        setting: `sampled_softmax`; None decides by the catalogue: all of fewer than 5,000 items, else 1,024 drawn ones.
        n_items: N.
    """
    if setting is None:
        return 0 if n_items < WHOLE_BELOW else SAMPLED_ABOVE
    if isinstance(setting, bool) or not isinstance(setting, int) or setting < 0:
        raise InputError(f"sampled_softmax must be a number of items, 0 for the full softmax, or None, not {setting!r}")
    return setting


def item_softmax_loss(
    states: Tensor,
    targets: Tensor,
    vectors: Callable[[Tensor], Tensor],
    n_items: int,
    sampled: int = 0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean cross entropy of a softmax over items.

    Args:
        states: (M, D). targets: internal item ids, (M,).
        vectors: gives the vectors of internal item ids, (any,) -> (any, D).
        n_items: N. The padding item takes no part.
        sampled: number of items to normalise over, drawn anew at each call; 0 = the whole catalogue.
        generator: draws the sampled items.

    The sampled softmax draws n of the N items uniformly and without repeats, so an item is in the sample with
    probability n/N; subtracting log(n/N) from its logit makes the sum of exponentials unbiased (with n = N it is the
    full softmax). Each row's target is always in, uncorrected, and left out of the sample.
    """
    if not 0 < sampled < n_items:
        everything = vectors(torch.arange(1, n_items + 1, device=states.device))
        return F.cross_entropy((states @ everything.T).float(), targets - 1)
    sample = 1 + torch.randperm(n_items, device=states.device, generator=generator)[:sampled]
    logits = (states @ vectors(sample).T).float() - math.log(sampled / n_items)
    logits = logits.masked_fill(sample == targets[:, None], -math.inf)
    distinct, place = targets.unique(return_inverse=True)
    positive = (states * vectors(distinct)[place]).sum(dim=-1, keepdim=True).float()
    return F.cross_entropy(torch.cat((positive, logits), dim=1), targets.new_zeros(len(targets)))


class DenseScore(nn.Module):
    """The query of the dense score, its temperature, and its share in the mixture.

    Args:
        width: D.
    """

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Linear(width, width)
        nn.init.eye_(self.query.weight)
        nn.init.zeros_(self.query.bias)
        # Fitted on validation (`best_mixture`) and kept with the weights; until then both scores count alike.
        self.register_buffer("share", torch.tensor(0.5))
        self.register_buffer("temperature", torch.tensor(1.0))

    def log_probs(self, states: Tensor, vectors: Tensor, temperature: float | None = None) -> Tensor:
        """Log-probabilities of all items, float32.

        Args:
            states: (B, D). vectors: (N, D). temperature: None takes the fitted one.

        Returns:
            (B, N).
        """
        temperature = self.temperature if temperature is None else temperature
        return ((self.query(states) @ vectors.T).float() / temperature).log_softmax(dim=-1)


def best_mixture(generative: Tensor, dense: Tensor) -> tuple[float, int]:
    """Share and temperature of the dense score under which the targets are most likely.

    Args:
        generative: log-probabilities of the targets, (B,). dense: of the same at C temperatures, (B, C).

    Returns:
        The share w, and which of the temperatures.
    """
    found = [best_share(generative, column) for column in dense.unbind(dim=1)]
    likelihoods = [
        torch.logaddexp(generative + math.log1p(-share), column + math.log(share)).mean()
        for share, column in zip(found, dense.unbind(dim=1), strict=True)
    ]
    best = int(torch.stack(likelihoods).argmax())
    return found[best], best


def best_share(generative: Tensor, dense: Tensor, rounds: int = 200) -> float:
    """The share w of the dense score under which the targets are most likely.

    Maximises mean log((1 - w) p_generative + w p_dense), which is concave in w, by expectation maximisation.

    Args:
        generative, dense: log-probabilities of the same targets. Shape (B,) each.
    """
    share = torch.tensor(0.5, dtype=torch.float64)
    generative, dense = generative.double(), dense.double()
    for _ in range(rounds):
        log_odds = dense + share.log() - generative - torch.log1p(-share)
        share = log_odds.sigmoid().mean().clamp(1e-4, 1 - 1e-4)
    return float(share)

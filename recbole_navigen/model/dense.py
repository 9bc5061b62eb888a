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

WHOLE_BELOW, SAMPLED_ABOVE = 5_000, 1_024  # items


def softmax_size(setting: int | None, n_items: int) -> int:
    """Items a softmax is normalised over in training, 0 for all of them.

    Args:
        setting: `sampled_softmax`; None decides by the catalogue: all of fewer than 5,000 items, else 1,024 drawn ones.
        n_items: N.
    """
    if setting is None:
        return 0 if n_items < WHOLE_BELOW else SAMPLED_ABOVE
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
        # Fitted on validation (`fit_mixture`) and kept with the weights; until then both scores count alike.
        self.register_buffer("share", torch.tensor(0.5))
        self.register_buffer("temperature", torch.tensor(1.0))

    def scores(self, states: Tensor, vectors: Tensor) -> Tensor:
        """Scores of all items before the softmax, float32. states (B, D), vectors (N, D) -> (B, N)."""
        return (self.query(states) @ vectors.T).float()

    def log_probs(self, states: Tensor, vectors: Tensor) -> Tensor:
        """Log-probabilities of all items, float32. states (B, D), vectors (N, D) -> (B, N)."""
        return (self.scores(states, vectors) / self.temperature).log_softmax(dim=-1)

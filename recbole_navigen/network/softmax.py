"""The softmax over items that training minimises: over all of them, or over a sample with an unbiased sum.

Symbols: M rows, N items, S sampled items, D width.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from recbole_navigen.network.blockwise import total_by_block

WHOLE_UP_TO, SAMPLED_ABOVE = 20_000, 1_024  # items


def softmax_size(setting: int | None, n_items: int) -> int:
    """Items a softmax is normalised over in training, below N; 0 for all of them.

    Args:
        setting: `sampled_softmax`; None decides by the catalogue: all of up to 20,000 items, else 1,024 drawn ones.
        n_items: N.
    """
    if setting is None:
        setting = 0 if n_items <= WHOLE_UP_TO else SAMPLED_ABOVE
    return setting if setting < n_items else 0


def stratified_sample(
    n_items: int, size: int, device: torch.device | str = "cpu", generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """One place, drawn uniformly, from each of `size` ranges of equal width (to one) that together are 0..N-1.

    A place counts for its range, so any sum over all places is estimated without bias by the sum over the drawn ones,
    each times the width of its range. Where the places follow the tree of codes, every node is met as often as its
    size says, at every level, and the sum varies less than that of a plain sample. The cost does not depend on N.

    Args:
        n_items: N. size: S, at most N.

    Returns:
        The places, increasing, and the logarithms of the widths. Shape (S,) each.
    """
    edges = torch.arange(size + 1, device=device) * n_items // size
    widths = edges[1:] - edges[:-1]
    drawn = torch.rand(size, device=device, generator=generator, dtype=torch.float64)
    places = edges[:-1] + torch.minimum((drawn * widths).long(), widths - 1)
    return places, widths.double().log().float()


def softmax_loss(states: Tensor, targets: Tensor, vectors: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy of a softmax over all items, whose scores are dot products; (M, N) is never held.

    Args:
        states: (M, D). targets: internal item ids, (M,). vectors: of all items by item index, (N, D).
        smoothing: the share of each target that is spread evenly over all items.
    """

    def log_probs(own: Tensor, rows: slice) -> Tensor:
        scores = (own @ vectors.T).float()
        return -F.cross_entropy(scores, targets[rows] - 1, reduction="none", label_smoothing=smoothing)

    return -total_by_block(log_probs, states, len(vectors), [vectors]) / len(states)


def sampled_softmax_loss(
    states: Tensor,
    targets: Tensor,
    vectors: Callable[[Tensor], Tensor],
    n_items: int,
    size: int,
    generator: torch.Generator | None = None,
    order: Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """`softmax_loss` normalised over a sample of items, drawn anew at each call (`stratified_sample`).

    Each row's target is always in, as it is, and left out of the sample, so the sum of exponentials is unbiased.

    Args:
        states: (M, D). targets: internal item ids, (M,).
        vectors: gives the vectors of internal item ids, (any,) -> (any, D).
        n_items: N. The padding item takes no part.
        size: S, below N.
        generator: draws the sampled items.
        order: item indices in the order in which the sample is stratified, (N,); None takes them by id.
        smoothing: as of `softmax_loss`; the mean score of all items is estimated by the sample, too.
    """
    places, log_widths = stratified_sample(n_items, size, states.device, generator)
    sample = 1 + (places if order is None else order[places])
    scores = (states @ vectors(sample).T).float()
    logits = scores + log_widths
    logits = logits.masked_fill(sample == targets[:, None], -math.inf)
    distinct, place = targets.unique(return_inverse=True)
    positive = (states * vectors(distinct)[place]).sum(dim=-1, keepdim=True).float()
    loss = F.cross_entropy(torch.cat((positive, logits), dim=1), targets.new_zeros(len(targets)))
    # The smoothed loss puts a share of the mean score in the target's place.
    return loss + smoothing * (positive[:, 0] - scores @ log_widths.exp() / n_items).mean() if smoothing else loss

"""The objective of reinforcement (GRPO, arXiv:2402.03300), and what counts as a gain.

    loss = mean over actions of  -min(r A, clip(r, 1 - e, 1 + e) A) + beta (exp(d) - d - 1)

r is the ratio of an action's probability to the one it was drawn with, A the advantage of its sample within its group,
and d the reference's log-probability minus the policy's, so that the last term (k3) estimates the distance to the model
at the start. Probabilities are those of the constrained distribution that was drawn from, and only actions that were
chosen are in the mean: no prompt, no padding, no forced token.

Symbols: B prompts, G samples of each, M = B G samples, A actions, P prompts of a validation.
"""

import math

import numpy as np
import torch
from torch import Tensor

from recbole_navigen.errors import InputError

ADVANTAGES, AVERAGES = ("group", "batch", "none"), ("tokens", "samples")
EPSILON = 1e-4  # beside deviations, as released
NORMAL_95 = 1.96


def advantages(rewards: np.ndarray, form: str = "group") -> np.ndarray:
    """Advantages of samples over their groups. Samples without a reward (NaN) get 0 and count in no mean.

    Args:
        rewards: (B, G). form: `group` divides by the group's standard deviation (of a sample, n - 1), `batch` by that
            of all samples, `none` by nothing.
    """
    if form not in ADVANTAGES:
        raise InputError(f"advantage={form!r} is unknown; use {', '.join(ADVANTAGES)}.")
    known = np.isfinite(rewards)
    count = known.sum(axis=1, keepdims=True)
    total = np.where(known, rewards, 0.0).sum(axis=1, keepdims=True)
    centred = np.where(known, rewards - total / np.maximum(count, 1), 0.0)
    if form == "group":
        return centred / (np.sqrt((centred**2).sum(axis=1, keepdims=True) / np.maximum(count - 1, 1)) + EPSILON)
    if form == "batch":
        return centred / (math.sqrt((centred**2).sum() / max(known.sum() - 1, 1)) + EPSILON)
    return centred


def action_weights(log_probs: Tensor, owner: Tensor, counted: Tensor, average: str = "tokens") -> Tensor:
    """Weigh each action, without normalising the weights. Shape (A,), float32.

    Args:
        log_probs: of the actions, under whatever weights. (A,). owner: the sample of each. (A,).
        counted: whether a sample has an advantage. (M,).
        average: `tokens` weighs all actions alike, `samples` all samples.
    """
    if average not in AVERAGES:
        raise InputError(f"average={average!r} is unknown; use {' or '.join(AVERAGES)}.")
    # An action that was the only legal one has log-probability 0 always; it was not chosen and is not counted.
    weight = (counted[owner] & (log_probs != 0)).float()
    if average == "samples":
        per_sample = torch.zeros(len(counted), device=log_probs.device).index_add_(0, owner, weight)
        weight = weight / per_sample[owner].clamp(min=1.0)
    return weight


def grpo_loss(
    new: Tensor, old: Tensor, reference: Tensor, gain: Tensor, weight: Tensor, clip: float, kl: float
) -> tuple[Tensor, dict[str, float]]:
    """The loss above, a scalar, and what to watch: `kl`, `entropy` (-log p of what was drawn) and `clipped`.

    Args:
        new, old, reference: log-probabilities of the actions now, when drawn, and under the model at the start. (A,).
        gain: advantage of the sample of each action. (A,). weight: of each action; all of a step add up to 1. (A,).
        clip, kl: e and beta.
    """
    ratio = (new - old).exp()
    surrogate = torch.minimum(ratio * gain, ratio.clamp(1.0 - clip, 1.0 + clip) * gain)
    difference = reference - new
    distance = difference.exp() - difference - 1.0
    loss = (weight * (kl * distance - surrogate)).sum()
    with torch.no_grad():
        outside = ((ratio - 1.0).abs() > clip).float()
        seen = {"kl": distance, "entropy": -new, "clipped": outside}
        return loss, {name: float((weight * value).sum()) for name, value in seen.items()}


def paired_gain(after: np.ndarray, before: np.ndarray) -> tuple[float, float]:
    """Mean gain over the prompts that were judged both times, and the lower end of its 95% interval (normal).

    (P,), (P,), NaN where there is no judgement. NaN for both if no prompt is left; a single prompt has no interval, and
    its gain is both.
    """
    change = after - before
    change = change[np.isfinite(change)]
    if not len(change):
        return math.nan, math.nan
    error = change.std(ddof=1) / math.sqrt(len(change)) if len(change) > 1 else 0.0
    return float(change.mean()), float(change.mean() - NORMAL_95 * error)

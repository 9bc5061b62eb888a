"""Learning-rate schedules, as a share of the peak rate."""

import math

RATE_FLOOR = 0.05  # share of the learning rate at the end of NaviGen's cosines


def rate(step: int, total: int, warmup: int, schedule: str, floor: float = 0.0) -> float:
    """Share of the learning rate at an optimizer step.

    Args:
        step: from 0. total: steps in all. warmup: steps of linear warm-up.
        schedule: constant, or cosine: from 1 after warm-up down to `floor` at the last step.
        floor: share at the end of a cosine.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))

"""Exponential moving average of weights: validated and saved in place of the weights that are trained."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class WeightAverage:
    """Average of a model's trainable weights over about the last `horizon` steps.

    The decay of step t is min(1 - 1 / horizon, t / (t + 10)), so that the start is forgotten quickly.

    Args:
        model: the model. horizon: steps, at least 1.
    """

    def __init__(self, model: nn.Module, horizon: float):
        self.model = model
        self.decay = 1.0 - 1.0 / max(horizon, 1.0)
        self.steps = 0
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of one more step."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        for name, parameter in self.model.named_parameters():
            if name in self.weights:
                self.weights[name].lerp_(parameter, 1.0 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the model, and the trained weights back at the end."""
        trained = self.trained()
        self._set(self.weights)
        try:
            yield
        finally:
            self._set(trained)

    def trained(self) -> dict[str, Tensor]:
        """A copy of the weights that are trained, by name."""
        return {name: p.detach().clone() for name, p in self.model.named_parameters() if name in self.weights}

    def resume(self, trained: dict[str, Tensor], steps: int) -> None:
        """Go on from a model that holds the average, and the weights that were trained at that time."""
        self.steps = steps
        self.weights = self.trained()
        self._set(trained)

    @torch.no_grad()
    def _set(self, weights: dict[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            if name in weights:
                parameter.copy_(weights[name])

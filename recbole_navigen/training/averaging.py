"""Exponential moving average of weights, which trainers validate and save in place of the weights they train."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from recbole.data.dataloader import AbstractDataLoader
from torch import Tensor, nn

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)


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
        # All parameters in one call: on an accelerator one kernel each would cost more than the sums.
        trained = dict(self.model.named_parameters())
        torch._foreach_lerp_(list(self.weights.values()), [trained[name] for name in self.weights], 1.0 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average into the model, and the trained weights back at the end."""
        trained = {name: p.detach().clone() for name, p in self.model.named_parameters() if name in self.weights}
        self._set(self.weights)
        try:
            yield
        finally:
            self._set(trained)

    def state(self) -> dict[str, Any]:
        """Return the state that `load` takes back, beside the trained weights."""
        return {"weights": self.weights, "steps": self.steps}

    def load(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.steps = state["steps"]
        for name, weights in state["weights"].items():
            self.weights[name].copy_(weights)

    @torch.no_grad()
    def _set(self, weights: dict[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            if name in weights:
                parameter.copy_(weights[name])


class AveragedTraining:
    """Mixin for RecBole trainers, before `SafeCheckpoint` in the bases: what is validated, saved and tested are weights
    averaged over about the last `average_epochs` epochs; 0 or None keeps the last ones. Training goes on from its own.
    """

    _average: WeightAverage | None = None
    _resumed: dict[str, Any] | None = None

    def start_average(self, steps: int) -> None:
        """Begin, in `fit` before its first epoch. steps: optimizer steps of an epoch."""
        if not self.settings.average_epochs:
            return
        self._average = WeightAverage(self.model, self.settings.average_epochs * steps)
        self.optimizer.register_step_post_hook(lambda *_: self._average.update())
        if self._resumed is not None:
            self._average.load(self._resumed)

    def averaged(self) -> contextlib.AbstractContextManager:
        """The model at its averaged weights."""
        return self._average.in_place() if self._average else contextlib.nullcontext()

    def before_validation(self, valid_data: AbstractDataLoader) -> None:
        """A subclass may do something here at the averaged weights, before each validation."""

    def _valid_epoch(
        self, valid_data: AbstractDataLoader, *args: object, **kwargs: object
    ) -> tuple[float, dict[str, float]]:
        with self.averaged():
            self.before_validation(valid_data)
            return super()._valid_epoch(valid_data, *args, **kwargs)

    def _save_checkpoint(self, *args: object, **kwargs: object) -> None:
        with self.averaged():
            super()._save_checkpoint(*args, **kwargs)

    def extra_state(self) -> dict[str, Any]:
        return {**super().extra_state(), "average": self._average.state() if self._average else None}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        super().load_extra_state(state)
        self._resumed = state["average"]

"""RecBole's SASRec and GRU4Rec trained on user rows: every position of a window is a target, one forward a window.

RecBole trains one row a prefix, so the encoder reads an item of the history up to MAX_ITEM_LIST_LENGTH times an epoch
and keeps one position each time. The causal encoder gives the same value at every position of one row: same model, same
parameters, same loss (see the test against RecBole's own `calculate_loss`), a fraction of the work. BERT4Rec fills gaps
of the same windows (`cloze_loss`).
"""

from typing import Any

import torch
from recbole.config import Config
from recbole.data.interaction import Interaction
from recbole.trainer import Trainer
from torch import Tensor, nn

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.data import UserRowLoader
from recbole_navigen.errors import InputError
from recbole_navigen.language.dropout import Dropout
from recbole_navigen.network.softmax import sampled_softmax_loss, softmax_loss, softmax_size
from recbole_navigen.training.averaging import AveragedTraining
from recbole_navigen.training.layouts import cloze_loss, encode_windows, fills_gaps
from recbole_navigen.training.precision import use_bf16
from recbole_navigen.training.schedule import rate
from recbole_navigen.training.trainer import SafeCheckpoint


def next_item_loss(
    model: nn.Module, rows: Tensor, sampled_softmax: int = 0, generator: torch.Generator | None = None
) -> Tensor:
    """Cross entropy of the next item at every position whose target is not padding, averaged over those.

    Args:
        model: a causal one, see `encode_windows`.
        rows: windows, right-padded with 0: inputs are row[:-1], targets row[1:]. Shape (B, T).
        sampled_softmax: number of items to normalise over, see `sampled_softmax_loss`; 0 = the whole catalogue.
        generator: draws the sampled items.

    Returns:
        The loss, a scalar. The padding item takes part in neither softmax.
    """
    inputs, targets = rows[:, :-1], rows[:, 1:]
    wanted = targets != 0
    # Padding goes before the product with the item matrix, which is where the time is spent.
    states = encode_windows(model, inputs)[wanted]
    if not sampled_softmax:
        return softmax_loss(states, targets[wanted], model.item_embedding.weight[1:])
    return sampled_softmax_loss(
        states, targets[wanted], model.item_embedding, model.n_items - 1, sampled_softmax, generator
    )


class UserRowTrainer(AveragedTraining, SafeCheckpoint, Trainer):
    """RecBole's Trainer for causal models and BERT4Rec on windows of user rows; constructor and `fit` are RecBole's.

    Settings it reads beside RecBole's: `autocast` (auto, True, False), `sampled_softmax` (see `softmax_size`),
    `warmup_steps` (optimizer steps of linear warm-up, 0 = none), `lr_schedule` (constant, or cosine down to 0 at the
    last epoch) and `average_epochs` (see `AveragedTraining`).
    """

    def __init__(self, config: Config, model: nn.Module):
        super().__init__(config, model)
        _refuse_other_layout(model)
        _use_cheap_dropout(model)
        self._bf16 = use_bf16(self.settings.autocast, self.device)
        self._sampled = softmax_size(self.settings.sampled_softmax, model.n_items - 1)
        self._warmup = int(self.settings.warmup_steps or 0)
        self._schedule = self.settings.lr_schedule or "constant"
        self._steps_done = 0
        self._steps_in_all = 1
        self._set_rate()

    def fit(self, train_data: UserRowLoader, *args: object, **kwargs: object) -> tuple[float, dict[str, float] | None]:
        """Train on windows of user rows; arguments and result are those of RecBole's `fit`."""
        if not isinstance(train_data, UserRowLoader):
            raise InputError("training on user rows needs a UserRowLoader; set train_rows: user before create_dataset")
        self._steps_in_all = len(train_data) * self.epochs
        self.start_average(len(train_data))
        return super().fit(train_data, *args, **kwargs)

    def _train_epoch(
        self, train_data: UserRowLoader, epoch_idx: int, loss_func: None = None, show_progress: bool = False
    ) -> float:
        return super()._train_epoch(train_data, epoch_idx, self._loss, show_progress)

    def _loss(self, batch: Interaction) -> Tensor:
        """Loss of one batch of windows; a scalar. Sets the step's learning rate on the way."""
        self._set_rate()
        self._steps_done += 1
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bf16):
            rows = batch[self.model.ITEM_SEQ]
            if fills_gaps(self.model):
                return cloze_loss(self.model, rows, self.config["ft_ratio"], self._sampled)
            return next_item_loss(self.model, rows, self._sampled)

    def _set_rate(self) -> None:
        share = rate(self._steps_done, self._steps_in_all, self._warmup, self._schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * share

    def extra_state(self) -> dict[str, Any]:
        return {**super().extra_state(), "steps_done": self._steps_done}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        super().load_extra_state(state)
        self._steps_done = state["steps_done"]


def _use_cheap_dropout(model: nn.Module) -> None:
    """Drop with our masks: torch's take a third of a step on a CPU."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))


def _refuse_other_layout(model: nn.Module) -> None:
    """Refuse a model whose own `forward` is not `encode_windows` at the last position."""
    name = type(model).__name__
    message = (
        f"model {name} cannot be trained on user rows: that needs a causal encoder of SASRec's or GRU4Rec's layout, or "
        f"BERT4Rec; remove train_rows: user"
    )
    if fills_gaps(model):
        return
    # Two windows, one with padding, whose items are spread over the catalogue.
    probe = 1 + torch.arange(2 * min(3, model.max_seq_length), device=model.device).reshape(2, -1) % (model.n_items - 1)
    lengths = torch.tensor([probe.shape[1], max(1, probe.shape[1] - 1)], device=model.device)
    probe[1, lengths[1] :] = 0
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            ours = encode_windows(model, probe)[torch.arange(2), lengths - 1]
            theirs = model.forward(probe, lengths)
    except (TypeError, RuntimeError, AttributeError) as error:
        raise InputError(message) from error
    finally:
        model.train(training)
    if not isinstance(theirs, Tensor) or theirs.shape != ours.shape or not torch.allclose(ours, theirs, atol=1e-5):
        raise InputError(message)

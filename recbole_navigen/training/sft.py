"""Supervised fine-tuning of NaviGen in two stages, on RecBole's training loop.

1. *align*: the body is frozen; identifier rows, text rows and head biases learn cid2tid, tid2cid and cid2cid.
2. *finetune*: all weights learn the same tasks and cid2ins, through the same renderer, with early stopping on RecBole's
   `valid_metric`.

In cid2cid every position of a history is a target. Beside the batches of histories the mapping tasks see a few items,
and cid2ins a few instructions.
"""

from time import time
from typing import Any

import torch
from recbole.config import Config
from recbole.data.dataloader import AbstractDataLoader
from recbole.data.interaction import Interaction
from recbole.trainer import Trainer
from torch import Tensor

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.model.calibration import calibrate, last_training_targets, validation_targets
from recbole_navigen.model.navigen import NaviGen
from recbole_navigen.training.averaging import AveragedTraining
from recbole_navigen.training.instruction_rows import InstructionRows
from recbole_navigen.training.precision import use_bf16
from recbole_navigen.training.schedule import RATE_FLOOR, rate
from recbole_navigen.training.trainer import SafeCheckpoint

MAPPING_EVERY = 4  # steps between two of the mapping tasks, which then see as many times the items, and count as much


class NaviGenTrainer(AveragedTraining, SafeCheckpoint, Trainer):
    """RecBole's Trainer with NaviGen's two stages and its schedule."""

    def __init__(self, config: Config, model: NaviGen):
        super().__init__(config, model)
        self._instructions: InstructionRows | None = model.instruction_rows
        self.stage = "finetune"
        self._bf16 = use_bf16(self.settings.autocast, self.device)
        self._items = torch.Generator().manual_seed(self.settings.seed)
        self._steps_done = 0
        self._steps_in_all = 1
        self._maps = len(set(model.table.terms)) > 1  # equal TIDs, as of items without text, tell nothing of an item
        self._aligned = 0  # epochs
        self._aligning: dict[str, Any] | None = None  # optimizer of an alignment that was killed

    def before_epochs(self, train_data: AbstractDataLoader, show_progress: bool) -> None:
        """Align, or what is left of it after a kill."""
        if "align" in self.settings.training_stages and self._aligned < self.settings.align_epochs:
            self._align(train_data, show_progress)
        self._steps_in_all = len(train_data) * self.epochs
        self.start_average(len(train_data))

    def _align(self, train_data: AbstractDataLoader, show_progress: bool) -> None:
        epochs, optimizer = self.settings.align_epochs, self.optimizer
        body = [p for p in self.model.lm.backbone.own_parameters() if p.requires_grad]
        self.stage, self._steps_in_all = "align", len(train_data) * epochs
        for parameter in body:
            parameter.requires_grad_(False)
        try:
            self.optimizer = self._build_optimizer()
            if self._aligning is not None:
                super().load_optimizers(self._aligning)
            while self._aligned < epochs:
                start = time()
                # Epochs before 0: the windows of alignment are cut differently from those of the epochs to come.
                loss = self._train_epoch(train_data, self.epochs + self._aligned, show_progress=show_progress)
                self.logger.info(f"align {self._generate_train_loss_output(self._aligned, start, time(), loss)}")
                self._aligned += 1
        finally:
            for parameter in body:
                parameter.requires_grad_(True)
            self.optimizer = optimizer
            self.stage, self._steps_done = "finetune", 0

    def _build_optimizer(self, **kwargs: object) -> torch.optim.Optimizer:
        """AdamW; weight decay in full on the body's matrices, a tenth on identifier and text rows,
        none on norms and biases.
        """
        decay, groups = self.settings.weight_decay or 0.0, {}
        body = {id(parameter) for parameter in self.model.lm.backbone.own_parameters()}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                none = parameter.ndim < 2 or name.endswith("code_bias")
                share = 0.0 if none else 1.0 if id(parameter) in body else 0.1
                groups.setdefault(share, []).append(parameter)
        fused = self.device.type in ("cpu", "cuda")
        return torch.optim.AdamW(
            [{"params": parameters, "weight_decay": decay * share} for share, parameters in groups.items()],
            lr=self.learning_rate,
            fused=fused,
        )

    def _train_epoch(
        self, train_data: AbstractDataLoader, epoch_idx: int, loss_func: None = None, show_progress: bool = False
    ) -> float:
        return super()._train_epoch(train_data, epoch_idx, self._loss, show_progress)

    def _loss(self, batch: Interaction) -> Tensor:
        """Weighted sum of the tasks' losses on one batch. Sets the step's learning rate on the way."""
        warmup = int(self.settings.warmup_ratio * self._steps_in_all)
        share = rate(self._steps_done, self._steps_in_all, warmup, self.settings.lr_schedule, RATE_FLOOR)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * share
        self._steps_done += 1
        weights, model = self.settings.task_weights, self.model
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bf16), model.lm.one_step():
            task_loss = model.calculate_loss(batch)
            self.telemetry.note("loss/cid2cid", task_loss)
            loss = weights["cid2cid"] * task_loss
            if self._maps and self._steps_done % MAPPING_EVERY == 0:
                loss = loss + MAPPING_EVERY * self._mapping_loss()
            if self._instructions is not None and self.stage == "finetune":
                rendered = self._instructions.batch(self.settings.instruction_batch_size, self._items)
                task_loss = model.lm.text_loss(rendered.to(self.device))
                self.telemetry.note("loss/cid2ins", task_loss)
                loss = loss + weights["cid2ins"] * task_loss
        return loss

    def _mapping_loss(self) -> Tensor:
        """Weighted sum of the losses of terms to item and item to terms, on items drawn anew."""
        weights, model = self.settings.task_weights, self.model
        count = MAPPING_EVERY * self.settings.mapping_batch_size
        items = torch.randint(1, model.n_items, (count,), generator=self._items)
        loss = torch.zeros((), device=self.device)
        if weights["tid2cid"]:
            rendered = model.renderer.tid2cid(items).to(self.device)
            task_loss = model.lm.decoder.loss(model.lm, rendered)
            self.telemetry.note("loss/tid2cid", task_loss)
            loss = loss + weights["tid2cid"] * task_loss
        if weights["cid2tid"]:
            task_loss = model.lm.text_loss(model.renderer.cid2tid(items).to(self.device))
            self.telemetry.note("loss/cid2tid", task_loss)
            loss = loss + weights["cid2tid"] * task_loss
        return loss

    def _valid_epoch(self, *args: object, **kwargs: object) -> tuple[float, dict[str, float]]:
        with self.model.lm.decoder.one_reading():  # shares and factors are fitted on users who are then ranked
            return super()._valid_epoch(*args, **kwargs)

    def before_validation(self, valid_data: AbstractDataLoader) -> None:
        """Fit the share of the memory and the factor of repeats."""
        calibrate(self.model, validation_targets(valid_data))

    def _save_checkpoint(self, epoch: int, *args: object, **kwargs: object) -> None:
        # Nothing was fitted if there is no validation, and the last epoch is then the one that is kept.
        if not self.validations and epoch == self.epochs - 1:
            with self.averaged():
                calibrate(self.model, last_training_targets(self._train_data), held_out=False)
        super()._save_checkpoint(epoch, *args, **kwargs)

    def extra_state(self) -> dict[str, Any]:
        own = {"stage": self.stage, "aligned": self._aligned, "steps_done": self._steps_done}
        return {**super().extra_state(), **own, "items": self._items.get_state()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        super().load_extra_state(state)
        self.stage, self._aligned, self._steps_done = state["stage"], state["aligned"], state["steps_done"]
        self._items.set_state(state["items"])

    def load_optimizers(self, states: dict[str, Any]) -> None:
        # That of the alignment has groups of its own, and is built when the alignment goes on.
        if self.stage == "align":
            self._aligning = states
        else:
            super().load_optimizers(states)

"""RecBole's trainers with checkpoints that are not pickles, and with a resume that continues the same run."""

import random
import time
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.config import Config
from recbole.data.dataloader import AbstractDataLoader
from recbole.data.interaction import Interaction
from recbole.trainer import PretrainTrainer, Trainer
from recbole.utils import get_local_time, set_color
from recbole.utils import get_trainer as recbole_trainer
from torch import nn
from tqdm import tqdm

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.errors import InputError
from recbole_navigen.processes import is_main
from recbole_navigen.training.checkpoint import load_checkpoint, save_checkpoint
from recbole_navigen.training.parallel import DataParallel

# Model -> module and class of its trainer. Imported when asked for.
_OURS = {"NaviGen": ("recbole_navigen.training.sft", "NaviGenTrainer")}
EXACT = 15  # decimal places of metrics as they are computed: all that a float has
_USER_ROWS = ("recbole_navigen.training.user_rows", "UserRowTrainer")


def get_trainer(config: Config, model: nn.Module) -> type[Trainer]:
    """Return the trainer class for a model.

    Args:
        config: its `train_rows: user` chooses the trainer on user rows.
        model: the model, or its class.
    """
    name = model.__name__ if isinstance(model, type) else type(model).__name__
    if name in _OURS or config["train_rows"] == "user":
        module, trainer = _OURS.get(name, _USER_ROWS)
        return getattr(import_module(module), trainer)
    stock = recbole_trainer(config["MODEL_TYPE"], name)
    if not issubclass(stock, Trainer) or issubclass(stock, PretrainTrainer):
        raise InputError(
            f"model {name} is not available: RecBole's {stock.__name__} stores its models as pickles, which are never "
            f"read here; choose another model"
        )
    return _safe(stock)


@cache
def _safe(stock: type[Trainer]) -> type[Trainer]:
    return type(stock.__name__, (SafeCheckpoint, stock), {"__doc__": stock.__doc__})


class _Progress(tqdm):
    """A progress bar that stands in for the loader it runs over."""

    def __getattr__(self, name: str) -> Any:
        if name == "iterable":
            raise AttributeError(name)
        return getattr(self.iterable, name)


class SafeCheckpoint(DataParallel):
    """Mixin for RecBole trainers, before the trainer in the bases: checkpoints as safetensors and JSON.

    The checkpoint is the folder `saved_model_file`: `run_dir/checkpoint` if the settings have a `run_dir`, else
    `checkpoint_dir/MODEL-TIME/checkpoint`. As in RecBole it holds the best epoch so far. `resume_checkpoint` before
    `fit` continues from it, and restores what RecBole leaves out: the best result and the states of all random
    generators, so that a resumed run ends with the same numbers as an uninterrupted one.

    Epochs are chosen by scores as they are; `metric_decimal_place` rounds only the metrics that are shown and kept.
    """

    stage = "train"  # what the progress bar says is going on
    seconds_before = 0.0  # of training up to the checkpoint that was resumed
    evaluation_seconds = 0.0  # of the last `evaluate`, without loading the checkpoint

    def __init__(self, config: Config, model: nn.Module):
        super().__init__(config, model)
        folder = config["run_dir"] or f"{config['checkpoint_dir']}/{config['model']}-{get_local_time()}"
        self.saved_model_file = str(Path(folder) / "checkpoint")
        for metric in self.evaluator.metric_class.values():
            metric.decimal_place = EXACT
        self.exact_result: dict[str, float] = {}  # of the last `evaluate`, not rounded
        # Trainers of models that train in one go lower `epochs`; without this they would never be evaluated nor saved.
        self.eval_step = min(self.eval_step, self.epochs)
        # A line for each validation: epoch, score, `seconds` since training began and `training_seconds` without
        # validations. A resumed run goes on from the seconds of its checkpoint.
        self.validations: list[dict[str, float]] = []
        self._seconds = {"seconds": 0.0, "training_seconds": 0.0}
        self._began: float | None = None
        self._train_data: AbstractDataLoader | None = None
        self._last_valid_result: dict[str, float] | None = None
        self._random_states: dict[str, Any] | None = None

    def extra_state(self) -> dict[str, Any]:
        """Return what a subclass needs to resume beside model and optimizer, such as a schedule."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take back what `extra_state` returned."""

    def fit(self, train_data: AbstractDataLoader, *args: Any, **kwargs: Any) -> tuple[float, dict[str, float] | None]:
        """Train as RecBole does; after `resume_checkpoint`, from where the checkpoint stood."""
        self._train_data = train_data
        if self._random_states is not None:
            set_random_states(self._random_states, train_data)
            self._random_states = None
        return super().fit(train_data, *args, **kwargs)

    def _train_epoch(
        self,
        train_data: AbstractDataLoader,
        epoch_idx: int,
        loss_func: Callable[[Interaction], Any] | None = None,
        show_progress: bool = False,
    ) -> Any:
        # Loaders of user rows are a function of the epoch's number; RecBole's go on from their generator's state.
        if hasattr(train_data, "set_epoch"):
            train_data.set_epoch(epoch_idx)
        start = time.perf_counter()
        if self._began is None:
            self._began = start - self._seconds["seconds"]
        loss = self._watched_epoch(train_data, epoch_idx, loss_func, show_progress)
        self._seconds["training_seconds"] += time.perf_counter() - start
        return loss

    def _watched_epoch(
        self, train_data: AbstractDataLoader, epoch_idx: int, loss_func: Callable | None, show_progress: bool
    ) -> Any:
        """RecBole's epoch, with a progress bar that shows the loss."""
        if not show_progress:
            return super()._train_epoch(train_data, epoch_idx, loss_func)
        own_loss = loss_func or self.model.calculate_loss
        with _Progress(train_data, desc=f"{self.stage} epoch {epoch_idx}", ncols=100) as bar:

            def shown_loss(batch: Interaction) -> Any:
                loss = own_loss(batch)
                total = sum(loss) if isinstance(loss, tuple) else loss
                bar.set_postfix(loss=f"{total.item():.3f}", refresh=False)
                return loss

            return super()._train_epoch(bar, epoch_idx, shown_loss)

    def _valid_epoch(self, *args: Any, **kwargs: Any) -> tuple[float, dict[str, float]]:
        _, self._last_valid_result = super()._valid_epoch(*args, **kwargs)
        score = self.exact_result[self.valid_metric]
        epoch = max(self.train_loss_dict, default=-1)
        self.validations.append({"epoch": epoch, "score": float(score), **self._spent()})
        return score, self._last_valid_result

    def _spent(self) -> dict[str, float]:
        """Seconds so far, with and without validations."""
        if self._began is not None:
            self._seconds["seconds"] = time.perf_counter() - self._began
        return dict(self._seconds)

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        if not is_main():
            return
        if epoch < 0 < self.start_epoch:
            return  # RecBole saves epoch -1 when nothing is left to train; a resumed checkpoint must keep its epoch.
        directory = kwargs.pop("saved_model_file", self.saved_model_file)
        save_checkpoint(
            directory,
            model=self.config["model"],
            epoch=epoch,
            cur_step=self.cur_step,
            best_valid_score=self.best_valid_score,
            # RecBole saves a best epoch before it notes its result in `best_valid_result`.
            best_valid_result=self._last_valid_result,
            train_loss_dict=self.train_loss_dict,
            validations=self.validations,
            seconds=self._spent(),
            state_dict=self.model.state_dict(),
            other_parameter=self._other_parameter(),
            optimizer=self.optimizer.state_dict(),
            random_states=random_states(self._train_data),
            extra=self.extra_state(),
        )
        if verbose:
            self.logger.info(set_color("Saving current", "blue") + f": {directory}")

    def _other_parameter(self) -> dict[str, Any]:
        """What the model keeps outside its parameters. Layers that RecBole lists there are in `state_dict` already."""
        layers = set(self.model.modules())
        other = self.model.other_parameter()
        return {name: value for name, value in other.items() if not isinstance(value, nn.Module) or value not in layers}

    def resume_checkpoint(self, resume_file: str | Path) -> None:
        """Take model, optimizer, epoch, best result and random states from a checkpoint; `fit` then continues."""
        state = load_checkpoint(resume_file)
        self._refuse_other_model(state, resume_file)
        self.saved_model_file = str(resume_file)
        self.start_epoch = state["epoch"] + 1
        self.cur_step = state["cur_step"]
        self.best_valid_score = state["best_valid_score"]
        self.best_valid_result = self._last_valid_result = state["best_valid_result"]
        self.train_loss_dict = state["train_loss_dict"]
        self.validations, self._seconds = state["validations"], state["seconds"]
        self.seconds_before = self._seconds["seconds"]
        self._load_model(state, resume_file)
        self.optimizer.load_state_dict(state["optimizer"])
        self.load_extra_state(state["extra"])
        self._random_states = state["random_states"]
        self.logger.info(f"Checkpoint loaded. Resume training from epoch {self.start_epoch}")

    def evaluate(
        self,
        eval_data: AbstractDataLoader,
        load_best_model: bool = True,
        model_file: str | Path | None = None,
        show_progress: bool = False,
    ) -> dict[str, float] | None:
        """Evaluate as RecBole does, through the stored best checkpoint by default; metrics are plain floats."""
        if not eval_data:
            return None
        if load_best_model:
            directory = model_file or self.saved_model_file
            state = load_checkpoint(directory)
            self._refuse_other_model(state, directory)
            self._load_model(state, directory)
            self.logger.info(f"Loading model structure and parameters from {directory}")
        start = time.perf_counter()
        result = super().evaluate(eval_data, load_best_model=False, show_progress=show_progress)
        self.evaluation_seconds = time.perf_counter() - start
        self.exact_result = {metric: float(value) for metric, value in result.items()}
        for metric, value in self.exact_result.items():
            result[metric] = round(value, self.config["metric_decimal_place"])
        return result

    def _refuse_other_model(self, state: dict[str, Any], directory: str | Path) -> None:
        if state["model"] != self.config["model"]:
            raise InputError(
                f"{directory} holds a {state['model']}, not a {self.config['model']}; name another checkpoint"
            )

    def _load_model(self, state: dict[str, Any], directory: str | Path) -> None:
        try:
            self.model.load_state_dict(state["state_dict"])
        except RuntimeError as error:
            raise InputError(
                f"the checkpoint {directory} does not fit the model: it was trained with other settings or data "
                f"({str(error).splitlines()[-1].strip()})"
            ) from error
        other = {name: _to(value, self.device) for name, value in state["other_parameter"].items()}
        self.model.load_other_parameter(other)


def _to(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor) else value


def random_states(train_data: AbstractDataLoader | None = None) -> dict[str, Any]:
    """Return the states of all generators that training draws from."""
    generator = getattr(train_data, "generator", None)
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "loader": None if generator is None else generator.get_state(),
    }


def set_random_states(states: dict[str, Any], train_data: AbstractDataLoader | None = None) -> None:
    """Put all generators back to states that `random_states` returned."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    generator = getattr(train_data, "generator", None)
    if generator is not None and states["loader"] is not None:
        generator.set_state(states["loader"])

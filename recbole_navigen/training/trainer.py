"""RecBole's trainers with checkpoints that are not pickles, and with a resume that continues the same run."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import recbole.trainer.trainer
import torch
from recbole.config import Config
from recbole.data.dataloader import AbstractDataLoader
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.trainer import PretrainTrainer, Trainer
from recbole.utils import ModelType, get_local_time, set_color
from recbole.utils import get_trainer as recbole_trainer
from recbole.utils.wandblogger import WandbLogger
from torch import nn

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.bars import tqdm
from recbole_navigen.config.models import parts_of
from recbole_navigen.config.settings import RunSettings
from recbole_navigen.errors import InputError
from recbole_navigen.interruption import heed
from recbole_navigen.processes import is_main
from recbole_navigen.training.checkpoint import load_checkpoint, save_checkpoint, take_state
from recbole_navigen.training.generators import random_states, set_random_states
from recbole_navigen.training.loader_bar import LoaderBar
from recbole_navigen.training.outside import changed, marks, put_back
from recbole_navigen.training.parallel import DataParallel
from recbole_navigen.training.progress import Progress
from recbole_navigen.training.telemetry import Telemetry

EXACT = 15  # decimal places of metrics as they are computed: all that a float has
# Weights and Biases gets the settings that all may see, and no object that also holds those that were given.
recbole.trainer.trainer.WandbLogger = lambda config: WandbLogger(SimpleNamespace(**config.public()))
recbole.trainer.trainer.tqdm = tqdm  # its bars are those of a notebook there


def build_model(config: Config, part: Dataset) -> torch.nn.Module:
    """The model of a run with its start weights, on its device.

    Args:
        config: settings of the run. part: the training split.

    Raises:
        InputError: a model of RecBole's refuses its settings.
    """
    run = RunSettings.of(config)
    try:
        return config.model_class(config, part).to(run.device)
    except (ValueError, NotImplementedError, TypeError, KeyError, RuntimeError, AssertionError) as error:
        if not config.model_class.__module__.startswith(("recbole.", "recbole_navigen.baselines.")) or isinstance(
            error, InputError
        ):
            raise
        raise InputError(f"model {run.model} cannot be built with these settings: {error}") from error


def build_stock(
    config: Config, train_data: AbstractDataLoader, valid_data: AbstractDataLoader, stages: object
) -> tuple[nn.Module, Trainer]:
    """A model with its trainer, as `config.models.Parts.build` says."""
    model = build_model(config, train_data._dataset)
    return model, get_trainer(config, model)(config, model)


def get_trainer(config: Config, model: nn.Module) -> type[Trainer]:
    """Return the trainer class for a model.

    Args:
        config: its `train_rows: user` chooses the trainer on user rows.
        model: the model, or its class.
    """
    name = model.__name__ if isinstance(model, type) else type(model).__name__
    run = RunSettings.of(config)
    return parts_of(name, run.train_rows == "user").trainer or safe_trainer(run.MODEL_TYPE, name)


def safe_trainer(model_type: ModelType, name: str) -> type[Trainer]:
    """RecBole's trainer for a model of some type, with checkpoints that are not pickles."""
    stock = recbole_trainer(model_type, name)
    if not issubclass(stock, Trainer) or issubclass(stock, PretrainTrainer):
        raise InputError(
            f"model {name} is not available: RecBole's {stock.__name__} stores its models as pickles, which are never "
            f"read here; choose another model"
        )
    return stock if issubclass(stock, SafeCheckpoint) else _safe(stock)


@cache
def _safe(stock: type[Trainer]) -> type[Trainer]:
    return type(stock.__name__, (SafeCheckpoint, stock), {"__doc__": stock.__doc__})


class SafeCheckpoint(DataParallel):
    """Mixin for RecBole trainers, before the trainer in the bases: checkpoints as safetensors and JSON.

    The checkpoint is the folder `saved_model_file`: `run_dir/checkpoint` if the settings have a `run_dir`, else
    `checkpoint_dir/MODEL-TIME/checkpoint`. As in RecBole it holds the best epoch so far, and is written when there is a
    better one. The last epoch stands in the folder CHECKPOINT-last beside it (see `progress`), with all that training
    goes on from: weights, averaged weights, optimizers, results so far and the states of all random generators. After
    `resume_checkpoint`, `fit` goes on there, and ends with the same numbers as an uninterrupted training.

    Epochs are chosen by scores as they are; `metric_decimal_place` rounds only the metrics that are shown and kept.
    """

    stage = "train"  # what the progress bar says is going on
    seconds_before = 0.0  # of training up to the checkpoint that was resumed
    evaluation_seconds = 0.0  # of the last `evaluate`, without loading the checkpoint

    def __init__(self, config: Config, model: nn.Module):
        super().__init__(config, model)
        own = self.settings
        folder = own.run_dir or f"{own.checkpoint_dir}/{own.model}-{get_local_time()}"
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
        # Where `fit` keeps its last epoch; None: beside the checkpoint, where it saves one.
        self.progress: Progress | None = None
        self._unsaved = False  # whether an epoch was trained since
        self._random_states: dict[str, Any] | None = None
        self._untrained = marks(model)
        self.telemetry = Telemetry(self)

    def extra_state(self) -> dict[str, Any]:
        """Return what a subclass needs to resume beside model and optimizer, such as a schedule."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take back what `extra_state` returned."""

    def before_epochs(self, train_data: AbstractDataLoader, show_progress: bool) -> None:
        """A subclass may do something here, in `fit` before the first epoch."""

    def fit(
        self,
        train_data: AbstractDataLoader,
        valid_data: AbstractDataLoader | None = None,
        verbose: bool = True,
        saved: bool = True,
        show_progress: bool = False,
        callback_fn: Callable[[int, float], None] | None = None,
    ) -> tuple[float, dict[str, float] | None]:
        """Train as RecBole does; after `resume_checkpoint`, from where the last epoch ended."""
        self._train_data = train_data
        if self.progress is None and saved:
            self.progress = Progress(_last_beside(self.saved_model_file))
        if self._random_states is not None:
            set_random_states(self._random_states, train_data)
            self._random_states = None
        elif self.progress is not None and is_main():
            self.progress.remove()
        self.before_epochs(train_data, show_progress)
        found = super().fit(train_data, valid_data, verbose, saved, show_progress, callback_fn)
        self._keep_last(ended=True)
        return found

    def _train_epoch(
        self,
        train_data: AbstractDataLoader,
        epoch_idx: int,
        loss_func: Callable[[Interaction], Any] | None = None,
        show_progress: bool = False,
    ) -> Any:
        heed()
        self._keep_last()  # here everything is through that belongs to the epoch before
        # Loaders of user rows are a function of the epoch's number; RecBole's go on from their generator's state.
        if hasattr(train_data, "set_epoch"):
            train_data.set_epoch(epoch_idx)
        start = time.perf_counter()
        if self._began is None:
            self._began = start - self._seconds["seconds"]
        loss = self._watched_epoch(train_data, epoch_idx, loss_func, show_progress)
        self.telemetry.epoch(epoch_idx, seconds := time.perf_counter() - start)
        self._seconds["training_seconds"] += seconds
        self._unsaved = True
        return loss

    def _watched_epoch(
        self, train_data: AbstractDataLoader, epoch_idx: int, loss_func: Callable | None, show_progress: bool
    ) -> Any:
        """RecBole's epoch, with a progress bar that shows the loss."""
        if not show_progress:
            return super()._train_epoch(train_data, epoch_idx, loss_func)
        own_loss = loss_func or self.model.calculate_loss
        with LoaderBar(train_data, f"{self.stage} epoch {epoch_idx}") as bar:

            def shown_loss(batch: Interaction) -> Any:
                loss = own_loss(batch)
                total = sum(loss) if isinstance(loss, tuple) else loss
                bar.show(total.item())
                return loss

            return super()._train_epoch(bar, epoch_idx, shown_loss)

    def _valid_epoch(self, *args: object, **kwargs: object) -> tuple[float, dict[str, float]]:
        _, self._last_valid_result = super()._valid_epoch(*args, **kwargs)
        score = self.exact_result[self.valid_metric]
        epoch = max(self.train_loss_dict, default=-1)
        self.validations.append({"epoch": epoch, "score": float(score), **self.spent()})
        self.telemetry.validation(epoch)
        return score, self._last_valid_result

    def spent(self) -> dict[str, float]:
        """Seconds so far, with and without validations."""
        if self._began is not None:
            self._seconds["seconds"] = time.perf_counter() - self._began
        return dict(self._seconds)

    def _add_hparam_to_tensorboard(self, best_valid_result: float) -> None:
        whole, self.config = self.config, self.config.without_secrets()
        try:
            super()._add_hparam_to_tensorboard(best_valid_result)
        finally:
            self.config = whole

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: object) -> None:
        if not is_main():
            return
        if epoch < 0 < self.start_epoch:
            return  # RecBole saves epoch -1 when nothing is left to train; a resumed checkpoint must keep its epoch.
        directory = kwargs.pop("saved_model_file", self.saved_model_file)
        save_checkpoint(
            directory,
            epoch=epoch,
            best_valid_score=self.best_valid_score,
            # RecBole saves a best epoch before it notes its result in `best_valid_result`.
            best_valid_result=self._last_valid_result,
            train_loss_dict=self.train_loss_dict,
            **self._model_state(),
        )
        if verbose:
            self.logger.info(set_color("Saving current", "blue") + f": {directory}")

    def _keep_last(self, ended: bool = False) -> None:
        """Write the last epoch to where `fit` goes on after a kill: always at the end, and before unless states are
        written too often, see `Progress`.
        """
        if self.progress is None or not self._unsaved or not is_main() or not (ended or self.progress.due):
            return
        self._unsaved = False
        self.progress.save(
            epoch=max(self.train_loss_dict, default=-1),
            ended=ended,
            cur_step=self.cur_step,
            best_valid_score=self.best_valid_score,
            best_valid_result=self.best_valid_result,
            train_loss_dict=self.train_loss_dict,
            validations=self.validations,
            seconds=self.spent(),
            optimizers=self._optimizers(),
            outside=changed(self.model, self._untrained),
            random_states=random_states(self._train_data),
            extra=self.extra_state(),
            **self._model_state(),
        )

    def _model_state(self) -> dict[str, Any]:
        return {
            "model": self.settings.model,
            "state_dict": self.model.state_dict(),
            "other_parameter": self._other_parameter(),
        }

    def _optimizers(self) -> dict[str, Any]:
        """State of each optimizer by its attribute, or the attribute that holds the same one: RecVAE has three, and
        `optimizer` is one of the other two.
        """
        optimizers: dict[str, Any] = {}
        names: dict[int, str] = {}
        for name, value in reversed(vars(self).items()):
            if isinstance(value, torch.optim.Optimizer):
                known = names.setdefault(id(value), name)
                optimizers[name] = value.state_dict() if known == name else known
        return optimizers

    def load_optimizers(self, states: dict[str, Any]) -> None:
        """Take back what `_optimizers` returned."""
        for name, state in states.items():
            if isinstance(state, str):
                setattr(self, name, getattr(self, state))
            else:
                getattr(self, name).load_state_dict(state)

    def _other_parameter(self) -> dict[str, Any]:
        """What the model keeps outside its parameters. Layers that RecBole lists there are in `state_dict` already."""
        layers = set(self.model.modules())
        other = self.model.other_parameter()
        return {name: value for name, value in other.items() if not isinstance(value, nn.Module) or value not in layers}

    def resume_checkpoint(self, resume_file: str | Path) -> None:
        """Go on with the training that keeps its best epoch in a checkpoint: with `fit`, from its last epoch."""
        self.saved_model_file = str(resume_file)
        if not self.go_on():
            self._refuse_other_model(load_checkpoint(resume_file), resume_file)
            raise InputError(
                f"{resume_file} holds the best epoch of a training that is through, and nothing to go on from; train "
                "anew with more epochs"
            )

    def go_on(self, progress: Progress | None = None) -> bool:
        """Take everything from the last epoch of a training that was killed, if it left one. True if so.

        Args:
            progress: where it kept that, and where `fit` keeps it from now on; None: beside the checkpoint.
        """
        self.progress = progress or Progress(_last_beside(self.saved_model_file))
        state = self.progress.load()
        if state is None:
            return False
        self._refuse_other_model(state, self.progress.folder)
        self.start_epoch = self.epochs if state["ended"] else state["epoch"] + 1
        self.cur_step = state["cur_step"]
        self.best_valid_score = state["best_valid_score"]
        self.best_valid_result = self._last_valid_result = state["best_valid_result"]
        self.train_loss_dict = state["train_loss_dict"]
        self.validations, self._seconds = state["validations"], state["seconds"]
        self.seconds_before = self._seconds["seconds"]
        take_state(self.model, state, self.progress.folder)
        put_back(self.model, state["outside"])
        self.load_extra_state(state["extra"])
        self.load_optimizers(state["optimizers"])
        self._random_states = state["random_states"]
        self.logger.info(f"Checkpoint loaded. Resume training from epoch {self.start_epoch}")
        return True

    def forget_last(self) -> None:
        """Remove the last epoch: the training is through, and the best one is what is used."""
        (self.progress or Progress(_last_beside(self.saved_model_file))).remove()

    def load_best(self) -> None:
        """Take the weights and the result of the best epoch from the checkpoint."""
        state = load_checkpoint(self.saved_model_file)
        self._refuse_other_model(state, self.saved_model_file)
        take_state(self.model, state, self.saved_model_file)
        self.best_valid_score, self.best_valid_result = state["best_valid_score"], state["best_valid_result"]

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
            take_state(self.model, state, directory)
            self.logger.info(f"Loading model structure and parameters from {directory}")
        start = time.perf_counter()
        result = super().evaluate(eval_data, load_best_model=False, show_progress=show_progress)
        self.evaluation_seconds = time.perf_counter() - start
        self.exact_result = {metric: float(value) for metric, value in result.items()}
        for metric, value in self.exact_result.items():
            result[metric] = round(value, self.settings.metric_decimal_place)
        return result

    def _refuse_other_model(self, state: dict[str, Any], directory: str | Path) -> None:
        if state["model"] != (model := self.settings.model):
            raise InputError(f"{directory} holds a {state['model']}, not a {model}; name another checkpoint")


def _last_beside(checkpoint: str | Path) -> Path:
    """Where the last epoch stands beside the best one."""
    return Path(f"{checkpoint}-last")

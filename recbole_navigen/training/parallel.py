"""Training and evaluation by several processes (`torchrun`), as a mixin for RecBole's trainers.

All processes read the same data and walk through the same global batches; each computes on its share of the rows. The
share's loss counts by its share of the batch's targets, and gradients are summed, so a step is the step that one
process would take with the whole batch (dropout is drawn by each process for itself). In evaluations each process
scores its own users; what RecBole collects of them is gathered before any metric is computed, so every user counts
once, and all processes know the same metrics and stop at the same epoch.

RecBole's own switches for DDP (`single_spec`, NCCL, one sampler for each rank) stay off.
"""

from collections.abc import Callable, Iterator
from typing import Any

import recbole.trainer.trainer
import torch
from recbole.config import Config
from recbole.data.dataloader import AbstractDataLoader, FullSortEvalDataLoader
from recbole.data.interaction import Interaction
from recbole.trainer import Trainer
from recbole.utils import ModelType
from torch import Tensor, distributed, nn

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen import processes
from recbole_navigen.config.settings import TrainingSettings
from recbole_navigen.errors import InputError

# What evaluation collects batch by batch, one row a user.
_COLLECTED = ("rec.items", "rec.topk", "rec.meanrank", "rec.score", "data.label")


class DataParallel:
    """Mixin for RecBole trainers, right before the trainer in the bases. With one process it changes nothing."""

    def __init__(self, config: Config, model: nn.Module):
        self.settings = settings = TrainingSettings.of(config)
        if processes.size() == 1:
            super().__init__(config, model)
            return
        of_recbole = [cls for cls in type(self).__mro__ if cls.__module__.partition(".")[0] == "recbole"]
        own_loops = [cls for cls in of_recbole if "_train_epoch" in vars(cls)]
        if own_loops != [Trainer]:
            raise InputError(
                f"{settings.model} cannot be trained by {processes.size()} processes: RecBole's "
                f"{own_loops[0].__name__} has a training loop of its own; run it in one process"
            )
        if settings.MODEL_TYPE == ModelType.TRADITIONAL:
            raise InputError(f"{settings.model} has no steps that processes could share; run it in one process")
        if not processes.is_main():
            # RecBole opens a TensorBoard folder in every trainer; one process alone writes.
            recbole.trainer.trainer.get_tensorboard = lambda logger: _Silent()
        super().__init__(config, model)
        self._parts: dict[int, tuple[AbstractDataLoader, AbstractDataLoader]] = {}
        collect = self.eval_collector.get_data_struct
        self._begun = self._sharded = False

        def collected() -> Any:
            struct = collect()
            for key in _COLLECTED:
                if self._sharded and key in struct:
                    struct.set(key, processes.gathered(struct.get(key).to(self.device)).cpu())
            return struct

        self.eval_collector.get_data_struct = collected

    def fit(self, *args: object, **kwargs: object) -> tuple[float, dict[str, float] | None]:
        """Train as RecBole does; all are through when the main process has written its last checkpoint."""
        result = super().fit(*args, **kwargs)
        processes.wait()
        return result

    def _begin(self) -> None:
        """Before the first step: the weights of the main process, and dropout masks of one's own.

        NumPy's random state stays common, because it draws the negatives of global batches.
        """
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            distributed.broadcast(tensor.data, 0)
        if not processes.is_main():
            torch.manual_seed(self.settings.seed + processes.rank())
        self._begun = True

    def _train_epoch(
        self,
        train_data: AbstractDataLoader,
        epoch_idx: int,
        loss_func: Callable[[Interaction], Any] | None = None,
        show_progress: bool = False,
    ) -> Any:
        if processes.size() == 1:
            return super()._train_epoch(train_data, epoch_idx, loss_func, show_progress)
        if not self._begun:
            self._begin()
        own_loss, shares = loss_func or self.model.calculate_loss, Shares(train_data)

        def shared_loss(batch: Interaction) -> Any:
            losses = own_loss(batch)
            parts = tuple(part * shares.weight for part in (losses if isinstance(losses, tuple) else (losses,)))
            # RecBole calls backward on the sum, so the first part's gradient comes exactly once, at its beginning.
            parts[0].register_hook(self._when_done)
            return parts if isinstance(losses, tuple) else parts[0]

        total = super()._train_epoch(shares, epoch_idx, shared_loss, show_progress)
        sums = torch.tensor(total, dtype=torch.float64, device=self.device)
        distributed.all_reduce(sums)
        return tuple(sums.tolist()) if isinstance(total, tuple) else float(sums)

    def _when_done(self, gradient: Tensor) -> None:
        """Sum the gradients when the backward pass is through, before RecBole clips them."""
        torch.autograd.Variable._execution_engine.queue_callback(self._sum_gradients)

    @torch.no_grad()
    def _sum_gradients(self) -> None:
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        # A weight that no process used keeps no gradient: a zero would make the optimizer decay and move it.
        used = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=self.device)
        zeros = (p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in parameters)
        flat = torch.cat([used, *(part.float() for part in zeros)])
        distributed.all_reduce(flat)
        parts = flat[len(parameters) :].split([parameter.numel() for parameter in parameters])
        for parameter, part, count in zip(parameters, parts, flat[: len(parameters)].tolist(), strict=True):
            if count:
                parameter.grad = part.view_as(parameter).to(parameter.dtype)

    def _valid_epoch(self, *args: object, **kwargs: object) -> tuple[float, dict[str, float]]:
        if processes.size() > 1:
            # Numbers that were fitted on validation are the main process's own everywhere.
            for buffer in self.model.buffers():
                if buffer.is_floating_point():
                    distributed.broadcast(buffer, 0)
        return super()._valid_epoch(*args, **kwargs)

    def evaluate(self, eval_data: AbstractDataLoader, *args: object, **kwargs: object) -> dict[str, float] | None:
        """Evaluate as RecBole does, each process its own users. Rankings against sampled items are not shared out."""
        self._sharded = processes.size() > 1 and isinstance(eval_data, FullSortEvalDataLoader)
        return super().evaluate(self._part(eval_data) if self._sharded else eval_data, *args, **kwargs)

    def _part(self, eval_data: FullSortEvalDataLoader) -> FullSortEvalDataLoader:
        """The loader of this process's users, every `size`-th one."""
        if id(eval_data) not in self._parts:
            whole = eval_data._dataset
            users, number = whole.inter_feat[whole.uid_field].unique(return_inverse=True)
            if len(users) < processes.size():
                raise InputError(
                    f"there are {len(users)} users to evaluate for {processes.size()} processes; start fewer"
                )
            rows = (number % processes.size() == processes.rank()).nonzero()[:, 0]
            part = whole.copy(whole.inter_feat[rows])
            # Kept together: an id is one object's for as long as that lives.
            self._parts[id(eval_data)] = (
                eval_data,
                type(eval_data)(self.config, part, eval_data._sampler, shuffle=False),
            )
        return self._parts[id(eval_data)][1]


class Shares:
    """This process's rows of every global batch of a loader; otherwise the loader.

    `weight` is the share of the last batch's targets that lie in them. A batch with fewer rows than there are processes
    leaves some without: they compute on its first row, with weight 0, to take part in the sum.
    """

    def __init__(self, loader: AbstractDataLoader):
        self._loader = loader
        self.weight = 1.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Interaction]:
        targets = getattr(self._loader, "targets", len)
        for batch in self._loader:
            rows = torch.arange(len(batch))[processes.rank() :: processes.size()]
            share = batch[rows] if len(rows) else batch[:1]
            self.weight = targets(share) / targets(batch) if len(rows) else 0.0
            yield share


class _Silent:
    """Stands where TensorBoard's writer would, and writes nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None

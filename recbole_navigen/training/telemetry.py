"""What a training tells TensorBoard and Weights and Biases beside RecBole's sum of losses and validation score."""

from collections.abc import Mapping

from recbole.trainer import Trainer
from torch import Tensor

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)


class Telemetry:
    """Numbers of each epoch, such as loss/cid2cid, rate and seconds, and of each validation, such as valid/ndcg@10."""

    def __init__(self, trainer: Trainer):
        """
        Args:
            trainer: RecBole's, whose writer of TensorBoard and logger of W&B are used.
        """
        self._trainer = trainer
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def note(self, name: str, value: Tensor) -> None:
        """Add the value of a step to the mean of its epoch; nothing waits for the device."""
        own = value.detach().float()
        self._sums[name] = self._sums[name] + own if name in self._sums else own
        self._counts[name] = self._counts.get(name, 0) + 1

    def epoch(self, number: int, seconds: float) -> None:
        """Write the means of an epoch, its learning rate at the end and how long it took.

        Args:
            number: of the epoch. Alignment has epochs of its own, which are numbered behind all others.
        """
        trainer = self._trainer
        apart = number >= trainer.epochs
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        numbers = {**means, "rate": trainer.optimizer.param_groups[0]["lr"], "seconds": seconds}
        self._write("train", number - trainer.epochs * apart, numbers)

    def validation(self, number: int) -> None:
        """Write the metrics of a validation after an epoch, its seconds, and what the model has fitted on it."""
        own = getattr(self._trainer.model, "scalars", dict)()
        seconds = self._trainer.evaluation_seconds
        self._write("valid", number, {**self._trainer.exact_result, **own, "seconds": seconds})

    def _write(self, head: str, number: int, numbers: Mapping[str, float]) -> None:
        """Alignment and the collaborative model have names of their own, since they share the files of the run."""
        before = "" if self._trainer.stage in ("train", "finetune") else f"{self._trainer.stage}/"
        named = {f"{before}{name}": value for name, value in numbers.items()}
        for name, value in named.items():
            self._trainer.tensorboard.add_scalar(f"{head}/{name}", value, number)
        self._trainer.wandblogger.log_metrics({**named, f"{head}_step": number}, head=head)

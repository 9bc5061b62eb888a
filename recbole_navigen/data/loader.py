"""Loaders: windows of user rows for training, and RecBole's evaluation rows with the history masked."""

from collections.abc import Iterator

import numpy as np
import torch
from recbole.config import Config
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.data.interaction import Interaction
from torch import Tensor

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.config.settings import DataSettings
from recbole_navigen.data.dataset import TARGET_POSITION, NaviGenDataset
from recbole_navigen.data.sequences import blurred, windows
from recbole_navigen.errors import InputError

# Rows of a batch have similar, not equal lengths: a row's length counts with up to this share of noise.
_LENGTH_NOISE = 0.2


class UserRowLoader:
    """Batches of windows over users' training sequences, with the habits of RecBole's training loaders.

    Each batch is an Interaction with ITEM_SEQ, shape (B, T), right-padded with 0 and trimmed to its longest row, and
    ITEM_SEQ_LEN, shape (B,): items in the row. T is at most MAX_ITEM_LIST_LENGTH + 1. Inputs are row[:-1], targets
    row[1:]. Windows of like length go together, and batches hold about equally many targets.

    Every epoch cuts and shuffles anew. What an epoch holds is a function of `seed` and the epoch's number alone, so a
    resumed run sees what the uninterrupted one would have seen.
    """

    def __init__(self, config: Config, dataset: NaviGenDataset, sampler: None = None, shuffle: bool = True):
        """
        Args:
            config: gives MAX_ITEM_LIST_LENGTH, `window_stride` (empty = MAX_ITEM_LIST_LENGTH, so that every item is a
                target once), `order_noise` (see `blurred`), `batch_items` (about so many items in a batch) or, where
                the user set it or `batch_items` is empty, `train_batch_size` in windows, and `seed`.
            dataset: the training part of a NaviGenDataset.
            sampler: RecBole's negative sampler; user rows need none.
            shuffle: False cuts all epochs alike and keeps the windows in order of length.
        """
        if not hasattr(dataset, "sequences"):
            raise InputError("user rows need the training part of a NaviGenDataset; build the data set first")
        self.config, self._settings = config, DataSettings.of(config)
        self.shuffle = bool(shuffle)
        self._dataset = dataset
        self._sampler = sampler
        self.length = int(self._settings.MAX_ITEM_LIST_LENGTH)
        self.item_seq = self._settings.ITEM_ID_FIELD + self._settings.LIST_SUFFIX
        self.item_seq_len = self._settings.ITEM_LIST_LENGTH_FIELD
        self._epoch = 0
        self._cut: tuple[int, Tensor, list[Tensor]] | None = None
        items = None if config.user_set("train_batch_size") else self._settings.batch_items
        self.set_batch_size(self._windows_in_batch(items) or self._settings.train_batch_size)
        if not self._batches(0)[1]:
            raise InputError(
                "no user has two training interactions, so there is nothing to train on; check the filters"
            )

    @property
    def dataset(self) -> NaviGenDataset:
        """The training part."""
        return self._dataset

    def set_batch_size(self, batch_size: int) -> None:
        """Set the number of windows in a batch, on average: batches of short windows hold more of them."""
        self.step = self._batch_size = int(batch_size)
        self._cut = None

    def _windows_in_batch(self, items: int | None) -> int | None:
        """Windows that hold about so many items; None for None."""
        if not items:
            return None
        cut = windows(self._dataset.sequences, self.length, self._settings.window_stride)
        return max(1, round(items * len(cut) / max(1, int((cut != 0).sum()))))

    def targets(self, batch: Interaction) -> int:
        """Return the number of targets in a batch, which its loss is the mean over."""
        return int((batch[self.item_seq_len] - 1).sum())

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields; without it, epochs follow each other from 0."""
        self._epoch = int(epoch)

    def _batches(self, epoch: int) -> tuple[Tensor, list[Tensor]]:
        """Return an epoch's windows, shape (R, T), and the rows of each batch."""
        epoch = epoch if self.shuffle else 0
        if self._cut is None or self._cut[0] != epoch:
            rng = np.random.default_rng([self._settings.seed, epoch]) if self.shuffle else None
            cut = windows(self._dataset.sequences, self.length, self._settings.window_stride, rng)
            if rng is not None and self._settings.order_noise:
                cut = blurred(cut, self._settings.order_noise, rng)
            lengths = (cut != 0).sum(dim=1).numpy()
            order = np.argsort(
                lengths if rng is None else lengths * (1 + _LENGTH_NOISE * rng.random(len(lengths))), kind="stable"
            )
            # Losses are means over a batch: equal numbers of targets make every target count alike.
            targets = np.cumsum(lengths[order] - 1)
            number = (targets - 1) * -(-len(order) // self.step) // max(1, int((lengths - 1).sum()))
            parts = np.split(order, np.flatnonzero(np.diff(number)) + 1) if len(order) else []
            batches = [torch.from_numpy(part) for part in parts]
            if rng is not None:
                batches = [batches[i] for i in rng.permutation(len(batches))]
            self._cut = (epoch, cut, batches)
        return self._cut[1], self._cut[2]

    def __len__(self) -> int:
        return len(self._batches(self._epoch)[1])

    def __iter__(self) -> Iterator[Interaction]:
        cut, batches = self._batches(self._epoch)
        for rows in batches:
            batch = cut[rows]
            lengths = (batch != 0).sum(dim=1)
            yield Interaction({self.item_seq: batch[:, : int(lengths.max())], self.item_seq_len: lengths})
        self._epoch += 1


class HistoryMaskedLoader(FullSortEvalDataLoader):
    """RecBole's full-ranking loader for sequential models, with `exclude_history: true`.

    RecBole never hides what a user has already consumed from a sequential model, and always hides it from a general
    one. This loader also returns everything the user did before the target, not only the items the model sees, in the
    place where general models have it; RecBole's trainer then sets those scores to -inf. The target is never hidden.
    """

    def collate_fn(self, index: list[int]) -> tuple:
        interaction, _, positive_u, positive_i = super().collate_fn(index)
        rows, items = self._dataset.timeline.history(interaction[TARGET_POSITION].numpy())
        return interaction, (torch.from_numpy(rows), torch.from_numpy(items)), positive_u, positive_i

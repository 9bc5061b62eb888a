"""RecBole's sequential data sets in exact order of time, and NaviGenDataset: one row a user, not one a prefix."""

from functools import cache

import numpy as np
import pandas as pd
import torch
from recbole.data.dataset import Dataset, SequentialDataset
from recbole.data.interaction import Interaction

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.data.exact_order import ExactOrder, seed_of_ties
from recbole_navigen.data.order import exact_rank
from recbole_navigen.data.sequences import UserSequences
from recbole_navigen.errors import InputError

# Column that sequential rows carry beside RecBole's own: the place of the target in the `Timeline`.
TARGET_POSITION = "target_position"


class ExactSequence(ExactOrder):
    """ExactOrder for sequential data sets: each row also knows the place of its target, `TARGET_POSITION`."""

    def _exact_rank(self) -> np.ndarray | None:
        if TARGET_POSITION in self.inter_feat:
            return self.timeline.ranks[self.inter_feat[TARGET_POSITION].numpy()]
        return super()._exact_rank()

    def data_augmentation(self) -> None:
        """Expand prefixes as the RecBole class does, then note each row's target."""
        self._require_times()
        super().data_augmentation()
        self.inter_feat[TARGET_POSITION] = torch.from_numpy(self.timeline.targets())

    def _require_times(self) -> None:
        if self.timeline is None:
            raise InputError(
                f"sequential models need times: load column {self.time_field} of {self.dataset_name}.inter (load_col)"
            )


class ExactSequentialDataset(ExactSequence, SequentialDataset):
    """RecBole's SequentialDataset, one row a prefix: the same rows, in exact order, without its loop over rows.

    Files that are split already (`benchmark_filename`) may hold rows as RecBole wants them, with histories, or plain
    interactions: then a row's history is everything the user did before it in any of the files.
    """

    _file_of_row: np.ndarray | None = None  # of plain interactions in several files, in exact order of time

    def _load_inter_feat(self, token: str, dataset_path: str) -> None:
        super()._load_inter_feat(token, dataset_path)
        if self.benchmark_filename_list is None or f"{self.iid_field}{self._settings.LIST_SUFFIX}" in self.inter_feat:
            return
        if len(self._times_of_files) < len(self.file_size_list):
            raise InputError(
                f"sequential models need times: load column {self.time_field} of {token}.{{"
                f"{','.join(self.benchmark_filename_list)}}}.inter (load_col)"
            )
        self._times = pd.Series(np.concatenate(self._times_of_files))
        self._rank = pd.Series(exact_rank(self._times.to_numpy(), seed_of_ties(self._settings.shuffle_ties)))
        files = np.repeat(np.arange(len(self.file_size_list)), self.file_size_list)
        self._file_of_row = files[np.argsort(self._rank.to_numpy())]

    def _benchmark_presets(self) -> None:
        if self._file_of_row is None:
            super()._benchmark_presets()

    def _change_feat_format(self) -> None:
        super()._change_feat_format()
        if self._file_of_row is not None:
            self.data_augmentation()

    def build(self) -> list[Dataset]:
        """Split as the settings say, or by the files."""
        if self._file_of_row is None:
            return super().build()
        self._change_feat_format()
        self._drop_unused_col()
        files = self._file_of_row[self._exact_rank()]
        return [self.copy(self.inter_feat[torch.from_numpy(files == n)]) for n in range(len(self.file_size_list))]

    def data_augmentation(self) -> None:
        self._index_targets()
        self._add_histories(self.inter_feat)

    def rows_after(self, users: np.ndarray, lengths: np.ndarray) -> Interaction:
        """Rows without a target for what comes after the first interactions of some users, once the data are split.

        Args:
            users: internal ids. Shape (B,). lengths: how many interactions each user has done. Shape (B,).
        """
        begin = np.searchsorted(self.timeline.users, users)
        rows = Interaction({self.uid_field: torch.from_numpy(users)})
        self._fill_histories(rows, begin + lengths, begin)
        return rows

    def _index_targets(self) -> None:
        """Turn the interactions into one row a target: the target's columns and its place, histories still missing."""
        self._aug_presets()
        self._require_times()
        self.sort(by=[self.uid_field, self.time_field])
        self._interactions = self.inter_feat
        targets = self.timeline.targets()
        self.inter_feat = self._interactions[targets]
        self.inter_feat[TARGET_POSITION] = torch.from_numpy(targets)

    def _add_histories(self, rows: Interaction) -> None:
        """Add RecBole's `item_length` and `FIELD_list` columns: the last MAX_ITEM_LIST_LENGTH before the target."""
        positions = rows[TARGET_POSITION].numpy()
        self._fill_histories(rows, positions, self.timeline.starts[positions])

    def _fill_histories(self, rows: Interaction, positions: np.ndarray, starts: np.ndarray) -> None:
        """Histories that end before `positions` and begin at `starts` or later. Shapes (R,), (R,)."""
        lengths = np.minimum(positions - starts, self.max_item_list_len)
        place = np.arange(self.max_item_list_len)
        inside = place < lengths[:, None]
        source = torch.from_numpy(np.where(inside, (positions - lengths)[:, None] + place, 0))
        outside = torch.from_numpy(~inside)
        rows[self.item_list_length_field] = torch.from_numpy(lengths)
        for field in self._interactions:
            if field != self.uid_field:
                values = self._interactions[field][source]
                values[outside] = 0
                rows[getattr(self, f"{field}_list_field")] = values


class NaviGenDataset(ExactSequentialDataset):
    """Sequential data without the expansion of prefixes.

    `build` splits with RecBole's own code, whatever the split. The training part holds the training interactions as
    they are, one row each, and `sequences`, one row a user. The validation and test parts hold RecBole's own rows: the
    target and, in `item_id_list`, the last MAX_ITEM_LIST_LENGTH items before it.

    RecBole's leave-one-out counts rows that have a history, so a user with exactly three interactions has a test row
    but no validation row here and in every sequential baseline; RecBole's general models validate on the second one.
    """

    sequences: UserSequences  # of the training part only

    def _load_inter_feat(self, token: str, dataset_path: str) -> None:
        super()._load_inter_feat(token, dataset_path)
        if self.benchmark_filename_list is not None and self._file_of_row is None:
            histories = f"{self.iid_field}{self._settings.LIST_SUFFIX}"
            raise InputError(
                f"models on user rows make histories of the interactions themselves: leave {histories} out of "
                f"load_col, and load {self.time_field}"
            )

    def data_augmentation(self) -> None:
        self._index_targets()

    def build(self) -> list["NaviGenDataset"]:
        """Split into training, validation and test part."""
        train, valid, test = super().build()
        for part in (valid, test):
            self._add_histories(part.inter_feat)
        positions = train.inter_feat[TARGET_POSITION].numpy()

        # The training sequence of a user is what the training part holds: the first interaction and the targets. What a
        # split holds out in between is left out of it, so that it is seen in no training step.
        rows = np.union1d(self.timeline.starts[positions], positions)
        users, lengths = np.unique(self.timeline.users[rows], return_counts=True)
        train.sequences = UserSequences(users, self.timeline.items[rows], np.concatenate(([0], np.cumsum(lengths))))
        train.inter_feat = self._interactions[rows]
        # Samplers look at the whole data set's rows: give them all interactions, not the rows that were just split.
        self.inter_feat = self._interactions
        return [train, valid, test]

    def inter_matrix(self, form: str = "coo", value_field: str | None = None):
        """Users x items matrix of this part's interactions. Shape (n_users, n_items)."""
        return Dataset.inter_matrix(self, form, value_field)


@cache
def exact(recbole_class: type[Dataset]) -> type[Dataset]:
    """Return the class with exact order mixed in, under its own name."""
    if recbole_class is SequentialDataset:
        return ExactSequentialDataset
    mixin = ExactSequence if issubclass(recbole_class, SequentialDataset) else ExactOrder
    return type(recbole_class.__name__, (mixin, recbole_class), {"__doc__": recbole_class.__doc__})

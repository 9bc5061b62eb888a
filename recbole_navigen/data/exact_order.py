"""RecBole's data sets in exact order of time: files are read as they stand, rows ordered by exact time."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.artefacts import content_hash
from recbole_navigen.config.intervals import Interval, check_value_filter, parse_intervals
from recbole_navigen.config.settings import DataSettings
from recbole_navigen.data.checks import check_known
from recbole_navigen.data.order import exact_rank, exact_times, tied_last_rows
from recbole_navigen.data.reader import NUL_MARK, AtomicFile, sequences
from recbole_navigen.data.timeline import Timeline
from recbole_navigen.errors import InputError


class ExactOrder:
    """Mixin for RecBole's Dataset classes: files are read as they stand, and rows are ordered by exact time instead of
    float32 time.

    The rows are put in exact order once, while they are still a DataFrame; `sort` by the time field then keeps that
    order. Internal ids are RecBole's own, because ids are numbered before the rows are moved.
    """

    content_hash: str  # sha256 over raw user ids, raw item ids and all interactions in order
    tied_last_rows: tuple[int, int] | None = None  # users whose last two rows have equal times, of all; None: no times
    timeline: Timeline | None = None  # all interactions by user and exact time; None without a time column

    def _get_preset(self) -> None:
        super()._get_preset()
        self._settings = DataSettings.of(self.config)
        # Every row gets its place in time when it is read, in the order of the file, before any filter drops some.
        self._rank: pd.Series | None = None
        self._times: pd.Series | None = None
        self._times_of_files: list[np.ndarray] = []  # of files that are split already
        self._in_exact_order = False
        self._holds_nul = False

    def _load_feat(self, filepath: str, source: FeatureSource | str) -> pd.DataFrame | None:
        """Read the columns of one file that the settings load, as RecBole's method of this name does, by our reader."""
        load_col, unload_col = self._get_load_and_unload_col(source)
        if load_col == set():
            return None
        file = AtomicFile(filepath, self._settings.field_separator, self._settings.encoding)
        kinds = {
            name: FeatureType(kind)
            for name, kind in file.header.items()
            if (load_col is None or name in load_col) and name not in (unload_col or ())
        }
        if not kinds:
            self.logger.warning(f"No columns has been loaded from [{source}]")
            return None
        if source != "link":
            for name, kind in kinds.items():
                self.field2source[name], self.field2type[name] = source, kind
                if not kind.value.endswith("seq"):
                    self.field2seqlen[name] = 1
                if "float" in kind.value:
                    self.field2bucketnum[name] = 2
        feat = self._without_missing_ids(file.path, file.frame(kinds))
        self._holds_nul |= file.holds_nul
        timed = source is FeatureSource.INTERACTION and self.time_field in kinds
        if timed and self.benchmark_filename_list is not None:
            self._times_of_files.append(exact_times(file, feat[self.time_field]))
        elif timed:
            self._times = pd.Series(exact_times(file, feat[self.time_field]))
            self._rank = pd.Series(exact_rank(self._times.to_numpy(), seed_of_ties(self._settings.shuffle_ties)))
        for name, kind in kinds.items():
            if kind.value.endswith("seq"):
                feat[name], longest = sequences(file.path, feat[name], kind.value, self._settings.seq_separator)
                most = (self._settings.seq_len or {}).get(name, longest)
                feat[name] = [cell[:most] for cell in feat[name]] if most < longest else feat[name]
                self.field2seqlen[name] = min(most, longest)
            elif kind is FeatureType.FLOAT and feat[name].isna().all():
                raise InputError(f"every cell of column {name} of {file.path} is empty; leave it out of load_col")
        return feat.reset_index(drop=True)

    def _without_missing_ids(self, path: Path, feat: pd.DataFrame) -> pd.DataFrame:
        """Leave out rows without a user or an item, and say how many. `feat` is indexed by the lines of its file."""
        for name in (self.uid_field, self.iid_field):
            missing = feat.index[feat[name].isna()] if name in feat else ()
            if len(missing):
                self.logger.warning(
                    f"{len(missing)} of {len(feat)} rows of {path} have no {name} and are left out "
                    f"(the first is line {missing[0]})"
                )
                feat = feat.drop(index=missing)
                if feat.empty:
                    raise InputError(f"no row of {path} has a {name}; check its columns and field_separator")
        return feat

    def _remap(self, remap_list: list) -> None:
        super()._remap(remap_list)
        for name in {name for _, name, _ in remap_list} if self._holds_nul else ():
            tokens = [token.replace(NUL_MARK, "\0") for token in self.field2id_token[name]]
            # Not an array of text: NumPy drops NUL from the end of one.
            self.field2id_token[name] = np.array(tokens, dtype=object)
            self.field2token_id[name] = {token: number for number, token in enumerate(tokens)}

    def _remap_ID_all(self) -> None:
        super()._remap_ID_all()
        for name in {name for alias in self.alias.values() for name in alias}.intersection(self.field2token_id):
            if self.field2token_id[name].get("[PAD]", 0) != 0:
                raise InputError(
                    f"column {name} of data set {self.dataset_name} holds the id '[PAD]', which RecBole keeps for "
                    f"padding; rename it"
                )

    def rows_in_order(self) -> pd.DataFrame:
        """The interactions in exact order, or as they are if they have no times. Their index is kept."""
        if self._rank is None:
            return self.inter_feat
        return self.inter_feat.iloc[np.argsort(self._rank.loc[self.inter_feat.index].to_numpy())]

    def _remove_duplication(self) -> None:
        """Keep the first or last of repeated interactions in exact order (RecBole's own sort is not even stable)."""
        keep = self._settings.rm_dup_inter
        if keep is None or self._rank is None:
            super()._remove_duplication()
            return
        repeated = self.rows_in_order().duplicated(subset=[self.uid_field, self.iid_field], keep=keep)
        self.inter_feat.drop(repeated.index[repeated], inplace=True)

    def _data_filtering(self) -> None:
        # RecBole drops interactions whose item or user has no row in its file without a word; that hides a broken file.
        # What `val_interval` leaves out of these files is dropped as it says, later.
        stem = f"{self.dataset_path}/{self.dataset_name}"
        if self.item_feat is not None:
            check_known(f"{stem}.item", self.item_feat[self.iid_field], self.inter_feat[self.iid_field])
        if self.user_feat is not None and self._settings.filter_inter_by_user_or_item:
            check_known(f"{stem}.user", self.user_feat[self.uid_field], self.inter_feat[self.uid_field], "users")
        super()._data_filtering()

    def _parse_intervals_str(self, intervals_str: object) -> list[Interval] | None:
        return None if intervals_str is None else parse_intervals("an interval", intervals_str)

    def _filter_by_field_value(self) -> None:
        for name, wanted in (self._settings.val_interval or {}).items():
            if name not in self.field2type:
                raise InputError(
                    f"val_interval names column {name}, which is not loaded; add it to load_col or choose one of "
                    f"{', '.join(self.field2type)}"
                )
            check_value_filter(name, self.field2type[name].value, wanted)
        super()._filter_by_field_value()

    def _reset_index(self) -> None:
        if self._rank is not None:
            kept = self.inter_feat.index
            self._rank, self._times = (rows.loc[kept].reset_index(drop=True) for rows in (self._rank, self._times))
        super()._reset_index()

    def _data_processing(self) -> None:
        super()._data_processing()
        if self.uid_field is None:
            return
        feat = self.rows_in_order()
        tokens = (np.asarray(self.field2id_token[field], dtype=str) for field in (self.uid_field, self.iid_field))
        users, items = (feat[field].to_numpy(np.int64) for field in (self.uid_field, self.iid_field))
        self.content_hash = content_hash(*tokens, users, items)
        if self._rank is not None:
            self.tied_last_rows = tied_last_rows(users, self._times.loc[feat.index].to_numpy())

    def _change_feat_format(self) -> None:
        rows = self.rows_in_order()
        self._in_exact_order = self._rank is not None
        if self._in_exact_order:
            self._time_places = np.unique(self._times.loc[rows.index].to_numpy(), return_inverse=True)[1]
        self.inter_feat = rows.reset_index(drop=True)
        if self._in_exact_order and self.uid_field is not None:
            columns = (self.inter_feat[field].to_numpy(np.int64) for field in (self.uid_field, self.iid_field))
            self.timeline = Timeline.of(*columns)
        super()._change_feat_format()

    def _exact_rank(self) -> np.ndarray | None:
        """Return each row's place in time, shape (rows,), or None where only RecBole's time column is left."""
        return np.arange(len(self.inter_feat)) if self._in_exact_order else None

    def sort(self, by: str | list[str], ascending: bool | list[bool] = True) -> None:
        """Sort the rows in place; the time field counts by exact time."""
        keys = [by] if isinstance(by, str) else list(by)
        rank = self._exact_rank() if self.time_field in keys else None
        if rank is None or not np.all(ascending):
            super().sort(by, ascending)
        else:
            columns = [rank if key == self.time_field else self.inter_feat[key].numpy() for key in keys]
            self.inter_feat._reindex(torch.from_numpy(np.lexsort(columns[::-1])))
        self._in_exact_order = self._in_exact_order and keys == [self.time_field] and bool(np.all(ascending))

    def time_based_split(self, ratios: list[float], group_by: str) -> list[Dataset]:
        """RecBole's split TS, by exact times: the last share of all rows is the test, wherever it falls in a user; of
        what a user did before, the last part is for validation.
        """
        rank = self._exact_rank()
        if rank is None:
            return super().time_based_split(ratios, group_by)
        train, _, test = np.array(ratios) / sum(ratios)
        times, users = self._time_places[rank], self.inter_feat[group_by].numpy()
        late = times > np.percentile(times, 100 * (1 - test))
        order = np.lexsort((rank, users))
        early = order[~late[order]]
        _, first, counts = np.unique(users[early], return_index=True, return_counts=True)
        place = np.arange(len(early)) - np.repeat(first, counts)
        trained = place < np.repeat((counts * (train / (1 - test))).astype(int), counts)
        self._drop_unused_col()
        parts = (early[trained], early[~trained], order[late[order]])
        return [self.copy(self.inter_feat[torch.from_numpy(part)]) for part in parts]

    def shuffle(self) -> None:
        """Shuffle the rows in place."""
        super().shuffle()
        self._in_exact_order = False

    def copy(self, new_inter_feat: Interaction) -> Dataset:
        """Return the same data set with other rows."""
        other = super().copy(new_inter_feat)
        other._in_exact_order = False
        return other


def seed_of_ties(shuffle_ties: object) -> int | None:
    if shuffle_ties is None or shuffle_ties is False:
        return None
    if isinstance(shuffle_ties, bool) or not isinstance(shuffle_ties, int) or shuffle_ties < 0:
        raise InputError(f"shuffle_ties must be a seed (a whole number from 0 up) or empty, not {shuffle_ties!r}")
    return shuffle_ties

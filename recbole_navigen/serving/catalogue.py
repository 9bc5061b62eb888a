"""What recommenders of all models share: raw ids as text or numbers, users and their histories, titles, exclusions."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch

from recbole_navigen.config import Config
from recbole_navigen.config.calls import checks
from recbole_navigen.config.raw_ids import Exclude, Histories, Id, known_user, listed, raw_id
from recbole_navigen.config.reading import nearest
from recbole_navigen.data import read_item_text
from recbole_navigen.data.histories import histories_of
from recbole_navigen.data.item_text import ItemText, item_file
from recbole_navigen.errors import InputError
from recbole_navigen.runs.summary import titles_of
from recbole_navigen.serving.answers import Recommendations

DATED = re.compile(r"year|date", re.IGNORECASE)


class CatalogueRecommender:
    """Base of `Recommender` and `ModelRecommender`.

    Attributes:
        item_tokens: raw ids of all items, in the order of internal ids. Length N.
        hides_history: whether the run was tested with consumed items hidden from the ranking.
    """

    def __init__(self, item_tokens: Sequence[str], hides_history: bool):
        """Args: see the attributes."""
        self.item_tokens, self.hides_history = item_tokens, hides_history
        self._index = {token: index for index, token in enumerate(item_tokens)}

    @property
    def _data(self) -> tuple[Config, Any]:
        """Settings and data set of the run."""
        raise NotImplementedError

    def history_of(self, user: Id) -> list[str]:
        """Everything a user of the run's data set did, as raw item ids, oldest first, without items that were removed.

        The atomic files are read again, on the first call, from where the run found them.
        """
        return [item for item in self._histories[known_user(user, self._histories)] if item in self._index]

    @property
    def users(self) -> list[str]:
        """Raw ids of all users of the run's data set."""
        return list(self._histories)

    @cached_property
    def titles(self) -> dict[str, str]:
        """A name for each raw item id: its title, or `item ID` without one."""
        return titles_of(*self._data)

    @cached_property
    def item_text(self) -> ItemText:
        """The text of every item by internal id, see `read_item_text`."""
        return read_item_text(*self._data)

    def dates(self) -> dict[str, str]:
        """What the item file's columns of a year or a date say of each raw item id; empty without such columns."""
        file, dataset = item_file(*self._data), self._data[1]
        columns = [name for name in file.header if DATED.search(name)]
        rows = file.texts([dataset.iid_field, *columns])
        return {item: " ".join(texts) for item, *texts in rows[[dataset.iid_field, *columns]].itertuples(index=False)}

    @cached_property
    def _histories(self) -> dict[str, list[str]]:
        return histories_of(self._data[1])

    def recommend(
        self, history: Sequence[Id], k: int = 10, exclude: Iterable[Id] = (), exclude_history: bool = False
    ) -> Recommendations:
        """The k best next items after one history.

        Args:
            history: raw item ids, as text or numbers, oldest first; at least one.
            k: how many items.
            exclude: raw ids of items that must not be recommended.
            exclude_history: True to leave the history's own items out as well.
        """
        return self.recommend_all([history], k, [exclude], exclude_history)[0]

    def recommend_all(
        self, histories: Histories, k: int = 10, exclude: Exclude = None, exclude_history: bool = False
    ) -> list[Recommendations]:
        """As `recommend`, for many histories at once."""
        raise NotImplementedError

    @checks(k="int from 1", exclude_history="bool or None", held_out="int from 0")
    def recommend_users(
        self,
        users: Sequence[Id],
        k: int = 10,
        exclude: Exclude = None,
        exclude_history: bool | None = None,
        held_out: int = 0,
        **more: object,
    ) -> list[Recommendations]:
        """The k best next items for users of the run's data set, after everything that they did.

        Args:
            users: raw ids, as text or numbers. k, exclude: as of `recommend_all`.
            exclude_history: whether items that the user had are left out; None: as in the test of the run.
            held_out: how many of each user's last items are taken for not yet done; 1 for the place of the test.
            more: `preferences`, as of `Recommender.recommend`.
        """
        users = [known_user(user, self._histories) for user in listed("users", users)]
        histories = [self.history_of(user) for user in users]
        if short := [user for user, history in zip(users, histories, strict=True) if len(history) <= held_out]:
            raise InputError(f"user {short[0]} has no history without the last {held_out} items; lower held_out.")
        histories = [history[: len(history) - held_out] for history in histories]
        hidden = self.hides_history if exclude_history is None else exclude_history
        return self._recommend_users(users, histories, k, exclude, hidden, **more)

    def _recommend_users(
        self,
        users: Sequence[str],
        histories: Histories,
        k: int,
        exclude: Exclude,
        exclude_history: bool,
        **more: object,
    ) -> list[Recommendations]:
        """`recommend_users` for known users and what each of them did."""
        return self.recommend_all(histories, k, exclude, exclude_history, **more)

    def unknown_item(self, ids: Iterable[Id]) -> Id | None:
        """The first of some raw ids that the catalogue does not have; None if it has all."""
        return next((raw for raw in ids if raw_id(raw) not in self._index), None)

    def _banned(self, indices: Sequence[Sequence[int]], exclude: Exclude, exclude_history: bool) -> torch.Tensor:
        """Which items must not appear, by item index. (B, N), bool.

        Args:
            indices: item indices of each history. exclude, exclude_history: as of `recommend_all`.
        """
        banned = torch.zeros(len(indices), len(self.item_tokens), dtype=torch.bool)
        excluded = [] if exclude is None else listed("exclude", exclude)
        if excluded and len(excluded) != len(indices):
            raise InputError(f"exclude has {len(excluded)} lists for {len(indices)} histories; give one for each.")
        for row, items in enumerate(excluded):
            banned[row, self._indices(items, f"exclude of history {row}")] = True
        if exclude_history:
            for row, items in enumerate(indices):
                banned[row, items] = True
        return banned

    def _all_indices(self, histories: Iterable[Iterable[Id]], empty: bool = False) -> list[list[int]]:
        """Item indices of histories of raw ids; an empty one is refused unless that is allowed."""
        indices = []
        for row, history in enumerate(listed("histories", histories)):
            indices.append(self._indices(history, f"history {row}"))
            if not indices[-1] and not empty:
                raise InputError(f"history {row} is empty; give at least one item id.")
        return indices

    def _indices(self, ids: Iterable[Id], where: str) -> list[int]:
        """Item indices of raw ids."""
        indices = []
        for raw in listed(where, ids):
            token = raw_id(raw)
            if not isinstance(token, str) or token not in self._index:
                raise InputError(
                    f"{where} has the unknown item {raw!r}; the nearest of the {len(self.item_tokens)} known ids is "
                    f"{nearest(str(raw), self.item_tokens)!r}."
                )
            indices.append(self._index[token])
        return indices

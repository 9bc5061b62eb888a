"""Any model of RecBole, or of a user's own, in use: the same calls as `Recommender`.

Symbols: B users, N items, H items of a history.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.utils import ModelType
from torch import Tensor

from recbole_navigen.config import Config
from recbole_navigen.config.calls import checks
from recbole_navigen.config.raw_ids import Exclude, Histories
from recbole_navigen.config.settings import DataSettings
from recbole_navigen.data.dataset import ExactSequentialDataset
from recbole_navigen.data.sequences import padded
from recbole_navigen.devices import AUTO
from recbole_navigen.errors import InputError
from recbole_navigen.runs.loaded import LoadedRun, load_run
from recbole_navigen.serving.answers import Recommendation, Recommendations
from recbole_navigen.serving.catalogue import CatalogueRecommender

SCORES = 2**24  # that are held at once
PAIRS = 2**16  # of a user and an item that a model without `full_sort_predict` scores at once


class ModelRecommender(CatalogueRecommender):
    """Recommends with a finished run of any RecBole model. Make one with `Recommender.load`.

    Sequential models recommend after any history; models that know a user by number recommend to the users of their
    data set alone (`recommend_users`).
    """

    def __init__(self, run: LoadedRun):
        """
        Args:
            run: as `load_run` reads it.
        """
        self.run, self.model, self.settings = run, run.model, run.config.public()
        self._reading = DataSettings.of(run.config)
        self.sequential = self._reading.MODEL_TYPE == ModelType.SEQUENTIAL
        dataset = run.dataset
        tokens = dataset.id2token(dataset.iid_field, np.arange(1, dataset.item_num))
        hides = bool(self._reading.exclude_history) or not (self.sequential or self._reading.repeatable)
        super().__init__(list(map(str, tokens)), hides)
        self._items: Interaction | None = None

    @classmethod
    @checks(run_dir="path", device="str")
    def load(cls, run_dir: str | Path, device: str = AUTO, model: type | None = None) -> "ModelRecommender":
        """Load a run at its best epoch; arguments as of `load_run`."""
        return cls(load_run(run_dir, device, model))

    @property
    def _data(self) -> tuple[Config, Any]:
        return self.run.config, self.run.dataset

    @checks(k="int from 1", exclude_history="bool")
    def recommend_all(
        self, histories: Histories, k: int = 10, exclude: Exclude = None, exclude_history: bool = False
    ) -> list[Recommendations]:
        """As `recommend`, for many histories at once.

        Raises:
            InputError: the model does not read histories of items alone.
        """
        name = self._reading.model
        if not self.sequential:
            raise InputError(
                f"{name} knows users by number and reads no histories; use recommend_users with users of its data set."
            )
        indices = self._all_indices(histories)
        if not indices:
            return []
        banned = self._banned(indices, exclude, exclude_history)
        try:
            return self._best(self._rows_of(indices), banned, k)
        except KeyError as error:
            raise InputError(
                f"{name} reads {error.args[0]} beside the items of a history; use recommend_users with users of its "
                "data set."
            ) from error

    def instruct(self, *_: object, **__: object) -> None:
        """Refused: only NaviGen writes instructions."""
        raise InputError(f"{self._reading.model} writes no instructions; load a run of NaviGen.")

    def _recommend_users(
        self,
        users: Sequence[str],
        histories: Histories,
        k: int,
        exclude: Exclude,
        exclude_history: bool,
        preferences: object = None,
    ) -> list[Recommendations]:
        if preferences is not None:
            raise InputError(f"{self._reading.model} knows no terms, which preferences need; load a run of NaviGen.")
        if not users:
            return []
        dataset, indices = self.run.dataset, self._all_indices(histories)
        numbers = np.array([dataset.field2token_id[dataset.uid_field][user] for user in users])
        rows = Interaction({dataset.uid_field: torch.from_numpy(numbers)})
        if isinstance(dataset, ExactSequentialDataset):
            rows = dataset.rows_after(numbers, np.array([len(history) for history in indices]))
        elif self.sequential:
            rows.update(self._rows_of(indices))
        return self._best(dataset.join(rows), self._banned(indices, exclude, exclude_history), k)

    def _rows_of(self, indices: Sequence[Sequence[int]]) -> Interaction:
        """Histories as a sequential model reads them: right-padded to its H items."""
        width = self._reading.MAX_ITEM_LIST_LENGTH
        items, lengths = padded([[index + 1 for index in history[-width:]] for history in indices])
        items = torch.nn.functional.pad(items, (0, width - items.shape[1]))
        return Interaction({self.model.ITEM_SEQ: items, self.model.ITEM_SEQ_LEN: lengths})

    @torch.no_grad()
    def _best(self, rows: Interaction, banned: Tensor, k: int) -> list[Recommendations]:
        """The k best items of each row, from the scores of all items.

        Args:
            rows: what the model reads, B rows. banned: (B, N) by item index. k: how many.
        """
        left = len(self.item_tokens) - int(banned.sum(dim=1).max())
        if k > left:
            raise InputError(
                f"k={k} items were asked for but only {left} are left for some user after exclusions; lower k or "
                "exclude fewer items."
            )
        recommendations = []
        at_once = max(1, SCORES // len(self.item_tokens))
        for begin in range(0, len(rows), at_once):
            scores = self._scores(rows[begin : begin + at_once]).float().cpu()[:, 1:]
            # A model that scores some items by no number cannot say that no other item belongs here.
            certified = (~scores.isnan().any(dim=1)).tolist()
            scores = scores.nan_to_num(-torch.inf).masked_fill(banned[begin : begin + at_once], -torch.inf)
            values, items = scores.topk(k, dim=1)
            for row, own in enumerate(zip(items.tolist(), values.tolist(), strict=True)):
                best = (Recommendation(self.item_tokens[i], (), None, None, v) for i, v in zip(*own, strict=True))
                recommendations.append(Recommendations(tuple(best), certified[row]))
        return recommendations

    def _scores(self, rows: Interaction) -> Tensor:
        """Scores of all items by internal id, the padding item included. Shape (B, N + 1)."""
        rows, count = rows.to(self.model.device), len(self.item_tokens) + 1
        try:
            return self.model.full_sort_predict(rows).view(-1, count)
        except NotImplementedError:  # models that read features of users and items score pairs, as RecBole has them do
            pass
        if self._items is None:
            self._items = self.run.dataset.get_item_feature().to(self.model.device)
        result = torch.empty(len(rows), count, device=self.model.device)
        at_once = max(1, PAIRS // count)
        for begin in range(0, len(rows), at_once):
            part = rows[begin : begin + at_once]
            pairs = part.repeat_interleave(count)
            pairs.update(self._items.repeat(len(part)))
            result[begin : begin + at_once] = self.model.predict(pairs).view(-1, count)
        return result

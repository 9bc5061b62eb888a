"""A plain Python API for a trained run: any history of item ids in, exact recommendations out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from recbole_navigen.artefacts import read_json
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.backbone import pretrained_tokenizer
from recbole_navigen.model.build import build_lm
from recbole_navigen.model.scoring import ExactScorer
from recbole_navigen.model.topk import TopKSearch
from recbole_navigen.quick_start.pipeline import IDENTIFIERS, TOKENIZER
from recbole_navigen.settings import nearest
from recbole_navigen.training.checkpoint import load_checkpoint


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One recommended item: its raw id, its terms, and its exact probability of being next."""

    item: str
    terms: tuple[str, ...]
    probability: float


class Recommender:
    """Recommends to histories the model has never seen. Make one with `Recommender.load`."""

    def __init__(self, table: DualIdentifierTable, lm, renderer, max_length: int, memory: float):
        self.table = table
        self.lm = lm.eval()
        self.renderer = renderer
        self.max_length = max_length
        self.search = TopKSearch(ExactScorer(lm, memory))
        self._index = {token: index for index, token in enumerate(table.item_tokens)}

    @classmethod
    def load(cls, run_dir: str | Path) -> "Recommender":
        """Load a NaviGen run at its best epoch.

        Args:
            run_dir: the folder of the run, `saved/RUN`.
        """
        run_dir = Path(run_dir)
        if not (run_dir / "result.json").is_file():
            raise InputError(f"{run_dir} is not the folder of a finished run: it holds no result.json; name saved/RUN.")
        result = read_json(run_dir / "result.json")
        if result["model"] != "NaviGen":
            raise InputError(f"{run_dir} holds a {result['model']}; this API reads runs of NaviGen.")
        settings = result["config"]
        table = DualIdentifierTable.load(run_dir / IDENTIFIERS)
        lm, renderer = build_lm(settings, table, pretrained_tokenizer(str(run_dir / TOKENIZER)))
        weights = load_checkpoint(run_dir / "checkpoint")["state_dict"]
        lm.load_state_dict({name.removeprefix("lm."): weight for name, weight in weights.items()})
        return cls(table, lm, renderer, settings["MAX_ITEM_LIST_LENGTH"], settings["scoring_memory"])

    def recommend(
        self, history: Sequence[str], k: int = 10, exclude: Iterable[str] = (), exclude_history: bool = False
    ) -> list[Recommendation]:
        """The k most probable next items after one history.

        Args:
            history: raw item ids, oldest first; at least one.
            k: how many items.
            exclude: raw ids of items that must not be recommended.
            exclude_history: True to leave the history's own items out as well.
        """
        return self.recommend_all([history], k, [exclude], exclude_history)[0]

    @torch.no_grad()
    def recommend_all(
        self,
        histories: Sequence[Sequence[str]],
        k: int = 10,
        exclude: Sequence[Iterable[str]] | None = None,
        exclude_history: bool = False,
    ) -> list[list[Recommendation]]:
        """As `recommend`, for many histories in one search."""
        if not histories:
            return []
        indices = [self._indices(history, f"history {row}") for row, history in enumerate(histories)]
        for row, history in enumerate(indices):
            if not history:
                raise InputError(f"history {row} is empty; give at least one item id.")
        banned = torch.zeros(len(indices), self.table.n_items, dtype=torch.bool)
        for row, items in enumerate(exclude or ()):
            banned[row, self._indices(items, f"exclude of history {row}")] = True
        if exclude_history:
            for row, items in enumerate(indices):
                banned[row, items] = True
        recent = [history[-self.max_length :] for history in indices]
        lengths = torch.tensor([len(history) for history in recent])
        padded = torch.zeros(len(recent), int(lengths.max()), dtype=torch.long)
        for row, history in enumerate(recent):
            padded[row, : len(history)] = torch.tensor(history) + 1
        top = self.search.top_k(self.renderer.cid2cid(padded, lengths), k, banned)
        return [
            [
                Recommendation(self.table.item_tokens[item], self.table.terms[item], score)
                for item, score in zip(items, scores, strict=True)
            ]
            for items, scores in zip(top.items.tolist(), top.log_probs.exp().tolist(), strict=True)
        ]

    def _indices(self, tokens: Iterable[str], where: str) -> list[int]:
        """Item indices of raw ids."""
        if isinstance(tokens, str):
            raise InputError(f"{where} is one string; give a list of item ids.")
        indices = []
        for token in tokens:
            if token not in self._index:
                raise InputError(
                    f"{where} has the unknown item {token!r}; the nearest of the {self.table.n_items} known ids is "
                    f"{nearest(str(token), self.table.item_tokens)!r}."
                )
            indices.append(self._index[token])
        return indices

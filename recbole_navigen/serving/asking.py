"""A recommender that asks back, and understands what is answered."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recbole_navigen.config.calls import checked, checks
from recbole_navigen.config.raw_ids import Id
from recbole_navigen.errors import InputError
from recbole_navigen.model.ranking import Ranking, TopK
from recbole_navigen.serving.evidence import Evidence
from recbole_navigen.serving.growing import GrowingCatalogue
from recbole_navigen.serving.popularity import HELD_OUT
from recbole_navigen.serving.preferences import Preferences, PreferenceSpace
from recbole_navigen.serving.questions import (
    KINDS,
    Question,
    item_questions,
    term_holders,
    term_questions,
)

if TYPE_CHECKING:
    from recbole_navigen.serving.agreement import Agreement
    from recbole_navigen.supervision.template.term_space import TermSpace

Stated = Preferences | str | Mapping[str, float] | None  # what somebody says of their taste
RATES = "answers"  # in the report of a saved table: term -> hit and false, see `Evidence`
MOST = 8  # questions at once: all patterns of their answers are weighed


class AskingRecommender(GrowingCatalogue):
    """Base of `Recommender`."""

    _agreement: "Agreement"
    _space: "TermSpace"
    ranking: Ranking
    settings: dict[str, Any]

    def _top(
        self, indices: list[list[int]], k: int, banned: torch.Tensor, stated: Sequence[Preferences], wish: bool = False
    ) -> TopK:
        """The k best items of users, see `Recommender`."""
        raise NotImplementedError

    @cached_property
    def _term_holders(self) -> dict[str, list[int]]:
        return term_holders(self.trained.table.terms)

    @cached_property
    def preference_space(self) -> PreferenceSpace:
        """How phrases match the items."""
        return PreferenceSpace(
            self.trained.table.terms,
            self._space,
            self._agreement.vectors,
            self.trained.table.sentences,
            self.settings["text_vectors"],
            self._dated_titles,
            lambda: self._evidence,
        )

    @cached_property
    def _evidence(self) -> Evidence:
        """What statements tell, by the training part of the run's data set; a saved model keeps the rates of terms."""
        table = self.trained.table
        if RATES in table.report or "data_path" not in self.settings:
            return Evidence((), table.n_items, table.report.get(RATES))
        histories = (history[:-HELD_OUT] for history in self._histories.values())
        return Evidence(
            ([self._index[item] for item in own if item in self._index] for own in histories), table.n_items
        )

    @property
    def _answer_rates(self) -> dict[str, tuple[float, float]]:
        """hit and false of the terms that may be asked for, see `Evidence`."""
        space = self.preference_space
        return {term: self._evidence.rates(term, space.match(term)) for term in self._term_holders}

    @torch.no_grad()
    def probabilities(self, history: Sequence[Id] = (), preferences: Stated = None) -> np.ndarray:
        """Probability of every item to be next, in the order of `item_tokens`; arguments as of `ask`. (N,), float64."""
        indices, count = self._all_indices([history], empty=True), len(self.item_tokens)
        top = self._top(indices, count, self._banned(indices, None, False), [Preferences.of(preferences)])
        result = np.empty(count)
        result[top.items[0].cpu().numpy()] = top.log_probs[0].double().exp().cpu().numpy()
        return result

    def item_of_terms(self, terms: Sequence[str]) -> str:
        """Raw id of the item that some terms name most probably (tid2cid)."""
        terms = checked("terms", "list of str", terms)
        if not any(term.strip() for term in terms):
            raise InputError("terms is empty; give at least one term.")
        rendered = self.trained.renderer.named_by([terms]).to(self.lm.code_rows.device)
        return self.item_tokens[int(self.ranking.top_k(rendered, 1).items[0, 0])]

    @checks(n=f"int from 1 to {MOST}", about=f"one of {', '.join(KINDS)}")
    def ask(
        self,
        history: Sequence[Id] = (),
        preferences: Stated = None,
        n: int = 3,
        about: str = KINDS[0],
        asked: Iterable[Question] = (),
    ) -> list[Question]:
        """The questions whose answers tell the most of what comes next, the best first; see `serving.questions`.

        Args:
            history: raw item ids, oldest first; may be empty. preferences: what is stated so far.
            n: how many; fewer come back where no further term or pair would tell anything.
            about: `terms` (do you like ...?) or `items` (rather this one, or rather that one?).
            asked: questions before these, also skipped ones; they are not asked again.

        An answer goes back in as preferences: `preferences + question.preferences("yes")`.
        """
        stated = Preferences.of(preferences)
        chances = self.probabilities(history, stated)
        spoken = [own for question in asked for own in question.about]
        if about == KINDS[0]:
            spoken = [*stated.weights, *spoken]
            return term_questions(chances, self._term_holders, spoken, n, self.preference_space.likelihood)
        return item_questions(
            chances,
            self.trained.table.terms,
            self._term_holders,
            self._agreement,
            self.item_tokens,
            self.titles,
            [*spoken, *map(str, history)],
            n,
        )

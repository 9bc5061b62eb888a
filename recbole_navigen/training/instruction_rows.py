"""Supervision rows as batches of the task cid2ins."""

import logging
from collections.abc import Sequence

import numpy as np
import torch

from recbole_navigen.data.sequences import UserSequences, padded
from recbole_navigen.errors import InputError
from recbole_navigen.language.answer import Answer, answer_text
from recbole_navigen.language.choices import Choices
from recbole_navigen.language.rendering import Rendered, Renderer
from recbole_navigen.model.author import Author
from recbole_navigen.supervision.planner import Planner
from recbole_navigen.supervision.rows import InstructionRow

logger = logging.getLogger(__name__)


def split_by_user(
    rows: Sequence[InstructionRow], share: float, seed: int
) -> tuple[list[InstructionRow], list[InstructionRow]]:
    """Rows to learn from, and those of a share of the users, at least one, that are kept from all learning; the latter
    in random order.
    """
    draws = np.random.default_rng(seed)
    users = draws.permutation(np.unique([row.row for row in rows]))
    held = set(users[: max(1, round(share * len(users)))].tolist())
    kept_out = [row for row in rows if row.row in held]
    return [row for row in rows if row.row not in held], [kept_out[place] for place in draws.permutation(len(kept_out))]


class InstructionRows:
    """Rows of a data set, each turned into tokens once.

    Rows that the grammar cannot hold, as a rule because they are longer than its limits, are left out, with a warning
    that counts them; a thought alone that is too long leaves its row without one.

    Args:
        rows: from the supervision of the training split.
        sequences: of the same split; rows name their places in it.
        renderer: of the model.
        max_length: items of a history that are read, the newest ones.
        think_share: share of the drawn rows that show their reasoning, of those that have one.
        choose_item: whether the answer stands behind its item, see `Renderer.cid2ins`.
        planner: knows the facts of the items, if what is learned are the rows' plans; None for their texts.
    """

    def __init__(
        self,
        rows: Sequence[InstructionRow],
        sequences: UserSequences,
        renderer: Renderer,
        max_length: int,
        think_share: float,
        choose_item: bool,
        planner: Planner | None = None,
    ):
        if not 0 <= think_share <= 1:
            raise InputError(f"think_share={think_share} must lie between 0 and 1.")
        if not rows:
            raise InputError("there is no instruction to learn; give at least one row.")
        self.renderer = renderer
        self.think_share = think_share
        self.choose_item = choose_item
        self.histories: list[np.ndarray] = []
        self.items: list[int] = []
        # What each answer stands behind: in training the item that came next.
        self.chosen = self.items
        self.tags: list[tuple[str, str]] = []
        self.plain: list[list[int]] = []
        self.thought: list[list[int] | None] = []
        self.planner, self.briefs, self.terms = planner, [], []
        self._known: dict[str, list[int]] = {}
        self._options: dict[tuple[int, bool], list[list[int]]] = {}
        if planner is not None:
            self._learn_plans(rows, sequences, max_length)
            return
        plain = [renderer.answer(row.target_tid, row.target_ins) for row in rows]
        thought = [renderer.answer(row.target_tid, row.target_ins, row.reasoning or "") for row in rows]
        fits = zip(renderer.grammar.accepts(plain), renderer.grammar.accepts(thought), strict=True)
        for place, (row, (plain_fits, thought_fits)) in enumerate(zip(rows, fits, strict=True)):
            if not plain_fits:
                continue
            items = sequences.items[sequences.offsets[row.row] :][: row.target + 1]
            self.histories.append(items[:-1][-max_length:])
            self.items.append(int(items[-1]))
            self.tags.append((row.domain, row.media))
            self.plain.append(plain[place])
            self.thought.append(thought[place] if thought_fits else None)
        if not self.plain:
            raise InputError(f"all {len(rows)} instructions are too long; raise instruction_tokens.")
        if left_out := len(rows) - len(self.plain):
            logger.warning("%d of %d instructions are too long to be learned", left_out, len(rows))

    @classmethod
    def of(cls, author: Author, rows: Sequence[InstructionRow], sequences: UserSequences) -> "InstructionRows":
        """Return the rows from which an author learns, under the author's own settings."""
        limits = (author.settings[name] for name in ("MAX_ITEM_LIST_LENGTH", "think_share", "choose_item"))
        return cls(rows, sequences, author.renderer, *limits, author.planner)

    def __len__(self) -> int:
        return len(self.plain)

    def _learn_plans(self, rows: Sequence[InstructionRow], sequences: UserSequences, max_length: int) -> None:
        """Spell each row's plan, with and without its thought."""
        for row in rows:
            if row.plan is None:
                raise InputError("a teacher that writes free text gives no plans; set instruction_form: text.")
            items = sequences.items[sequences.offsets[row.row] :][: row.target + 1]
            place = len(self.plain)
            self.histories.append(items[:-1][-max_length:])
            self.items.append(int(items[-1]))
            self.tags.append((row.domain, row.media))
            history = (items[:-1] - 1).tolist()
            self.briefs.append(self.planner.training_brief(history, int(items[-1]) - 1, row.media, row.target_tid))
            self.terms.append(self.renderer.answer_terms(row.target_tid))
            spelt = []
            for think in (False, True):
                tokens, self._options[place, think] = self.choices(place, think).spell(row.plan)
                spelt.append(tokens)
            self.plain.append(spelt[0])
            self.thought.append(spelt[1])

    def expect(self, terms: Sequence[Sequence[str]], chances: Sequence[tuple[Sequence[int], Sequence[float]]]) -> None:
        """Let the first rows write of what a model expects, in place of what came next.

        Args:
            terms: that each answer names. chances: item indices and probabilities of each.
        """
        for row, (row_terms, (items, probabilities)) in enumerate(zip(terms, chances, strict=True)):
            history = (self.histories[row] - 1).tolist()
            self.briefs[row] = self.planner.brief(history, items, probabilities, self.tags[row][1], row_terms)
            self.terms[row] = self.renderer.answer_terms(row_terms)

    def choices(self, row: int, think: bool) -> Choices:
        """Return the choices that the answer of a row has at its beginning."""
        return Choices(self.renderer.vocabulary, self.briefs[row], self.terms[row], think, self._known)

    def raw(self, row: int, answer: Sequence[int], think: bool) -> str:
        """The raw text of an answer to a row."""
        if self.planner is None:
            return self.renderer.vocabulary.raw_answer(answer)
        choices = self.choices(row, think)
        choices.replay(answer)
        terms = tuple(self.renderer.terms_of(self.terms[row]))
        return answer_text(Answer(terms, *self.planner.say(choices.plan, self.briefs[row])))

    def batch(self, size: int, generator: torch.Generator) -> Rendered:
        """Some rows, drawn with replacement, as training streams."""
        drawn = torch.randint(len(self), (size,), generator=generator).tolist()
        shown = (torch.rand(size, generator=generator) < self.think_share).tolist()
        answers = [
            (self.thought[row] if think else None) or self.plain[row] for row, think in zip(drawn, shown, strict=True)
        ]
        if self.planner is None:
            return self.prompts(drawn, answers)
        return self.prompts(drawn, answers, [self._options[key] for key in zip(drawn, shown, strict=True)])

    def prompts(
        self,
        drawn: Sequence[int],
        answers: Sequence[list[int]] | None = None,
        options: Sequence[list[list[int]]] | None = None,
    ) -> Rendered:
        """Some rows as streams, with answers for training or with none for inference.

        Args:
            drawn: numbers of rows. answers, options: see `Renderer.cid2ins`.
        """
        histories, lengths = padded([self.histories[row] for row in drawn])
        chosen = torch.tensor([self.chosen[row] for row in drawn]) if self.choose_item else None
        return self.renderer.cid2ins(histories, lengths, [self.tags[row] for row in drawn], chosen, answers, options)

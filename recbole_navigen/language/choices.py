"""A plan token by token: which tokens may come next, phrase by phrase from the candidates of one user.

    [THINK thread NEXT_TERM lately THINK_END] TERMS terms INSTRUCTION label NEXT_TERM works NEXT_TERM ... wording CLOSE

Copying a fact of an item and taking a phrase of the lexicon are both a choice among candidates, so a plan names nothing
that is not there, fills no aspect twice and always ends. The model chooses where the candidates part; a token that all
of them share is forced, as in the grammar of free text.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from recbole_navigen.language.vocabulary import (
    CLOSE,
    NEXT_TERM,
    TERMS,
    THINK,
    THINK_END,
    Vocabulary,
)


class Briefed(Protocol):
    """The phrases that a plan for one user may choose from; see `supervision.plans.Brief`."""

    aspects: tuple[str, ...]
    thoughts: tuple[str, ...]

    def candidates(self, aspect: str, plan: Mapping[str, str]) -> tuple[str, ...]:
        """Phrases for an aspect, given those that are chosen."""


class Choices:
    """Where one answer stands.

    Attributes:
        plan: aspect -> phrase, of what is chosen so far. done: whether the answer is complete.

    Args:
        vocabulary: token ids. brief: candidates. terms: tokens of the answer's terms, as `Renderer.answer_terms` gives
            them. think: whether it begins with a thought. known: phrase -> tokens, shared by answers of a tokenizer.
    """

    def __init__(
        self, vocabulary: Vocabulary, brief: Briefed, terms: Sequence[int], think: bool, known: dict[str, list[int]]
    ):
        self.vocabulary, self.brief, self.plan, self._known = vocabulary, brief, {}, known
        special = vocabulary.special
        ends = dict.fromkeys((*brief.thoughts, *brief.aspects), NEXT_TERM)
        ends |= {brief.thoughts[-1]: THINK_END, brief.aspects[-1]: CLOSE}
        self._steps: list[str | list[int]] = [[special(TERMS), *terms], *brief.aspects]
        if think:
            self._steps = [[special(THINK)], *brief.thoughts, *self._steps]
        self._ends = {aspect: special(end) for aspect, end in ends.items()}
        self._step, self._place = -1, 0
        self._left: dict[str, list[int]] = {}
        self._begin()

    @property
    def done(self) -> bool:
        return self._step == len(self._steps)

    def options(self) -> list[int]:
        """Token ids that may come next."""
        return list(dict.fromkeys(tokens[self._place] for tokens in self._left.values()))

    def take(self, token: int) -> None:
        """Go on with one of `options`."""
        self._left = {phrase: tokens for phrase, tokens in self._left.items() if tokens[self._place] == token}
        self._place += 1
        phrase, tokens = next(iter(self._left.items()))
        if len(tokens) == self._place:
            if isinstance(self._steps[self._step], str):
                self.plan[self._steps[self._step]] = phrase
            self._begin()

    def _begin(self) -> None:
        self._step, self._place = self._step + 1, 0
        if self.done:
            return
        step = self._steps[self._step]
        if isinstance(step, str):
            phrases = self.brief.candidates(step, self.plan)
            self._left = {phrase: [*self._tokens(phrase), self._ends[step]] for phrase in phrases}
        else:
            self._left = {"": step}

    def _tokens(self, phrase: str) -> list[int]:
        if phrase not in self._known:
            self._known[phrase] = self.vocabulary.encode(phrase)
        return self._known[phrase]

    def spell(self, plan: Mapping[str, str]) -> tuple[list[int], list[list[int]]]:
        """Tokens of a whole plan, and the options each of them was chosen from.

        Raises:
            ValueError: a phrase of the plan is not among its candidates.
        """
        tokens, options = [], []
        while not self.done:
            step = self._steps[self._step]
            if isinstance(step, str) and plan.get(step) not in self._left:
                raise ValueError(f"{plan.get(step)!r} is no candidate for {step}")
            for token in list(self._left[plan[step] if isinstance(step, str) else ""]):
                options.append(self.options())
                tokens.append(token)
                self.take(token)
        return tokens, options

    def replay(self, tokens: Sequence[int]) -> list[list[int]]:
        """The options that each token of an answer was chosen from."""
        options = []
        for token in tokens:
            options.append(self.options())
            self.take(token)
        return options

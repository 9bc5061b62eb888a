"""What may follow what when the model writes text, as one table of legal tokens.

    mapping:      text END
    instruction:  [THINK thought THINK_END] TERMS term (NEXT_TERM term){0,9} INSTRUCTION instruction CLOSE

The tokens in capitals are written as the JSON between the fields (see `vocabulary`), so every text of this grammar is a
valid answer, whatever the model's weights are. Fields hold any text that is not blank, up to a number of tokens; a
thought holds no `<`, so it cannot close itself.

Training, writing and reinforcement share this table: a probability is always one among the tokens that are legal where
it stands, and a token that is the only legal one was not chosen by the model.

Symbols: B rows, T tokens, C kinds of choices, V outputs (text tokens, then STRUCTURE).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recbole_navigen.language.vocabulary import (
    CLOSE,
    END,
    INSTRUCTION,
    NEXT_TERM,
    STRUCTURE,
    TERMS,
    THINK,
    THINK_END,
    Vocabulary,
)

MAX_TERMS = 10
TERM_TOKENS = 16
_GROUPS = ("mapping", "thought", "answer", "term", "last_term", "instruction", "done")
# The field that each token of STRUCTURE opens.
_OPENS = {END: "done", THINK: "thought", THINK_END: "answer", TERMS: "term", NEXT_TERM: "term"}
_OPENS |= {INSTRUCTION: "instruction", CLOSE: "done"}
# What may end each field.
_ENDS = {"mapping": (END,), "thought": (THINK_END,), "term": (NEXT_TERM, INSTRUCTION), "last_term": (INSTRUCTION,)}
_ENDS |= {"instruction": (CLOSE,), "answer": (TERMS,), "done": (END,)}
_STAGES = 4  # of a field: blank, blank and full, neither, full
MAPPING = 2  # the kind of every choice in a cid2tid target: the third stage of the first group


@dataclass(slots=True)
class Place:
    """Where B texts stand.

    Attributes:
        group: number in _GROUPS. within: tokens of the field so far. filled: whether one of them is not blank.
        terms: terms begun so far. All of shape (B,).
    """

    group: Tensor
    within: Tensor
    filled: Tensor
    terms: Tensor

    def rows(self, rows: Tensor) -> "Place":
        """Some of the texts, by their numbers."""
        return Place(self.group[rows], self.within[rows], self.filled[rows], self.terms[rows])


class Grammar:
    """The table for one vocabulary.

    Args:
        vocabulary: token ids.
        limits: `thought_tokens` and `instruction_tokens`, the most that these fields may hold.
    """

    def __init__(self, vocabulary: Vocabulary, limits: Mapping[str, Any]):
        self.vocabulary = vocabulary
        tokenizer, size = vocabulary.tokenizer, vocabulary.text_size
        self.limits = torch.full((len(_GROUPS),), 2**31 - 1)
        for field, limit in (("thought", limits["thought_tokens"]), ("instruction", limits["instruction_tokens"])):
            self.limits[_GROUPS.index(field)] = limit
        for field in ("term", "last_term"):
            self.limits[_GROUPS.index(field)] = TERM_TOKENS

        # 1. Text tokens by what they spell. A part of a character says nothing yet; tokens that a pretrained tokenizer
        #    keeps for itself are no text.
        text, angle, self.content = (torch.zeros(size + len(STRUCTURE), dtype=torch.bool) for _ in range(3))
        kept = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
        for token in range(min(size, len(tokenizer))):
            if token not in kept:
                spelled = tokenizer.decode([token], clean_up_tokenization_spaces=False)
                text[token], angle[token] = True, "<" in spelled
                self.content[token] = bool(spelled.strip()) and "\ufffd" not in spelled

        # 2. One row a field and stage: blank fields must go on, full ones must end.
        rows = []
        for group in _GROUPS:
            words = torch.zeros_like(text) if group in ("answer", "done") else text
            words = words & ~angle if group == "thought" else words
            ends = torch.zeros_like(text)
            for name in _ENDS[group]:
                ends[size + STRUCTURE.index(name)] = True
            fieldless = group in ("answer", "done")
            rows += [ends] * _STAGES if fieldless else [words, words & self.content, words | ends, ends]
        self.legal = torch.stack(rows)  # (C, V), bool
        self.free = self.legal.sum(dim=1) > 1  # (C,), bool
        self._opens = torch.tensor([_GROUPS.index(_OPENS[name]) for name in STRUCTURE])
        self._copies: dict[tuple[str, torch.device], Tensor] = {}

    def on(self, device: torch.device, name: str) -> Tensor:
        """A table on a device, by its name; copied once, as a copy a token would make a device wait each time."""
        if (name, device) not in self._copies:
            self._copies[name, device] = getattr(self, name).to(device)
        return self._copies[name, device]

    @staticmethod
    def index(field: str) -> int:
        """Number of a field, as `limits` counts them."""
        return _GROUPS.index(field)

    def outputs(self, tokens: Tensor) -> Tensor:
        """Numbers among the V outputs of text and STRUCTURE tokens; any shape."""
        return torch.where(
            tokens < self.vocabulary.text_size,
            tokens,
            tokens - self.vocabulary.first_structure + self.vocabulary.text_size,
        )

    def tokens(self, outputs: Tensor) -> Tensor:
        """Token ids of outputs; any shape."""
        return torch.where(
            outputs < self.vocabulary.text_size,
            outputs,
            outputs - self.vocabulary.text_size + self.vocabulary.first_structure,
        )

    def padded_outputs(self, tokens: Sequence[list[int]]) -> Tensor:
        """Outputs of lists of token ids, padded with -1. M lists of at most O -> (M, O)."""
        lengths = torch.tensor([len(row) for row in tokens])
        table = torch.full((len(tokens), int(lengths.max())), -1)
        table[torch.arange(table.shape[1]) < lengths[:, None]] = self.outputs(
            torch.tensor([token for row in tokens for token in row])
        )
        return table

    def start(self, rows: int, device: torch.device | str = "cpu") -> Place:
        """B answers of which nothing is written."""
        zeros = torch.zeros(rows, dtype=torch.long, device=device)
        return Place(zeros + _GROUPS.index("answer"), zeros, zeros > 0, zeros)

    def choice(self, place: Place) -> Tensor:
        """The row of `legal` from which each text's next token comes, (B,)."""
        last = (place.group == _GROUPS.index("term")) & (place.terms >= MAX_TERMS)
        group = torch.where(last, _GROUPS.index("last_term"), place.group)
        full = place.within >= self.on(group.device, "limits")[group]
        return group * _STAGES + 2 * place.filled.long() + full.long()

    def follow(self, place: Place, outputs: Tensor) -> Place:
        """Where the texts stand after one more token each. outputs (B,)."""
        size = self.vocabulary.text_size
        is_text = outputs < size
        structure = (outputs - size).clamp(min=0)
        opened = self.on(outputs.device, "_opens")[structure]
        begins = ~is_text & (opened == _GROUPS.index("term"))
        return Place(
            group=torch.where(is_text, place.group, opened),
            within=torch.where(is_text, place.within + 1, 0),
            filled=is_text & (place.filled | self.on(outputs.device, "content")[outputs]),
            terms=place.terms + begins.long(),
        )

    def done(self, place: Place) -> Tensor:
        """Which texts are complete, (B,), bool."""
        return place.group == _GROUPS.index("done")

    def choices(self, answers: Tensor) -> Tensor:
        """The row of `legal` from which each token of some answers came. (B, T) token ids -> (B, T).

        The first token, THINK or TERMS, is the caller's choice and stands as a forced one.
        """
        outputs = self.outputs(answers)
        place, masks = self.start(len(answers)), []
        for step in range(answers.shape[1]):
            masks.append(self.choice(place))
            place = self.follow(place, outputs[:, step])
        return torch.stack(masks, dim=1)

    def accepts(self, answers: Sequence[list[int]]) -> list[bool]:
        """Whether each of some whole answers keeps to the grammar and its limits."""
        lengths = torch.tensor([len(answer) for answer in answers])
        end = self.vocabulary.special(END)
        tokens = torch.full((len(answers), int(lengths.max()) + 1), end)
        for row, answer in enumerate(answers):
            tokens[row, : len(answer)] = torch.tensor(answer)
        legal = self.legal[self.choices(tokens), self.outputs(tokens)]
        legal[:, 0] |= tokens[:, 0] == self.vocabulary.special(THINK)
        return legal.all(dim=1).tolist()

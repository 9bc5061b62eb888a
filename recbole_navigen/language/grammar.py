"""What may follow what when the model writes text, as one table of legal tokens.

    mapping:      text END
    instruction:  [THINK thought THINK_END] TERMS term (NEXT_TERM term){0,9} INSTRUCTION instruction CLOSE

The tokens in capitals are written as the JSON between the fields (see `vocabulary`), so every text of this grammar is a
valid answer, whatever the model's weights are. Fields hold any text that is not blank, up to a number of tokens; a
thought holds no `<`, so it cannot close itself.

No term stands twice in an answer, whatever its case, its blanks or the tokens that spell it: where a term would close
as one that is already there, what closes it is not legal, and the term goes on. Only such a term may outgrow its number
of tokens, by as many as it takes to differ. (A letter that the tokenizer cuts into pieces counts by its pieces.)

Training, writing and reinforcement share this table: a probability is always one among the tokens that are legal where
it stands, and a token that is the only legal one was not chosen by the model.

Symbols: B rows, T tokens, C kinds of choices, V outputs (text tokens, then STRUCTURE).
"""

import random
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
# Fingerprints of terms: polynomials over their letters at two random points, modulo a prime whose products fit int64.
# Two different terms of a hundred letters share both with a probability of about 1e-15.
PRIME = 2**31 - 1
_POINTS = tuple(random.Random(0).sample(range(2**30, PRIME), 2))
_FIRST_PIECE = 0x110001  # beyond all letters: pieces of letters, numbered by their token


@dataclass(slots=True)
class Place:
    """Where B texts stand.

    Attributes:
        group: number in _GROUPS. within: tokens of the field so far. filled: whether one of them is not blank.
        terms: terms begun so far. All of shape (B,).
        spelling: fingerprint of the field so far. Shape (B, 2).
        known: fingerprints of the finished terms, -1 where there is none yet. Shape (B, MAX_TERMS, 2).
    """

    group: Tensor
    within: Tensor
    filled: Tensor
    terms: Tensor
    spelling: Tensor
    known: Tensor


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
        outputs = size + len(STRUCTURE)
        text, angle, self.content = (torch.zeros(outputs, dtype=torch.bool) for _ in range(3))
        spellings, shifts = [(0, 0)] * outputs, [(1, 1)] * outputs
        kept = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
        for token in range(min(size, len(tokenizer))):
            if token not in kept:
                spelled = tokenizer.decode([token], clean_up_tokenization_spaces=False)
                text[token], angle[token] = True, "<" in spelled
                whole = "\ufffd" not in spelled
                self.content[token] = bool(spelled.strip()) and whole
                letters = [ord(letter) + 1 for letter in "".join(spelled.split()).casefold()]
                letters = letters if whole else [_FIRST_PIECE + token]
                spellings[token] = tuple(_polynomial(letters, point) for point in _POINTS)
                shifts[token] = tuple(pow(point, len(letters), PRIME) for point in _POINTS)
        self._spellings, self._shifts = torch.tensor(spellings), torch.tensor(shifts)  # (V, 2) each

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

    def start(self, rows: int, device: torch.device | str = "cpu") -> Place:
        """B answers of which nothing is written."""
        zeros = torch.zeros(rows, dtype=torch.long, device=device)
        known = torch.full((rows, MAX_TERMS, 2), -1, device=device)
        return Place(zeros + _GROUPS.index("answer"), zeros, zeros > 0, zeros, known[:, 0] + 1, known)

    def choice(self, place: Place) -> Tensor:
        """The row of `legal` from which each text's next token comes, (B,)."""
        in_term = place.group == _GROUPS.index("term")
        group = torch.where(in_term & (place.terms >= MAX_TERMS), _GROUPS.index("last_term"), place.group)
        full = place.within >= self.limits.to(group.device)[group]
        # A term that is there already is as good as a blank one: it must go on.
        repeats = in_term & (place.known == place.spelling[:, None]).all(dim=-1).any(dim=-1)
        return group * _STAGES + 2 * (place.filled & ~repeats).long() + full.long()

    def follow(self, place: Place, outputs: Tensor) -> Place:
        """Where the texts stand after one more token each. outputs (B,)."""
        size = self.vocabulary.text_size
        is_text = outputs < size
        structure = (outputs - size).clamp(min=0)
        opened = self._opens.to(outputs.device)[structure]
        begins = ~is_text & (opened == _GROUPS.index("term"))
        shifts, spellings = (part.to(outputs.device)[outputs] for part in (self._shifts, self._spellings))
        ends = begins & (place.terms > 0)
        slot = ends[:, None] & (torch.arange(MAX_TERMS, device=outputs.device) == place.terms[:, None] - 1)
        return Place(
            group=torch.where(is_text, place.group, opened),
            within=torch.where(is_text, place.within + 1, 0),
            filled=is_text & (place.filled | self.content.to(outputs.device)[outputs]),
            terms=place.terms + begins.long(),
            spelling=torch.where(is_text[:, None], (place.spelling * shifts + spellings) % PRIME, 0),
            known=torch.where(slot[..., None], place.spelling[:, None], place.known),
        )

    def done(self, place: Place) -> Tensor:
        """Which texts are complete, (B,), bool."""
        return place.group == _GROUPS.index("done")

    def choices(self, answers: Tensor) -> Tensor:
        """The row of `legal` from which each token of some answers came. (B, T) token ids -> (B, T).

        The first token, THINK or TERMS, is the caller's choice and stands as a forced one.
        """
        outputs = self.outputs(answers)
        place, found = self.start(len(answers)), []
        for step in range(answers.shape[1]):
            found.append(self.choice(place))
            place = self.follow(place, outputs[:, step])
        return torch.stack(found, dim=1)

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


def _polynomial(letters: Sequence[int], point: int) -> int:
    """Fingerprint of some letters at a point."""
    value = 0
    for letter in letters:
        value = (value * point + letter) % PRIME
    return value

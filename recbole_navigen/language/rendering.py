"""The one renderer: every task, in training and in inference, becomes token ids here and nowhere else.

Each token carries its origin. Losses look at TARGET only; nothing is ever learned on PROMPT, FORCED or PAD.

A history is written in one of three ways, all under the task token `<|cid2cid|>`:

- ``pooled``: one slot an item. The slot's embedding is the sum of the item's code rows and its TID vector, so the
  stream stays L times shorter; the codes of a *next* item hang below the slot they follow as a branch (see
  `network/item_model.py`).
- ``tokens``: the item's L codes one after another; the codes of the next item are simply the next tokens.
- ``dual``: the same, and to the last of them the item's other vectors are added (TID, text, own row): both identifiers,
  at no further token. By then all its codes are known, so nothing is given away.

An instruction is asked for in the same form, with tags for the domain and for what is to be made, and behind it the
item that the model itself expects (in training, the item that came next):

    <|cid2ins|> <|film|> <|video|> history <|cid_begin|> item, its terms <|cid_end|> answer

Symbols: B rows, T tokens, R targets a row, L levels.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from recbole_navigen.identifiers.table import CID_BEGIN, CID_END
from recbole_navigen.language.answer_grammar import MAPPING, Grammar
from recbole_navigen.language.rendered import Origin, Rendered, Row, pad
from recbole_navigen.language.vocabulary import CLOSE, END, INSTRUCTION, NEXT_TERM, TERMS, THINK, THINK_END, Vocabulary

HISTORIES = ("pooled", "tokens", "dual")


class Renderer:
    """Renders tasks for one catalogue.

    Args:
        vocabulary: token ids.
        codes: CIDs by internal item id; row 0 is unused. Shape (N + 1, L), int64.
        terms: TIDs by item index, N tuples.
        history: one of HISTORIES.
        grammar: of the answers.
        name_item: whether the item an instruction is for shows its terms, beside its slot or codes.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        codes: np.ndarray,
        terms: Sequence[Sequence[str]],
        history: str,
        grammar: Grammar,
        name_item: bool = True,
    ):
        self.vocabulary = vocabulary
        self.history = history
        self.grammar = grammar
        self.name_item = name_item
        offsets = vocabulary.first_code + np.arange(vocabulary.levels) * vocabulary.codebook_size
        self.code_tokens = self._codes = torch.from_numpy(codes + offsets)
        self.term_tokens = [vocabulary.encode_terms(item) for item in terms]

    def cid2cid(self, histories: Tensor, lengths: Tensor, targets: bool = False) -> Rendered:
        """History -> next item, on the device of the histories.

        Args:
            histories: internal item ids in order of time, right-padded with 0. Shape (B, W).
            lengths: items in each row. Shape (B,).
            targets: True for training: every item but the first is a target, decoded from what stands before it.
                False for inference: the target is unknown and is decoded after the last token.
        """
        (rows, width), device = histories.shape, histories.device
        read = (lengths - 1 if targets else lengths).clamp(min=0)
        streamed = self.history != "pooled" and targets
        shown = lengths if streamed else read
        items = torch.where(torch.arange(width, device=device) < shown[:, None], histories, 0)
        if self.history == "pooled":
            items = items[:, : max(int(shown.max()), 0)]
            slots, per_item = torch.zeros_like(items), 1
            origin = torch.where(items > 0, Origin.PROMPT, Origin.PAD)
        else:
            per_item = self.vocabulary.levels
            slots = self._codes_on(device)[items].flatten(1)
            real = (items > 0).repeat_interleave(per_item, dim=1)
            origin = torch.where(real, Origin.TARGET if streamed else Origin.PROMPT, Origin.PAD)
            slots = torch.where(real, slots, 0)
            origin[:, :per_item] = torch.where(real[:, :per_item], Origin.PROMPT, Origin.PAD)
            items = self._borne(items)
        head = torch.full((rows, 1), self.vocabulary.task("cid2cid"), device=device)
        if targets:
            places = torch.arange(1, width, device=device)
            anchors = (places * per_item).expand(rows, -1)
            wanted = torch.where(places < lengths[:, None], histories[:, 1:], 0)
        else:
            anchors, wanted = (read * per_item)[:, None], torch.zeros(rows, 1, dtype=torch.long, device=device)
        return Rendered(
            tokens=torch.cat([head, slots], dim=1),
            items=torch.cat([torch.zeros_like(head), items], dim=1),
            origin=torch.cat([torch.full_like(head, Origin.PROMPT), origin], dim=1),
            lengths=1 + shown * per_item,
            anchors=anchors,
            targets=wanted,
            in_stream=streamed,
        )

    def tid2cid(self, items: Tensor) -> Rendered:
        """TID -> CID: the item's terms, after which the item itself is decoded. items (B,) internal ids."""
        return replace(
            self._after_terms([self.term_tokens[item - 1] for item in items.tolist()]), targets=items[:, None]
        )

    def named_by(self, terms: Sequence[Sequence[str]]) -> Rendered:
        """TID -> CID for any terms: the item is unknown. B lists of terms."""
        return self._after_terms([self.vocabulary.encode_terms(row) for row in terms])

    def _after_terms(self, tokens: Sequence[list[int]]) -> Rendered:
        rendered = pad([Row().add(self._prompt("tid2cid", row)) for row in tokens])
        unknown = torch.zeros(len(tokens), 1, dtype=torch.long)
        return replace(rendered, anchors=(rendered.lengths - 1)[:, None], targets=unknown)

    def cid2tid(self, items: Tensor) -> Rendered:
        """CID -> TID: the item's codes, then its terms as target tokens. items (B,) internal ids."""
        end = self.vocabulary.special(END)
        rows = []
        for item in items.tolist():
            row = Row().add(self._prompt("cid2tid", self.code_tokens[item].tolist()))
            rows.append(row.add([*self.term_tokens[item - 1], end], Origin.TARGET))
        rendered = pad(rows)
        return replace(rendered, choices=torch.full_like(rendered.tokens, MAPPING))

    def cid2ins(
        self,
        histories: Tensor,
        lengths: Tensor,
        tags: Sequence[tuple[str, str]],
        chosen: Tensor | None,
        answers: Sequence[list[int]] | None = None,
        options: Sequence[list[list[int]]] | None = None,
    ) -> Rendered:
        """History and item -> terms and instruction.

        Args:
            histories: internal item ids in order of time, right-padded with 0. Shape (B, W).
            lengths: items in each row. Shape (B,).
            tags: domain and medium of each row, B pairs of DOMAINS and MEDIA.
            chosen: internal id of the item each instruction is for, (B,); None to write from the history alone.
            answers: tokens of each answer, from `answer` or written by the model; None for inference. Tokens that the
                grammar leaves no choice about are FORCED, as is the first one, which says whether there is a thought.
            options: of plans, the token ids that each token of an answer was chosen from; None for free text.
        """
        rows = []
        for row, ((domain, medium), length) in enumerate(zip(tags, lengths.tolist(), strict=True)):
            stream = Row().add(self._prompt("cid2ins", [self.vocabulary.task(domain), self.vocabulary.task(medium)]))
            self._add_items(stream, histories[row, :length].tolist())
            if chosen is not None:
                stream.add([self.vocabulary.special(CID_BEGIN)])
                self._add_items(stream, [int(chosen[row])])
                if self.name_item:
                    stream.add(self.term_tokens[int(chosen[row]) - 1])
                stream.add([self.vocabulary.special(CID_END)])
            rows.append(stream)
        if answers is None:
            return pad(rows)
        starts = torch.tensor([len(row.tokens) for row in rows])
        for row, answer in zip(rows, answers, strict=True):
            row.add(answer, Origin.TARGET)
        rendered = pad(rows)
        width = max(len(answer) for answer in answers)
        place = starts[:, None] + torch.arange(width)
        within = place < rendered.lengths[:, None]
        rows_of, place = within.nonzero()[:, 0], place[within]
        if options is not None:
            most = max(len(ids) for answer in options for ids in answer)
            table = torch.full((*rendered.tokens.shape, most), -1)
            table[rows_of, place] = self.grammar.padded_outputs([ids for answer in options for ids in answer])
            several = (table[..., 1:] >= 0).any(dim=2)[rows_of, place]
            rendered.origin[rows_of, place] = torch.where(several, int(Origin.TARGET), int(Origin.FORCED))
            return replace(rendered, options=table)
        text = torch.full(within.shape, self.vocabulary.special(CLOSE))
        text[within] = rendered.tokens[rows_of, place]
        kinds = self.grammar.choices(text)
        forced = ~self.grammar.free[kinds]
        choices = torch.zeros_like(rendered.tokens)
        choices[rows_of, place] = kinds[within]
        rendered.origin[rows_of, place] = torch.where(forced[within], int(Origin.FORCED), int(Origin.TARGET))
        return replace(rendered, choices=choices)

    def longest_prompt(self, width: int) -> int:
        """The most tokens that `cid2ins` makes of histories of so many items."""
        per_item = 1 if self.history == "pooled" else self.vocabulary.levels
        # Task, domain, medium, and what stands around the item.
        return 5 + (width + 1) * per_item + max(map(len, self.term_tokens))

    def answer(self, terms: Sequence[str], instruction: str, reasoning: str | None = None) -> list[int]:
        """Tokens of an answer. See `Grammar.accepts` for whether it keeps within the limits."""
        words = self.vocabulary
        thought = []
        if reasoning is not None:
            thought = [words.special(THINK), *words.encode(reasoning), words.special(THINK_END)]
        answer = [words.special(TERMS), *self.answer_terms(terms), *words.encode(instruction), words.special(CLOSE)]
        return [*thought, *answer]

    def answer_terms(self, terms: Sequence[str]) -> list[int]:
        """Tokens of an answer's terms, from behind TERMS up to INSTRUCTION."""
        words = self.vocabulary
        tokens = [token for term in terms for token in (words.special(NEXT_TERM), *words.encode(term))]
        return [*tokens[1:], words.special(INSTRUCTION)]

    def terms_of(self, tokens: Sequence[int]) -> list[str]:
        """The terms that `answer_terms` made tokens of."""
        terms: list[list[int]] = [[]]
        for token in tokens[:-1]:
            if token == self.vocabulary.special(NEXT_TERM):
                terms.append([])
            else:
                terms[-1].append(token)
        return [self.vocabulary.decode(term) for term in terms]

    def _prompt(self, task: str, body: list[int]) -> list[int]:
        return [self.vocabulary.task(task), *body]

    def _add_items(self, row: "Row", items: list[int]) -> None:
        """Items as the history shows them: a slot each, or their codes."""
        if self.history == "pooled":
            row.add([0] * len(items), items=items)
        else:
            borne = self._borne(torch.tensor([items], dtype=torch.long))[0]
            row.add(self.code_tokens[items].flatten().tolist(), items=borne.tolist())

    def _codes_on(self, device: torch.device) -> Tensor:
        """Code tokens by internal item id, (N + 1, L), moved to a device once."""
        if self._codes.device != device:
            self._codes = self.code_tokens.to(device)
        return self._codes

    def _borne(self, items: Tensor) -> Tensor:
        """Items by code token: none, or each at its last code. (B, W) -> (B, W * L)."""
        borne = torch.zeros(*items.shape, self.vocabulary.levels, dtype=torch.long, device=items.device)
        if self.history == "dual":
            borne[..., -1] = items
        return borne.flatten(1)

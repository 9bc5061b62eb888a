"""The writer: a language model beside the ranking one that learns instructions and leaves the ranking as it is.

It reads items as the ranking model embeds them, and has a body, a tokenizer and text rows of its own. So what it learns
costs the ranking nothing, and any finished ranking model can be given one.

Symbols: M rows, N items, D width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.backbone import Backbone
from recbole_navigen.language.grammar import Grammar
from recbole_navigen.language.rendering import Renderer
from recbole_navigen.language.vocabulary import text_row_start
from recbole_navigen.model.build import SCRATCH, codes_by_id, new_lm, vocabulary_of
from recbole_navigen.model.lm import CODE_START_STD, DualIdentifierLM
from recbole_navigen.model.text import TextModel


class Writer(TextModel):
    """Writes behind histories of items.

    Args:
        ranker: gives the vectors of codes and items, which are constants here. It is no part of this module: neither
            its weights nor its mode are the writer's.
        backbone, grammar, dropout, scale: see `TextModel`.
    """

    def __init__(self, ranker: DualIdentifierLM, backbone: Backbone, grammar: Grammar, dropout: float, scale: float):
        super().__init__(backbone, grammar, dropout, scale)
        self._ranker = (ranker,)

    @property
    def code_rows(self) -> Tensor:
        """The ranking model's, (L * K, D)."""
        return self._ranker[0].code_rows.detach()

    def item_vectors(self, items: Tensor, codes: bool = True) -> Tensor:
        """The ranking model's, (M,) -> (M, D)."""
        if codes:
            return self._ranker[0].catalogue_vectors()[items - 1]
        with torch.no_grad():
            return self._ranker[0].item_vectors(items, codes=False)


def build_writer(
    settings: Mapping[str, Any],
    ranker: DualIdentifierLM,
    table: DualIdentifierTable,
    tokenizer: PreTrainedTokenizerBase,
    documents: Sequence[str] = (),
) -> tuple[Writer, Renderer]:
    """A writer with its start weights, and the renderer that feeds it.

    Its body starts where the ranking model's stands if that was built from scratch, and else where the pretrained
    language model stood.

    Args:
        settings: keys of properties/model/NaviGen.yaml, and `seed`.
        ranker: the ranking model. table: both identifiers of every item.
        tokenizer: the writer's own. documents: texts from which its rows start, if they are to be learned from scratch.
    """
    scratch = settings["backbone"] == SCRATCH
    lm = new_lm(settings, len(tokenizer))
    if scratch:
        own, theirs = Backbone(lm).body, ranker.backbone.body
        own.layers.load_state_dict(theirs.layers.state_dict())
        own.norm.load_state_dict(theirs.norm.state_dict())
    vocabulary = vocabulary_of(tokenizer, lm, table)
    grammar = Grammar(vocabulary, settings)
    renderer = Renderer(
        vocabulary, codes_by_id(table), table.terms, settings["history"], grammar, settings["name_item"]
    )
    backbone = Backbone(lm, settings["dropout"])
    rows = backbone.text_rows
    if scratch and documents:
        tokens = [*renderer.term_tokens, *(vocabulary.encode(text) for text in documents)]
        start = text_row_start(tokens, len(rows), backbone.width, settings["seed"])
        rows.data.copy_(torch.from_numpy(start) * CODE_START_STD)
    scale = CODE_START_STD if scratch else float(rows.detach().float().std())
    return Writer(ranker, backbone, grammar, settings["embedding_dropout"], scale), renderer

"""The writer: a language model beside the ranking one that learns instructions and leaves the ranking as it is.

It reads items as the ranking model embeds them, and has a body, a tokenizer and text rows of its own. So what it learns
costs the ranking nothing, and any finished ranking model can be given one. A body that is another language model than
the ranking model's reads items through a linear map, which is learned with its adapters.

Symbols: M rows, N items, D width of the ranking model, W width of the writer (D, without a map).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.answer_grammar import Grammar
from recbole_navigen.language.backbone import Backbone
from recbole_navigen.language.rendering import Renderer
from recbole_navigen.language.tags import SCRATCH
from recbole_navigen.language.vocabulary import text_row_start
from recbole_navigen.network.build import codes_by_id, new_lm, vocabulary_of
from recbole_navigen.network.item_model import CODE_START_STD, DualIdentifierLM
from recbole_navigen.network.text_model import TextModel


class Writer(TextModel):
    """Writes behind histories of items, whose vectors are constants here.

    Args:
        backbone, grammar, dropout, scale: see `TextModel`.
        code_rows: the ranking model's, (L * K, D).
        items: what a history shows of each item, by item index, as the ranking model has it. (N, D).
        maps_items: whether both reach the body through a linear map.
    """

    def __init__(
        self,
        backbone: Backbone,
        grammar: Grammar,
        dropout: float,
        scale: float,
        code_rows: Tensor,
        items: Tensor,
        maps_items: bool = False,
    ):
        super().__init__(backbone, grammar, dropout, scale)
        self.register_buffer("ranker_code_rows", code_rows, persistent=False)
        self.register_buffer("items", items, persistent=False)
        self.item_map: nn.Module = nn.Identity()
        if maps_items:  # items arrive as large as text rows are
            self.item_map = nn.Linear(items.shape[1], backbone.width, bias=False)
            nn.init.normal_(self.item_map.weight, std=scale / float(items.square().sum(dim=1).mean().sqrt()))

    @property
    def code_rows(self) -> Tensor:
        """Rows of all codes as the body reads them. Shape (L * K, W)."""
        return self._mapped(self.ranker_code_rows)

    def item_vectors(self, items: Tensor, codes: bool = True) -> Tensor:
        """What the history's form shows of some internal item ids, (M,) -> (M, W)."""
        return self._mapped(self.items[items - 1])

    def _mapped(self, vectors: Tensor) -> Tensor:
        return self.item_map(vectors).to(vectors.dtype)  # autocast leaves a linear map in bf16


def build_writer(
    settings: Mapping[str, Any],
    ranker: DualIdentifierLM,
    table: DualIdentifierTable,
    tokenizer: PreTrainedTokenizerBase,
    documents: Sequence[str] = (),
    lm: PreTrainedModel | None = None,
) -> tuple[Writer, Renderer]:
    """A writer with its start weights, and the renderer that feeds it.

    Its body starts where the ranking model's stands if that was built from scratch, and else where the pretrained
    language model stood.

    Args:
        settings: keys of properties/model/NaviGen.yaml, and `seed`; `maps_items` where the body is another language
            model than the ranking model's.
        ranker: the ranking model. table: both identifiers of every item.
        tokenizer: the writer's own. documents: texts from which its rows start, if they are to be learned from scratch.
        lm: the causal LM to take, None to make or load what the settings say.
    """
    scratch = settings["backbone"] == SCRATCH
    lm = new_lm(settings, len(tokenizer), lm)
    vocabulary = vocabulary_of(tokenizer, lm, table)
    grammar = Grammar(vocabulary, settings)
    renderer = Renderer(
        vocabulary, codes_by_id(table), table.terms, settings["history"], grammar, settings["name_item"]
    )
    backbone = Backbone(lm, settings["dropout"])
    rows = backbone.text_rows
    if scratch:
        for own, theirs in zip(backbone.own_parameters(), ranker.backbone.own_parameters(), strict=True):
            own.data.copy_(theirs)
    if scratch and documents:
        tokens = [*renderer.term_tokens, *(vocabulary.encode(text) for text in documents)]
        start = text_row_start(tokens, len(rows), backbone.width, settings["seed"])
        rows.data.copy_(torch.from_numpy(start) * CODE_START_STD)
    scale = CODE_START_STD if scratch else float(rows.detach().float().std())
    items = shown_items(settings, ranker)
    code_rows = ranker.code_rows.detach().clone()
    maps_items = settings.get("maps_items", False)
    return Writer(backbone, grammar, settings["embedding_dropout"], scale, code_rows, items, maps_items), renderer


@torch.no_grad()
def shown_items(settings: Mapping[str, Any], ranker: DualIdentifierLM) -> Tensor:
    """What the history's form shows of each item, by item index, as the ranking model has it. (N, D)."""
    ids = torch.arange(1, len(ranker.codes), device=ranker.code_rows.device)
    return ranker.item_vectors(ids, codes=settings["history"] != "dual")

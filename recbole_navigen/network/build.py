"""The language model of a run, from its settings, its identifier table and its tokenizer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.identifiers.trie import CatalogueTrie
from recbole_navigen.language.adapters import prepare
from recbole_navigen.language.answer_grammar import Grammar
from recbole_navigen.language.backbone import Backbone, pretrained_lm, revision_of, scratch_lm
from recbole_navigen.language.rendering import Renderer
from recbole_navigen.language.tags import SCRATCH
from recbole_navigen.language.vocabulary import Vocabulary
from recbole_navigen.network.item_model import DualIdentifierLM
from recbole_navigen.network.legal_codes import LegalCodes
from recbole_navigen.network.softmax import softmax_size
from recbole_navigen.network.token_decoder import TokenDecoder
from recbole_navigen.network.tree_decoder import TreeDecoder

TAPS = 16


def build_lm(
    settings: Mapping[str, Any],
    table: DualIdentifierTable,
    tokenizer: PreTrainedTokenizerBase,
    lm: PreTrainedModel | None = None,
    trained: bool = False,
) -> tuple[DualIdentifierLM, Renderer]:
    """Build the model with its start weights, and the renderer that feeds it.

    Args:
        settings: keys of properties/model/NaviGen.yaml, and `seed`.
        table: both identifiers of every item.
        tokenizer: of the text part of the stream; the backbone's own, or one trained on the catalogue.
        lm: the causal LM to take, None to make or load what the settings say.
        trained: True where all weights are loaded afterwards.
    """
    lm = new_lm(settings, len(tokenizer), lm)
    vocabulary, codes = vocabulary_of(tokenizer, lm, table), codes_by_id(table)
    grammar = Grammar(vocabulary, settings)
    renderer = Renderer(vocabulary, codes, table.terms, settings["history"], grammar, settings["name_item"])
    model = DualIdentifierLM(
        backbone=Backbone(lm, settings["dropout"]),
        grammar=grammar,
        decoder=new_decoder(settings, table.trie, lm.config.hidden_size),
        codes=codes,
        codebooks=table.codebooks,
        residuals=table.residuals if settings["item_rows"] else None,
        term_tokens=renderer.term_tokens,
        dropout=settings["embedding_dropout"],
        seed=settings["seed"],
        start_text=settings["backbone"] == SCRATCH,
        sentences=table.sentences,
        trained=trained,
        reads_terms=settings["text_vectors"] != "none",
        fir_taps=filter_taps(settings),
        memory_share=settings["memory_share"] if "memory_share" in settings else 0.0,  # noqa: SIM401
    )
    return model, renderer


def filter_taps(settings: Mapping[str, Any]) -> int:
    """Taps of the causal filter: as set, or TAPS where items are pooled; none in runs of before it was there."""
    taps = settings["fir_taps"] if "fir_taps" in settings else 0  # noqa: SIM401 (a Config has no `get`)
    return TAPS * (settings["history"] == "pooled") if taps is None else taps


def new_decoder(settings: Mapping[str, Any], trie: CatalogueTrie, width: int) -> TreeDecoder | TokenDecoder:
    """What turns states (B, D) into probabilities of items, by the setting `decoder`."""
    if settings["decoder"] == "tree":
        size = softmax_size(settings["sampled_softmax"], trie.n_items)
        return TreeDecoder(trie, width, size, settings["label_smoothing"])
    return TokenDecoder(LegalCodes(trie), settings["label_smoothing"])


def new_lm(settings: Mapping[str, Any], text_size: int, lm: PreTrainedModel | None = None) -> PreTrainedModel:
    """The transformer that `backbone` names, with its start weights and its adapters.

    Args:
        settings: see `build_lm`. text_size: text tokens of one from scratch. lm: to take in place of the named one.
    """
    pretrained = settings["backbone"] != SCRATCH
    if lm is None and pretrained:
        lm = pretrained_lm(settings["backbone"], revision_of(settings))
    elif lm is None:
        lm = scratch_lm(
            vocab_size=text_size,
            width=settings["hidden_size"],
            layers=settings["n_layers"],
            heads=settings["n_heads"],
            inner=settings["inner_size"],
            attention_dropout=settings["attention_dropout"],
        )
    if not pretrained:  # adapters and their precision are then a writer's
        settings = {name: settings[name] for name in ("gradient_checkpointing",) if name in settings}
    return prepare(lm, settings, pretrained)


def vocabulary_of(tokenizer: PreTrainedTokenizerBase, lm: PreTrainedModel, table: DualIdentifierTable) -> Vocabulary:
    """Token ids of a tokenizer's text, of special tokens and of the table's codes."""
    return Vocabulary(tokenizer, lm.get_input_embeddings().num_embeddings, table.levels, table.codebook_size)


def codes_by_id(table: DualIdentifierTable) -> np.ndarray:
    """CIDs by internal item id; row 0, the padding's, is unused. (N + 1, L)."""
    return np.concatenate([np.zeros((1, table.levels), dtype=np.int64), table.codes])

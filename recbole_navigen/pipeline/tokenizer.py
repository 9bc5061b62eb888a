"""The tokenizer of a run."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.backbone import pretrained_tokenizer, revision_of
from recbole_navigen.language.tags import SCRATCH
from recbole_navigen.language.vocabulary import item_words, train_tokenizer
from recbole_navigen.supervision.rows import InstructionRow

TOKENIZER_ROWS = 2_000  # instructions from which a tokenizer learns, spread evenly; more add no words


def build_tokenizer(
    settings: Mapping[str, Any],
    table: DualIdentifierTable,
    texts: tuple[str, ...],
    rows: Sequence[InstructionRow] = (),
) -> PreTrainedTokenizerBase:
    """The backbone's own tokenizer, or from scratch one trained on item texts, terms and instructions.

    Args:
        settings: of the run, or of a writer whose backbone is another. table: identifiers. texts: of all items.
        rows: instructions that are to be learned.
    """
    if settings["backbone"] != SCRATCH:
        return pretrained_tokenizer(settings["backbone"], revision_of(settings))
    words = item_words(texts, table.terms)
    sentences = sampled_texts(rows)  # as they are, since they are to be written so
    more = settings["instruction_vocabulary"] if sentences else 0
    return train_tokenizer(words, settings["text_vocabulary"], sentences, more)


def sampled_texts(rows: Sequence[InstructionRow]) -> list[str]:
    """Instructions and thoughts of some rows, from which a tokenizer and its rows start."""
    some = rows[:: max(1, len(rows) // TOKENIZER_ROWS)]
    return [text for row in some for text in (row.target_ins, row.reasoning) if text]

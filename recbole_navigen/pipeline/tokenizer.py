"""The tokenizer of a run."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from recbole_navigen.config import Config
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.backbone import pretrained_tokenizer, revision_of
from recbole_navigen.language.tags import SCRATCH
from recbole_navigen.language.vocabulary import item_words, train_tokenizer
from recbole_navigen.supervision.rows import InstructionRow

TOKENIZER_ROWS = 2_000  # instructions from which a tokenizer learns, spread evenly; more add no words


def build_tokenizer(
    config: Config,
    table: DualIdentifierTable,
    texts: tuple[str, ...],
    rows: Sequence[InstructionRow] = (),
    body: str | None = None,
) -> PreTrainedTokenizerBase:
    """The backbone's own tokenizer, or from scratch one trained on item texts, terms and instructions.

    Args:
        config: of the run. table: identifiers. texts: of all items. rows: instructions that are to be learned.
        body: a language model in place of the run's backbone.
    """
    if body is not None:
        return pretrained_tokenizer(body)
    if config["backbone"] != SCRATCH:
        return pretrained_tokenizer(config["backbone"], revision_of(config))
    words = item_words(texts, table.terms)
    sentences = sampled_texts(rows)  # as they are, since they are to be written so
    more = config["instruction_vocabulary"] if sentences else 0
    return train_tokenizer(words, config["text_vocabulary"], sentences, more)


def sampled_texts(rows: Sequence[InstructionRow]) -> list[str]:
    """Instructions and thoughts of some rows, from which a tokenizer and its rows start."""
    some = rows[:: max(1, len(rows) // TOKENIZER_ROWS)]
    return [text for row in some for text in (row.target_ins, row.reasoning) if text]

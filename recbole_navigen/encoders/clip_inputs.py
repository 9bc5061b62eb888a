"""What the text towers of CLIP-like models read, which their configs alone do not say."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from recbole_navigen.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_UNBOUNDED = 10**6  # tokenizers without a limit say 10^30
# Tokens that a kind of model was trained with, where its table of positions is longer.
_TRAINED = {"align": 64, "chinese_clip": 52}
# These count positions from the padding token's number on, as RoBERTa does.
_SHIFTED = frozenset({"altclip"})
# These pool the last position, so they were trained with all texts padded to the full length, and without a mask.
_FULL_LENGTH = frozenset({"siglip", "siglip2"})


def text_limit(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> int:
    """Tokens of a text that a model reads, special ones included."""
    config, kind = model.config.text_config, model.config.model_type
    limits = [_TRAINED.get(kind, _UNBOUNDED), tokenizer.model_max_length]
    if (positions := getattr(config, "max_position_embeddings", None)) is not None:
        limits.append(positions - (config.pad_token_id + 1 if kind in _SHIFTED else 0))
    return min(_UNBOUNDED, *limits)


def full_length(model: "PreTrainedModel") -> bool:
    """Whether texts are padded to the full length."""
    return model.config.model_type in _FULL_LENGTH


def reads_lower_case(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether texts must be put into lower case first: SigLIP 2 was trained so, with Gemma's tokenizer, which keeps
    case.
    """
    gemma = "<start_of_turn>" in tokenizer.get_vocab()
    return full_length(model) and gemma and tokenizer("A")["input_ids"] != tokenizer("a")["input_ids"]


def refuse_unreadable(
    path: str, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", limit: int, long_text: str
) -> None:
    """Refuse a tokenizer that does not fit its model, and a policy for long texts that it cannot do.

    Args:
        path: of the model, for messages. limit: from `text_limit`. long_text: `chunk` or `truncate`.
    """
    short, special = tokenizer("a")["input_ids"], set(tokenizer.all_special_ids)
    end = getattr(model.config.text_config, "eos_token_id", None)
    # CLIP's own config names 2 for an end token of another number, and is read as the highest number of a text.
    if model.config.model_type in ("clip", "metaclip_2") and end not in (None, 2) and end not in short:
        raise InputError(
            f"{path} reads a text at its end token (number {end}), which its tokenizer does not write; set "
            "--clip_processor to the model that its tokenizer comes from."
        )
    if limit >= _UNBOUNDED:
        return
    if sum(token in special for token in short) >= limit:
        raise InputError(f"{path} reads {limit} tokens, which its special tokens fill; name another model.")
    cut = tokenizer("a " * (2 * limit), truncation=True, max_length=limit)["input_ids"]
    if long_text == "truncate" and short[-1] in special and cut[-1] != short[-1]:
        raise InputError(
            f"long_text=truncate would drop the end token, as the tokenizer of {path} cuts it off; set "
            "--long_text=chunk."
        )


def accepted(inputs: Mapping[str, Any], call: Callable[..., object]) -> dict[str, Any]:
    """The inputs that a model's function has parameters for, and that are there."""
    names = inspect.signature(call).parameters
    return {name: value for name, value in inputs.items() if name in names}

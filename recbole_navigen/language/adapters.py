"""How a pretrained language model is trained: through low-rank adapters (LoRA) or in less memory; and what is kept."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _IncompatibleKeys
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from recbole_navigen.errors import InputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Settings that only a backbone with adapters has.
LORA_KEYS = ("lora", "lora_rank", "lora_alpha", "lora_dropout", "lora_targets", "backbone_dtype")
_PLAIN = {"lora": False, "backbone_dtype": "float32", "gradient_checkpointing": False}
_ADAPTER = "lora_"  # what the names of all adapter weights contain


def prepare(lm: PreTrainedModel, settings: Mapping[str, Any], pretrained: bool) -> PreTrainedModel:
    """Give a causal LM the adapters, the precision and the checkpointing that the settings ask for, in place.

    Args:
        lm: the model.
        settings: `LORA_KEYS` and `gradient_checkpointing`; where one is missing, there is nothing of the kind.
        pretrained: False for one from scratch, which has nothing to adapt.
    """
    options = {**_PLAIN, **{name: settings[name] for name in _PLAIN if name in settings}}
    lora, dtype = options["lora"], options["backbone_dtype"]
    if dtype not in DTYPES:
        raise InputError(f"backbone_dtype must be {' or '.join(DTYPES)}, not {dtype!r}.")
    if lora and not pretrained:
        raise InputError("lora adapts a pretrained model; name one with --backbone=FOLDER_OR_HUB_ID or drop lora.")
    if dtype != "float32" and not lora:
        raise InputError(f"backbone_dtype={dtype} is for weights that stay as they are; set --lora=True too.")
    if lora:
        add_lora(lm, settings["lora_rank"], settings["lora_alpha"], settings["lora_dropout"], settings["lora_targets"])
        _lower(lm, DTYPES[dtype])
    if options["gradient_checkpointing"]:
        # The variant without re-entry also carries gradients through keys and values, which trie nodes read.
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # its name changes in transformers 6
            lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return lm


def add_lora(
    lm: PreTrainedModel, rank: int, alpha: float, dropout: float = 0.0, targets: Sequence[str] | None = None
) -> None:
    """Freeze a model and put adapters beside some of its linear layers, in place.

    Args:
        lm: the model. rank: of the two matrices of an adapter. alpha: their product counts alpha / rank.
        dropout: on what enters adapters. targets: names of layers, such as q_proj; None for all but the head.
    """
    from peft import LoraConfig, inject_adapter_in_model

    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
        raise InputError(f"lora_rank must be a whole number above zero, not {rank!r}.")
    if not 0 <= dropout < 1:
        raise InputError(f"lora_dropout must be at least 0 and below 1, not {dropout!r}.")
    lm.requires_grad_(False)
    given = "all-linear" if targets is None else list(targets)
    transposed = any(isinstance(layer, Conv1D) for layer in lm.modules())  # GPT-2's linear layers
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=given, fan_in_fan_out=transposed)
    try:
        inject_adapter_in_model(config, lm)
    except ValueError as error:
        layers = sorted({name.rpartition(".")[2] for name, layer in lm.named_modules() if _is_linear(layer)})
        raise InputError(
            f"lora_targets={targets} are no layers of this backbone; it has {', '.join(layers)}."
        ) from error


def _is_linear(layer: nn.Module) -> bool:
    weight = getattr(layer, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim == 2 and not isinstance(layer, nn.Embedding)


def _lower(lm: PreTrainedModel, dtype: torch.dtype) -> None:
    """Lower the precision of the decoder's frozen weights. Text rows and head, which scores come from, keep theirs."""
    kept = {id(layer.weight) for layer in (lm.get_input_embeddings(), lm.get_output_embeddings())}
    for name, parameter in lm.named_parameters():
        if _ADAPTER not in name and id(parameter) not in kept:
            parameter.data = parameter.data.to(dtype)


def has_lora(lm: nn.Module) -> bool:
    """Whether a model has adapters."""
    return bool(lora_parameters(lm))


def lora_parameters(lm: nn.Module) -> list[nn.Parameter]:
    """The weights of a model's adapters."""
    return [weight for name, weight in lm.named_parameters() if _ADAPTER in name]


@contextlib.contextmanager
def without_lora(lm: nn.Module) -> Iterator[None]:
    """The model as it was before its adapters."""
    layers = [layer for _, layer in _adapted(lm)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


@torch.no_grad()
def merge_lora(lm: PreTrainedModel) -> None:
    """Add adapters into the weights beside which they stand, in place; the model is then a plain one, and all of it
    learns again.
    """
    for name, layer in _adapted(lm):
        layer.merge(safe_merge=True)
        parent, _, child = name.rpartition(".")
        setattr(lm.get_submodule(parent), child, layer.get_base_layer())
    lm.requires_grad_(True)


def _adapted(lm: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers with adapters, by name."""
    from peft.tuners.lora import LoraLayer

    return [(name, layer) for name, layer in lm.named_modules() if isinstance(layer, LoraLayer)]


def leave_frozen_out(module: nn.Module) -> None:
    """Keep the frozen weights of `module.lm`, which has adapters, out of state dicts: a checkpoint holds what was
    trained, and the rest is read from the model's own folder each time.

    Args:
        module: stands under the name `backbone` wherever it is part of another one.
    """

    def is_frozen(name: str) -> bool:
        return name.startswith("lm.") and _ADAPTER not in name

    def forget(module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: object) -> None:
        for name in [name for name in state if name.startswith(prefix) and is_frozen(name.removeprefix(prefix))]:
            del state[name]

    def expect_nothing(module: nn.Module, keys: _IncompatibleKeys) -> None:
        keys.missing_keys[:] = [name for name in keys.missing_keys if not is_frozen(name.rpartition("backbone.")[2])]

    module.register_state_dict_post_hook(forget)
    module.register_load_state_dict_post_hook(expect_nothing)

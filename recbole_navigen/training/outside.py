"""What RecBole's models keep outside of parameters, buffers and `other_parameter`, and change while they train.

MultiVAE counts its steps, DiffRec keeps the losses of each, LINE walks through a list: a training that goes on without
that is another one. What a class keeps is not declared anywhere, so it is told by what changed since training began.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Ours restore everything by themselves, and layers of libraries keep nothing else.
_COMPLETE = ("recbole_navigen", "torch", "transformers", "peft")


def marks(model: nn.Module) -> dict[str, Any]:
    """Mark the values of a model before anything is trained, so that `changed` can compare with them."""
    return {name: _mark(value) for name, _, value in _attributes(model)}


def changed(model: nn.Module, before: dict[str, Any]) -> dict[str, Any]:
    """Values by name that are others than when `before` was marked."""
    return {name: value for name, _, value in _attributes(model) if not _is_same(value, before.get(name))}


def put_back(model: nn.Module, values: dict[str, Any]) -> None:
    """Give a model the values that `changed` returned of its like."""
    owners = {name: module for name, module, _ in _attributes(model)}
    for name, value in values.items():
        if name in owners:
            attribute, device = name.rpartition(".")[2], getattr(getattr(model, "device", None), "type", "cpu")
            setattr(owners[name], attribute, value.to(device) if isinstance(value, Tensor) else value)


def _attributes(model: nn.Module) -> Iterator[tuple[str, nn.Module, Any]]:
    """Name, owner and value of what a checkpoint can hold and would not."""
    listed = set(getattr(model, "other_parameter_name", None) or ())
    for prefix, module in model.named_modules():
        if type(module).__module__.partition(".")[0] in _COMPLETE:
            continue
        for name, value in vars(module).items():
            if not name.startswith("_") and name != "training" and name not in listed and _is_plain(value):
                yield f"{prefix}.{name}" if prefix else name, module, value


def _is_plain(value: object) -> bool:
    if isinstance(value, Tensor):
        return value.layout == torch.strided and not value.requires_grad and not value.is_complex()
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf"
    if isinstance(value, list | tuple):
        return all(isinstance(entry, bool | int | float | np.generic) for entry in value)
    return value is None or isinstance(value, bool | int | float | np.number)


def _mark(value: object) -> Any:
    # Tensors count their changes in place; the object itself is kept, so that no other gets its identity.
    if isinstance(value, Tensor):
        return value, value._version
    return value.copy() if isinstance(value, list | np.ndarray) else value


def _is_same(value: object, mark: object) -> bool:
    if isinstance(value, Tensor):
        return isinstance(mark, tuple) and len(mark) == 2 and mark[0] is value and mark[1] == value._version
    if type(value) is not type(mark):
        return False
    return bool(np.array_equal(value, mark)) if isinstance(value, np.ndarray) else value == mark

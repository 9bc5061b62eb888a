"""LoRA adapters on a body's linear layers (peft), put in for a stage and merged at its end.

The weights of the run keep their names: nobody after the stage sees that there were adapters.
"""

import contextlib
from collections.abc import Iterator

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from recbole_navigen.language.backbone import Backbone


def add_adapters(backbone: Backbone, rank: int, alpha: int, dropout: float = 0.0) -> None:
    """Freeze the body and put adapters of a rank beside each of its linear layers."""
    linear = [name for name, module in backbone.body.named_modules() if isinstance(module, nn.Linear)]
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, bias="none", target_modules=linear)
    inject_adapter_in_model(config, backbone.body)


@contextlib.contextmanager
def without_adapters(backbone: Backbone) -> Iterator[None]:
    """The body as it was before the adapters."""
    layers = [module for module in backbone.body.modules() if isinstance(module, LoraLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def merge_adapters(backbone: Backbone) -> None:
    """Add the adapters to the weights they stand beside, and take them out."""
    for name, layer in [*backbone.body.named_modules()]:
        if isinstance(layer, LoraLayer):
            layer.merge(safe_merge=True)
            parent = backbone.body.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], layer.get_base_layer())
    backbone.body.requires_grad_(True)

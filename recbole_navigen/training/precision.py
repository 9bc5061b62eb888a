"""Whether to compute in bfloat16."""

from functools import cache
from logging import getLogger

import torch

# Processor features with which bfloat16 matrix products are faster than float32 ones; without them torch emulates.
_FAST_BF16 = ("amx_bf16", "avx512_bf16", "bf16")


def use_bf16(setting: bool | str | None, device: torch.device) -> bool:
    """Decide on bf16 autocast.

    Args:
        setting: `autocast` of the settings: True, False, or "auto" (also None): wherever the hardware has it.
        device: where the model computes.
    """
    if isinstance(setting, bool):
        return setting
    return _hardware_has_bf16(device.type)


@cache
def _hardware_has_bf16(device_type: str) -> bool:
    """Ask the hardware, and say in the log what it answered; once a process and kind of device."""
    if device_type == "cuda":
        support = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else None
    else:
        capabilities = torch.cpu.get_capabilities()
        support = next((feature for feature in _FAST_BF16 if capabilities.get(feature)), None)
    getLogger().info(
        f"bf16 autocast: on, the {device_type} has {support}"
        if support
        else f"bf16 autocast: off, the {device_type} has none"
    )
    return support is not None

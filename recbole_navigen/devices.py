"""Which device computes, and how much of its memory was taken."""

from recbole_navigen.errors import InputError

AUTO = "auto"


def resolve_device(name: str = AUTO, setting: str = "device") -> str:
    """A device that torch reaches here; another one is refused.

    Args:
        name: auto (CUDA if there is any, else the processor), cpu, cuda, cuda:1, ...
        setting: where the name comes from, for the message.
    """
    import torch

    device = ("cuda" if torch.cuda.is_available() else "cpu") if name == AUTO else name
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(f"{setting}={device} cannot be used here ({reason}); set auto, cpu or cuda.") from error
    return device


def peak_device_memory_mb(device: str) -> float | None:
    """Most memory of a CUDA device that tensors of this process held at once, in MiB; None on the processor."""
    import torch

    if torch.device(device).type != "cuda":
        return None
    return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)

"""The processes that `torchrun` started for one run, and the few things they say to each other.

A single process, started in any other way, is a world of one: nothing here then does anything.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from recbole_navigen.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# The first process trains collaborative embeddings and asks language models while the others wait for it.
_PATIENCE = timedelta(hours=24)

_alone = False


def rank() -> int:
    """The number of this process, from 0."""
    return 0 if _alone else _number("RANK", 0)


def size() -> int:
    """Return the number of processes that work together."""
    return 1 if _alone else _number("WORLD_SIZE", 1)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Do something as if there were no other processes."""
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def is_main() -> bool:
    """Whether this is the process that writes files, logs and prints."""
    return rank() == 0


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise InputError(f"the environment variable {name} is {text!r}, not a number; start the run by torchrun")
    return int(text)


def own_gpu(names: str) -> str:
    """The GPU of this process among those of `gpu_id`, such as "0,1": each process of a machine takes one."""
    listed, mine = names.split(","), _number("LOCAL_RANK", 0)
    if size() == 1:
        return names
    if mine >= len(listed):
        raise InputError(
            f"gpu_id={names} names {len(listed)} GPUs, too few for the processes of this machine; name one for each, "
            "such as --gpu_id=0,1, or set --use_gpu=False"
        )
    return listed[mine]


@contextlib.contextmanager
def joined(device_type: str) -> Iterator[None]:
    """Meet the other processes for as long as the block lasts: over NCCL where GPUs compute, over gloo elsewhere."""
    from torch import distributed

    if size() == 1 or distributed.is_initialized():
        yield
        return
    try:
        distributed.init_process_group("nccl" if device_type == "cuda" else "gloo", timeout=_PATIENCE)
    except ValueError as error:
        raise InputError(f"{size()} processes cannot meet ({error}); start the run by torchrun") from error
    try:
        yield
    finally:
        distributed.destroy_process_group()


def wait() -> None:
    """Go on when all processes are here."""
    if size() > 1:
        from torch import distributed

        distributed.barrier()


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """Let the others begin when the main process is through, so that they find in the caches what it made."""
    if not is_main():
        wait()
    yield
    if is_main():
        wait()


@contextlib.contextmanager
def main_alone() -> Iterator[bool]:
    """Let the main process do something as if there were no other ones; they wait for it. True in the main process."""
    if is_main():
        with alone():
            yield True
    else:
        yield False
    wait()


def from_main(text: Callable[[], str], device: "torch.device") -> str:
    """Return the main process's text in every process; the main process alone calls `text`."""
    if size() == 1:
        return text()
    import torch
    from torch import distributed

    said = text().encode() if is_main() else b""
    length = torch.tensor([len(said)], device=device)
    distributed.broadcast(length, 0)
    letters = torch.zeros(int(length), dtype=torch.uint8, device=device)
    if is_main():
        letters.copy_(torch.frombuffer(bytearray(said), dtype=torch.uint8))
    distributed.broadcast(letters, 0)
    return bytes(letters.cpu().tolist()).decode()


def gathered(rows: "Tensor") -> "Tensor":
    """The rows of all processes, one process after the other. (any, ...) -> (all, ...), the same everywhere."""
    import torch
    from torch import distributed

    counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(size())]
    distributed.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    # Tensors of a gather have one shape, so all are as long as the longest.
    padded = rows.new_zeros(max(map(int, counts)), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(size())]
    distributed.all_gather(parts, padded)
    return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])

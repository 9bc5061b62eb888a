"""A value for each hidden state, computed some states at a time.

The scores of all outputs are by far the widest tensor of a text loss, and each state needs its own row of them alone. A
block of rows stays in the processor's cache, and gradients are taken while it is there; the whole is never held, and
the backward pass only scales what is known by then (the idea of Liger's fused losses, arXiv:2410.10989).

Symbols: M states, D width, V outputs.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SCORES = {"cpu": 2**21}  # scores in a block, M x V
MANY_SCORES = 2**26  # the same on devices that would wait for small blocks

# Values of some states, (m, D) -> (m,), and the numbers of these states among all M.
Valued = Callable[[Tensor, slice], Tensor]


def values_by_block(valued: Valued, states: Tensor, outputs: int) -> Tensor:
    """Values of all states; gradients reach the states alone, not what `valued` learns.

    Args:
        valued: each value depends on its own state only. states: (M, D). outputs: V.

    Returns:
        (M,).
    """
    size = _size(states, outputs)
    if not torch.is_grad_enabled():
        return torch.cat([valued(states[rows], rows) for rows in _blocks(len(states), size)])
    return _Blockwise.apply(valued, size, False, states)


def total_by_block(valued: Valued, states: Tensor, outputs: int, learned: Sequence[Tensor]) -> Tensor:
    """Sum of the values of all states, a scalar; gradients reach the states and what `valued` learns.

    Args:
        valued, states, outputs: as of `values_by_block`. learned: tensors that `valued` reads; those that require no
            gradient get none.
    """
    if not torch.is_grad_enabled():
        return values_by_block(valued, states, outputs).sum()
    learning = [weight for weight in learned if weight.requires_grad]
    return _Blockwise.apply(valued, _size(states, outputs), True, states, *learning)


def _size(states: Tensor, outputs: int) -> int:
    return max(1, SCORES.get(states.device.type, MANY_SCORES) // outputs)


def _blocks(rows: int, size: int) -> list[slice]:
    return [slice(first, first + size) for first in range(0, max(rows, 1), size)]


class _Blockwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, valued: Valued, size: int, total: bool, states: Tensor, *learned: Tensor) -> Tensor:
        values, slopes, sums = [], [], [torch.zeros_like(weight) for weight in learned]
        for rows in _blocks(len(states), size):
            with torch.enable_grad():
                own = states[rows].detach().requires_grad_()
                found = valued(own, rows)
                slope, *more = torch.autograd.grad(found.sum(), [own, *learned])
            values.append(found.detach())
            slopes.append(slope)
            for whole, part in zip(sums, more, strict=True):
                whole += part
        ctx.save_for_backward(torch.cat(slopes), *sums)
        return torch.cat(values).sum() if total else torch.cat(values)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        slopes, *sums = ctx.saved_tensors
        # Of a total, one number for all states; of values, one for each.
        return None, None, None, slopes * grad[..., None], *(whole * grad for whole in sums)

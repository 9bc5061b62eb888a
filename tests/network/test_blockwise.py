"""Values computed block by block are those computed at once, and so are their gradients."""

import pytest
import torch
from torch import nn

from recbole_navigen.network import blockwise
from recbole_navigen.network.blockwise import total_by_block, values_by_block

M, D, V = 23, 8, 40


@pytest.fixture(params=[1, 5, M, 1000])
def rows_a_block(request, monkeypatch) -> int:
    monkeypatch.setitem(blockwise.SCORES, "cpu", request.param * V)
    return request.param


def problem():
    torch.manual_seed(0)
    head, states = nn.Linear(D, V), torch.randn(M, D, requires_grad=True)
    wanted, weight = torch.randint(V, (M,)), torch.randn(M)

    def valued(own, rows):
        return head(own).float().log_softmax(dim=1).gather(1, wanted[rows, None])[:, 0]

    return head, states, valued, weight


def test_values_and_the_gradients_of_states(rows_a_block):
    head, states, valued, weight = problem()
    wanted = valued(states, slice(None))
    (slope,) = torch.autograd.grad((wanted * weight).sum(), states)
    found = values_by_block(valued, states, V)
    (found * weight).sum().backward()
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(states.grad, slope)
    assert head.weight.grad is None
    with torch.no_grad():
        torch.testing.assert_close(values_by_block(valued, states, V), wanted)


def test_totals_and_all_gradients(rows_a_block):
    head, states, valued, _ = problem()
    wanted = valued(states, slice(None)).sum()
    slopes = torch.autograd.grad(-3 * wanted, [states, *head.parameters()])
    found = total_by_block(valued, states, V, list(head.parameters()))
    (-3 * found).backward()
    torch.testing.assert_close(found, wanted)
    for weight, slope in zip([states, *head.parameters()], slopes, strict=True):
        torch.testing.assert_close(weight.grad, slope)


def test_a_head_that_does_not_learn(rows_a_block):
    head, states, valued, _ = problem()
    head.requires_grad_(False)
    total_by_block(valued, states, V, list(head.parameters())).backward()
    assert states.grad is not None and head.weight.grad is None


def test_half_precision_by_autocast(rows_a_block):
    """The cast of the weights is shared by the blocks, whose graphs are gone one after another."""
    head, states, valued, _ = problem()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total_by_block(valued, states, V, list(head.parameters())).backward()
        found = head.weight.grad.clone()
        head.zero_grad()
        valued(states, slice(None)).sum().backward()
    torch.testing.assert_close(found, head.weight.grad, rtol=0.05, atol=0.05)


def test_no_block_is_wider_than_said(rows_a_block):
    _, states, valued, _ = problem()
    seen = []

    def watched(own, rows):
        seen.append(len(own))
        return valued(own, rows)

    values_by_block(watched, states, V)
    assert sum(seen) == M and max(seen) <= rows_a_block

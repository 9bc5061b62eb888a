"""Dropout by random bytes: its rate, its scale, its gradient, and that torch's state alone decides."""

import pytest
import torch

from recbole_navigen.language.dropout import Dropout, dropout


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.5, 0.9])
def test_the_rate_and_the_scale(probability):
    torch.manual_seed(0)
    dropped = dropout(torch.ones(1000, 1000), probability)
    assert abs((dropped == 0).float().mean() - probability) < 0.004
    assert abs(dropped.mean() - 1) < 0.01
    kept = dropped[dropped != 0]
    assert (kept == kept[0]).all() and abs(kept[0] * (1 - probability) - 1) < 0.02


def test_extremes_and_evaluation_mode():
    values = torch.randn(3, 5)
    assert torch.equal(dropout(values, 0.0), values) and not dropout(values, 1.0).any()
    module = Dropout(0.5)
    assert not torch.equal(module(values), values) and torch.equal(module.eval()(values), values)


def test_torchs_state_decides_and_moves_on():
    values = torch.ones(33)  # not a multiple of the eight bytes of a draw
    torch.manual_seed(3)
    first, second = dropout(values, 0.5), dropout(values, 0.5)
    torch.manual_seed(3)
    assert torch.equal(dropout(values, 0.5), first) and not torch.equal(first, second)


def test_the_gradient_passes_where_values_do():
    values = torch.randn(64, 8, requires_grad=True)
    out = dropout(values, 0.25)
    out.sum().backward()
    assert torch.equal(values.grad == 0, out == 0)
    assert torch.allclose(values.grad * values, out)

"""The loss over items: the whole catalogue, or a stratified sample whose sums are unbiased."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_navigen.network import blockwise
from recbole_navigen.network.softmax import sampled_softmax_loss, softmax_loss, softmax_size, stratified_sample


@given(st.integers(1, 300), st.data())
@settings(deadline=None)
def test_one_place_of_each_range_is_drawn_and_counts_for_its_range(n_items, data):
    size = data.draw(st.integers(1, n_items))
    places, log_widths = stratified_sample(n_items, size, generator=torch.Generator().manual_seed(n_items))
    edges = np.arange(size + 1) * n_items // size
    assert (places.numpy() >= edges[:-1]).all() and (places.numpy() < edges[1:]).all()
    assert np.allclose(log_widths.exp().numpy(), np.diff(edges), rtol=1e-5)


def test_sums_over_a_sample_are_unbiased_and_vary_less_than_those_of_a_plain_sample():
    # Neighbours in the order of the tree are alike; a sample that meets every range does not miss any of them.
    values = torch.linspace(-3, 3, 500).exp()
    draws = torch.Generator().manual_seed(0)
    sums = []
    for _ in range(2000):
        places, log_widths = stratified_sample(500, 40, generator=draws)
        sums.append(float((values[places] * log_widths.exp()).sum()))
    plain = [float(values[torch.randperm(500, generator=draws)[:40]].sum()) * 500 / 40 for _ in range(2000)]
    assert np.mean(sums) == pytest.approx(float(values.sum()), rel=4 * np.std(sums) / np.mean(sums) / 2000**0.5)
    assert np.std(sums) < np.std(plain) / 5


@pytest.mark.parametrize("reverse", [False, True])
def test_the_sampled_loss_is_close_to_the_whole_one_and_below_it(reverse):
    torch.manual_seed(1)
    table = torch.nn.Embedding(12, 8)  # row 0 is the padding item
    states, targets = 0.2 * torch.randn(50, 8), torch.randint(1, 12, (50,))
    draws = torch.Generator().manual_seed(0)
    order = torch.arange(11).flip(0) if reverse else None
    losses = [sampled_softmax_loss(states, targets, table, 11, 3, draws, order).item() for _ in range(400)]
    # The sum of exponentials is unbiased, so its logarithm is biased downwards, by Jensen's inequality.
    assert (exact := softmax_loss(states, targets, table.weight[1:]).item()) - 0.1 < np.mean(losses) < exact


@pytest.mark.parametrize("scores_at_once", [7, 10_000])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_whole_loss_and_its_gradients_are_those_of_cross_entropy(scores_at_once, scale, monkeypatch):
    """A block of rows at a time, also where scores reach +-80."""
    monkeypatch.setitem(blockwise.SCORES, "cpu", scores_at_once)
    torch.manual_seed(1)
    states, targets = (scale * torch.randn(50, 8)).requires_grad_(), torch.randint(1, 12, (50,))
    table = torch.randn(11, 8, requires_grad=True)
    ours = softmax_loss(states, targets, 1.0 * table)
    grads = torch.autograd.grad(2 * ours, [states, table])
    plain = torch.nn.functional.cross_entropy(states @ table.T, targets - 1)
    torch.testing.assert_close(ours, plain)
    for grad, wanted in zip(grads, torch.autograd.grad(2 * plain, [states, table]), strict=True):
        torch.testing.assert_close(grad, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("setting", "n_items", "size"),
    [(None, 20_000, 0), (None, 20_001, 1_024), (0, 90_000, 0), (64, 100, 64), (64, 64, 0)],
)
def test_the_catalogue_decides_the_softmax_unless_the_setting_does(setting, n_items, size):
    assert softmax_size(setting, n_items) == size


def test_smoothed_losses_are_those_of_cross_entropy_and_the_sampled_one_is_close():
    torch.manual_seed(1)
    table = torch.nn.Embedding(12, 8)
    states, targets = (0.2 * torch.randn(50, 8)).requires_grad_(), torch.randint(1, 12, (50,))
    exact = softmax_loss(states, targets, 1.0 * table.weight[1:], smoothing=0.3)
    plain = torch.nn.functional.cross_entropy(states @ table.weight[1:].T, targets - 1, label_smoothing=0.3)
    torch.testing.assert_close(exact, plain)
    grads = (torch.autograd.grad(loss, [states, table.weight]) for loss in (exact, plain))
    for grad, wanted in zip(*grads, strict=True):
        torch.testing.assert_close(grad, wanted, rtol=1e-4, atol=1e-6)
    draws = torch.Generator().manual_seed(0)
    losses = [sampled_softmax_loss(states, targets, table, 11, 5, draws, smoothing=0.3).item() for _ in range(400)]
    bare = [sampled_softmax_loss(states, targets, table, 11, 5, draws).item() for _ in range(400)]
    # What smoothing adds is a difference of scores, which the sample estimates without bias.
    added = (plain - softmax_loss(states, targets, table.weight[1:])).item()
    assert np.mean(losses) - np.mean(bare) == pytest.approx(added, abs=4 * (np.std(losses) + np.std(bare)) / 20)

"""The dense score, its loss, and how both exact paths mix it in."""

import numpy as np
import pytest
import torch
from small_model import random_histories, small_model

from recbole_navigen.model.dense import DenseScore, item_softmax_loss, softmax_size
from recbole_navigen.model.scoring import ExactScorer
from recbole_navigen.model.topk import TopKSearch


def test_dense_log_probabilities_are_normalised_and_start_as_dot_products():
    torch.manual_seed(0)
    states, vectors = torch.randn(4, 8), torch.randn(11, 8)
    score = DenseScore(8)
    log_probs = score.log_probs(states, vectors)
    assert torch.allclose(log_probs.exp().sum(dim=1), torch.ones(4))
    assert torch.allclose(log_probs, (states @ vectors.T).log_softmax(dim=1), atol=1e-5)


@pytest.mark.parametrize("sampled", [0, 3, 40])
def test_the_loss_reads_vectors_by_internal_id(sampled):
    torch.manual_seed(1)
    table = torch.nn.Embedding(12, 8)  # row 0 is the padding item
    states, targets = 0.2 * torch.randn(50, 8), torch.randint(1, 12, (50,))
    draws = torch.Generator().manual_seed(0)
    losses = [item_softmax_loss(states, targets, table, 11, sampled, draws).item() for _ in range(400)]
    exact = torch.nn.functional.cross_entropy(states @ table.weight[1:].T, targets - 1).item()
    if sampled == 3:
        # The sum of exponentials is unbiased, so its logarithm is biased downwards, by Jensen's inequality.
        assert exact - 0.1 < np.mean(losses) < exact
    else:
        assert np.allclose(losses, exact, atol=1e-5)


def test_vectors_of_the_catalogue_follow_the_weights():
    model, _ = small_model(item_rows=True, dense_score=True)
    first = model.catalogue_vectors()
    assert model.catalogue_vectors() is first
    assert torch.allclose(first, model.item_vectors(torch.arange(1, 31)))
    with torch.no_grad():
        model.item_rows[3] += 1.0
    assert torch.allclose(model.catalogue_vectors(), model.item_vectors(torch.arange(1, 31)))
    # Fused optimizers change weights without a new version.
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    model.item_vectors(torch.arange(1, 31)).sum().backward()
    optimizer.step()
    model.eval()
    assert torch.allclose(model.catalogue_vectors(), model.item_vectors(torch.arange(1, 31)))
    model.load_state_dict({name: weight * 2 for name, weight in model.state_dict().items()})
    assert torch.allclose(model.catalogue_vectors(), model.item_vectors(torch.arange(1, 31)))


@pytest.mark.parametrize("share", [0.001, 0.3, 0.999])
def test_both_exact_paths_mix_the_dense_score_in(share):
    model, renderer = small_model(n_items=40, codes=6, seed=4, item_rows=True, dense_score=True)
    model.dense.share.fill_(share)
    rendered = renderer.cid2cid(*random_histories(40, 6, 6, 4))
    scorer = ExactScorer(model, memory=64)
    dense = model.dense.log_probs(model.read(rendered).state, model.catalogue_vectors()).exp()
    mixed = scorer.full_sort(rendered, model.second)
    assert torch.allclose(mixed.exp(), (1 - share) * scorer.full_sort(rendered).exp() + share * dense, atol=1e-5)
    top = TopKSearch(scorer).top_k(rendered, 7, second=model.second)
    assert torch.allclose(top.log_probs, mixed.topk(7).values, atol=1e-5) and top.certified.all()


@pytest.mark.parametrize(
    ("setting", "n_items", "size"), [(None, 4_999, 0), (None, 5_000, 1_024), (0, 9_000, 0), (64, 100, 64)]
)
def test_the_catalogue_decides_the_softmax_unless_the_setting_does(setting, n_items, size):
    assert softmax_size(setting, n_items) == size

"""Sampled items follow exactly the constrained distribution, and come with its log-probabilities."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from small_model import llama, random_histories, small_model

from recbole_navigen.errors import InputError
from recbole_navigen.model.sampling import sample
from recbole_navigen.model.scoring import ExactScorer


@given(
    levels=st.integers(1, 4),
    n_items=st.integers(2, 30),
    seed=st.integers(0, 1000),
    history=st.sampled_from(["pooled", "tokens", "dual"]),
    memory=st.sampled_from([0.01, 64]),
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_log_probabilities_are_those_of_full_sort_and_of_training(levels, n_items, seed, history, memory):
    model, renderer = small_model(n_items=n_items, levels=levels, codes=max(5, 2 * n_items), seed=seed, history=history)
    rendered = renderer.cid2cid(*random_histories(n_items, 3, 6, seed))
    scorer = ExactScorer(model, memory)
    samples = sample(scorer, rendered, 7, torch.Generator().manual_seed(seed))
    assert samples.items.shape == (3, 7) and samples.log_probs.shape == (3, 7, levels)
    exact = scorer.full_sort(rendered).gather(1, samples.items)
    assert torch.allclose(samples.log_probs.sum(dim=-1), exact, atol=1e-4)
    # Teacher forcing, which gives the gradients, sees the same numbers level by level.
    for draw in range(7):
        forced = model.target_log_probs(replace(rendered, targets=samples.items[:, draw : draw + 1] + 1))
        assert torch.allclose(forced.T, samples.log_probs[:, draw], atol=1e-4)


@pytest.mark.parametrize("architecture", ["qwen3", "llama"])
def test_frequencies_match_the_distribution(architecture):
    reference, _ = small_model(n_items=25, seed=3)
    lm = llama(reference.vocabulary.text_size) if architecture == "llama" else None
    model, renderer = small_model(n_items=25, seed=3, lm=lm)
    rendered = renderer.cid2cid(*random_histories(25, 1, 6, 3))
    scorer = ExactScorer(model, memory=64)
    expected = scorer.full_sort(rendered)[0].exp().double()
    count = 20_000
    drawn = sample(scorer, rendered, count, torch.Generator().manual_seed(0)).items[0]
    seen = torch.bincount(drawn, minlength=25).double()
    common = expected * count >= 5  # the chi-square approximation wants five expected draws a cell
    cells = torch.cat([seen[common], seen[~common].sum()[None]])
    wanted = torch.cat([expected[common], expected[~common].sum()[None]]) * count
    keep = wanted > 0
    assert chisquare(cells[keep], wanted[keep] * cells[keep].sum() / wanted[keep].sum()).pvalue > 1e-3


def test_draws_depend_on_the_generator_alone():
    model, renderer = small_model(seed=1)
    rendered = renderer.cid2cid(*random_histories(30, 4, 6, 1))
    scorer = ExactScorer(model, memory=64)
    first, again, other = (sample(scorer, rendered, 9, torch.Generator().manual_seed(s)).items for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_samples_are_refused():
    model, renderer = small_model()
    with pytest.raises(InputError, match="0 samples were asked for"):
        sample(ExactScorer(model, memory=64), renderer.cid2cid(*random_histories(30, 2, 4, 0)), 0)

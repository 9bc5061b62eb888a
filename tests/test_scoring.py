"""Exact scores against brute force: every item's path decoded one by one, as plain text of the language model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_model import llama, random_histories, small_model

from recbole_navigen.errors import InputError
from recbole_navigen.model.mixture import SecondScore
from recbole_navigen.model.scoring import ExactScorer, plan_chunks
from recbole_navigen.model.topk import TopKSearch

catalogues = st.fixed_dictionaries(
    {
        "n_items": st.integers(2, 30),
        "levels": st.integers(1, 4),
        "codes": st.integers(4, 9),
        "seed": st.integers(0, 10_000),
        "history": st.sampled_from(["pooled", "tokens", "dual"]),
        "dense": st.sampled_from([True, False]),
    }
).filter(lambda c: c["codes"] ** c["levels"] >= 2 * c["n_items"])
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@torch.no_grad()
def brute_force(model, rendered):
    """(B, N): each item's codes appended to each context as plain tokens, one causal pass each, no trie and no tree."""
    trie, body = model.legal.trie, model.backbone.body
    codes = model.codes[1:].numpy()
    result = torch.zeros(len(rendered.tokens), trie.n_items)
    for user in range(len(result)):
        stream = model.embed(rendered.rows(slice(user, user + 1)))
        for item, path in enumerate(codes):
            rows = model.code_rows[torch.from_numpy(path + np.arange(len(path)) * model.codebook_size)]
            inputs = torch.cat([stream, rows[None]], dim=1) * model.backbone.input_scale
            states = body(inputs_embeds=inputs, use_cache=False).last_hidden_state[0]
            for level, code in enumerate(path):
                siblings = np.unique(codes[(codes[:, :level] == path[:level]).all(axis=1), level])
                logits = model.code_logits(level, states[stream.shape[1] - 1 + level])
                result[user, item] += logits[siblings].log_softmax(0)[np.searchsorted(siblings, code)]
    return result


@given(catalogues)
@few
def test_full_sort_equals_brute_force_and_sums_to_one(case):
    model, renderer = small_model(**case)
    rendered = renderer.cid2cid(*random_histories(case["n_items"], 3, 6, case["seed"]))
    scores = ExactScorer(model, memory=64).full_sort(rendered)
    assert torch.allclose(scores, brute_force(model, rendered), atol=1e-4)
    assert torch.allclose(scores.exp().sum(dim=1), torch.ones(3), atol=1e-5)


@given(catalogues, st.data())
@few
def test_top_k_agrees_with_full_sort_under_any_exclusion(case, data):
    model, renderer = small_model(**case)
    n_items = case["n_items"]
    rendered = renderer.cid2cid(*random_histories(n_items, 5, 6, case["seed"]))
    scorer = ExactScorer(model, memory=64)
    k = data.draw(st.integers(1, n_items))
    generator = torch.Generator().manual_seed(case["seed"])
    banned = torch.rand(5, n_items, generator=generator).argsort(dim=1) < data.draw(st.integers(0, n_items - k))
    top = TopKSearch(scorer).top_k(rendered, k, banned)
    best = scorer.full_sort(rendered).masked_fill(banned, -torch.inf).topk(k, dim=1)
    assert torch.allclose(top.log_probs, best.values, atol=1e-5)
    assert not banned.gather(1, top.items).any()
    assert all(len(set(row)) == k for row in top.items.tolist())
    scores = scorer.full_sort(rendered).gather(1, top.items)
    assert torch.allclose(scores, top.log_probs, atol=1e-5)
    assert top.certified.all() and (top.expansions >= 1).all()


@given(catalogues, st.floats(0.01, 0.99), st.data())
@few
def test_a_second_score_is_mixed_in_probability_space_by_both_paths(case, weight, data):
    model, renderer = small_model(**case)
    n_items = case["n_items"]
    rendered = renderer.cid2cid(*random_histories(n_items, 5, 6, case["seed"]))
    generator = torch.Generator().manual_seed(case["seed"])
    log_probs = (3 * torch.randn(5, n_items, generator=generator)).log_softmax(dim=1)

    def second(context):
        return SecondScore(log_probs[context.rows], weight)

    scorer = ExactScorer(model, memory=64)
    mixed = scorer.full_sort(rendered, second)
    by_hand = (1 - weight) * scorer.full_sort(rendered).exp() + weight * log_probs.exp()
    assert torch.allclose(mixed.exp(), by_hand, atol=1e-5)
    k = data.draw(st.integers(1, n_items))
    banned = torch.rand(5, n_items, generator=generator).argsort(dim=1) < data.draw(st.integers(0, n_items - k))
    top = TopKSearch(scorer).top_k(rendered, k, banned, second)
    best = mixed.masked_fill(banned, -torch.inf).topk(k, dim=1)
    assert torch.allclose(top.log_probs, best.values, atol=1e-5)
    assert torch.allclose(mixed.gather(1, top.items), top.log_probs, atol=1e-5)
    assert all(len(set(row)) == k for row in top.items.tolist())
    assert top.certified.all()


@given(catalogues, st.integers(0, 4), st.sampled_from(["state", "second", "shifts"]))
@few
def test_nothing_is_certified_where_a_score_is_no_number(case, user, place):
    """Of the user whose scores are broken; the others of the batch keep their certificate."""
    model, renderer = small_model(**case)
    n_items = case["n_items"]
    rendered = renderer.cid2cid(*random_histories(n_items, 5, 6, case["seed"]))
    search, read = TopKSearch(ExactScorer(model, memory=64)), model.read
    log_probs = torch.randn(5, n_items).log_softmax(dim=1)
    shifts = torch.zeros(5, n_items)
    broken = {"second": log_probs, "shifts": shifts}.get(place)
    if broken is not None:
        broken[user] = torch.nan

    def broken_read(*args):
        context = read(*args)
        if place == "state":
            context.state[user] = torch.nan
        return context

    model.read = broken_read
    top = search.top_k(rendered, min(2, n_items), None, lambda c: SecondScore(log_probs[c.rows], 0.5), shifts)
    assert top.certified.tolist() == [row != user for row in range(5)]


@pytest.mark.parametrize("weight", [0.0, 1.0, -0.1, float("nan")])
def test_the_weight_of_a_second_score_lies_between_0_and_1(weight):
    with pytest.raises(InputError, match="weight of a second score must lie between 0 and 1"):
        SecondScore(torch.zeros(1, 3), weight)


@given(catalogues)
@few
def test_subtree_maxima_are_those_of_the_items_below(case):
    model, _ = small_model(**case)
    legal = model.legal
    values = torch.randn(2, case["n_items"])
    maxima = legal.subtree_max(values)
    assert maxima.shape[1] == legal.base[-1]
    for level in range(1, legal.levels + 1):
        numbers = legal.item_path[:, level - 1] + legal.base[level - 1]
        assert (legal.levels_of(numbers) == level).all()
        for number in numbers.unique():
            assert torch.equal(maxima[:, number], values[:, numbers == number].amax(dim=1))


@given(catalogues)
@few
def test_training_and_ranking_use_the_same_log_probabilities(case):
    """What the loss says of a target is what full sort says of it, for in-stream and branched targets alike."""
    model, renderer = small_model(**case)
    histories, lengths = random_histories(case["n_items"], 3, 6, case["seed"])
    trained = renderer.cid2cid(histories, lengths, targets=True)
    log_probs = model.target_log_probs(trained).sum(dim=0).detach()
    scorer, place = ExactScorer(model, memory=64), 0
    for user in range(3):
        for last in range(1, int(lengths[user])):
            context = renderer.cid2cid(histories[user : user + 1, :last], torch.tensor([last]))
            expected = scorer.full_sort(context)[0, histories[user, last] - 1]
            assert abs(float(log_probs[place] - expected)) < 1e-4
            place += 1
    assert place == log_probs.numel()


def test_memory_budget_changes_the_work_and_not_the_scores():
    model, renderer = small_model(n_items=60, codes=6, seed=3)
    rendered = renderer.cid2cid(*random_histories(60, 16, 8, 1))
    roomy, tight = ExactScorer(model, memory=64), ExactScorer(model, memory=0.05)
    assert tight.split(9, 16)[0] < 16
    assert tight.split(9, 16)[1] < tight.n_needed
    assert torch.allclose(roomy.full_sort(rendered), tight.full_sort(rendered), atol=1e-5)
    log_probs = torch.randn(16, 60).log_softmax(dim=1)

    def second(context):
        return SecondScore(log_probs[context.rows], 0.5)

    assert torch.allclose(roomy.full_sort(rendered, second), tight.full_sort(rendered, second), atol=1e-5)
    top, few_at_once = (TopKSearch(scorer).top_k(rendered, 10, second=second) for scorer in (roomy, tight))
    assert torch.equal(top.items, few_at_once.items)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_chunks_hold_every_node_that_matters_once_and_its_ancestors(size):
    trie = small_model(n_items=80, levels=4, codes=5, seed=5)[0].legal.trie
    seen = {level: [] for level in range(1, 4)}
    for chunk in plan_chunks(trie, size):
        for (level, start, end, nodes), scored in zip(chunk.levels, chunk.scored, strict=True):
            seen[level] += nodes[scored].tolist()
            for row in range(start, end):
                node = int(nodes[row - start])
                for above in range(level - 1, 0, -1):
                    node = int(trie.parent[above + 1][node])
                    other, first, _, members = next(entry for entry in chunk.levels if entry[0] == above)
                    assert other == above and int(members[chunk.ancestors[row, above - 1] - first]) == node
    for level, nodes in seen.items():
        assert sorted(nodes) == np.flatnonzero(trie.n_children(level) > 1).tolist()


def test_another_architecture_with_grouped_queries_scores_exactly():
    reference, _ = small_model(seed=7)
    model, renderer = small_model(seed=7, lm=llama(reference.vocabulary.text_size))
    rendered = renderer.cid2cid(*random_histories(30, 2, 5, 7))
    scorer = ExactScorer(model, memory=64)
    assert torch.allclose(scorer.full_sort(rendered), brute_force(model, rendered), atol=1e-4)
    top = TopKSearch(scorer).top_k(rendered, 10)
    assert torch.equal(top.items, scorer.full_sort(rendered).topk(10).indices)


def test_bfloat16_autocast_stays_close_and_sums_in_float32():
    model, renderer = small_model(n_items=40, codes=6, seed=2)
    rendered = renderer.cid2cid(*random_histories(40, 4, 6, 2))
    scorer = ExactScorer(model, memory=64)
    exact = scorer.full_sort(rendered)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = scorer.full_sort(rendered)
    assert half.dtype == torch.float32
    assert torch.allclose(half.exp().sum(dim=1), torch.ones(4), atol=1e-4)
    assert (half - exact).abs().median() < 0.1


def test_best_first_search_leaves_most_of_a_peaked_trie_alone():
    model, renderer = small_model(n_items=200, codes=8, seed=4)
    with torch.no_grad():
        model.code_bias.mul_(3)
    rendered = renderer.cid2cid(*random_histories(200, 8, 6, 4))
    scorer = ExactScorer(model, memory=64)
    assert TopKSearch(scorer).top_k(rendered, 5).expansions.float().mean() < scorer.n_needed / 2


@pytest.mark.parametrize(("k", "banned"), [(0, 0), (31, 0), (30, 1)])
def test_impossible_k_is_refused(k, banned):
    model, renderer = small_model(n_items=30)
    rendered = renderer.cid2cid(*random_histories(30, 2, 4, 0))
    mask = torch.zeros(2, 30, dtype=torch.bool)
    mask[0, :banned] = True
    with pytest.raises(InputError, match=f"k={k} items were asked for but only {30 - banned} are left"):
        TopKSearch(ExactScorer(model, memory=64)).top_k(rendered, k, mask)


def test_scoring_memory_must_be_positive():
    with pytest.raises(InputError, match="scoring_memory=0"):
        ExactScorer(small_model()[0], memory=0)


def test_a_single_child_gets_exactly_zero():
    model, renderer = small_model(n_items=12, codes=9, seed=1)
    rendered = renderer.cid2cid(*random_histories(12, 2, 4, 0), targets=True)
    targets = torch.where(rendered.targets > 0, 1, 0) * torch.randint(1, 13, rendered.targets.shape)
    parts = model.target_log_probs(replace(rendered, targets=targets))
    items = targets[targets > 0] - 1
    trie = model.legal.trie
    for level in range(3):
        nodes = model.legal.path_nodes(items)[:, level].numpy()
        single = trie.n_children(level)[nodes] == 1
        assert (parts[level][torch.from_numpy(single)] == 0.0).all()

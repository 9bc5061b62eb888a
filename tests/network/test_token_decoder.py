"""Items decoded code by code, against brute force: every path decoded alone, as plain text of the language model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_model import brute_force, few, llama, random_histories, ranked, small_model
from small_model import catalogues as shapes

from recbole_navigen.model.ranking import Ranking
from recbole_navigen.network import token_decoder as tokens
from recbole_navigen.network.legal_codes import LegalCodes
from recbole_navigen.network.token_decoder import plan_chunks

catalogues = shapes(dense=st.sampled_from([True, False]), decoder=st.just("tokens"))


@torch.no_grad()
@given(catalogues)
@few
def test_full_sort_equals_brute_force_and_sums_to_one(case):
    model, rendered, scores = ranked(case)
    assert torch.allclose(scores, brute_force(model, rendered), atol=1e-4)
    assert torch.allclose(scores.exp().sum(dim=1), torch.ones(3), atol=1e-5)


@given(catalogues)
@few
def test_training_and_ranking_use_the_same_log_probabilities(case):
    """What the loss says of a target is what full sort says of it, for in-stream and branched targets alike."""
    model, renderer = small_model(**case)
    histories, lengths = random_histories(case["n_items"], 3, 6, case["seed"])
    trained = renderer.cid2cid(histories, lengths, targets=True)
    log_probs = model.decoder.target_log_probs(model, trained).sum(dim=0).detach()
    ranking, place = Ranking(model, memory=64), 0
    for user in range(3):
        for last in range(1, int(lengths[user])):
            context = renderer.cid2cid(histories[user : user + 1, :last], torch.tensor([last]))
            expected = ranking.log_probs(context)[0, histories[user, last] - 1]
            assert abs(float(log_probs[place] - expected)) < 1e-4
            place += 1
    assert place == log_probs.numel()


def test_memory_decides_how_many_users_and_nodes_run_at_once_and_not_their_scores(monkeypatch):
    model, renderer = small_model(n_items=60, codes=6, seed=3, decoder="tokens")
    rendered = renderer.cid2cid(*random_histories(60, 16, 8, 1))
    roomy, tight = Ranking(model, memory=64), Ranking(model, memory=0.1)
    whole = roomy.log_probs(rendered)
    monkeypatch.setattr(tokens, "CHUNK_BYTES", 0)
    monkeypatch.setattr(tokens, "MIN_CHUNK", 3)
    assert len(tight.blocks(rendered)) > 1 and len(plan_chunks(model.decoder.trie, 3)) > 3
    assert torch.allclose(whole, tight.log_probs(rendered), atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_chunks_hold_every_node_that_matters_once_and_its_ancestors(size):
    trie = small_model(n_items=80, levels=4, codes=5, seed=5, decoder="tokens")[0].decoder.trie
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
    model, renderer = small_model(seed=7, decoder="tokens", lm=llama(reference.vocabulary.text_size))
    rendered = renderer.cid2cid(*random_histories(30, 2, 5, 7))
    assert torch.allclose(Ranking(model, 64).log_probs(rendered), brute_force(model, rendered), atol=1e-4)


def test_bfloat16_autocast_stays_close_and_sums_in_float32():
    model, renderer = small_model(n_items=40, codes=6, seed=2, decoder="tokens")
    rendered = renderer.cid2cid(*random_histories(40, 4, 6, 2))
    ranking = Ranking(model, memory=64)
    exact = ranking.log_probs(rendered)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = ranking.log_probs(rendered)
    assert half.dtype == torch.float32
    assert torch.allclose(half.exp().sum(dim=1), torch.ones(4), atol=1e-4)
    assert (half - exact).abs().median() < 0.1


def test_a_single_child_gets_exactly_zero():
    model, renderer = small_model(n_items=12, codes=9, seed=1, decoder="tokens")
    rendered = renderer.cid2cid(*random_histories(12, 2, 4, 0), targets=True)
    targets = torch.where(rendered.targets > 0, 1, 0) * torch.randint(1, 13, rendered.targets.shape)
    parts = model.decoder.target_log_probs(model, replace(rendered, targets=targets))
    items = targets[targets > 0] - 1
    trie = model.decoder.trie
    for level in range(3):
        nodes = model.decoder.legal.path_nodes(items)[:, level].numpy()
        single = trie.n_children(level)[nodes] == 1
        assert (parts[level][torch.from_numpy(single)] == 0.0).all()


def test_no_gradient_reaches_codes_that_are_not_legal():
    """The softmax runs over legal children only, so the bias of an illegal sibling has no gradient."""
    model, renderer = small_model(n_items=10, codes=8, seed=6, decoder="tokens")
    model.code_rows.data.mul_(0.01)  # far from saturation, where legal gradients would round to 0
    rendered = renderer.tid2cid(torch.tensor([3]))
    model.decoder.target_log_probs(model, rendered).sum().backward()
    codes, path = model.codes[1:].numpy(), model.codes[3].numpy()
    for level in range(3):
        legal = np.zeros(8, dtype=bool)
        legal[codes[(codes[:, :level] == path[:level]).all(axis=1), level]] = True
        gradient = model.decoder.code_bias.grad[level].numpy()
        assert (gradient[~legal] == 0).all()
        assert legal.sum() == 1 or (gradient[legal] != 0).all()


@pytest.mark.parametrize("dense", [True, False])
def test_smoothed_labels_are_spread_over_legal_siblings(dense):
    model, _ = small_model(n_items=40, codes=6, seed=1, decoder="tokens")
    legal = LegalCodes(model.decoder.trie, dense)
    items, smoothing = torch.arange(40), 0.3
    nodes, path = legal.path_nodes(items), legal.item_path[items]
    logits = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    for level in range(3):
        smoothed = legal.log_prob(level, logits, nodes[:, level], path[:, level], smoothing)
        log_probs, child, exists = legal.children_log_probs(level, logits, nodes[:, level])
        for row in range(40):
            siblings = log_probs[row][exists[row]]
            own = log_probs[row][exists[row] & (child[row] == path[row, level])]
            expected = (1 - smoothing) * own + smoothing * siblings.mean()
            assert torch.allclose(smoothed[row], expected, atol=1e-5)


@pytest.mark.parametrize("history", ["pooled", "dual"])
def test_items_alone_are_scored_as_in_the_ranking(history):
    model, renderer = small_model(n_items=40, codes=6, seed=3, decoder="tokens", history=history)
    rendered = renderer.cid2cid(*random_histories(40, 7, 5, 2))
    items = torch.randint(0, 41, (7, 11), generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.pad(Ranking(model, 64).log_probs(rendered), (1, 0), value=-torch.inf)
    assert torch.allclose(model.decoder.log_probs_of(model, rendered, items), whole.gather(1, items), atol=1e-4)

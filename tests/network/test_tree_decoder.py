"""The distribution over the tree against its definition, node by node, and the one ranking that everything reads."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_model import catalogues as shapes
from small_model import few, llama, random_histories, ranked, small_model
from torch import Tensor

from recbole_navigen.errors import InputError
from recbole_navigen.model.ranking import Ranking

catalogues = shapes(item_rows=st.booleans())


def seen_items(histories: Tensor, n_items: int) -> Tensor:
    """True for the items of each history. Internal ids, padded with 0, (B, H) -> (B, N), bool."""
    seen = torch.zeros(len(histories), n_items + 1, dtype=torch.bool, device=histories.device)
    return seen.scatter_(1, histories, True)[:, 1:]


@torch.no_grad()
def by_definition(model, rendered):
    """(B, N): products of softmaxes over children, each child's logit summed over the items below it, in float64."""
    decoder, codes = model.decoder, model.codes[1:].numpy()
    states = decoder.query(model.read(rendered).state).double()
    scores = (states @ model.item_vectors(torch.arange(1, len(codes) + 1)).double().T).numpy()
    result = np.zeros(scores.shape)
    for item, path in enumerate(codes):
        for level, code in enumerate(path):
            siblings = np.unique(codes[(codes[:, :level] == path[:level]).all(axis=1), level])
            below = [(codes[:, : level + 1] == [*path[:level], child]).all(axis=1) for child in siblings]
            logits = np.stack([np.logaddexp.reduce(scores[:, items], axis=1) for items in below], axis=1)
            chosen = logits[:, np.searchsorted(siblings, code)]
            result[:, item] += chosen - np.logaddexp.reduce(logits, axis=1)
    return torch.from_numpy(result).float()


@given(catalogues)
@few
def test_the_ranking_is_the_product_over_the_tree_and_sums_to_one(case):
    model, rendered, scores = ranked(case)
    assert torch.allclose(scores, by_definition(model, rendered), atol=1e-4)
    assert torch.allclose(scores.exp().sum(dim=1), torch.ones(3), atol=1e-5)


@given(catalogues)
@few
def test_a_node_holds_what_its_items_hold(case):
    model, _, log_probs = ranked(case)
    trie = model.decoder.trie
    for level in range(1, trie.levels + 1):
        nodes = model.decoder.node_log_probs(log_probs, level)
        assert nodes.shape == (3, trie.n_nodes(level))
        for node in range(trie.n_nodes(level)):
            below = torch.from_numpy(trie.item_path[:, level - 1] == node)
            assert torch.allclose(nodes[:, node], log_probs[:, below].logsumexp(dim=1), atol=1e-5)


def test_scores_far_apart_stay_numbers():
    """Logits of +-80: a node far below the best one keeps its digits, and nothing becomes infinite."""
    model, _ = small_model(n_items=30)
    scores = torch.linspace(-80, 80, 30)[torch.randperm(30, generator=torch.Generator().manual_seed(0))][None]
    log_probs = scores.log_softmax(dim=1)
    for level in (1, 2, 3):
        nodes = model.decoder.node_log_probs(log_probs, level).double()
        exact = [
            log_probs.double()[:, torch.from_numpy(model.decoder.trie.item_path[:, level - 1] == node)].logsumexp(1)
            for node in range(nodes.shape[1])
        ]
        assert torch.allclose(nodes, torch.stack(exact, dim=1), rtol=1e-6, atol=1e-6) and torch.isfinite(nodes).all()


@given(catalogues)
@few
def test_training_and_ranking_use_the_same_log_probabilities(case):
    """What the loss says of a target is what the ranking says of it, however histories are written."""
    model, renderer = small_model(**case)
    histories, lengths = random_histories(case["n_items"], 3, 6, case["seed"])
    if int(lengths.max()) < 2:
        return
    loss = model.decoder.loss(model, renderer.cid2cid(histories, lengths, targets=True))
    ranking, nats = Ranking(model, memory=64), []
    for user in range(3):
        for last in range(1, int(lengths[user])):
            context = renderer.cid2cid(histories[user : user + 1, :last], torch.tensor([last]))
            nats.append(-float(ranking.log_probs(context)[0, histories[user, last] - 1]))
    assert loss.item() == pytest.approx(np.mean(nats), abs=1e-4)


@given(catalogues, st.data())
@few
def test_top_k_is_the_top_of_the_ranking_under_any_exclusion(case, data):
    model, renderer = small_model(**case)
    n_items = case["n_items"]
    model.repeats.log_factor.fill_(data.draw(st.sampled_from([-6.0, 0.0, 2.0])))
    histories, lengths = random_histories(n_items, 5, 6, case["seed"])
    rendered = renderer.cid2cid(histories, lengths)
    k = data.draw(st.integers(1, n_items))
    generator = torch.Generator().manual_seed(case["seed"])
    banned = torch.rand(5, n_items, generator=generator).argsort(dim=1) < data.draw(st.integers(0, n_items - k))
    ranking = Ranking(model, memory=64)
    plain = ranking.log_probs(rendered)
    expected = (plain + float(model.repeats.log_factor) * seen_items(histories, n_items)).log_softmax(dim=1)
    assert torch.allclose(ranking.log_probs(rendered, histories), expected, atol=1e-4)
    top = ranking.top_k(rendered, k, histories, banned)
    best = expected.masked_fill(banned, -torch.inf).topk(k, dim=1)
    assert torch.allclose(top.log_probs, best.values, atol=1e-4)
    assert torch.allclose(expected.gather(1, top.items), top.log_probs, atol=1e-4)
    assert not banned.gather(1, top.items).any() and all(len(set(row)) == k for row in top.items.tolist())
    assert top.certified.all()


def test_items_alone_are_scored_as_in_the_ranking():
    model, renderer = small_model(n_items=40, codes=6, seed=3)
    rendered = renderer.cid2cid(*random_histories(40, 7, 5, 2))
    items = torch.randint(0, 41, (7, 11), generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.pad(Ranking(model, 64).log_probs(rendered), (1, 0), value=-torch.inf)
    assert torch.allclose(model.decoder.log_probs_of(model, rendered, items), whole.gather(1, items), atol=1e-5)


def test_memory_decides_how_many_users_run_at_once_and_not_their_scores():
    model, renderer = small_model(n_items=60, codes=6, seed=3)
    rendered = renderer.cid2cid(*random_histories(60, 16, 8, 1))
    roomy, tight = Ranking(model, memory=64), Ranking(model, memory=0.05)
    assert len(roomy.blocks(rendered)) == 1 and len(tight.blocks(rendered)) > 4
    assert torch.allclose(roomy.log_probs(rendered), tight.log_probs(rendered), atol=1e-5)
    assert torch.equal(roomy.top_k(rendered, 10).items, tight.top_k(rendered, 10).items)


def test_nothing_is_certified_where_a_score_is_no_number():
    model, renderer = small_model()
    rendered = renderer.cid2cid(*random_histories(30, 3, 5, 0))
    with torch.no_grad():
        model.decoder.query.bias[0] = torch.nan
    assert not Ranking(model, 64).top_k(rendered, 5).certified.any()


def test_another_architecture_with_grouped_queries_ranks_the_same_way():
    reference, _ = small_model(seed=7)
    model, renderer = small_model(seed=7, lm=llama(reference.vocabulary.text_size))
    rendered = renderer.cid2cid(*random_histories(30, 2, 5, 7))
    assert torch.allclose(Ranking(model, 64).log_probs(rendered), by_definition(model, rendered), atol=1e-4)


def test_bfloat16_autocast_stays_close_and_sums_in_float32():
    model, renderer = small_model(n_items=40, codes=6, seed=2)
    rendered = renderer.cid2cid(*random_histories(40, 4, 6, 2))
    exact = Ranking(model, 64).log_probs(rendered)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = Ranking(model, 64).log_probs(rendered)
    assert half.dtype == torch.float32
    assert torch.allclose(half.exp().sum(dim=1), torch.ones(4), atol=1e-4)
    assert (half - exact).abs().median() < 0.1


@pytest.mark.parametrize(("k", "banned"), [(0, 0), (31, 0), (30, 1)])
def test_impossible_k_is_refused(k, banned):
    model, renderer = small_model(n_items=30)
    rendered = renderer.cid2cid(*random_histories(30, 2, 4, 0))
    mask = torch.zeros(2, 30, dtype=torch.bool)
    mask[0, :banned] = True
    with pytest.raises(InputError, match=f"k={k} items were asked for but only {30 - banned} are left"):
        Ranking(model, memory=64).top_k(rendered, k, banned=mask)


@pytest.mark.parametrize("memory", [0, -1, float("nan")])
def test_scoring_memory_must_be_positive(memory):
    with pytest.raises(InputError, match="scoring_memory="):
        Ranking(small_model()[0], memory=memory)


def test_vectors_of_the_catalogue_follow_the_weights():
    model, _ = small_model(item_rows=True)
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


def test_within_one_reading_contexts_are_read_once(monkeypatch):
    model, renderer = small_model()
    histories, lengths = random_histories(30, 4, 6, 0)
    ranking, rendered = Ranking(model, memory=64), renderer.cid2cid(histories, lengths)
    states, calls = model.states, []
    monkeypatch.setattr(model, "states", lambda some: calls.append(len(some.tokens)) or states(some))
    with model.decoder.one_reading(), torch.no_grad():
        first = ranking.log_probs(rendered)
        model.repeats.log_factor.fill_(-3.0)  # as between the fit and the ranking of a validation
        again = ranking.log_probs(renderer.cid2cid(histories.clone(), lengths), histories)
        other = ranking.log_probs(renderer.cid2cid(histories.flip(0), lengths.flip(0)))
    assert calls == [4, 4] and torch.allclose(first.flip(0), other, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(again, ranking.log_probs(rendered, histories), atol=1e-6)
        model.decoder.query.weight.mul_(2.0)
    assert not torch.allclose(ranking.log_probs(rendered), first) and calls == [4] * 4


def test_padding_changes_nothing():
    model, renderer = small_model()
    histories, lengths = random_histories(30, 4, 6, 0)
    wide = torch.cat([histories, torch.zeros(4, 5, dtype=torch.long)], dim=1)
    narrow, padded = (model.decoder.loss(model, renderer.cid2cid(rows, lengths, True)) for rows in (histories, wide))
    assert torch.allclose(narrow, padded, atol=1e-6)


def test_a_large_catalogue_is_learned_from_a_sample_of_it():
    model, renderer = small_model(n_items=40, codes=6, seed=5)
    rendered = renderer.cid2cid(*random_histories(40, 6, 6, 5), targets=True)
    with torch.no_grad():
        model.decoder.query.weight.mul_(0.05)  # scores of a trained model; at the start they are far apart
    whole = float(model.decoder.loss(model, rendered))
    model.decoder.sampled = 12
    torch.manual_seed(0)
    losses = [float(model.decoder.loss(model, rendered)) for _ in range(200)]
    assert np.std(losses) > 0 and whole - 0.3 < np.mean(losses) < whole + 0.02

"""The factor of repeats in both exact paths, and how the mixture is fitted on validation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_model import random_histories, small_model
from test_navigen import build

from recbole_navigen.errors import InputError
from recbole_navigen.model.fitting import SHARES, TEMPERATURES, fit_mixture, last_training_targets, validation_targets
from recbole_navigen.model.repeats import RepeatFactor, distinct, fit_log_factor, seen_items
from recbole_navigen.model.scoring import ExactScorer
from recbole_navigen.model.topk import TopKSearch, log_normaliser, recommend
from recbole_navigen.training.checkpoint import load_checkpoint


@pytest.mark.parametrize("log_factor", [-6.0, -0.5, 0.0, 2.0])
@pytest.mark.parametrize("history", ["pooled", "tokens"])
def test_search_agrees_with_the_definition(log_factor, history):
    model, renderer = small_model(n_items=40, codes=6, seed=3, dense_score=True, history=history)
    model.repeats.log_factor.fill_(log_factor)
    histories, lengths = random_histories(40, 6, 9, 1)
    rendered, scorer = renderer.cid2cid(histories, lengths), ExactScorer(model, 64)
    plain = scorer.full_sort(rendered, model.second)
    seen = seen_items(histories, 40)
    expected = (plain + log_factor * seen).log_softmax(dim=1)
    top = recommend(TopKSearch(scorer), rendered, histories, 12)
    best = expected.topk(12, dim=1)
    assert torch.allclose(top.log_probs, best.values, atol=1e-4) and top.certified.all()
    assert torch.allclose(expected.gather(1, top.items), best.values, atol=1e-4)
    shifted = plain + model.repeats.shifts(seen)
    assert (model.repeats.shifts(seen) <= 0).all()
    assert torch.allclose(log_normaliser(scorer, rendered, histories), shifted.logsumexp(dim=1), atol=1e-4)


def test_items_are_scored_alone_as_in_the_full_ranking():
    model, renderer = small_model(n_items=40, codes=6, seed=3, dense_score=True)
    histories, lengths = random_histories(40, 7, 5, 2)
    rendered = renderer.cid2cid(histories, lengths)
    items = torch.randint(0, 41, (7, 11), generator=torch.Generator().manual_seed(0))
    for memory in (64, 0.05):  # all users at once, and few
        scorer = ExactScorer(model, memory)
        for second in (None, model.second):
            whole = torch.nn.functional.pad(scorer.full_sort(rendered, second), (1, 0), value=-torch.inf)
            assert torch.allclose(scorer.of_items(rendered, items, second), whole.gather(1, items), atol=1e-4)


@given(st.integers(0, 10_000), st.integers(2, 200), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_the_fitted_factor_repeats_as_often_as_the_users_did(seed, users, share):
    mass = torch.rand(users, generator=torch.Generator().manual_seed(seed)).clamp(0.01, 0.99)
    repeats = int(share * users)
    factor = RepeatFactor()
    factor.log_factor.fill_(fit_log_factor(mass, repeats))
    ratio = factor.log_factor.double().exp()
    expected = (ratio * mass / (1 - mass + ratio * mass)).sum()
    assert abs(float(expected) - (repeats + 0.5) / (users + 1) * users) < 1e-2 * users


def test_a_data_set_without_repeats_loses_what_users_have_had():
    assert fit_log_factor(torch.full((1000,), 0.3), 0) < -5
    assert abs(fit_log_factor(torch.full((1000,), 0.3), 300)) < 0.01


@given(st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=1, max_size=6))
def test_distinct_keeps_one_of_each(rows):
    for row, kept in zip(rows, distinct(torch.tensor(rows)).tolist(), strict=True):
        assert sorted(item for item in kept if item) == sorted(set(row) - {0})


def test_the_mixture_with_the_best_ranking_is_chosen(tiny):
    """Against all scores: temperature by likelihood, share by NDCG@10 among unseen items."""
    _, (_, valid, _), model, _ = build(tiny)
    with torch.no_grad():
        model.lm.dense.query.weight.mul_(40)  # far too sure of itself
        model.lm.code_rows.mul_(20)
    fit_mixture(model, validation_targets(valid))
    lm, generative, dense, targets, histories = model.lm, [], [], [], []
    with torch.no_grad():
        for batch in valid:
            rendered = model.history(batch[0])
            generative.append(model.scorer.full_sort(rendered))
            dense.append(lm.dense.scores(lm.read(rendered).state, lm.catalogue_vectors()))
            targets.append(batch[0]["item_id"][:, None] - 1)
            histories.append(seen_items(batch[0]["item_id_list"], 80))
    generative, dense, targets, seen = map(torch.cat, (generative, dense, targets, histories))

    likelihood = [float((dense / t).log_softmax(dim=1).gather(1, targets).sum()) for t in TEMPERATURES]
    temperature = TEMPERATURES[likelihood.index(max(likelihood))]
    assert temperature > 1 and float(lm.dense.temperature) == pytest.approx(temperature)
    quality = []
    for share in torch.tensor(SHARES):
        mixed = torch.logaddexp(
            generative + torch.log1p(-share), (dense / temperature).log_softmax(dim=1) + share.log()
        )
        rank = ((mixed > mixed.gather(1, targets)) & ~seen).sum(dim=1)
        quality.append(float(torch.where(rank < 10, 1 / torch.log2(rank + 2.0), 0.0).sum()))
    chosen = SHARES.index(pytest.approx(float(lm.dense.share)))
    assert quality[chosen] == pytest.approx(max(quality), rel=1e-4)


@pytest.mark.parametrize("mode", ["full", "uni50", "pop5"])
def test_the_mixture_is_fitted_on_true_targets_whatever_the_evaluation_mode(tiny, mode):
    _, (train, valid, _), model, _ = build(tiny, eval_args={"mode": {"valid": mode, "test": "full"}})
    rows = list(validation_targets(valid))
    users, items, histories = (
        torch.cat([row[name] for row in rows]) for name in ("user_id", "item_id", "item_id_list")
    )
    timeline = valid._dataset.timeline
    # Leave one out: the target is the user's last item but one, and what comes before it is the history.
    last = dict(zip(timeline.users[timeline.last()].tolist(), timeline.last().tolist(), strict=True))
    assert len(users) == len(set(users.tolist())) == 60
    for user, item, history in zip(users.tolist(), items.tolist(), histories, strict=True):
        target = last[user] - 1
        assert item == timeline.items[target]
        seen = timeline.items[timeline.starts[target] : target][-8:]
        assert [one for one in history.tolist() if one] == seen.tolist()

    # Without a validation split: the last item of the training split, behind the training items before it.
    kept = train.dataset.sequences
    rows = [
        row
        for part in last_training_targets(train)
        for row in zip(*(part[name].tolist() for name in part), strict=True)
    ]
    expected = [kept.items[begin:end].tolist() for begin, end in zip(kept.offsets, kept.offsets[1:], strict=False)]
    expected = [items for items in expected if len(items) > 1]
    assert [target for _, _, target in rows] == [items[-1] for items in expected]
    for (history, length, _), items in zip(rows, expected, strict=True):
        assert history[:length] == items[:-1][-8:] and not any(history[length:])

    fit_mixture(model, last_training_targets(train))
    assert torch.isfinite(model.lm.repeats.log_factor)


def test_without_a_validation_split_the_mixture_that_is_kept_is_fitted_too(tiny):
    split = {"eval_args": {"split": {"LS": "test_only"}}}
    _, (train, valid, test), model, trainer = build(tiny, epochs=2, **split)
    assert not valid and float(model.lm.repeats.log_factor) == 0
    trainer.fit(train, valid, saved=True, show_progress=False)
    kept = load_checkpoint(trainer.saved_model_file)["state_dict"]["lm.repeats.log_factor"]
    assert float(kept) != 0
    trainer.evaluate(test, load_best_model=True)
    fitted = float(model.lm.repeats.log_factor), float(model.lm.dense.share)
    fit_mixture(model, last_training_targets(train))
    assert (float(model.lm.repeats.log_factor), float(model.lm.dense.share)) == pytest.approx(fitted, rel=1e-4)
    with pytest.raises(InputError, match="leave no validation split"):
        build(tiny, training_stages=["finetune", "reinforce"], reinforce={"tasks": ["cid2cid"]}, **split)

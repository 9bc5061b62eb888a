"""The factor of repeats, and what it is fitted on."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_navigen import build

from recbole_navigen.errors import InputError
from recbole_navigen.model.calibration import calibrate, last_training_targets, validation_targets
from recbole_navigen.network.repeats import RepeatFactor, distinct, fit_log_factor
from recbole_navigen.training.checkpoint import load_checkpoint


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


@pytest.mark.parametrize("mode", ["full", "uni50", "pop5"])
def test_the_factor_is_fitted_on_true_targets_whatever_the_evaluation_mode(tiny, mode):
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

    calibrate(model, last_training_targets(train), held_out=False)
    assert torch.isfinite(model.lm.repeats.log_factor)


def test_without_a_validation_split_the_factor_that_is_kept_is_fitted_too(tiny):
    split = {"eval_args": {"split": {"LS": "test_only"}}}
    _, (train, valid, test), model, trainer = build(tiny, epochs=2, **split)
    assert not valid and float(model.lm.repeats.log_factor) == 0
    trainer.fit(train, valid, saved=True, show_progress=False)
    kept = load_checkpoint(trainer.saved_model_file)["state_dict"]["lm.repeats.log_factor"]
    assert float(kept) != 0
    trainer.evaluate(test, load_best_model=True)
    fitted = float(model.lm.repeats.log_factor)
    calibrate(model, last_training_targets(train), held_out=False)
    assert float(model.lm.repeats.log_factor) == pytest.approx(fitted, rel=1e-4)
    with pytest.raises(InputError, match="leave no validation split"):
        build(tiny, training_stages=["finetune", "reinforce"], reinforce={"tasks": ["cid2cid"]}, **split)

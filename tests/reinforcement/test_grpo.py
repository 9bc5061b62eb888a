"""Group-relative policy optimisation: by hand, on a bandit, and on real policies."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_model import item_policy, small_model
from torch import nn

from recbole_navigen.config import ReinforceSettings, reinforce_settings
from recbole_navigen.errors import InputError
from recbole_navigen.language.rendering import Origin
from recbole_navigen.model.decoding import write
from recbole_navigen.reinforcement.grpo import Grpo, Learner
from recbole_navigen.reinforcement.objective import action_weights, advantages, grpo_loss, paired_gain
from recbole_navigen.reinforcement.policies import Rollout, body_parameters
from recbole_navigen.reinforcement.rewards import prefix_credit, released_credit

SETTINGS = replace(
    ReinforceSettings(seed=3, **reinforce_settings({})),
    steps=60,
    accumulation=1,
    inner=1,
    learning_rate=0.1,
    warmup_ratio=0.0,
    clip_grad_norm=1.0,
    clip=0.2,
    kl=0.0,
    advantage="group",
    average="tokens",
    resample=2,
    eval_every=20,
    max_kl=100.0,
    max_diversity_loss=0.05,
    lora_rank=0,
    lora_alpha=32,
)


def test_advantages_by_hand():
    rewards = np.array([[1.0, 0.0, 0.5, np.nan], [0.2, 0.2, 0.2, 0.2]])
    group = advantages(rewards)
    assert group[0] == pytest.approx([0.5 / 0.5001, -0.5 / 0.5001, 0.0, 0.0]) and not group[1].any()
    assert advantages(rewards, "none")[0].tolist() == [0.5, -0.5, 0.0, 0.0]
    assert advantages(rewards, "batch")[0, 0] == pytest.approx(0.5 / (math.sqrt(0.5 / 6) + 1e-4))
    with pytest.raises(InputError, match="advantage='rank'"):
        advantages(rewards, "rank")


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8))
def test_advantages_of_a_group_add_up_to_nothing(rewards):
    found = advantages(np.array([rewards]))
    assert abs(found.sum()) < 1e-6 and np.isfinite(found).all()


def test_the_loss_of_two_samples_by_hand():
    """Sample 0 chose two actions, sample 1 one; a forced action (log-probability 0) and sample 2 do not count."""
    new = torch.tensor([-1.0, -2.0, -0.5, 0.0, -3.0], requires_grad=True)
    old = torch.tensor([-1.2, -1.5, -0.5, 0.0, -3.0])
    reference = torch.tensor([-1.1, -2.0, -1.0, 0.0, -9.0])
    owner, gain = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([1.0, 1.0, -1.0, -1.0, 0.0])
    weight = action_weights(old, owner, torch.tensor([True, True, False]))
    assert weight.tolist() == [1.0, 1.0, 1.0, 0.0, 0.0]
    loss, seen = grpo_loss(new, old, reference, gain, weight / 3, clip=0.2, kl=0.1)
    ratios = [math.exp(0.2), math.exp(-0.5), 1.0]
    gains = [min(ratios[0], 1.2), min(ratios[1], 0.8), -ratios[2]]
    distances = [math.exp(d) - d - 1 for d in (-0.1, 0.0, -0.5)]
    assert float(loss) == pytest.approx(sum(0.1 * d - g for d, g in zip(distances, gains, strict=True)) / 3, abs=1e-6)
    assert seen["kl"] == pytest.approx(sum(distances) / 3, abs=1e-6)
    assert seen["entropy"] == pytest.approx(3.5 / 3) and seen["clipped"] == pytest.approx(2 / 3)
    loss.backward()
    # Clipped from above with a gain: only the distance has a gradient. Forced and uncounted actions have none.
    assert float(new.grad[0]) == pytest.approx(0.1 * (1 - math.exp(-0.1)) / 3, abs=1e-6)
    assert new.grad[3:].tolist() == [0.0, 0.0]

    weight = action_weights(old, owner, torch.tensor([True, True, False]), "samples")
    by_sample, _ = grpo_loss(new, old, reference, gain, weight / weight.sum(), 0.2, 0.0)
    assert float(by_sample) == pytest.approx(-((gains[0] + gains[1]) / 2 + gains[2]) / 2, abs=1e-6)


class Arms(nn.Module):
    def __init__(self):
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(5))


class Bandit:
    """Five arms; the fourth pays most."""

    name = "bandit"
    pays = np.array([0.1, 0.0, 0.3, 1.0, 0.2])

    def __init__(self, sign=1.0):
        self.module, self.sign = Arms(), sign

    def roll(self, prompts, group, moments, draws):
        log_probs = self.module.scores.detach().log_softmax(0)
        arms = torch.multinomial(log_probs.exp(), prompts * group, replacement=True, generator=draws)
        rewards = self.sign * self.pays[arms.numpy()].reshape(prompts, group)
        return Rollout(rewards, None, arms, torch.arange(len(arms)), log_probs[arms], {})

    def log_probs(self, rollout, module):
        return module.scores.log_softmax(0)[rollout.items]

    def trainable(self):
        return list(self.module.parameters())

    def validate(self):
        value = float(self.module.scores.detach().softmax(0) @ torch.from_numpy(self.pays).float())
        return np.array([value]), {}


def grpo(bandit, folder, **changes):
    settings = replace(SETTINGS, **changes)
    learner = Learner(bandit, 8, 8, settings.learning_rate, bandit.validate)
    return Grpo([learner], settings, folder, torch.device("cpu")), learner


def test_a_bandit_is_solved(tmp_path):
    bandit = Bandit()
    trainer, learner = grpo(bandit, tmp_path)
    log = trainer.train(False)
    trainer.keep_best()
    assert learner.improved and int(bandit.module.scores.argmax()) == 3
    assert bandit.validate()[0] > 0.9 > 0.4 > log[0]["bandit valid score"]
    assert (tmp_path / "reinforce.jsonl").read_text().count("\n") == len(log) == 60 + 4


def test_what_does_not_beat_the_start_is_not_kept(tmp_path):
    bandit = Bandit(sign=-1.0)
    before = copy.deepcopy(bandit.module.state_dict())
    trainer, learner = grpo(bandit, tmp_path)
    trainer.train(False)
    assert not torch.equal(bandit.module.scores, before["scores"])
    trainer.keep_best()
    assert not learner.improved and torch.equal(bandit.module.scores, before["scores"])


def test_the_distance_to_the_start_holds_back_and_stops(tmp_path):
    free, held = Bandit(), Bandit()
    grpo(free, tmp_path / "a", steps=20)[0].train(False)
    grpo(held, tmp_path / "b", steps=20, kl=5.0)[0].train(False)
    assert held.validate()[0] < free.validate()[0]
    trainer, learner = grpo(Bandit(), tmp_path / "c", max_kl=0.05)
    log = trainer.train(False)
    assert "passed 0.05" in learner.stopped and max(entry["step"] for entry in log) < 59


def test_a_killed_reinforcement_ends_like_one_that_was_not(tmp_path, monkeypatch):
    whole = Bandit()
    grpo(whole, tmp_path / "whole")[0].train(False)
    killed = Bandit()
    trainer, _ = grpo(killed, tmp_path / "killed")
    step = trainer._step
    monkeypatch.setattr(trainer, "_step", lambda: step() if trainer.step < 47 else pytest.exit("killed"))
    with pytest.raises(pytest.exit.Exception):
        trainer.train(False)
    again = Bandit()
    grpo(again, tmp_path / "killed")[0].train(False)
    assert torch.equal(again.module.scores, whole.module.scores)
    assert (tmp_path / "killed/reinforce.jsonl").read_text() == (tmp_path / "whole/reinforce.jsonl").read_text()


def test_prompts_that_teach_nothing_are_drawn_anew(tmp_path):
    """Groups without spread are replaced one by one, and count neither in the loss nor twice in a step."""
    asked = []

    class Half(Bandit):
        def roll(self, prompts, group, moments, draws):
            asked.append(prompts)
            rollout = super().roll(prompts, group, moments, draws)
            rewards = np.ones((prompts, group))
            rewards[: (prompts + 1) // 2, 0] = 0.0
            return replace(rollout, rewards=rewards)

    trainer, learner = grpo(Half(), tmp_path, resample=2)
    entry = {}
    parts = trainer._rollouts(learner, entry)
    assert asked == [8, 4, 2] and entry["bandit groups without spread"] == 4 + 2 + 1
    # The last one that has no spread is left out too.
    assert [int(np.isfinite(part.rewards).all(axis=1).sum()) for part in parts] == [4, 2, 1]
    asked.clear()
    trainer, learner = grpo(Half(), tmp_path, resample=0, accumulation=2)
    parts = trainer._rollouts(learner, {})
    assert len(parts) == 2 and asked == [4, 4] and all(np.isnan(part.rewards[2:]).all() for part in parts)

    class Flat(Bandit):
        pays = np.ones(5)

    bandit = Flat()
    trainer, learner = grpo(bandit, tmp_path, kl=1.0)
    with torch.no_grad():
        bandit.module.scores[0] = 1.0
    trainer._step()
    assert bandit.module.scores.tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("average", ["tokens", "samples"])
@pytest.mark.parametrize("advantage", ["group", "batch"])
def test_samples_count_alike_in_whatever_parts_they_are_rolled_out(tmp_path, average, advantage):
    """Also where samples have different numbers of actions, and rewards of one part differ more."""
    whole, split = Bandit(), Bandit()
    rollout = whole.roll(8, 8, None, torch.Generator().manual_seed(1))
    rewards = rollout.rewards * np.linspace(0.1, 3.0, 8)[:, None]
    rewards[2] = np.nan
    owner = torch.arange(64).repeat_interleave(torch.arange(64) // 16 + 1)
    whole_rollout = replace(
        rollout, rewards=rewards, items=rollout.items[owner], log_probs=rollout.log_probs[owner], owner=owner
    )
    parts = []
    for first, last in ((0, 24), (24, 64)):
        own = (owner >= first) & (owner < last)
        parts.append(
            replace(
                whole_rollout,
                rewards=rewards[first // 8 : last // 8],
                items=whole_rollout.items[own],
                log_probs=whole_rollout.log_probs[own],
                owner=owner[own] - first,
            )
        )
    gradients, watched = [], []
    for bandit, rollouts in ((whole, [whole_rollout]), (split, parts)):
        trainer, _ = grpo(bandit, tmp_path, kl=0.1, average=average, advantage=advantage)
        watched.append(trainer._backward(0, trainer._parts(0, rollouts)))
        gradients.append(bandit.module.scores.grad)
    assert gradients[0].abs().max() > 1e-3
    assert torch.allclose(*gradients, atol=1e-6) and watched[0] == pytest.approx(watched[1], abs=1e-6)


def test_gains_are_paired_over_what_was_judged_both_times():
    after, before = np.array([0.6, np.nan, 0.9, 0.5]), np.array([0.5, 0.9, np.nan, 0.2])
    mean, low = paired_gain(after, before)
    assert mean == pytest.approx(0.2) and low == pytest.approx(0.2 - 1.96 * 0.1)
    assert paired_gain(np.array([0.3]), np.array([0.1])) == pytest.approx((0.2, 0.2))
    assert np.isnan(paired_gain(np.array([np.nan]), np.array([0.1]))).all()


class Judged(Bandit):
    """A bandit whose validations are given."""

    def __init__(self, *values):
        super().__init__()
        self.values = iter(values)

    def validate(self):
        return np.array(next(self.values)), {}


@pytest.mark.parametrize(
    "validations, kept",
    [
        # A gain on all prompts; one that is chance; prompts that were not judged tell nothing, whatever the means say.
        (([0.5, 0.5, 0.4], [0.6, 0.62, 0.5]), True),
        (([0.5, 0.5, 0.4], [0.9, 0.5, 0.38]), False),
        (([0.9, np.nan, 0.1], [np.nan, 0.9, 0.1]), False),
        (([0.1, 0.2, 0.9], [0.2, 0.3, np.nan]), True),
        (([0.5, 0.5, 0.4], [np.nan] * 3), False),
    ],
)
def test_what_is_kept_gains_on_the_prompts_that_both_were_judged_on(tmp_path, validations, kept):
    trainer, learner = grpo(Judged(*validations), tmp_path, steps=1)
    log = trainer.train(False)
    assert learner.improved == kept and sum("bandit valid score" in entry for entry in log) >= 1
    assert (learner.scores[1] > learner.scores[0]) == kept


def test_nothing_starts_on_a_scorer_that_judges_nothing(tmp_path):
    trainer, _ = grpo(Judged([np.nan, np.nan]), tmp_path)
    with pytest.raises(InputError, match="nothing that bandit gave at the start could be judged"):
        trainer.train(False)


def test_the_end_is_kept_before_anything_else_is_written(tmp_path):
    """A run that is killed once its weights are in place learns nothing further when it is started again: it would take
    what it learned for the start.
    """
    first = Bandit()
    trainer, _ = grpo(first, tmp_path, max_kl=0.05)
    log = trainer.train(False)
    trainer.keep_best()
    again = Bandit()
    again.module.load_state_dict(first.module.state_dict())
    trainer, learner = grpo(again, tmp_path, max_kl=0.05)
    assert trainer.train(False) == log and learner.improved and trainer.seconds > 0
    trainer.keep_best()
    assert torch.equal(again.module.scores, first.module.scores)


def test_texts_that_lost_their_diversity_are_not_kept_also_after_a_kill(tmp_path, monkeypatch):
    class Narrowing(Bandit):
        def validate(self):
            value, seen = super().validate()
            return value, {**seen, "distinct_2": 1.0 - float(value[0])}

    trainer, learner = grpo(Narrowing(), tmp_path)
    step = trainer._step
    monkeypatch.setattr(trainer, "_step", lambda: step() if trainer.step < 25 else pytest.exit("killed"))
    with pytest.raises(pytest.exit.Exception):
        trainer.train(False)
    bandit = Narrowing()
    trainer, learner = grpo(bandit, tmp_path)
    log = trainer.train(False)
    trainer.keep_best()
    assert max(entry.get("bandit valid score", 0.0) for entry in log) > 0.9
    assert not learner.improved and not bandit.module.scores.any()


def test_credits_of_codes():
    target = np.array([[3, 7, 1]] * 5)
    found = np.array([[3, 7, 1], [3, 7, 2], [3, 0, 1], [0, 7, 1], [5, 5, 5]])
    assert prefix_credit(found, target).tolist() == pytest.approx([1.0, 0.8, 0.5, 0.0, 0.0])
    assert released_credit(found, target).tolist() == pytest.approx([1.0, 0.8, 0.7, 0.5, 0.15])


def test_only_what_was_chosen_has_a_gradient():
    """Scores at forced and padding places get none; those of drawn tokens do."""
    model, renderer = small_model()
    histories, lengths = torch.tensor([[4, 9, 2], [7, 0, 0]]), torch.tensor([3, 1])
    tags, chosen = [("film", "image")] * 2, torch.tensor([5, 6])
    asked = renderer.cid2ins(histories, lengths, tags, chosen)
    written = write(model, asked, True, 1.0, torch.Generator().manual_seed(0))
    rendered = renderer.cid2ins(histories, lengths, tags, chosen, written.answers())
    kept, run_context = {}, model.backbone.run_context

    def keep(*arguments):
        hidden, layers = run_context(*arguments)
        hidden.retain_grad()
        kept["hidden"] = hidden
        return hidden, layers

    model.backbone.run_context = keep
    model.requires_grad_(True)
    new = model.written_log_probs(rendered)
    assert torch.allclose(new, written.log_probs[written.sampled], atol=1e-5)
    owner, old = (rendered.origin == Origin.TARGET).nonzero()[:, 0], new.detach()
    weight = action_weights(old, owner, torch.tensor([True, True]))
    loss, _ = grpo_loss(new, old, old, torch.tensor([1.0, -1.0])[owner], weight, 0.2, 0.0)
    loss.backward()
    # The state before each drawn token and none else.
    before = (kept["hidden"].grad.abs().sum(dim=2) > 0)[:, :-1]
    assert torch.equal(before, rendered.origin[:, 1:] == Origin.TARGET)
    assert int(before.sum()) == int(written.sampled.sum()) < int(lengths.sum()) + int(written.lengths.sum())


def test_only_the_body_learns():
    model, _ = small_model()
    names = {name for name, p in model.named_parameters() if any(p is own for own in body_parameters(model))}
    assert names and all("layers" in name or name.endswith("norm.weight") for name in names)


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("decoder", ["tree", "tokens"])
def test_the_model_at_the_start_stays_what_it_was(tmp_path, rank, decoder):
    """What the distance is measured to does not learn, whatever does: adapters, the body, the query of items."""
    policy, lm = item_policy(decoder=decoder)
    settings = replace(SETTINGS, lora_rank=rank, learning_rate=0.05)
    learner = Learner(policy, 4, 4, settings.learning_rate, lambda: (np.zeros(1), {}))
    trainer = Grpo([learner], settings, tmp_path, torch.device("cpu"))
    rollout = policy.roll(4, 4, torch.Generator().manual_seed(1), torch.Generator().manual_seed(2))
    before = trainer._reference(0, rollout)
    assert torch.allclose(before, policy.log_probs(rollout, lm), atol=1e-5)
    for _ in range(3):
        trainer._step()
    assert not torch.allclose(policy.log_probs(rollout, lm), before, atol=1e-3)
    assert torch.allclose(trainer._reference(0, rollout), before, atol=1e-5)
    learned = {id(weight) for weight in trainer.parameters[0]}
    assert {id(weight) for weight in lm.parameters() if weight.grad is not None} <= learned


@pytest.mark.parametrize("inner", [1, 2])
def test_samples_that_come_without_probabilities_are_learned_under_those_of_their_drawing(tmp_path, inner):
    """What is learned is the same as if the drawing had told them."""
    learned = []
    for told in (False, True):
        policy, _ = item_policy()
        roll = policy.roll

        def rolled(*args, roll=roll, policy=policy, told=told):
            rollout = roll(*args)
            return rollout if told else replace(rollout, log_probs=None)

        policy.roll = rolled
        # Small enough that the second step still has samples that earn differently.
        settings = replace(SETTINGS, inner=inner, learning_rate=0.02)
        learner = Learner(policy, 4, 4, settings.learning_rate, lambda: (np.zeros(1), {}))
        trainer = Grpo([learner], settings, tmp_path, torch.device("cpu"))
        entries = [trainer._step() for _ in range(2)]
        learned.append([weight.detach().clone() for weight in policy.trainable()])
        # A second look at the same samples is away from their drawing.
        assert all((entry["cid2cid clipped"] > 0) == (inner == 2) for entry in entries)
    for ours, theirs in zip(*learned, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)

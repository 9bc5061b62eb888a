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

from recbole_navigen.errors import InputError
from recbole_navigen.language.rendering import Origin
from recbole_navigen.model.writing import write
from recbole_navigen.training.grpo import Grpo, Learner, advantages, grpo_loss
from recbole_navigen.training.policies import Rollout, body_parameters
from recbole_navigen.training.rewards import prefix_credit, released_credit

SETTINGS = {
    "seed": 3,
    "steps": 60,
    "accumulation": 1,
    "inner": 1,
    "learning_rate": 0.1,
    "warmup_ratio": 0.0,
    "clip_grad_norm": 1.0,
    "clip": 0.2,
    "kl": 0.0,
    "advantage": "group",
    "average": "tokens",
    "resample": 2,
    "eval_every": 20,
    "max_kl": 100.0,
    "max_diversity_loss": 0.05,
    "lora_rank": 0,
    "lora_alpha": 32,
}


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
    owner, advantage = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([1.0, -1.0, 0.0])
    counted = torch.tensor([True, True, False])
    loss, seen = grpo_loss(new, old, reference, owner, advantage, counted, clip=0.2, kl=0.1)
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

    by_sample, _ = grpo_loss(new, old, reference, owner, advantage, counted, 0.2, 0.0, "samples")
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
        return value, {"score": value}


def grpo(bandit, folder, **changes):
    learner = Learner(bandit, 8, 8, bandit.validate)
    return Grpo([learner], {**SETTINGS, **changes}, folder, torch.device("cpu")), learner


def test_a_bandit_is_solved(tmp_path):
    bandit = Bandit()
    trainer, learner = grpo(bandit, tmp_path)
    log = trainer.train(False)
    assert learner.improved and int(bandit.module.scores.argmax()) == 3
    assert bandit.validate()[0] > 0.9 > 0.4 > log[0]["bandit valid score"]
    assert (tmp_path / "reinforce.jsonl").read_text().count("\n") == len(log) == 60 + 4


def test_what_does_not_beat_the_start_is_not_kept(tmp_path):
    bandit = Bandit(sign=-1.0)
    before = copy.deepcopy(bandit.module.state_dict())
    trainer, learner = grpo(bandit, tmp_path)
    trainer.train(False)
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
    assert [int(np.isfinite(part.rewards).all(axis=1).sum()) for part in parts] == [4, 2, 2]
    asked.clear()
    trainer, learner = grpo(Half(), tmp_path, resample=0, accumulation=2)
    assert len(trainer._rollouts(learner, {})) == 2 and asked == [4, 4]


def test_samples_count_alike_in_whatever_parts_they_are_rolled_out(tmp_path):
    whole, split = Bandit(), Bandit()
    rollout = whole.roll(8, 8, None, torch.Generator().manual_seed(1))
    cut = [slice(0, 24), slice(24, 64)]
    parts = [
        replace(
            rollout,
            rewards=rollout.rewards[part.start // 8 : part.stop // 8],
            items=rollout.items[part],
            log_probs=rollout.log_probs[part],
            owner=torch.arange(part.stop - part.start),
        )
        for part in cut
    ]
    gradients, watched = [], []
    for bandit, rollouts in ((whole, [rollout]), (split, parts)):
        trainer, _ = grpo(bandit, tmp_path, kl=0.1)
        watched.append(trainer._backward(0, rollouts))
        gradients.append(bandit.module.scores.grad)
    assert torch.allclose(*gradients, atol=1e-6) and watched[0] == pytest.approx(watched[1], abs=1e-6)


def test_texts_that_lost_their_diversity_are_not_kept_also_after_a_kill(tmp_path, monkeypatch):
    class Narrowing(Bandit):
        def validate(self):
            value, seen = super().validate()
            return value, {**seen, "distinct_2": 1.0 - value}

    trainer, learner = grpo(Narrowing(), tmp_path)
    step = trainer._step
    monkeypatch.setattr(trainer, "_step", lambda: step() if trainer.step < 25 else pytest.exit("killed"))
    with pytest.raises(pytest.exit.Exception):
        trainer.train(False)
    bandit = Narrowing()
    trainer, learner = grpo(bandit, tmp_path)
    log = trainer.train(False)
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
    kept = {}

    def keep(states, choices, temperature=1.0):
        states.retain_grad()
        kept["states"] = states
        return type(model).text_log_probs(model, states, choices, temperature)

    model.text_log_probs = keep
    model.requires_grad_(True)
    new = model.written_log_probs(rendered)
    assert torch.allclose(new, written.log_probs[written.sampled], atol=1e-5)
    owner = (rendered.origin == Origin.TARGET).nonzero()[:, 0]
    advantage = torch.tensor([1.0, -1.0])
    loss, _ = grpo_loss(new, new.detach(), new.detach(), owner, advantage, torch.tensor([True, True]), 0.2, 0.0)
    loss.backward()
    # One state a drawn token and none else ever reached the head.
    assert len(kept["states"]) == int(written.sampled.sum()) < int(lengths.sum()) + int(written.lengths.sum())
    assert (kept["states"].grad.abs().sum(dim=1) > 0).all()


def test_only_the_body_learns():
    model, _ = small_model()
    names = {name for name, p in model.named_parameters() if any(p is own for own in body_parameters(model))}
    assert names and all("layers" in name or name.endswith("norm.weight") for name in names)


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("kind", ["codes", "mixture"])
def test_the_model_at_the_start_stays_what_it_was(tmp_path, rank, kind):
    """What the distance is measured to does not learn, whatever does: adapters, the body, the dense score's query."""
    policy, lm = item_policy(kind)
    settings = {**SETTINGS, "lora_rank": rank, "learning_rate": 0.05}
    trainer = Grpo([Learner(policy, 4, 4, lambda: (0.0, {"score": 0.0}))], settings, tmp_path, torch.device("cpu"))
    rollout = policy.roll(4, 4, torch.Generator().manual_seed(1), torch.Generator().manual_seed(2))
    before = trainer._reference(0, rollout)
    assert torch.allclose(before, rollout.log_probs, atol=1e-5)
    for _ in range(3):
        trainer._step()
    assert not torch.allclose(policy.log_probs(rollout, lm), before, atol=1e-3)
    assert torch.allclose(trainer._reference(0, rollout), before, atol=1e-5)

"""Group-relative policy optimisation (GRPO, arXiv:2402.03300) of both tasks, with its brakes.

    loss = mean over actions of  -min(r A, clip(r, 1 - e, 1 + e) A) + beta (exp(d) - d - 1)

r is the ratio of an action's probability to the one it was drawn with, A the advantage of its sample within its group,
and d the reference's log-probability minus the policy's, so that the last term (k3) estimates the distance to the model
at the start. Probabilities are those of the constrained distribution that was drawn from, and only actions that were
chosen are in the mean: no prompt, no padding, no forced token.

What is kept is what validates best; the supervised model is the first candidate, so reinforcement never ships a worse
one. Symbols: B prompts, G samples of each, M = B G samples, A actions.
"""

import contextlib
import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from recbole_navigen.artefacts import write_bytes
from recbole_navigen.errors import InputError
from recbole_navigen.language.adapters import add_lora, has_lora, lora_parameters, merge_lora, without_lora
from recbole_navigen.training.checkpoint import load_checkpoint, save_checkpoint
from recbole_navigen.training.policies import Policy, Rollout
from recbole_navigen.training.schedule import rate
from recbole_navigen.training.trainer import random_states, set_random_states

ADVANTAGES, AVERAGES = ("group", "batch", "none"), ("tokens", "samples")
EPSILON = 1e-4  # beside deviations, as released
LOG, PROGRESS = "reinforce.jsonl", "reinforce-in-training"  # of a run's folder

# Validates one policy: its score, to be raised, and what is to be logged, `score` and for texts `distinct_2` among it.
Validate = Callable[[], tuple[float, dict[str, float]]]


def advantages(rewards: np.ndarray, form: str = "group") -> np.ndarray:
    """Advantages of samples over their groups. Samples without a reward (NaN) get 0 and count in no mean.

    Args:
        rewards: (B, G). form: `group` divides by the group's standard deviation (of a sample, n - 1), `batch` by that
            of all samples, `none` by nothing.
    """
    if form not in ADVANTAGES:
        raise InputError(f"advantage={form!r} is unknown; use {', '.join(ADVANTAGES)}.")
    known = np.isfinite(rewards)
    count = known.sum(axis=1, keepdims=True)
    total = np.where(known, rewards, 0.0).sum(axis=1, keepdims=True)
    centred = np.where(known, rewards - total / np.maximum(count, 1), 0.0)
    if form == "group":
        return centred / (np.sqrt((centred**2).sum(axis=1, keepdims=True) / np.maximum(count - 1, 1)) + EPSILON)
    if form == "batch":
        return centred / (math.sqrt((centred**2).sum() / max(known.sum() - 1, 1)) + EPSILON)
    return centred


def grpo_loss(
    new: Tensor,
    old: Tensor,
    reference: Tensor,
    owner: Tensor,
    advantage: Tensor,
    counted: Tensor,
    clip: float,
    kl: float,
    average: str = "tokens",
) -> tuple[Tensor, dict[str, float]]:
    """The loss above, a scalar, and what to watch: `kl`, `entropy` (-log p of what was drawn) and `clipped`.

    Args:
        new, old, reference: log-probabilities of the actions now, when drawn, and under the model at the start. (A,).
        owner: the sample of each action. (A,). advantage, counted: of each sample, and whether it has one. (M,).
        clip, kl: e and beta. average: `tokens` weighs all actions alike, `samples` all samples.
    """
    if average not in AVERAGES:
        raise InputError(f"average={average!r} is unknown; use {' or '.join(AVERAGES)}.")
    # An action that was the only legal one has log-probability 0 always; it was not chosen and is not counted.
    weight = (counted[owner] & (old != 0)).float()
    if average == "samples":
        per_sample = torch.zeros(len(counted), device=new.device).index_add_(0, owner, weight)
        weight = weight / per_sample[owner].clamp(min=1.0)
    weight = weight / weight.sum().clamp(min=1e-9)
    ratio, gain = (new - old).exp(), advantage[owner]
    surrogate = torch.minimum(ratio * gain, ratio.clamp(1.0 - clip, 1.0 + clip) * gain)
    difference = reference - new
    distance = difference.exp() - difference - 1.0
    loss = (weight * (kl * distance - surrogate)).sum()
    with torch.no_grad():
        outside = ((ratio - 1.0).abs() > clip).float()
        seen = {"kl": distance, "entropy": -new, "clipped": outside}
        return loss, {name: float((weight * value).sum()) for name, value in seen.items()}


@dataclass(slots=True)
class Learner:
    """One policy in reinforcement.

    Attributes:
        policy: what learns. prompts, group: B and G of a step. validate: see `Validate`.
        score, best: the best validation and its weights. improved: whether that is not the start.
        stopped: the reason why it learns no more.
    """

    policy: Policy
    prompts: int
    group: int
    validate: Validate
    score: float | None = None
    best: dict[str, Tensor] = field(default_factory=dict)
    improved: bool = False
    stopped: str = ""


class Grpo:
    """Trains learners, keeps what validates best, and goes on after a kill with the same numbers.

    Args:
        learners: each with a module of its own. settings: of properties/reinforce.yaml, and `seed`.
        folder: of the run; the log and the checkpoint in progress go there. device: of the modules.
    """

    def __init__(self, learners: Sequence[Learner], settings: Mapping[str, Any], folder: Path, device: torch.device):
        self.learners, self.settings, self.folder = list(learners), settings, Path(folder)
        self.moments = torch.Generator().manual_seed(settings["seed"])
        self.draws = torch.Generator(device).manual_seed(settings["seed"])
        self.log: list[dict[str, Any]] = []
        self.step = 0
        rank = settings["lora_rank"]
        self._references: list[_Frozen | _Switched] = []
        self.parameters: list[list[nn.Parameter]] = []
        for learner in self.learners:
            module = learner.policy.module.eval()
            if rank and has_lora(module):
                raise InputError(
                    f"reinforce: lora_rank={rank} puts adapters on a body that has some already (lora: True); "
                    "leave it 0, and those are reinforced."
                )
            if rank:
                add_lora(module.backbone.lm, rank, settings["lora_alpha"])
            self.parameters.append(list(learner.policy.trainable()))
            self._references.append(_Switched(module, self.parameters[-1]) if rank else _Frozen(module))
        self.optimizer = torch.optim.AdamW(
            [parameter for group in self.parameters for parameter in group],
            lr=settings["learning_rate"],
            weight_decay=0.0,
        )

    def train(self, show_progress: bool) -> list[dict[str, Any]]:
        """Run all steps and leave each module at what validated best. Returns the log, one entry a step."""
        settings, checkpoint = self.settings, self.folder / PROGRESS
        if checkpoint.exists():
            self._resume(load_checkpoint(checkpoint))
        else:
            self._validate()
        with tqdm(
            total=settings["steps"], initial=self.step, desc="reinforce", ncols=100, disable=not show_progress
        ) as bar:
            while self.step < settings["steps"] and not all(learner.stopped for learner in self.learners):
                entry = self._step()
                self.log.append(entry)
                self.step += 1
                shown = {name.replace("cid2", ""): f"{value:.3f}" for name, value in entry.items() if "reward" in name}
                bar.set_postfix(shown, refresh=False)
                bar.update()
                if self.step % settings["eval_every"] == 0 or self.step == settings["steps"]:
                    self._validate()
                    save_checkpoint(checkpoint, **self._state())
        for learner in self.learners:
            _restore(learner.policy.module, learner.best)
            if settings["lora_rank"]:
                merge_lora(learner.policy.module.backbone.lm)
        lines = "".join(json.dumps(entry) + "\n" for entry in self.log)
        write_bytes(self.folder / LOG, lines.encode())
        return self.log

    def _step(self) -> dict[str, Any]:
        settings, entry = self.settings, {"step": self.step}
        warmup = int(settings["warmup_ratio"] * settings["steps"])
        for group in self.optimizer.param_groups:
            group["lr"] = settings["learning_rate"] * rate(self.step, settings["steps"], warmup, "cosine")
        rollouts = [[] if learner.stopped else self._rollouts(learner, entry) for learner in self.learners]
        for _ in range(settings["inner"]):
            self.optimizer.zero_grad()
            for place, parts in enumerate(rollouts):
                entry |= self._backward(place, parts)
                nn.utils.clip_grad_norm_(self.parameters[place], settings["clip_grad_norm"])
            self.optimizer.step()
        for learner in self.learners:
            if entry.get(f"{learner.policy.name} kl", 0.0) > settings["max_kl"]:
                learner.stopped = f"the distance to the supervised model passed {settings['max_kl']} at {self.step}"
        return entry

    def _rollouts(self, learner: Learner, entry: dict[str, Any]) -> list[Rollout]:
        """The samples of one step, rolled out in as many parts as `accumulation` says. Prompts whose samples all earn
        the same teach nothing: others are drawn in their place, `resample` times at most.
        """
        settings, parts, drawn, flat = self.settings, [], [], 0
        for _ in range(settings["accumulation"]):
            prompts = max(1, learner.prompts // settings["accumulation"])
            for attempt in range(settings["resample"] + 1):
                rollout = learner.policy.roll(prompts, learner.group, self.moments, self.draws)
                drawn.append(rollout.means())
                useless = ~(_spread(rollout.rewards) > 0)
                flat += int(useless.sum())
                if attempt < settings["resample"] and useless.any():
                    rollout = replace(rollout, rewards=np.where(useless[:, None], np.nan, rollout.rewards))
                if np.isfinite(rollout.rewards).any():
                    parts.append(rollout)
                prompts = int(useless.sum())
                if not prompts:
                    break
        name = learner.policy.name
        for key in dict.fromkeys(key for means in drawn for key in means):
            entry[f"{name} {key}"] = float(np.mean([means[key] for means in drawn if key in means]))
        entry[f"{name} groups without spread"] = flat
        return parts

    def _backward(self, place: int, rollouts: Sequence[Rollout]) -> dict[str, float]:
        """Add the gradients of a learner's rollouts, each by its share of the samples. What there is to watch."""
        policy, settings, watched = self.learners[place].policy, self.settings, {}
        samples = sum(np.isfinite(rollout.rewards).sum() for rollout in rollouts)
        for rollout in rollouts:
            device, known = rollout.log_probs.device, np.isfinite(rollout.rewards)
            advantage = torch.from_numpy(advantages(rollout.rewards, settings["advantage"])).flatten().float()
            loss, seen = grpo_loss(
                policy.log_probs(rollout, policy.module),
                rollout.log_probs,
                self._reference(place, rollout),
                rollout.owner,
                advantage.to(device),
                torch.from_numpy(known.ravel()).to(device),
                settings["clip"],
                settings["kl"],
                settings["average"],
            )
            share = float(known.sum() / samples)
            (loss * share).backward()
            for name, value in seen.items():
                name = f"{policy.name} {name}"
                watched[name] = watched.get(name, 0.0) + share * value
        return watched

    @torch.no_grad()
    def _reference(self, place: int, rollout: Rollout) -> Tensor:
        """Log-probabilities of a rollout's actions under the model at the start. (A,)."""
        with self._references[place].module() as start:
            return self.learners[place].policy.log_probs(rollout, start)

    def _validate(self) -> None:
        for learner in self.learners:
            score, seen = learner.validate()
            name = f"{learner.policy.name} valid"
            self.log.append({"step": self.step, **{f"{name} {key}": value for key, value in seen.items()}})
            # The log holds the start also after a kill.
            start = next(entry for entry in self.log if f"{name} score" in entry)
            diverse = start.get(f"{name} distinct_2", 0.0) * (1 - self.settings["max_diversity_loss"])
            if learner.score is None or (score > learner.score and seen.get("distinct_2", 0.0) >= diverse):
                learner.improved = learner.score is not None
                learner.score, learner.best = score, _copied(learner.policy.module)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "log": self.log,
            "modules": [_copied(learner.policy.module) for learner in self.learners],
            "best": [learner.best for learner in self.learners],
            "scores": [learner.score for learner in self.learners],
            "improved": [learner.improved for learner in self.learners],
            "stopped": [learner.stopped for learner in self.learners],
            "optimizer": self.optimizer.state_dict(),
            "moments": self.moments.get_state(),
            "draws": self.draws.get_state(),
            "random_states": random_states(),
        }

    def _resume(self, state: dict[str, Any]) -> None:
        self.step, self.log = state["step"], state["log"]
        for place, learner in enumerate(self.learners):
            _restore(learner.policy.module, state["modules"][place])
            learner.best, learner.score = state["best"][place], state["scores"][place]
            learner.improved, learner.stopped = state["improved"][place], state["stopped"][place]
        self.optimizer.load_state_dict(state["optimizer"])
        self.moments.set_state(state["moments"])
        self.draws.set_state(state["draws"])
        set_random_states(state["random_states"])


def _spread(rewards: np.ndarray) -> np.ndarray:
    """Largest less smallest reward of each group; not above 0 if fewer than two are known. (B, G) -> (B,)."""
    known = np.isfinite(rewards)
    return rewards.max(axis=1, initial=-np.inf, where=known) - rewards.min(axis=1, initial=np.inf, where=known)


class _Frozen:
    """The module at the start as a copy that does not learn."""

    def __init__(self, module: nn.Module):
        self._copy = copy.deepcopy(module).eval().requires_grad_(False)

    @contextlib.contextmanager
    def module(self) -> Iterator[nn.Module]:
        yield self._copy


class _Switched:
    """The module at the start without a copy of its body: adapters off, and what else learns as it was."""

    def __init__(self, module: nn.Module, learned: Sequence[nn.Parameter]):
        self._module, adapters = module, {id(weight) for weight in lora_parameters(module)}
        self._others = [[weight, weight.detach().clone()] for weight in learned if id(weight) not in adapters]

    def _exchange(self) -> None:
        for pair in self._others:
            pair[0].data, pair[1] = pair[1], pair[0].data

    @contextlib.contextmanager
    def module(self) -> Iterator[nn.Module]:
        self._exchange()
        try:
            with without_lora(self._module.backbone.lm):
                yield self._module
        finally:
            self._exchange()


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _restore(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Back to copied weights. `eval` forgets what was cached of the ones before."""
    module.load_state_dict(weights)
    module.eval()

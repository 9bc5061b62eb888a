"""Group-relative policy optimisation (GRPO, arXiv:2402.03300) of both tasks, with its brakes; see `objective`.

What is kept is what validates best; the supervised model is the first candidate, and what replaces it must gain on the
prompts that both were judged on, by more than chance.

Symbols: B prompts, G samples of each, M = B G samples, A actions, P prompts of a validation.
"""

import contextlib
import copy
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recbole_navigen.artefacts import write_bytes
from recbole_navigen.bars import tqdm
from recbole_navigen.config import ReinforceSettings
from recbole_navigen.errors import InputError
from recbole_navigen.interruption import heed
from recbole_navigen.language.adapters import add_lora, has_lora, lora_parameters, merge_lora, without_lora
from recbole_navigen.reinforcement.objective import action_weights, advantages, grpo_loss, paired_gain
from recbole_navigen.reinforcement.policies import Policy, Rollout
from recbole_navigen.training.generators import random_states, set_random_states
from recbole_navigen.training.progress import Progress
from recbole_navigen.training.schedule import rate

LOG, PROGRESS = "reinforce.jsonl", "reinforce-in-training"  # of a run's folder

logger = logging.getLogger(__name__)

# Validates one policy: what each prompt is worth, to be raised, NaN where that could not be judged, (P,); and what is
# to be logged beside their mean, for texts `distinct_2` among it.
Validate = Callable[[], tuple[np.ndarray, dict[str, float]]]


@dataclass(slots=True)
class Learner:
    """One policy in reinforcement.

    Attributes:
        policy: what learns. prompts, group: B and G of a step. learning_rate: its peak.
        validate: see `Validate`.
        start, values: what validation gave at the start and for the best weights, see `Validate`. (P,).
        best: those weights. improved: whether they are not the start's. stopped: the reason why it learns no more.
    """

    policy: Policy
    prompts: int
    group: int
    learning_rate: float
    validate: Validate
    start: np.ndarray | None = None
    values: np.ndarray | None = None
    best: dict[str, Tensor] = field(default_factory=dict)
    improved: bool = False
    stopped: str = ""

    @property
    def scores(self) -> tuple[float, float]:
        """Means at the start and for what is kept, over the prompts that were judged both times."""
        both = np.isfinite(self.start) & np.isfinite(self.values)
        return float(self.start[both].mean()), float(self.values[both].mean())


@dataclass(frozen=True, slots=True)
class Part:
    """Samples of one step that are learned at once.

    Attributes:
        rollout: the samples.
        gain, weight: of each action, see `grpo_loss`. (A,).
        reference: its log-probability at the start, (A,). old: when it was drawn, (A,); None: as it is now.
    """

    rollout: Rollout
    gain: Tensor
    weight: Tensor
    reference: Tensor
    old: Tensor | None


class Grpo:
    """Trains learners, keeps what validates best, and goes on after a kill with the same numbers.

    Args:
        learners: each with a module of its own. settings: how they learn.
        folder: of the run; the log and the checkpoint in progress go there. device: of the modules.
        save_seconds: between two checkpoints, at least; each validation writes one.
    """

    def __init__(
        self,
        learners: Sequence[Learner],
        settings: ReinforceSettings,
        folder: Path,
        device: torch.device,
        save_seconds: float = math.inf,
    ):
        self.learners, self.settings, self.folder = list(learners), settings, Path(folder)
        self.progress = Progress(self.folder / PROGRESS, save_seconds)
        self.moments = torch.Generator().manual_seed(settings.seed)
        self.draws = torch.Generator(device).manual_seed(settings.seed)
        self.log: list[dict[str, Any]] = []
        self.step = 0
        self.seconds = self.seconds_before = 0.0  # in all, and of that what a killed run took before
        rank = settings.lora_rank
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
                add_lora(module.backbone.lm, rank, settings.lora_alpha)
            self.parameters.append(list(learner.policy.trainable()))
            self._references.append(_Switched(module, self.parameters[-1]) if rank else _Frozen(module))
        self.optimizer = torch.optim.AdamW(
            [
                {"params": own, "lr": learner.learning_rate}
                for learner, own in zip(self.learners, self.parameters, strict=True)
            ],
            weight_decay=0.0,
        )

    def train(self, show_progress: bool) -> list[dict[str, Any]]:
        """Run all steps. The modules stand at the last one then; `keep_best` is to follow. Returns the log: an entry a
        step, and one a validation of each learner.
        """
        settings, begun = self.settings, time.perf_counter()
        if (state := self.progress.load()) is not None:
            self._resume(state)
            logger.info("reinforce: going on from step %d of %d", self.step, settings.steps)
            self.seconds_before = self.seconds
            begun -= self.seconds
        else:
            self._validate()
        with tqdm(
            total=settings.steps, initial=self.step, desc="reinforce", ncols=100, disable=not show_progress
        ) as bar:
            while not self._ended():
                entry = self._step()
                self.log.append(entry)
                heed()
                self.step += 1
                shown = {name.replace("cid2", ""): f"{value:.3f}" for name, value in entry.items() if "reward" in name}
                bar.set_postfix(shown, refresh=False)
                bar.update()
                validated = self.step % settings.eval_every == 0 or self._ended()
                if validated:
                    self._validate()
                # Also at the end: whoever is killed after it never asks again for the model at the start.
                if validated or self.progress.due:
                    self.seconds = time.perf_counter() - begun
                    self.progress.save(**self._state())
                    logger.info("reinforce: step %d of %d", self.step, settings.steps)
        lines = "".join(json.dumps(entry) + "\n" for entry in self.log)
        write_bytes(self.folder / LOG, lines.encode())
        return self.log

    def keep_best(self) -> None:
        """Put each module back to what validated best, adapters merged."""
        for learner in self.learners:
            _restore(learner.policy.module, learner.best)
            if self.settings.lora_rank:
                merge_lora(learner.policy.module.backbone.lm)

    def _ended(self) -> bool:
        return self.step >= self.settings.steps or all(learner.stopped for learner in self.learners)

    def _step(self) -> dict[str, Any]:
        settings, entry = self.settings, {"step": self.step}
        warmup = int(settings.warmup_ratio * settings.steps)
        for learner, group in zip(self.learners, self.optimizer.param_groups, strict=True):
            group["lr"] = learner.learning_rate * rate(self.step, settings.steps, warmup, "cosine")
        parts = [
            [] if learner.stopped else self._parts(place, self._rollouts(learner, entry))
            for place, learner in enumerate(self.learners)
        ]
        for _ in range(settings.inner):
            self.optimizer.zero_grad()
            for place, own in enumerate(parts):
                entry |= self._backward(place, own)
                nn.utils.clip_grad_norm_(self.parameters[place], settings.clip_grad_norm)
            self.optimizer.step()
        for learner in self.learners:
            if entry.get(f"{learner.policy.name} kl", 0.0) > settings.max_kl:
                learner.stopped = f"the distance to the supervised model passed {settings.max_kl} at {self.step}"
        return entry

    def _rollouts(self, learner: Learner, entry: dict[str, Any]) -> list[Rollout]:
        """The samples of one step, rolled out in as many parts as `accumulation` says. Prompts whose samples all earn
        the same teach nothing: others are drawn in their place, `resample` times at most, and none of them is learned.
        """
        settings, parts, drawn, flat = self.settings, [], [], 0
        for _ in range(settings.accumulation):
            prompts = learner.prompts // settings.accumulation
            for _ in range(settings.resample + 1):
                rollout = learner.policy.roll(prompts, learner.group, self.moments, self.draws)
                drawn.append(rollout.means())
                useless = ~(_spread(rollout.rewards) > 0)
                if not useless.all():
                    parts.append(replace(rollout, rewards=np.where(useless[:, None], np.nan, rollout.rewards)))
                prompts = int(useless.sum())
                flat += prompts
                if not prompts:
                    break
        name = learner.policy.name
        for key in dict.fromkeys(key for means in drawn for key in means):
            entry[f"{name} {key}"] = float(np.mean([means[key] for means in drawn if key in means]))
        entry[f"{name} groups without spread"] = flat
        return parts

    def _parts(self, place: int, rollouts: Sequence[Rollout]) -> list[Part]:
        """What a learner's rollouts weigh together, in whatever parts they came."""
        if not rollouts:
            return []
        settings = self.settings
        advantage = advantages(np.concatenate([rollout.rewards for rollout in rollouts]), settings.advantage)
        parts, row = [], 0
        for rollout in rollouts:
            own, owner = advantage[row : row + len(rollout.rewards)], rollout.owner
            row += len(own)
            gain = torch.from_numpy(own.ravel()).float().to(owner.device)[owner]
            counted = torch.from_numpy(np.isfinite(rollout.rewards).ravel()).to(owner.device)
            reference = self._reference(place, rollout)
            weight = action_weights(reference, owner, counted, settings.average)
            old = rollout.log_probs
            if old is None and settings.inner > 1:
                policy = self.learners[place].policy
                with torch.no_grad():
                    old = policy.log_probs(rollout, policy.module)
            parts.append(Part(rollout, gain, weight, reference, old))
        total = sum(float(part.weight.sum()) for part in parts)
        return [replace(part, weight=part.weight / max(total, 1e-9)) for part in parts]

    def _backward(self, place: int, parts: Sequence[Part]) -> dict[str, float]:
        """Add the gradients of a learner's samples. What there is to watch."""
        policy, settings, watched = self.learners[place].policy, self.settings, {}
        for part in parts:
            new = policy.log_probs(part.rollout, policy.module)
            old = new.detach() if part.old is None else part.old
            loss, seen = grpo_loss(new, old, part.reference, part.gain, part.weight, settings.clip, settings.kl)
            # What does not learn needs no gradient: rows of text and items would cost as much as the body.
            loss.backward(inputs=self.parameters[place])
            for name, value in seen.items():
                name = f"{policy.name} {name}"
                watched[name] = watched.get(name, 0.0) + value
        return watched

    @torch.no_grad()
    def _reference(self, place: int, rollout: Rollout) -> Tensor:
        """Log-probabilities of a rollout's actions under the model at the start. (A,)."""
        with self._references[place].module() as start:
            return self.learners[place].policy.log_probs(rollout, start)

    def _validate(self) -> None:
        """Judge all learners as they stand. Weights become the best if they gain on the best so far, if their gain on
        the start is no chance, and if texts stay diverse; what could not be judged at all is passed over.
        """
        for learner in self.learners:
            values, seen = learner.validate()
            name, judged = f"{learner.policy.name} valid", bool(np.isfinite(values).any())
            if learner.start is None and not judged:
                raise InputError(
                    f"reinforce: nothing that {learner.policy.name} gave at the start could be judged, so no gain "
                    "could be told; see that the scorer works."
                )
            if judged:
                seen = {"score": float(np.nanmean(values)), **seen}
            self.log.append({"step": self.step, **{f"{name} {key}": value for key, value in seen.items()}})
            if learner.start is None:
                learner.start = learner.values = values
                learner.best = _copied(learner.policy.module)
                continue
            # The log holds the start also after a kill.
            start = next(entry for entry in self.log if f"{name} score" in entry)
            diverse = start.get(f"{name} distinct_2", 0.0) * (1 - self.settings.max_diversity_loss)
            better = paired_gain(values, learner.values)[0] > 0 and paired_gain(values, learner.start)[1] > 0
            if better and seen.get("distinct_2", 0.0) >= diverse:
                learner.improved, learner.values, learner.best = True, values, _copied(learner.policy.module)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": self.seconds,
            "log": self.log,
            "modules": [_copied(learner.policy.module) for learner in self.learners],
            "best": [learner.best for learner in self.learners],
            "starts": [learner.start for learner in self.learners],
            "values": [learner.values for learner in self.learners],
            "improved": [learner.improved for learner in self.learners],
            "stopped": [learner.stopped for learner in self.learners],
            "optimizer": self.optimizer.state_dict(),
            "moments": self.moments.get_state(),
            "draws": self.draws.get_state(),
            "random_states": random_states(),
        }

    def _resume(self, state: dict[str, Any]) -> None:
        self.step, self.seconds, self.log = state["step"], state["seconds"], state["log"]
        for place, learner in enumerate(self.learners):
            _restore(learner.policy.module, state["modules"][place])
            learner.start, learner.values = state["starts"][place], state["values"][place]
            learner.best = state["best"][place]
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

"""What reinforcement learns: next items after histories, and instructions. A policy draws groups of samples, has them
rewarded, and gives the log-probabilities of exactly the distribution they were drawn from, with gradients.

Prompts are moments of the training split. Only what the model chose counts: a token that was the only legal one
has log-probability 0 and no gradient, and prompts and padding are not seen at all.

Symbols: B prompts, G samples of each, M = B G samples, A actions (items or tokens) of all samples, L levels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from recbole_navigen.data.sequences import UserSequences, padded
from recbole_navigen.errors import InputError
from recbole_navigen.language.rendering import Origin, Rendered, Renderer
from recbole_navigen.model.decoding import write
from recbole_navigen.model.navigen import NaviGen
from recbole_navigen.network.item_model import DualIdentifierLM
from recbole_navigen.network.repeats import distinct
from recbole_navigen.network.text_model import TextModel
from recbole_navigen.reinforcement.rewards import CODE_REWARDS, Case, Scorer, instruction_rewards
from recbole_navigen.training.instruction_rows import InstructionRows


@dataclass(frozen=True, slots=True)
class Rollout:
    """Groups of samples.

    Attributes:
        rewards: NaN for a sample that could not be judged. Shape (B, G), float64.
        rendered: the samples as the policy reads them again.
        items: internal ids of drawn items (B, G); None for text.
        owner: the sample, 0..M-1, that each action belongs to. Shape (A,), int64.
        log_probs: of the actions when they were drawn, (A,), float32; None where drawing does not tell them and
            `Policy.log_probs` has to, under the same weights.
        parts: what the rewards are made of, NaN where there is nothing. Each (M,).
        texts: raw answers, M strings; none for items.
    """

    rewards: np.ndarray
    rendered: Rendered
    items: Tensor | None
    owner: Tensor
    log_probs: Tensor | None
    parts: dict[str, np.ndarray]
    texts: tuple[str, ...] = ()

    def means(self) -> dict[str, float]:
        """Means of `reward` and of the parts over the samples that have them, for the log."""
        columns = {"reward": self.rewards.ravel(), **self.parts}
        return {name: float(np.nanmean(values)) for name, values in columns.items() if np.isfinite(values).any()}


class Policy(Protocol):
    """One task of reinforcement."""

    name: str
    module: nn.Module

    def roll(self, prompts: int, group: int, moments: torch.Generator, draws: torch.Generator) -> Rollout:
        """Draw and reward G samples after each of B prompts.

        Args:
            prompts: B. group: G. moments: draws the prompts, on the processor. draws: draws the samples, on the device.
        """

    def log_probs(self, rollout: Rollout, module: nn.Module) -> Tensor:
        """Log-probabilities of a rollout's actions under the policy's module or a copy of it. Shape (A,)."""

    def trainable(self) -> list[nn.Parameter]:
        """The parameters that are trained: those of the body. Identifier and text rows stay as they are."""


class ItemPolicy:
    """Next items, drawn from the distribution that is recommended from, factor of repeats included, but for the memory,
    which knows the training split by heart: one action an item.

    Args:
        model: in evaluation mode, so that what is drawn and what is learned are one distribution.
        sequences: of the training split.
        reward: one of `rewards.REWARDS`.
    """

    name = "cid2cid"

    def __init__(self, model: NaviGen, sequences: UserSequences, reward: str):
        self.model, self.module = model, model.lm
        self.credit = CODE_REWARDS[reward]
        self.sequences = sequences
        # A place among all training items that has something before it.
        first = np.zeros(len(sequences.items), dtype=bool)
        first[sequences.offsets[:-1][sequences.lengths > 0]] = True
        self.moments = np.flatnonzero(~first)
        if not len(self.moments):
            raise InputError("no user has two training interactions, so there is nothing to reinforce.")

    def roll(self, prompts: int, group: int, moments: torch.Generator, draws: torch.Generator) -> Rollout:
        """See `Policy`."""
        model, lm = self.model, self.module
        drawn = self.moments[torch.randint(len(self.moments), (prompts,), generator=moments).numpy()]
        starts = self.sequences.offsets[np.searchsorted(self.sequences.offsets, drawn, side="right") - 1]
        firsts = np.maximum(starts, drawn - model.max_seq_length)
        histories = [self.sequences.items[first:place] for first, place in zip(firsts, drawn, strict=True)]
        read, lengths = padded(histories)
        rendered, read = model.renderer.cid2cid(read, lengths).to(model.device), read.to(model.device)
        every = model.ranking.log_probs(rendered, read, memory=False)
        items = 1 + torch.multinomial(every.exp(), group, replacement=True, generator=draws)
        # What the factor of repeats is normalised by is read along: the history's own items.
        targets = torch.cat([items, distinct(read)], dim=1) if float(lm.repeats.log_factor) else items
        rendered = replace(rendered, targets=targets)
        owner = torch.arange(items.numel(), device=items.device)
        codes = lm.codes.cpu().numpy()
        truth = np.repeat(codes[self.sequences.items[drawn]], group, axis=0)
        sampled = codes[items.cpu().numpy().ravel()]
        rewards = self.credit(sampled, truth).reshape(items.shape)
        right = np.logical_and.accumulate(sampled == truth, axis=1)
        parts = {f"level_{level}": right[:, level].astype(float) for level in range(lm.levels)}
        return Rollout(rewards, rendered, items, owner, every.gather(1, items - 1).flatten(), parts)

    def log_probs(self, rollout: Rollout, module: DualIdentifierLM) -> Tensor:
        """See `Policy`."""
        rendered, group = rollout.rendered, rollout.items.shape[1]
        targets = rendered.targets
        scores = module.decoder.log_probs_of(module, rendered, targets)
        shown = targets[:, group:]
        if not shown.shape[1]:
            return scores.flatten()
        seen = (rollout.items[:, :, None] == shown[:, None]).any(dim=2)
        mass = scores[:, group:].exp().masked_fill(shown == 0, 0.0).sum(dim=1, keepdim=True)
        repeats = module.repeats
        return (scores[:, :group] + repeats.shifts(seen) - repeats.log_normaliser(mass)).flatten()

    def trainable(self) -> list[nn.Parameter]:
        """See `Policy`."""
        return [*body_parameters(self.module), *self.module.decoder.trainable()]


class InstructionPolicy:
    """Instructions behind the items they are for.

    Args:
        author: what writes, in evaluation mode. renderer: its own.
        rows: moments and their instructions. terms: TIDs by item index.
        scorer, reward, triangle, weights: see `instruction_rewards`.
    """

    name = "cid2ins"

    def __init__(
        self,
        author: TextModel,
        renderer: Renderer,
        rows: InstructionRows,
        terms: Sequence[Sequence[str]],
        scorer: Scorer,
        reward: str,
        triangle: bool = True,
        weights: Mapping[str, float] | None = None,
    ):
        self.module, self.renderer, self.rows, self.terms = author, renderer, rows, terms
        self.judged = partial(instruction_rewards, scorer=scorer, reward=reward, triangle=triangle, weights=weights)

    def roll(self, prompts: int, group: int, moments: torch.Generator, draws: torch.Generator) -> Rollout:
        """See `Policy`."""
        drawn = torch.randint(len(self.rows), (prompts,), generator=moments).tolist()
        think = bool(torch.rand(1, generator=moments) < self.rows.think_share)
        return self.write(drawn, group, think, draws)

    def write(self, drawn: Sequence[int], group: int, think: bool, draws: torch.Generator) -> Rollout:
        """G samples for each of some rows, with or without a thought."""
        rows = self.rows
        repeated = [row for row in drawn for _ in range(group)]
        prompts = rows.prompts(repeated).to(self.module.special_rows.device)
        plans = None if rows.planner is None else [rows.choices(row, think) for row in repeated]
        written = write(self.module, prompts, think, 1.0, draws, plans=plans)
        answers = written.answers()
        cases = [
            Case(rows.raw(row, answer, think), think, tuple(self.terms[rows.items[row] - 1]), *rows.tags[row])
            for row, answer in zip(repeated, answers, strict=True)
        ]
        scored = self.judged(cases)
        pairs = zip(repeated, answers, strict=True)
        options = None if plans is None else [rows.choices(row, think).replay(answer) for row, answer in pairs]
        rendered = rows.prompts(repeated, answers, options).to(prompts.tokens.device)
        owner = (rendered.origin == Origin.TARGET).nonzero()[:, 0]
        parts = {**scored.parts, "length": written.lengths.cpu().numpy().astype(float)}
        parts["unjudged"] = np.isnan(scored.rewards).astype(float)
        # The first token, thought or none, is the caller's, and so are forced ones.
        old = written.log_probs[written.sampled]
        shape = (len(drawn), group)
        texts = tuple(case.text for case in cases)
        return Rollout(scored.rewards.reshape(shape), rendered, None, owner, old, parts, texts)

    def log_probs(self, rollout: Rollout, module: TextModel) -> Tensor:
        """See `Policy`."""
        return module.written_log_probs(rollout.rendered)

    def trainable(self) -> list[nn.Parameter]:
        """See `Policy`."""
        return body_parameters(self.module)


def body_parameters(module: TextModel) -> list[nn.Parameter]:
    """Return the transformer's own weights that are trained; of a body with adapters, the adapters alone."""
    return [parameter for parameter in module.backbone.own_parameters() if parameter.requires_grad]

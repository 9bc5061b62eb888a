"""Policies with the bugs of the released reinforcement, for `reinforce.py` alone: what they cost.

- Log-probabilities ignore the constraint: tokens are drawn among the legal ones, the loss takes the softmax over all.
- Forced tokens and padding are in the loss as if they had been drawn.

Next items are those of `decoder: tokens`, an action a code.
"""

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from recbole_navigen.language.rendering import Origin
from recbole_navigen.network.item_model import DualIdentifierLM
from recbole_navigen.network.legal_codes import LegalCodes
from recbole_navigen.network.text_model import TextModel
from recbole_navigen.network.tree_decoder import TreeDecoder
from recbole_navigen.reinforcement.policies import InstructionPolicy, ItemPolicy, Policy, Rollout


class BuggyItems(ItemPolicy):
    """Codes under the softmax over all K of a level, codes without a choice included."""

    def roll(self, prompts, group, moments, draws) -> Rollout:
        """See `Policy`."""
        rollout = super().roll(prompts, group, moments, draws)
        anchors = rollout.rendered.anchors[:, :1].expand_as(rollout.items)
        rendered = replace(rollout.rendered, targets=rollout.items, anchors=anchors)
        owner = rollout.owner.repeat_interleave(self.module.levels)
        rollout = replace(rollout, rendered=rendered, owner=owner)
        with torch.no_grad():
            return replace(rollout, log_probs=self.log_probs(rollout, self.module))

    def log_probs(self, rollout: Rollout, module: DualIdentifierLM) -> Tensor:
        """See `Policy`."""
        rendered, decoder = rollout.rendered, module.decoder
        codes = module.codes[rendered.targets]
        with every_node(decoder.legal):
            states = decoder.target_states(module, rendered)
        levels = [
            decoder.code_logits(module, level, state).float().log_softmax(dim=-1).gather(-1, codes[..., level, None])
            for level, state in enumerate(states)
        ]
        return torch.cat(levels, dim=-1).flatten()


@contextlib.contextmanager
def every_node(legal: LegalCodes) -> Iterator[None]:
    """The model runs every node on the way to a target, also those with one item below, which decide nothing and are
    otherwise left out.
    """
    only_item = legal.only_item
    legal.only_item = torch.full_like(only_item, -1)
    try:
        yield
    finally:
        legal.only_item = only_item


class BuggyInstructions(InstructionPolicy):
    """Everything behind the prompt under the softmax over all tokens: drawn, forced, and padding."""

    def write(self, drawn, group, think, draws) -> Rollout:
        """See `InstructionPolicy`."""
        rollout = super().write(drawn, group, think, draws)
        rollout = replace(rollout, owner=self._behind(rollout).nonzero()[:, 0])
        with torch.no_grad():
            return replace(rollout, log_probs=self.log_probs(rollout, self.module))

    @staticmethod
    def _behind(rollout: Rollout) -> Tensor:
        return (rollout.rendered.origin != Origin.PROMPT)[:, 1:]

    def log_probs(self, rollout: Rollout, module: TextModel) -> Tensor:
        """See `Policy`."""
        rendered, behind = rollout.rendered, self._behind(rollout)
        hidden, _ = module.backbone.run_context(module.embed(rendered), rendered.lengths)
        states = hidden[:, :-1][behind]
        scores = module.text_scores(states).log_softmax(dim=-1)
        outputs = module.grammar.outputs(rendered.tokens[:, 1:][behind])
        return scores.gather(1, outputs[:, None])[:, 0]


def with_bugs(policy: Policy) -> Policy:
    """The same task with the bugs; next items of `decoder: tree`, where they have no place, stay as they are."""
    if isinstance(policy, ItemPolicy) and isinstance(policy.module.decoder, TreeDecoder):
        return policy
    buggy = copy.copy(policy)
    buggy.__class__ = BuggyItems if isinstance(buggy, ItemPolicy) else BuggyInstructions
    return buggy

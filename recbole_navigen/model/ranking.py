"""The exact ranking of the catalogue: one vector of log-probabilities a user, from which everything is read.

Full ranking, top-k and validation see the same numbers: the decoder's, mixed with those of the memory, with the factor
of repeats, normalised over all items. Rollouts of reinforcement, whose histories are of the training split that the
memory knows by heart, leave the memory out. Users are ranked in blocks that fit into `scoring_memory`.

Symbols: B users, N items, H items of a history.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from recbole_navigen.errors import InputError
from recbole_navigen.language.rendering import Rendered
from recbole_navigen.network.item_model import DualIdentifierLM
from recbole_navigen.network.repeats import distinct


@dataclass(frozen=True, slots=True)
class TopK:
    """The k best items of each user, best first.

    Attributes:
        items: item indices. Shape (B, k), int64.
        log_probs: exact log-probabilities. Shape (B, k), float32.
        certified: True if all items were scored and every score is a number: then no other item can belong to the
            list. Shape (B,), bool.
    """

    items: Tensor
    log_probs: Tensor
    certified: Tensor


def best(log_probs: Tensor, k: int, banned: Tensor | None = None) -> TopK:
    """The k best items of each row of log-probabilities. (B, N), float32; banned: see `Ranking.top_k`."""
    n_items = log_probs.shape[1]
    left = n_items if banned is None else n_items - int(banned.sum(dim=1).max())
    if k < 1 or left < k:
        raise InputError(
            f"k={k} items were asked for but only {left} are left for some user after exclusions; lower k (at "
            "least 1) or exclude fewer items."
        )
    certified = ~log_probs.isnan().any(dim=1)
    if banned is not None:
        log_probs = log_probs.masked_fill(banned, -torch.inf)
    found = log_probs.topk(k, dim=1)
    return TopK(found.indices, found.values, certified)


def joined(parts: Sequence[TopK]) -> TopK:
    """The users of several parts, one after another."""
    return TopK(*(torch.cat([getattr(part, name) for part in parts]) for name in ("items", "log_probs", "certified")))


class Ranking:
    """Ranks with a bound on memory.

    Args:
        lm: the model.
        memory: budget of a pass, in MB. It sets how many users run at once; the result (B, N) itself is the caller's.
    """

    def __init__(self, lm: DualIdentifierLM, memory: float):
        if not memory > 0:
            raise InputError(f"scoring_memory={memory} must be a positive number of MB.")
        self.lm = lm
        self.budget = float(memory) * 2**20

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.lm.codes) - 1

    def users_at_once(self, user_bytes: float) -> int:
        """Return how many users fit into one pass if each takes so many bytes; at least 1."""
        return max(1, int(self.budget / user_bytes))

    def blocks(self, rendered: Rendered) -> list[slice]:
        """Rows of contexts that are ranked at once."""
        size = self.users_at_once(self.lm.decoder.user_bytes(self.lm, rendered.tokens.shape[1]))
        return [slice(begin, begin + size) for begin in range(0, len(rendered.tokens), size)]

    @torch.no_grad()
    def log_probs(self, rendered: Rendered, histories: Tensor | None = None, memory: bool = True) -> Tensor:
        """Log-probability of every item after each context.

        Args:
            rendered: contexts as `Renderer` makes them for inference, B rows.
            histories: internal ids, oldest first, right-padded with 0, for the memory and the factor of repeats; None
                leaves both out. Shape (B, H).
            memory: False leaves the memory out.

        Returns:
            (B, N) by item index, float32; each row's exponentials sum to 1.
        """
        return self.log_probs_by_id(rendered, histories, memory)[:, 1:]

    @torch.no_grad()
    def log_probs_by_id(self, rendered: Rendered, histories: Tensor | None = None, memory: bool = True) -> Tensor:
        """`log_probs` by internal id, with -inf for the padding item. Shape (B, N + 1), float32."""
        result = torch.empty(len(rendered.tokens), self.n_items + 1, device=rendered.tokens.device)
        for rows in self.blocks(rendered):
            self._fill(result[rows], rendered.rows(rows), None if histories is None else histories[rows], memory)
        return result

    @torch.no_grad()
    def top_k(
        self,
        rendered: Rendered,
        k: int,
        histories: Tensor | None = None,
        banned: Tensor | None = None,
        shifts: Tensor | None = None,
    ) -> TopK:
        """The k most probable items after each context.

        Args:
            rendered, histories: as in `log_probs`. k: how many.
            banned: True where an item must not appear; the probabilities of the others stay as they are. (B, N), bool.
            shifts: added to the log-probabilities, which are normalised again; rows of zeros change nothing. (B, N).
        """
        parts = []
        for rows in self.blocks(rendered):
            part = rendered.rows(rows)
            scores = torch.empty(len(part.tokens), self.n_items + 1, device=part.tokens.device)
            self._fill(scores, part, None if histories is None else histories[rows])
            scores = scores[:, 1:]
            if shifts is not None and (shifted := shifts[rows].any(dim=1)).any():
                scores[shifted] = (scores[shifted] + shifts[rows][shifted]).log_softmax(dim=1)
            parts.append(best(scores, k, None if banned is None else banned[rows]))
        return joined(parts)

    def _fill(self, result: Tensor, rendered: Rendered, histories: Tensor | None, memory: bool = True) -> None:
        """Write the log-probabilities of a block by internal id. Every step is in place: a catalogue is much memory."""
        result[:, 0] = -torch.inf
        self.lm.decoder.write_scores(self.lm, rendered, result[:, 1:])
        if memory and histories is not None and self.lm.memory.used:
            self.lm.memory.mix(torch.log_softmax(result, dim=1, out=result), histories)
        if histories is not None and (log_factor := float(self.lm.repeats.log_factor)):
            seen = distinct(histories)  # a copy becomes the padding item, which stays at -inf
            result.scatter_add_(1, seen, result.new_full(seen.shape, log_factor))
        torch.log_softmax(result, dim=1, out=result)

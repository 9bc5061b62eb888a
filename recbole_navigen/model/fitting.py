"""What mixes NaviGen's scores, fitted on the targets of the validation split, or without one on the last targets of the
training split: temperature and share of the dense score, and the factor of repeats.

1. The temperature is the one under which the dense score makes the targets most likely.
2. The share is the one with the best NDCG@10 among unseen items. Likelihood is no guide here: it is made by the many
   targets that no list of ten will hold, and prefers a share that ranks worse.
3. The factor of repeats is the most likely one (`fit_log_factor`).

Ranks are counted among the best items of either score, which hold the mixture's first ten.

Symbols: B users, R candidates, H items of a history, C temperatures.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor
from torch.nn import functional as F

from recbole_navigen.model.mixture import SecondScore
from recbole_navigen.model.repeats import distinct, fit_log_factor

TEMPERATURES = (1.0, 1.2, 1.5, 1.8, 2.2, 2.7, 3.3, 4.0)
SHARES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
FIT_USERS = 2048  # at most so many users of the split are looked at
ROWS = 256  # of the training split, scored together
CANDIDATES = 32  # best items of each score
TOP = 10


@dataclass(frozen=True, slots=True)
class Scored:
    """Some users' targets, candidates and histories, in this order, under both scores.

    Attributes:
        items: internal ids, 0 for none. Shape (B, 1 + 2 CANDIDATES + H).
        generative: log-probabilities. Same shape.
        dense: scores before the softmax, None without a dense score. Same shape.
        dense_sums: log of the softmax's denominator at each temperature. Shape (B, C).
        repeated: True where the target is in the history. Shape (B,).
    """

    items: Tensor
    generative: Tensor
    dense: Tensor | None
    dense_sums: Tensor | None
    repeated: Tensor

    def mixed(self, share: float, temperature: int) -> Tensor:
        """Log-probabilities of `items` under the mixture, -inf for none. temperature: which of TEMPERATURES."""
        if self.dense is None:
            return self.generative
        dense = self.dense / TEMPERATURES[temperature] - self.dense_sums[:, temperature, None]
        return SecondScore(dense, share).mix(self.generative).masked_fill(self.items == 0, -torch.inf)


def validation_targets(loader) -> Iterator[Interaction]:
    """The targets of a split with their histories, some rows at a time, whatever its evaluation mode.

    Args:
        loader: of the split, as data_preparation makes it. Where targets are ranked among sampled items, its batches
            hold those too, so the rows are taken from the data behind it; of labelled rows those that are liked.
    """
    part, label = loader._dataset, loader.config["LABEL_FIELD"]
    for begin in range(0, len(part), loader.step):
        rows = loader.transform(part, part[begin : begin + loader.step])
        yield rows[rows[label] > 0] if label in rows else rows


def last_training_targets(loader) -> Iterator[Interaction]:
    """The last training item of each user with the history before it, some users at a time.

    Args:
        loader: of user rows, as data_preparation makes it for NaviGen.
    """
    sequences, length = loader.dataset.sequences, loader.config["MAX_ITEM_LIST_LENGTH"]
    users = np.flatnonzero(sequences.lengths > 1)
    ends = sequences.offsets[1:][users] - 1
    lengths = np.minimum(sequences.lengths[users] - 1, length)
    for begin in range(0, len(users), ROWS):
        end, many = ends[begin : begin + ROWS, None], lengths[begin : begin + ROWS, None]
        place = np.arange(many.max())
        histories = np.where(place < many, sequences.items[np.minimum(end - many + place, end)], 0)
        yield Interaction(
            {
                loader.config["ITEM_ID_FIELD"] + loader.config["LIST_SUFFIX"]: torch.from_numpy(histories),
                loader.config["ITEM_LIST_LENGTH_FIELD"]: torch.from_numpy(many[:, 0]),
                loader.config["ITEM_ID_FIELD"]: torch.from_numpy(sequences.items[end[:, 0]]),
            }
        )


@torch.no_grad()
def fit_mixture(model, targets: Iterable[Interaction]) -> None:
    """Fit the three numbers and keep them in the model.

    Args:
        model: a NaviGen. targets: what users chose and the histories before it, in parts; see `validation_targets`.
    """
    model.eval()
    parts, users = [], 0
    for batch in targets:
        interaction = batch[: FIT_USERS - users].to(model.device)
        parts.append(_score(model, interaction))
        users += len(interaction)
        if users >= FIT_USERS:
            break

    lm, share, temperature = model.lm, 0.5, 0
    if lm.dense is not None:
        likelihood = sum(
            (part.dense[:, :1] / torch.tensor(TEMPERATURES, device=model.device) - part.dense_sums).sum(dim=0)
            for part in parts
        )
        temperature = int(likelihood.argmax())
        quality = [sum(_gain(part.mixed(share, temperature)) for part in parts) for share in SHARES]
        share = SHARES[max(range(len(SHARES)), key=quality.__getitem__)]
        lm.dense.share.fill_(share)
        lm.dense.temperature.fill_(TEMPERATURES[temperature])
    masses = [part.mixed(share, temperature)[:, 1 + 2 * CANDIDATES :].exp().sum(dim=1) for part in parts]
    repeats = sum(int(part.repeated.sum()) for part in parts)
    lm.repeats.log_factor.fill_(fit_log_factor(torch.cat(masses), repeats))


def _score(model, interaction) -> Scored:
    """Candidates of some users and their scores."""
    lm, n_items = model.lm, model.table.n_items
    histories, target = interaction[model.ITEM_SEQ], interaction[model.ITEM_ID][:, None]
    rendered = model.history(interaction)
    best = min(CANDIDATES, n_items)
    tops = [model.search.top_k(rendered, best).items + 1]
    dense = None
    if lm.dense is not None:
        dense = lm.dense.scores(lm.read(rendered).state, lm.catalogue_vectors())
        tops.append(dense.topk(best, dim=1).indices + 1)
    candidates = distinct(torch.cat(tops, dim=1))
    candidates = candidates.masked_fill(
        (candidates[:, :, None] == torch.cat([target, histories], 1)[:, None]).any(2), 0
    )
    candidates = F.pad(candidates, (0, 2 * CANDIDATES - candidates.shape[1]))
    items = torch.cat([target, candidates, distinct(histories)], dim=1)
    return Scored(
        items=items,
        generative=model.scorer.of_items(rendered, items),
        dense=None if dense is None else dense.gather(1, (items - 1).clamp(min=0)),
        dense_sums=None
        if dense is None
        else torch.stack([(dense / temperature).logsumexp(dim=1) for temperature in TEMPERATURES], dim=1),
        repeated=(histories == target).any(dim=1),
    )


def _gain(mixed: Tensor) -> float:
    """Sum over users of the NDCG@10 of targets among candidates. (B, any) -> float."""
    rank = (mixed[:, 1 : 1 + 2 * CANDIDATES] > mixed[:, :1]).sum(dim=1)
    return float(torch.where(rank < TOP, 1 / torch.log2(rank + 2.0), 0.0).sum())

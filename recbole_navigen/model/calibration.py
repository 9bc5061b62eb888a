"""The share of the memory and the factor of repeats, fitted on the targets of the validation split; without one the
factor on the last targets of the training split.

Symbols: B users, H items of a history.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.network.repeats import distinct, fit_log_factor

if TYPE_CHECKING:
    from recbole_navigen.model.navigen import NaviGen

SHARES = [step / 10 for step in range(9)]  # of the memory, that are tried
UNFITTED = 0.5  # what they come to on the data sets of the benchmarks
CUT = 10
FIT_USERS = 2048  # at most so many users of the split are looked at
ROWS = 256  # of the training split, scored together


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
    sequences = loader.dataset.sequences
    users = np.flatnonzero(sequences.lengths > 1)
    ends = sequences.offsets[1:][users] - 1
    lengths = np.minimum(sequences.lengths[users] - 1, loader.length)
    for begin in range(0, len(users), ROWS):
        end, many = ends[begin : begin + ROWS, None], lengths[begin : begin + ROWS, None]
        place = np.arange(many.max())
        histories = np.where(place < many, sequences.items[np.minimum(end - many + place, end)], 0)
        yield Interaction(
            {
                loader.item_seq: torch.from_numpy(histories),
                loader.item_seq_len: torch.from_numpy(many[:, 0]),
                loader.dataset.iid_field: torch.from_numpy(sequences.items[end[:, 0]]),
            }
        )


@torch.no_grad()
def calibrate(model: "NaviGen", targets: Iterable[Interaction], held_out: bool = True) -> None:
    """Fit the share of the memory and the most likely factor of repeats, and keep them in the model.

    The share is the one of SHARES with the highest NDCG@10 among the items that a user has not had yet, the smallest of
    equals. What was counted for the memory tells nothing of it, so without other targets it is a constant.

    Args:
        model: at the weights to be validated.
        targets: what users chose and the histories before it, in parts; see `validation_targets`.
        held_out: whether these are of another split than that of training.
    """
    model.eval()
    memory, masses, gains, repeats, users = model.lm.memory, [], 0.0, 0, 0
    shares = [float(memory.share)]
    if memory.given is None and len(memory.weights):
        shares = SHARES if held_out else [UNFITTED]
    for batch in targets:
        interaction = batch[: FIT_USERS - users].to(model.device)
        histories, target = interaction[model.ITEM_SEQ], interaction[model.ITEM_ID][:, None]
        of_network = model.ranking.log_probs_by_id(model.history(interaction)).exp()
        of_memory = torch.from_numpy(memory.known(histories).toarray()).to(model.device)
        of_memory = torch.where(of_memory.any(dim=1, keepdim=True), of_memory, of_network)
        seen = distinct(histories)
        masses.append(torch.stack([part.gather(1, seen).sum(dim=1) for part in (of_network, of_memory)]))
        if len(shares) > 1:
            hidden = torch.zeros_like(of_network, dtype=torch.bool).scatter_(1, histories, True)
            hidden.scatter_(1, target, False)
            gains = gains + torch.stack([_gain(of_network.lerp(of_memory, share), target, hidden) for share in shares])
        repeats += int((histories == target).any(dim=1).sum())
        users += len(interaction)
        if users >= FIT_USERS:
            break
    share = shares[int(gains.argmax())] if len(shares) > 1 else shares[0]
    memory.share.fill_(share)
    network, known = torch.cat(masses, dim=1)
    model.lm.repeats.log_factor.fill_(fit_log_factor(network.lerp(known, share), repeats))


def _gain(probabilities: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
    """Sum of the users' NDCG@10 where some items are hidden, a scalar. (B, N + 1), (B, 1), (B, N + 1)."""
    above = (probabilities > probabilities.gather(1, target)).logical_and_(~hidden).sum(dim=1)
    return torch.where(above < CUT, 1 / (above + 2).log2(), 0.0).sum(dtype=torch.float64)

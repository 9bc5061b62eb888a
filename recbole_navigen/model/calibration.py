"""The factor of repeats, fitted on the targets of the validation split, or without one on the last targets of the
training split.

Symbols: B users, H items of a history.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from recbole.data.interaction import Interaction

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.network.repeats import distinct, fit_log_factor

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
def fit_repeats(model, targets: Iterable[Interaction]) -> None:
    """Fit the most likely factor and keep it in the model.

    Args:
        model: a NaviGen. targets: what users chose and the histories before it, in parts; see `validation_targets`.
    """
    model.eval()
    masses, repeats, users = [], 0, 0
    for batch in targets:
        interaction = batch[: FIT_USERS - users].to(model.device)
        histories, target = interaction[model.ITEM_SEQ], interaction[model.ITEM_ID][:, None]
        log_probs = model.ranking.log_probs_by_id(model.history(interaction))
        masses.append(log_probs.gather(1, distinct(histories)).exp().sum(dim=1))
        repeats += int((histories == target).any(dim=1).sum())
        users += len(interaction)
        if users >= FIT_USERS:
            break
    model.lm.repeats.log_factor.fill_(fit_log_factor(torch.cat(masses), repeats))

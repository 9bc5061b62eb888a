"""Drafts that keep a user's own proportions: calibrated choice (Steck, 2018, doi:10.1145/3240323.3240372).

    chosen = argmax over drafts d of  (1 - SHARE) score(d) / 10 - SHARE KL(p || q~_d),    q~ = (1 - ALPHA) q + ALPHA p

p are the shares of kinds in the history, the newest items counting as much as the oldest, and q those of the draft's
text, both by the kinds of the term space. Without it the best score alone is chosen, and a user who likes two things
gets the likelier one every time.

Symbols: B instructions, R drafts of each, C kinds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole_navigen.supervision.template.term_space import TermSpace

SHARE = 0.5  # of calibration in the choice
ALPHA = 0.01  # as published: keeps the divergence finite


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a calibrated choice changed.

    Attributes:
        divergence: KL in nats of the draft that was chosen. uncalibrated: that of the draft with the best score.
        price: what the best score is above that of the chosen draft, of 10; 0 where both are the same draft.
    """

    divergence: float
    uncalibrated: float
    price: float


def calibrated(
    space: TermSpace, histories: Sequence[Sequence[Sequence[str]]], texts: Sequence[Sequence[str]], scores: np.ndarray
) -> tuple[np.ndarray, list[Calibration]]:
    """The draft that is chosen for each of B instructions, (B,), and what that changed.

    Args:
        space: with the kinds. histories: terms of each item of each history, B lists; an empty one changes nothing.
        texts: drafts, R texts for each. scores: theirs, see `draft_scores`. (B, R).
    """
    chosen, changed = scores.argmax(axis=1), []
    for row, (history, drafts) in enumerate(zip(histories, texts, strict=True)):
        if not history:
            changed.append(Calibration(0.0, 0.0, 0.0))
            continue
        read = space.kind_mass(space.encode([" ".join(terms) for terms in history])).sum(axis=0)
        divergences = divergence(read / max(read.sum(), 1e-12), space.kind_mass(space.encode(drafts)))
        best = int(chosen[row])
        chosen[row] = int(((1 - SHARE) * scores[row] / 10 - SHARE * divergences).round(8).argmax())
        price = float(scores[row, best] - scores[row, chosen[row]])
        changed.append(Calibration(float(divergences[chosen[row]]), float(divergences[best]), price))
    return chosen, changed


def divergence(wanted: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """KL(p || q~) in nats. p (C,), q (R, C) -> (R,); rows of q without any kind have the most that ALPHA allows."""
    smooth = (1 - ALPHA) * shares + ALPHA * wanted
    kept = wanted > 0
    return (wanted[kept] * np.log(wanted[kept] / smooth[:, kept])).sum(axis=1)

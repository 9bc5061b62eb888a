"""Pairs of media and references, each with its cosine: what `MediaScores` is made of. Symbols: B users."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_navigen.encoders.clip import ClipEncoder, is_video
from recbole_navigen.encoders.encoded import Encoded, cosines
from recbole_navigen.encoders.frames import read_frames
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.media_scores import PAIR_COLUMNS, ROLES, TEXTS, MediaScores


@dataclass(frozen=True, slots=True)
class MediaCase:
    """One user's medium and what it is compared with.

    Attributes:
        user: raw id. instruction: the text the medium was made from.
        media: the file; None: nothing came out, which counts as a failure.
        target_text: canonical text of the held-out item. target_image: its image.
        history_texts, history_images: of the user's earlier items.
    """

    user: str
    instruction: str
    media: str | Path | None
    target_text: str
    target_image: str | Path | None = None
    history_texts: tuple[str, ...] = ()
    history_images: tuple[str | Path, ...] = ()


def score_media(
    encoder: ClipEncoder, cases: Sequence[MediaCase], frames: int = 8, controls: int = 8, seed: int = 0
) -> MediaScores:
    """Score users' media.

    Args:
        encoder: of texts and media. cases: one a user, B.
        frames: sampled of each video.
        controls: other users' references each medium is compared with. seed: of their choice.
    """
    users = len(cases)
    if not users:
        raise InputError("there is no user to score; generate media first.")
    # 1. Everything is encoded once.
    media = encoder.media([case.media for case in cases], frames)
    own_images = encoder.images([case.target_image for case in cases])
    failed = np.array([case.media is None for case in cases])
    others = _other_users([case.target_text for case in cases], controls, seed)
    references = {
        "instruction": [(case.instruction,) for case in cases],
        "target_text": [(case.target_text,) for case in cases],
        "target_image": [() if case.target_image is None else (case.target_image,) for case in cases],
        "history_text": [case.history_texts for case in cases],
        "history_image": [case.history_images for case in cases],
    }
    truncated = {kind: np.full(users, np.nan) for kind in TEXTS}

    # 2. Pairs of each kind: own, other users', and the ceiling.
    columns: dict[str, list[np.ndarray]] = {name: [] for name in PAIR_COLUMNS}
    for number, (kind, entries) in enumerate(references.items()):
        flat = [entry for group in entries for entry in group]
        if not flat:
            continue
        encoded: Encoded = encoder.images(flat) if kind.endswith("image") else encoder.texts(flat)
        counts = np.array([len(group) for group in entries])
        starts = np.cumsum(counts) - counts
        everyone = np.arange(users)
        if kind in TEXTS:
            cut = np.bincount(np.repeat(everyone, counts), encoded.truncated, users)
            np.divide(cut, counts, out=truncated[kind], where=counts > 0)
        for role, left, pairs in (
            ("own", media, (everyone, everyone)),
            ("other", media, others),
            ("ceiling", own_images, (everyone, everyone)),
        ):
            if role == "ceiling" and kind == "instruction":
                continue
            rows, meant = (np.repeat(side, counts[pairs[1]]) for side in pairs)
            steps = np.arange(len(meant)) - np.repeat(np.cumsum(counts[pairs[1]]) - counts[pairs[1]], counts[pairs[1]])
            cosine, least = cosines(left, encoded, rows, starts[meant] + steps)
            for name, values in zip(
                PAIR_COLUMNS,
                (np.full(len(rows), number), np.full(len(rows), ROLES.index(role)), rows, meant, cosine, least),
                strict=True,
            ):
                columns[name].append(values)

    # 3. What only videos have.
    consistency, motion = np.full((2, users), np.nan)
    for place, case in enumerate(cases):
        if case.media is not None and is_video(case.media) and media.counts[place] > 1:
            parts = media.of(place)
            consistency[place] = (parts[1:] * parts[:-1]).sum(1).mean()
            motion[place] = frame_motion(case.media, frames)
    return MediaScores(
        user=np.array([case.user for case in cases]),
        failed=failed,
        truncated=truncated,
        consistency=consistency,
        motion=motion,
        **{name: np.concatenate(values) for name, values in columns.items()},
        settings={"encoder": encoder.identity, "frames_per_video": frames, "controls": controls, "seed": seed},
    )


def frame_motion(path: str | Path, frames: int) -> float:
    """Mean absolute change between consecutive sampled frames, of colours in [0, 1]."""
    pixels = np.array(read_frames(path, frames), dtype=np.float32) / 255
    return float(np.abs(np.diff(pixels, axis=0)).mean())


def _other_users(targets: Sequence[str], controls: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """For each user, the same number of other users whose target differs: places of media and of references.

    Cyclic shifts of one random order: each medium meets `controls` others, and each reference as well.
    """
    order = np.random.default_rng(seed).permutation(len(targets))
    shifts = range(1, min(controls, len(targets) - 1) + 1)
    media = np.concatenate([order for _ in shifts] or [order[:0]])
    reference = np.concatenate([np.roll(order, -shift) for shift in shifts] or [order[:0]])
    names = np.unique(targets, return_inverse=True)[1].ravel()
    differ = names[media] != names[reference]
    return media[differ], reference[differ]

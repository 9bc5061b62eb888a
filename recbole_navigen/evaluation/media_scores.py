"""Are generated images and videos what they should be? Raw cosines of every pair, and all summaries from those.

Three questions, which must not be mixed:

- `instruction`: does the medium follow the instruction it was made from? Measures the generator, not personalisation.
- `target_*`: is it like the held-out item, by its canonical text or its image? The same reference for all methods.
- `history_*`: is it like what the user had before, on average and at most?

Each comes with the same media against other users' references. Grouped by the medium these pairs are the
mismatched-user control; grouped by the reference they are the floor, what a random user's medium would score. The
ceiling is the held-out item's own image in the medium's place.

Symbols: B users, p pairs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recbole_navigen.artefacts import atomic_directory, verify_manifest
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.statistics import RESAMPLES, Interval, mean_interval

KINDS = ("instruction", "target_text", "target_image", "history_text", "history_image")
TEXTS = tuple(kind for kind in KINDS if not kind.endswith("image"))
ROLES = ("own", "other", "ceiling")
# Name of a metric -> what the medium is compared with, and how the references of one user are summed up.
METRICS = {
    "CLIPScore": ("target_text", "mean"),
    "CLIPImage": ("target_image", "mean"),
    "CLIPPersonalisation": ("history_text", "mean"),
    "CLIPPersonalisationMax": ("history_text", "max"),
    "CLIPHistoryImage": ("history_image", "mean"),
    "CLIPHistoryImageMax": ("history_image", "max"),
    "CLIPInstruction": ("instruction", "mean"),
}
# Every scale is a function of one pair's cosine.
SCALES = {
    "cosine": lambda cosine: cosine,
    "100x": lambda cosine: 100 * cosine,
    "2.5x": lambda cosine: 2.5 * np.maximum(cosine, 0),  # CLIPScore as in Hessel et al. 2021, without its prefix
}
PAIRS_FILE, USERS_FILE = "pairs.parquet", "users.parquet"


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric of one method.

    Attributes:
        own: mean over users, failures counted. made: over the users who got a medium.
        floor: other users' media with the same references. mismatched: the same media with other users' references.
        gap: own minus mismatched, paired by user; a failure has none, so it counts as 0.
        ceiling: the held-out item's own image in the medium's place; None where there are no images.
        users, failed: how many have a reference, and how many of those got nothing.
    """

    own: Interval
    made: Interval
    floor: Interval
    mismatched: Interval
    gap: Interval
    ceiling: Interval | None
    users: int
    failed: int


@dataclass(frozen=True, slots=True, eq=False)
class MediaScores:
    """Raw cosines of a set of users, one entry a pair of medium and reference.

    Attributes:
        user: raw ids. Shape (B,), str. failed: no medium. (B,), bool.
        truncated: kind among `TEXTS` -> share of a user's texts that the encoder does not read whole; nan for a user
            without such texts. (B,) each.
        consistency, motion: of a video: mean cosine of consecutive sampled frames, and their mean absolute change of
            brightness in [0, 1]; nan for images. A frozen video has consistency 1 and motion 0. (B,)
        kind, role: places in `KINDS` and `ROLES`. (p,)
        media, reference: places of the users whose medium and whose reference form the pair; for `ceiling`, media is
            the user whose item it is. (p,)
        cosine, least: mean over chunks and frames, and the least of them. (p,), float32.
        settings: the encoder's identity, frames, controls and seed.
    """

    user: np.ndarray
    failed: np.ndarray
    truncated: dict[str, np.ndarray]
    consistency: np.ndarray
    motion: np.ndarray
    kind: np.ndarray
    role: np.ndarray
    media: np.ndarray
    reference: np.ndarray
    cosine: np.ndarray
    least: np.ndarray
    settings: dict[str, Any]

    def per_user(self, metric: str, role: str = "own", by: str = "reference", scale: str = "cosine") -> np.ndarray:
        """One value a user: nan where there is no pair.

        Args:
            metric: of `METRICS`. role: of `ROLES`. by: `media` or `reference`, whose user a pair counts for.
            scale: of `SCALES`.

        Returns:
            (B,), float64.
        """
        kind, how = METRICS[metric]
        rows = (self.kind == KINDS.index(kind)) & (self.role == ROLES.index(role)) & np.isfinite(self.cosine)
        # Per pair of users first: a user's history is one mean or one maximum, and controls are means of such.
        pairs, place = np.unique(np.stack([self.media[rows], self.reference[rows]]), axis=1, return_inverse=True)
        values = SCALES[scale](self.cosine[rows].astype(np.float64))
        if how == "max":
            summed = np.full(pairs.shape[1], -np.inf)
            np.maximum.at(summed, place.ravel(), values)
        else:
            summed = np.bincount(place.ravel(), values, pairs.shape[1]) / np.bincount(
                place.ravel(), minlength=pairs.shape[1]
            )
        owner = pairs[0 if by == "media" else 1]
        count = np.bincount(owner, minlength=len(self.user))
        with np.errstate(invalid="ignore"):
            return np.where(count > 0, np.bincount(owner, summed, len(self.user)) / count, np.nan)

    def with_failures(self, metric: str, scale: str = "cosine") -> np.ndarray:
        """Own values in which a failure scores 0, or the mean floor if that is below 0. Shape (B,)."""
        values = self.per_user(metric, scale=scale)
        floor = self.per_user(metric, "other", scale=scale)
        worst = min(0.0, float(np.nanmean(floor))) if np.isfinite(floor).any() else 0.0
        return np.where(self.failed & self._has_reference(metric), worst, values)

    def gap(self, metric: str, scale: str = "cosine") -> np.ndarray:
        """Own minus mismatched, 0 for a failure, nan where there is no reference. Shape (B,)."""
        own, other = (self.per_user(metric, role, "media", scale) for role in ("own", "other"))
        return np.where(self.failed & self._has_reference(metric), 0.0, own - other)

    def summary(self, metric: str, scale: str = "cosine", resamples: int = RESAMPLES) -> Summary | None:
        """Means and 95% bootstrap intervals over users; None if no user has such a reference."""
        referenced = self._has_reference(metric)
        if not referenced.any():
            return None

        def over_users(values: np.ndarray) -> Interval:
            return mean_interval(values[np.isfinite(values)], resamples)

        ceiling = self.per_user(metric, "ceiling", scale=scale)
        return Summary(
            own=over_users(self.with_failures(metric, scale)),
            made=over_users(self.per_user(metric, by="media", scale=scale)),
            floor=over_users(self.per_user(metric, "other", scale=scale)),
            mismatched=over_users(self.per_user(metric, "other", "media", scale)),
            gap=over_users(self.gap(metric, scale)),
            ceiling=over_users(ceiling) if np.isfinite(ceiling).any() else None,
            users=int(referenced.sum()),
            failed=int((self.failed & referenced).sum()),
        )

    def difference(self, other: "MediaScores", metric: str, resamples: int = RESAMPLES) -> Interval:
        """This method minus another on the same users, failures counted: paired bootstrap."""
        if self.user.tolist() != other.user.tolist():
            raise InputError("methods can be compared on the same users only; generate for the same list of users.")
        values = self.with_failures(metric) - other.with_failures(metric)
        return mean_interval(values[np.isfinite(values)], resamples)

    def _has_reference(self, metric: str) -> np.ndarray:
        """Users with something to be compared with, whether or not they got a medium. Shape (B,), bool."""
        rows = (self.kind == KINDS.index(METRICS[metric][0])) & (self.role == ROLES.index("own"))
        return np.bincount(self.reference[rows], minlength=len(self.user)) > 0

    def save(self, folder: str | Path) -> None:
        """Write `pairs.parquet`, `users.parquet` and a manifest."""
        with atomic_directory(folder, self.settings) as path:
            pairs = {name: getattr(self, name) for name in PAIR_COLUMNS}
            for name, names in (("kind", KINDS), ("role", ROLES)):
                pairs[name] = np.array(names)[pairs[name]]
            pq.write_table(pa.table(pairs), path / PAIRS_FILE)
            users = {name: getattr(self, name) for name in _USER_COLUMNS}
            users |= {_TRUNCATED + kind: share for kind, share in self.truncated.items()}
            pq.write_table(pa.table(users), path / USERS_FILE)

    @classmethod
    def load(cls, folder: str | Path) -> "MediaScores":
        """Read what `save` wrote."""
        settings = verify_manifest(folder)["inputs"]
        pairs, users = (pq.read_table(Path(folder) / name) for name in (PAIRS_FILE, USERS_FILE))
        columns = {name: np.asarray(pairs[name].to_pylist()) for name in PAIR_COLUMNS}
        for name, names in (("kind", KINDS), ("role", ROLES)):
            columns[name] = np.array([names.index(value) for value in columns[name]], dtype=np.int64)
        columns |= {name: columns[name].astype(np.float32) for name in ("cosine", "least")}
        columns |= {name: np.asarray(users[name].to_pylist()) for name in _USER_COLUMNS}
        truncated = {kind: np.asarray(users[_TRUNCATED + kind].to_pylist()) for kind in TEXTS}
        return cls(**columns, truncated=truncated, settings=settings)


_USER_COLUMNS, _TRUNCATED = ("user", "failed", "consistency", "motion"), "truncated_"
PAIR_COLUMNS = ("kind", "role", "media", "reference", "cosine", "least")

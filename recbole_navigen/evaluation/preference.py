"""Does a score rank pictures as each person does? Public ratings per user answer what no mean over users can.

PAMELA (arXiv:2604.07427) has ratings of pictures by many people each: user, picture, prompt, rating. A score of taste
in general orders the pictures alike for everyone; a personal one must be right where people disagree. So every score
stands beside the mean rating of the *other* users, which is all that can be known without the person, and the
history-conditioned score beside itself with another person's history.

    ratings = read_ratings("pamela.csv", images="pamela/images")
    known, asked = split_ratings(ratings)  # each user's history, and what is ranked
    scores = {"CLIP": prompt_scores(encoder, asked), **personal_scores(encoder, known, asked), **others(known, asked)}
    print(rank_agreement(scores, asked)["history"].accuracy)  # mean and 95% interval over users

Symbols: R ratings, B users, D width.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.statistics import Interval, mean_interval

COLUMNS = ("user", "image", "prompt", "rating")
HISTORY, MISMATCHED, OTHERS = "history", "history of another user", "mean rating of others"


@dataclass(frozen=True, slots=True)
class Ratings:
    """R ratings of pictures, in the order of the file.

    Attributes:
        users, images, prompts: raw values. Shapes (R,).
        ratings: more is better. Shape (R,), float64.
        files: picture of each image. May be empty where no score reads them.
    """

    users: np.ndarray
    images: np.ndarray
    prompts: np.ndarray
    ratings: np.ndarray
    files: Mapping[str, Path]

    def __len__(self) -> int:
        return len(self.ratings)

    def at(self, rows: np.ndarray) -> "Ratings":
        """Some of the ratings, by number or mask."""
        columns = (self.users, self.images, self.prompts, self.ratings)
        return Ratings(*(column[rows] for column in columns), self.files)

    def pictures(self) -> list[Path]:
        """The picture of each rating; an absent one is refused."""
        absent = [image for image in self.images if image not in self.files]
        if absent:
            raise InputError(
                f"there is no picture of image {absent[0]!r} ({len(absent)} are absent); name their folder."
            )
        return [self.files[image] for image in self.images]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well one score ranks pictures for each user.

    Attributes:
        users: those with at least one pair of unequal ratings. Shape (B,).
        per_user: share of a user's pairs that the score orders alike; equal scores count half. Shape (B,), float64.
        pairs: how many each user has. Shape (B,).
        accuracy: mean over users with its 95% bootstrap interval.
        skipped: users without such a pair.
    """

    users: np.ndarray
    per_user: np.ndarray
    pairs: np.ndarray
    accuracy: Interval
    skipped: int


def read_ratings(
    path: str | Path, images: str | Path | None = None, columns: Mapping[str, str] | None = None
) -> Ratings:
    """Read ratings from CSV, TSV, JSON lines or parquet, by the ending of the name.

    Args:
        path: the file.
        images: folder in which a row's `image` is a file, with its ending or without; None: no pictures.
        columns: our name -> the file's, where it is another one.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": lambda file: pd.read_csv(file, dtype=str, keep_default_na=False),
        ".tsv": lambda file: pd.read_csv(file, sep="\t", dtype=str, keep_default_na=False),
        ".jsonl": lambda file: pd.read_json(file, lines=True, dtype=False),
        ".parquet": pd.read_parquet,
    }
    if path.suffix not in readers:
        raise InputError(f"ratings {path} end in none of {', '.join(readers)}; write them as one of these.")
    try:
        frame = readers[path.suffix](path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"ratings {path} cannot be read ({reason}); check the file.") from error
    names = {name: (columns or {}).get(name, name) for name in COLUMNS}
    if absent := [name for name in names.values() if name not in frame]:
        raise InputError(f"ratings {path} have no column {', '.join(absent)}; its columns are {', '.join(frame)}.")
    values = pd.to_numeric(frame[names["rating"]], errors="coerce").to_numpy(np.float64)
    if (bad := np.flatnonzero(~np.isfinite(values))).size:
        raise InputError(f"ratings {path}, row {bad[0] + 1} has no number as its rating; mend or remove it.")
    users, pictures, prompts = (frame[names[name]].astype(str).to_numpy(object) for name in COLUMNS[:3])
    twice = pd.DataFrame({"user": users, "image": pictures}).duplicated()
    if twice.any():
        row = int(np.flatnonzero(twice)[0])
        raise InputError(f"ratings {path}: user {users[row]} rates image {pictures[row]} twice; keep one.")
    files: dict[str, Path] = {}
    if images is not None:
        if not Path(images).is_dir():
            raise InputError(f"images={images} is not a folder; name the one with the rated pictures.")
        held = {file.relative_to(images).as_posix(): file for file in Path(images).rglob("*") if file.is_file()}
        held |= {str(Path(name).with_suffix("")): file for name, file in held.items()}
        files = {image: held[image] for image in set(pictures) if image in held}
    return Ratings(users, pictures, prompts, values, files)


def split_ratings(ratings: Ratings, share: float = 0.5, seed: int = 0) -> tuple[Ratings, Ratings]:
    """Cut each user's ratings at random into a history and what is to be ranked.

    Args:
        share: of a user's ratings that are the history. seed: of the draws, each user's own.
    """
    order = np.random.default_rng(seed).random(len(ratings))
    rank = pd.Series(order).groupby(ratings.users).rank(method="first").to_numpy() - 1
    count = pd.Series(order).groupby(ratings.users).transform("size").to_numpy()
    known = rank < np.floor(share * count)
    return ratings.at(known), ratings.at(~known)


def rank_agreement(
    scores: Mapping[str, np.ndarray], ratings: Ratings, same_prompt: bool = False
) -> dict[str, Agreement]:
    """Pairwise accuracy of scores for each user: name -> agreement.

    Args:
        scores: one value a rating, more is better; nan counts as a tie with everything. Shapes (R,).
        ratings: what they are compared with. Pairs of equal ratings say nothing and are left out.
        same_prompt: whether pairs are of one prompt only, so that no score gains by liking a prompt.
    """
    names = list(scores)
    for name in names:
        if np.shape(scores[name]) != (len(ratings),):
            raise InputError(f"score {name} has shape {np.shape(scores[name])}; there are {len(ratings)} ratings.")
    values = np.stack([np.asarray(scores[name], np.float64) for name in names])
    users, place = np.unique(ratings.users, return_inverse=True)
    right, pairs = np.zeros((len(names), len(users))), np.zeros(len(users), np.int64)
    for user in range(len(users)):
        rows = np.flatnonzero(place == user)
        above = ratings.ratings[rows][:, None] > ratings.ratings[rows][None]
        if same_prompt:
            above &= ratings.prompts[rows][:, None] == ratings.prompts[rows][None]
        better, worse = (rows[side] for side in np.nonzero(above))
        pairs[user] = len(better)
        if len(better):
            gain = np.sign(np.nan_to_num(values[:, better] - values[:, worse]))
            right[:, user] = (0.5 + 0.5 * gain).mean(1)
    judged = pairs > 0
    if not judged.any():
        raise InputError("no user rates two pictures differently; there is nothing to rank.")
    return {
        name: Agreement(users[judged], row[judged], pairs[judged], mean_interval(row[judged]), int((~judged).sum()))
        for name, row in zip(names, right, strict=True)
    }


def difference(better: Agreement, worse: Agreement) -> Interval:
    """Mean difference of two scores' accuracies over the same users, paired, with its 95% interval."""
    return mean_interval(better.per_user - worse.per_user)


def prompt_scores(encoder: ClipEncoder, ratings: Ratings) -> np.ndarray:
    """Cosine of each picture and its prompt, which knows nothing of the user. Shape (R,), float64."""
    texts, pictures = encoder.texts(list(ratings.prompts)).means, encoder.images(ratings.pictures()).means
    return np.einsum("rd,rd->r", texts, pictures).astype(np.float64)


def personal_scores(encoder: ClipEncoder, known: Ratings, ranked: Ratings, seed: int = 0) -> dict[str, np.ndarray]:
    """The history-conditioned score, and the same with another user's history.

    It is NaviGen's personalisation, the mean cosine to the pictures of the history, where the history's ratings tell
    liking from dislike: sum of w cosine / sum of |w| over the user's known pictures, w the rating less the user's mean.

    Args:
        known: histories. ranked: what is ranked. seed: of who is whose other user.

    Returns:
        `HISTORY` and `MISMATCHED`, shapes (R,) of `ranked`, float64; nan for users without a history.
    """
    seen, new = encoder.images(known.pictures()).means, encoder.images(ranked.pictures()).means
    users = np.unique(known.users)
    if len(users) < 2:
        raise InputError("one user has a history; a personal score needs at least two to be compared with others'.")
    order = np.random.default_rng(seed).permutation(len(users))
    other = dict(zip(users[order].tolist(), np.roll(users[order], 1).tolist(), strict=True))
    directions = {}
    for user in users:
        rows = known.users == user
        weights = known.ratings[rows] - known.ratings[rows].mean()
        directions[user] = weights @ seen[rows] / max(np.abs(weights).sum(), 1e-12)
    nothing = np.full(seen.shape[1], np.nan)
    scores = {}
    for name, whose in ((HISTORY, lambda user: user), (MISMATCHED, other.get)):
        taste = np.stack([directions.get(whose(user), nothing) for user in ranked.users])
        scores[name] = np.einsum("rd,rd->r", taste, new).astype(np.float64)
    return scores


def others(known: Ratings, ranked: Ratings) -> dict[str, np.ndarray]:
    """The mean rating that other users gave the same picture, each user's ratings less that user's mean first.

    Both parts count, but never the user's own ratings. Shape (R,) of `ranked`; nan where nobody else rated it.
    """
    frame = pd.DataFrame(
        {
            "user": np.concatenate([known.users, ranked.users]),
            "image": np.concatenate([known.images, ranked.images]),
            "rating": np.concatenate([known.ratings, ranked.ratings]),
        }
    )
    frame["rating"] -= frame.groupby("user")["rating"].transform("mean")
    total, count = (frame.groupby("image")["rating"].transform(kind) for kind in ("sum", "size"))
    mean = (total - frame["rating"]) / (count - 1).where(count > 1)
    return {OTHERS: mean.to_numpy()[len(known) :]}

"""Pictures that users bring themselves: photographs, sketches, anything that can be opened. They join what is known.

Pictures of a user are weighed by how near each is to what the user did, w_k = softmax_k(cos(picture k, history) /
SHARP), with the mean text of the newest items; a history that is empty weighs all alike. Their terms are those of the
catalogue with the highest sum of w_k (cos(term, picture k) - the term's usual cosine). The item that these terms name
is read at the end of the history, and what starts from a picture starts from the one that weighs most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.encoders.pictures import open_picture
from recbole_navigen.errors import InputError
from recbole_navigen.generation.interfaces import IMAGE_SUFFIXES
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.settings import GenerationSettings

SHARP = 0.05  # cosines of CLIP-like models lie near each other


@dataclass(frozen=True, slots=True)
class PictureContext:
    """What a user's pictures say.

    Attributes:
        item: raw id of the item that stands for them in the history. terms: what they show, the clearest first.
        weights: file, as the record names it -> its weight; they add up to 1.
    """

    item: str
    terms: tuple[str, ...]
    weights: Mapping[str, float]

    @property
    def more(self) -> dict[str, Any]:
        """What the record says of it."""
        return {"pictures": dict(self.weights), "picture_terms": list(self.terms), "picture_item": self.item}


def pictures_of(settings: GenerationSettings, user: str) -> list[Path]:
    """The pictures of one user: FOLDER/USER.png, or all of FOLDER/USER/, in the order of their names; else those that
    are for everybody, `reference_image`.
    """
    files: list[Path] = []
    if settings.user_images is not None and Path(user).name == user != "..":  # an id is never a path
        folder = Path(settings.user_images)
        inside = sorted((folder / user).iterdir()) if (folder / user).is_dir() else []
        files = [file for file in inside if file.suffix.lower() in IMAGE_SUFFIXES]
        alone = (folder / f"{user}{suffix}" for suffix in IMAGE_SUFFIXES)
        files += [file for file in alone if file.is_file()]
    if not files and settings.reference_image is not None:
        files = [Path(settings.reference_image)]
    return files


def first_picture(settings: GenerationSettings) -> Path | None:
    """Any picture that media may start from, to build a pipeline with; None where there is none."""
    if settings.reference_image is not None:
        return Path(settings.reference_image)
    if settings.user_images is None:
        return None
    files = (file for file in sorted(Path(settings.user_images).rglob("*")) if file.suffix.lower() in IMAGE_SUFFIXES)
    if (first := next(files, None)) is None:
        raise InputError(f"user_images={settings.user_images} holds no picture; add USER.png or USER/NAME.png.")
    return first


def start_of(settings: GenerationSettings, record: InstructionRecord) -> Path:
    """The picture that a user's medium starts from: the one that weighs most, or else the first."""
    files = pictures_of(settings, record.user)
    if not files:
        raise InputError(
            f"user {record.user} has no picture in user_images={settings.user_images}; add one, or set "
            "--reference_image=FILE for those who have none."
        )
    weights = record.more.get("pictures")
    weights = weights if isinstance(weights, dict) else {}
    return max(files, key=lambda file: (weights.get(name_of(file, settings), 0.0), -files.index(file)))


def name_of(file: Path, settings: GenerationSettings) -> str:
    """How records name a picture: within `user_images`, or as it was given."""
    folder = settings.user_images
    return str(file.relative_to(folder)) if folder is not None and file.is_relative_to(folder) else str(file)


def opened(file: str | Path, settings: GenerationSettings) -> Image.Image:
    """A picture that media start from. What it cannot be read as is said of the setting, if one names it."""
    is_reference = str(file) == settings.reference_image
    return open_picture(file, f"reference_image={file}" if is_reference else None)


def picture_vectors(encoder: ClipEncoder, files: Sequence[Path]) -> np.ndarray:
    """Vectors of K pictures. (K, D)."""
    return encoder.images([open_picture(file, f"picture {file}") for file in files]).means


def weighed(encoder: ClipEncoder, pictures: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """Weights of K pictures beside the texts of a history. pictures: (K, D). Returns (K,)."""
    if not texts:
        return np.full(len(pictures), 1 / len(pictures))
    cosines = pictures @ encoder.texts(list(texts)).means.mean(axis=0)
    raised = np.exp((cosines - cosines.max()) / SHARP)
    return raised / raised.sum()


class ShownTerms:
    """Says which terms of the catalogue some pictures show together. What does not depend on them is encoded once.

    Args:
        encoder: of terms and pictures. terms: the catalogue's different terms.
        images: of the catalogue, for each term's usual cosine.
    """

    def __init__(self, encoder: ClipEncoder, terms: Sequence[str], images: Sequence[Path] = ()):
        if not terms:
            raise InputError("there are no terms to describe pictures with; build identifiers first.")
        self._terms = terms
        self._words = encoder.texts([f"a picture of {term}" for term in terms]).means
        self._usual = self._words @ encoder.images(images).means.mean(0) if len(images) else 0.0

    def __call__(self, pictures: np.ndarray, weights: np.ndarray, count: int) -> list[tuple[str, float]]:
        """The clearest terms first, so many, each with its score above. pictures: (K, D). weights: (K,)."""
        scores = self._words @ (weights @ pictures) - self._usual
        best = np.argsort(-scores, kind="stable")[:count]
        return [(self._terms[place], float(scores[place])) for place in best]

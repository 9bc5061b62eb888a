"""Generation without a generator, and words for a picture: both by a CLIP-like model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_navigen.artefacts import content_hash
from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.encoders.pictures import open_picture
from recbole_navigen.errors import InputError
from recbole_navigen.generation.image import png
from recbole_navigen.generation.interfaces import Catalogue
from recbole_navigen.generation.video import mp4


class RetrievalGenerator:
    """A baseline that needs no model of its own: the catalogue picture nearest to the instruction.

    As a video it stands still.
    """

    batch_size = 256

    def __init__(self, media: str, encoder: ClipEncoder, catalogue: Catalogue, frames: int = 8, fps: int = 8):
        """
        Args:
            media: `image` or `video`. encoder: of instructions and pictures. catalogue: with images.
            frames, fps: of a video.
        """
        if not catalogue.images:
            raise InputError(f"{media}_model=retrieval needs pictures of the items; set --item_images=FOLDER.")
        self.media, self.encoder, self.frames, self.fps = media, encoder, frames, fps
        self.files = [Path(file) for file in catalogue.images.values()]
        self.vectors = encoder.images(self.files).means
        self.identity: dict[str, Any] = {
            "model": "retrieval",
            "revision": encoder.identity["revision"],
            "weights": encoder.identity["weights"],
            "safety_checker": "none in retrieval",
            "encoder": encoder.identity,
            "catalogue": content_hash(list(catalogue.images), self.vectors),
            "arguments": {"frames": frames, "fps": fps} if media == "video" else {},
        }

    def lengths(self, instruction: str) -> dict[str, tuple[int, int]]:
        """The encoder's reading; longer texts are read in chunks if it is set to."""
        return self.encoder.lengths(instruction)

    def __call__(self, instructions: Sequence[str], seeds: Sequence[int]) -> list[bytes | None]:
        """Files of the nearest pictures; seeds change nothing."""
        nearest = (self.encoder.texts(instructions).means @ self.vectors.T).argmax(1)
        pictures = [open_picture(self.files[place]) for place in nearest]
        if self.media == "image":
            return [png(picture) for picture in pictures]
        return [mp4(np.stack([np.asarray(picture)] * self.frames), self.fps) for picture in pictures]


def picture_terms(
    encoder: ClipEncoder, picture: str, terms: Sequence[str], count: int, images: Sequence[Path] = ()
) -> list[tuple[str, float]]:
    """Terms of the catalogue that describe a picture, to join a user's history terms.

    Args:
        encoder: of terms and pictures. picture: a file. terms: the catalogue's different terms.
        count: how many to return.
        images: of the catalogue. They show what each term's cosine usually is: a term counts by how far it lies above
            that, because some words are near to every picture.

    Returns:
        The best terms, best first, each with its cosine (less the usual one).
    """
    if not terms:
        raise InputError("there are no terms to describe reference_image with; build identifiers first.")
    words = encoder.texts([f"a picture of {term}" for term in terms]).means
    scores = words @ encoder.images([open_picture(picture, f"reference_image={picture}")]).means[0]
    if images:
        scores = scores - words @ encoder.images(images).means.mean(0)
    best = np.argsort(-scores, kind="stable")[:count]
    return [(terms[place], float(scores[place])) for place in best]

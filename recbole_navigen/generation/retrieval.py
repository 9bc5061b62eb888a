"""Generation without a generator, by a CLIP-like model."""

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
        self.tokens = list(catalogue.images)
        self.files = [Path(file) for file in catalogue.images.values()]
        self.vectors = encoder.images(self.files).means
        self.identity: dict[str, Any] = {
            "model": "retrieval",
            "revision": encoder.identity["revision"],
            "weights": encoder.identity["weights"],
            "safety_checker": "none in retrieval",
            "encoder": encoder.identity,
            "catalogue": content_hash(self.tokens, self.vectors),
            "arguments": {"frames": frames, "fps": fps} if media == "video" else {},
        }

    def lengths(self, instruction: str) -> dict[str, tuple[int, int]]:
        """The encoder's reading; longer texts are read in chunks if it is set to."""
        return self.encoder.lengths(instruction)

    def items(self, instructions: Sequence[str]) -> list[str]:
        """Raw ids of the items whose pictures are nearest."""
        return [self.tokens[place] for place in self._nearest(instructions)]

    def _nearest(self, instructions: Sequence[str]) -> np.ndarray:
        """Places of the nearest pictures. Shape (B,)."""
        return (self.encoder.texts(instructions).means @ self.vectors.T).argmax(1)

    def __call__(self, instructions: Sequence[str], seeds: Sequence[int]) -> list[bytes | None]:
        """Files of the nearest pictures; seeds change nothing."""
        pictures = [open_picture(self.files[place]) for place in self._nearest(instructions)]
        if self.media == "image":
            return [png(picture) for picture in pictures]
        return [mp4(np.stack([np.asarray(picture)] * self.frames), self.fps) for picture in pictures]

"""Images from a diffusers pipeline."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from recbole_navigen.artefacts import content_hash
from recbole_navigen.generation.diffusers_pipeline import Pipeline, refuse_other_size
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.settings import GenerationSettings
from recbole_navigen.generation.user_pictures import first_picture, opened, start_of


class ImageGenerator:
    """A text-to-image pipeline, or an image-to-image one that starts from the reference picture."""

    media = "image"

    def __init__(self, settings: GenerationSettings):
        """The settings name `image_model`."""
        self._settings, start = settings, None
        if settings.image_to_image:
            start = self._opened(first_picture(settings))
        self.pipeline = Pipeline("image", settings, start)
        self.batch_size = settings.generation_batch_size
        self.identity = dict(self.pipeline.identity)
        if start is not None and settings.user_images is None:
            self.identity["start"] = content_hash(np.asarray(start))  # in the size it has now
        self.lengths = self.pipeline.lengths

    def start_of(self, record: InstructionRecord) -> Path | None:
        """The picture of its user that a medium starts from; None: what all start from, or nothing."""
        return start_of(self._settings, record) if self.pipeline.start and self._settings.user_images else None

    def _opened(self, file: Path) -> Image.Image:
        """A picture to start from, in the size that is set."""
        picture, size = opened(file, self._settings), self._settings.image_size
        return picture.resize(size[::-1]) if size else picture

    def __call__(
        self, instructions: Sequence[str], seeds: Sequence[int], starts: Sequence[Path] = ()
    ) -> list[bytes | None]:
        """PNG files; None where the safety checker refused. starts: pictures to start from, one each."""
        files: list[bytes | None] = []
        for output in self.pipeline(instructions, seeds, list(map(self._opened, starts))):
            refused = getattr(output, "nsfw_content_detected", None) or [False] * len(output.images)
            for image, bad in zip(output.images, refused, strict=True):
                refuse_other_size(self.pipeline, image.size[::-1])
                files.append(None if bad else png(image))
        return files


def png(image: Image.Image) -> bytes:
    """An image as the content of a PNG file."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "PNG")
    return file.getvalue()

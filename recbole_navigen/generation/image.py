"""Images from a diffusers pipeline."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from recbole_navigen.artefacts import content_hash
from recbole_navigen.encoders.pictures import open_picture
from recbole_navigen.generation.diffusers_pipeline import Pipeline, refuse_other_size


class ImageGenerator:
    """A text-to-image pipeline, or an image-to-image one that starts from the reference picture."""

    media = "image"

    def __init__(self, settings: Mapping[str, Any]):
        """
        Args:
            settings: from `generation_settings`, with `image_model`.
        """
        start = None
        if settings["image_to_image"]:
            start = open_picture(settings["reference_image"], f"reference_image={settings['reference_image']}")
            if settings["image_size"]:
                start = start.resize(settings["image_size"][::-1])
        self.pipeline = Pipeline("image", settings, start)
        self.batch_size = settings["generation_batch_size"]
        self.identity = dict(self.pipeline.identity)
        if start is not None:
            self.identity["start"] = content_hash(np.asarray(start))  # in the size it has now
        self.lengths = self.pipeline.lengths

    def __call__(self, instructions: Sequence[str], seeds: Sequence[int]) -> list[bytes | None]:
        """PNG files; None where the safety checker refused."""
        made: list[bytes | None] = []
        for output in self.pipeline(instructions, seeds):
            refused = getattr(output, "nsfw_content_detected", None) or [False] * len(output.images)
            for image, bad in zip(output.images, refused, strict=True):
                refuse_other_size(self.pipeline, image.size[::-1])
                made.append(None if bad else png(image))
        return made


def png(image: Image.Image) -> bytes:
    """An image as the content of a PNG file."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "PNG")
    return file.getvalue()

"""Opening pictures: the one place where a file becomes pixels, for whoever looks at it.

A picture is turned upright (EXIF), what is transparent shows white, and 16 bits are scaled to 8, never clipped.
"""

import contextlib
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from recbole_navigen.errors import InputError

READING = "upright, white behind, 16 bits scaled to 8"  # part of the identity of what is computed from pictures


def open_picture(path: str | Path, what: str | None = None) -> Image.Image:
    """Open a picture of any kind that Pillow reads; of several frames, the first.

    Args:
        path: the file.
        what: its name for messages, such as `reference_image=a.png`; None: the path.

    Returns:
        The picture in mode RGB.

    Raises:
        InputError: no picture, a damaged one, or one of more pixels than Pillow decodes (about 179 million).
    """
    what = str(path) if what is None else what
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # half of what is too large
            with Image.open(path) as picture:
                return as_rgb(picture)
    except (Image.DecompressionBombError, MemoryError) as error:
        raise InputError(f"{what} is too large a picture to be decoded ({error}); make it smaller") from error
    # Damaged files raise whatever their decoder stumbles over.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{what} cannot be read as an image ({reason}); replace it by a PNG, JPEG or WebP file"
        ) from error


def as_rgb(picture: Image.Image) -> Image.Image:
    """A picture of any mode as RGB: upright, with white behind what is transparent, and deep colours scaled."""
    with contextlib.suppress(Exception):  # a damaged orientation is none; damaged pixels show below
        picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(("I", "F")):
        return _shallow(picture)
    if picture.has_transparency_data:
        colours = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB")
    return picture.convert("RGB")


def _shallow(picture: Image.Image) -> Image.Image:
    """A grey picture of 16 bits, 32 bits or floats in 8 bits.

    Whole numbers are of 16 bits unless there is one that 16 bits cannot hold; floats are of 0 to 1, or else of 0 to
    255. What lies outside stretches from the least to the greatest value.
    """
    grey = np.asarray(picture).astype(np.float64)
    clear = grey == picture.info["transparency"] if isinstance(picture.info.get("transparency"), int) else None
    grey = np.where(np.isfinite(grey), grey, 0.0)
    least, greatest = grey.min(), grey.max()
    white = 65535.0 if picture.mode != "F" else 1.0 if greatest <= 1 else 255.0
    if least < 0 or greatest > white:
        grey, white = grey - least, (greatest - least) or 1.0
    grey = np.rint(grey * (255 / white))
    if clear is not None:
        grey[clear] = 255
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")

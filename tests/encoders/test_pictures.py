"""One picture, however it is stored, is one picture."""

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_media import small_clip

from recbole_navigen.encoders.clip import ClipEncoder
from recbole_navigen.encoders.encoded import cosines
from recbole_navigen.encoders.frames import read_frames
from recbole_navigen.encoders.pictures import as_rgb, open_picture
from recbole_navigen.errors import InputError
from recbole_navigen.generation.image import ImageGenerator
from recbole_navigen.generation.page import picture
from recbole_navigen.generation.settings import generation_settings
from recbole_navigen.generation.video import mp4


def colours() -> np.ndarray:
    """A white picture with a coloured corner and a black bar. Shape (24, 32, 3)."""
    array = np.full((24, 32, 3), 255, dtype=np.uint8)
    array[:10, :12] = (200, 40, 40)
    array[18:, 4:28] = 0
    return array


def grey() -> np.ndarray:
    """All shades but for 255 in the middle, which is left to what is transparent. Shape (16, 16), uint8."""
    return np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation: int, tmp_path: Path) -> None:
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = Image.fromarray(colours())
    stored = stored.transpose(turn[orientation]) if orientation > 1 else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    assert (np.asarray(open_picture(tmp_path / "turned.png")) == colours()).all()


def test_transparency_shows_white(tmp_path: Path) -> None:
    array = colours()
    white = (array == 255).all(axis=2)
    # What hides behind transparency is black, as many programs write it.
    hidden = np.dstack([np.where(white[..., None], 0, array), np.where(white, 0, 255)]).astype(np.uint8)
    half = Image.fromarray(np.full((2, 2, 4), (0, 0, 0, 128), dtype=np.uint8))
    Image.fromarray(hidden).save(tmp_path / "rgba.png")
    Image.fromarray(hidden).save(tmp_path / "rgba.webp", lossless=True)
    Image.fromarray(hidden).quantize(16).save(tmp_path / "palette.png")
    Image.fromarray(hidden).save(tmp_path / "palette.gif")
    Image.fromarray(np.where(white[..., None], np.uint8(7), array)).save(tmp_path / "key.png", transparency=(7, 7, 7))
    for file in sorted(tmp_path.iterdir()):
        off = np.abs(np.asarray(open_picture(file)).astype(int) - array)
        assert off.max() <= (3 if "palette" in file.name else 0), file.name
    assert np.unique(np.asarray(as_rgb(half))).tolist() == [127]
    shade = Image.fromarray(np.dstack([grey(), np.where(grey() < 9, 0, 255).astype(np.uint8)]), "LA")
    assert (np.asarray(as_rgb(shade))[..., 0] == np.where(grey() < 9, 255, grey())).all()


@pytest.mark.parametrize(
    ("stored", "ending"),
    [
        (lambda: Image.fromarray(grey().astype(np.uint16) * 257), "png"),
        (lambda: Image.fromarray(grey().astype(np.uint16) * 257), "tif"),
        (lambda: Image.fromarray(grey().astype(np.int32) * 257), "tif"),
        (lambda: Image.fromarray(grey().astype(np.int32) * 70_000), "tif"),
        (lambda: Image.fromarray(grey().astype(np.int32) * 257 - 900), "tif"),
        (lambda: Image.fromarray(grey().astype(np.float32) / 255), "tif"),
        (lambda: Image.fromarray(grey().astype(np.float32)), "tif"),
        (lambda: Image.fromarray(grey()), "png"),
        (lambda: Image.fromarray(grey()).convert("P"), "png"),
        (lambda: Image.fromarray(np.dstack([grey()] * 3)).convert("CMYK"), "tif"),
    ],
)
def test_deep_and_other_modes_keep_all_shades(stored, ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"deep.{ending}"
    stored().save(file)
    assert (np.asarray(open_picture(file)) == grey()[..., None]).all()


def test_sixteen_bits_with_a_transparent_shade_and_single_bits(tmp_path: Path) -> None:
    Image.fromarray(grey().astype(np.uint16) * 257).save(tmp_path / "key.png", transparency=9 * 257)
    shown = np.asarray(open_picture(tmp_path / "key.png"))[..., 0]
    assert (shown == np.where(grey() == 9, 255, grey())).all()
    Image.fromarray(grey() > 99).save(tmp_path / "bits.png")
    assert (np.asarray(open_picture(tmp_path / "bits.png"))[..., 1] == np.where(grey() > 99, 255, 0)).all()


def large_png() -> bytes:
    """A PNG that says it has 60,000 x 60,000 pixels."""

    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    header = b"IHDR" + struct.pack(">II", 60_000, 60_000) + file.getvalue()[24:29]
    return file.getvalue()[:12] + header + struct.pack(">I", zlib.crc32(header)) + file.getvalue()[33:]


def truncated(file: Path, kind: str) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(file, kind)
    file.write_bytes(file.read_bytes()[:-400])


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda file: file.write_bytes(large_png()), r"bad\.png is too large a picture to be decoded \(.*3600000000"),
        (lambda file: truncated(file, "PNG"), r"bad\.png cannot be read as an image \("),
        (lambda file: truncated(file, "JPEG"), r"bad\.png cannot be read as an image \(.*truncated"),
        (lambda file: file.write_text("no picture"), r"bad\.png cannot be read as an image \(cannot identify"),
        (lambda file: file.write_bytes(b""), r"bad\.png cannot be read as an image"),
        (lambda file: file.mkdir(), r"bad\.png cannot be read as an image \(.*directory"),
        (lambda file: None, r"bad\.png cannot be read as an image \(.*No such file"),
    ],
)
def test_what_is_no_picture_is_named(write, message: str, tmp_path: Path) -> None:
    write(tmp_path / "bad.png")
    with pytest.raises(InputError, match=message):
        open_picture(tmp_path / "bad.png")
    with pytest.raises(InputError, match=r"bad\.png cannot be read|" + message):
        picture(tmp_path / "bad.png", "words")
    settings = replace(generation_settings(), image_to_image=True, reference_image=str(tmp_path / "bad.png"))
    with pytest.raises(InputError, match="^reference_image=.*" + message):
        ImageGenerator(settings)


def test_the_encoder_sees_one_picture(tmp_path: Path) -> None:
    encoder = ClipEncoder(small_clip(tmp_path / "clip"))
    plain = Image.fromarray(colours())
    exif = Image.Exif()
    exif[0x0112] = 6
    plain.save(tmp_path / "plain.png")
    plain.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    clear = np.dstack([colours(), np.where((colours() == 255).all(axis=2), 0, 255).astype(np.uint8)])
    clear[clear[..., 3] == 0] = 0
    Image.fromarray(clear).save(tmp_path / "clear.png")
    found = encoder.images([tmp_path / f"{name}.png" for name in ("plain", "turned", "clear")])
    held = encoder.images([plain, Image.open(tmp_path / "turned.png"), Image.open(tmp_path / "clear.png")])
    for place in ([1, 2], [2, 0]):
        for side in (found, held):
            mean, _ = cosines(found, side, np.array([0, 0]), np.array(place))
            assert mean == pytest.approx(1, abs=1e-5)


def test_videos_are_turned_upright(tmp_path: Path) -> None:
    frames = np.stack([colours()] * 3)
    (tmp_path / "plain.mp4").write_bytes(mp4(frames, 8))
    content = bytearray(mp4(np.ascontiguousarray(np.rot90(frames, axes=(1, 2))), 8))
    matrix = content.index(b"tkhd") + 44  # of the track: turn by 90 degrees clockwise
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    (tmp_path / "turned.mp4").write_bytes(content)
    plain, turned = (np.array(read_frames(tmp_path / f"{name}.mp4"), dtype=float) for name in ("plain", "turned"))
    assert turned.shape == plain.shape and np.abs(turned - plain).mean() < 6

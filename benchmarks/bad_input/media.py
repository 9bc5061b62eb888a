"""Requests for media that cannot be met, alone with a finished run and where a run would be trained first."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from bad_input.world import BASE, DATASET, FEW, Input, World


def media_inputs(world: World) -> Iterator[Input]:
    """Requests for media that cannot be met: alone with a finished run, and where a run would be trained first."""
    clip, image = f"--clip_model={world.models / 'clip'}", f"--image_model={world.models / 'image'}"
    video = f"--video_model={world.models / 'video'}"
    makes = ("--output=out", image, clip)
    retrieval = ("--output=out", "--image_model=retrieval", clip)
    cases: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
        ((image,), ("output",)),
        (("--output=out", "--image_model=retrieval"), ("clip_model",)),
        (retrieval, ("item_images",)),
        ((*retrieval, "--item_images=nowhere"), ("item_images",)),
        ((*retrieval, "--item_images=empty"), ("item_images",)),
        ((*retrieval, "--item_images=broken"), ("i1.png", "broken")),
        ((*retrieval, "--item_images=pictures", "--image_steps=3"), ("image_steps",)),
        ((*makes, "--media=video"), ("video_model",)),
        ((*makes, "--media=mixed"), ("video_model",)),
        ((*makes, "--image_to_image=True"), ("reference_image",)),
        ((*makes, "--strength=0.5"), ("strength",)),
        ((*makes, "--reference_image=nowhere.png"), ("reference_image",)),
        ((*makes, f"--reference_image={BASE}"), ("reference_image",)),
        ((*makes, "--reference_image=empty"), ("reference_image",)),
        ((*makes, "--reference_image=cut.png"), ("reference_image",)),
        ((*makes, "--reference_image=large.png"), ("reference_image",)),
        ((*makes, "--reference_image=pictures/i1.png", "--image_to_image=True", "--strength=0"), ("strength",)),
        (("--reference_image=pictures/i1.png",), ("clip_model",)),
        ((*makes, "--block_list=nowhere.txt"), ("block_list",)),
        ((*makes, "--block_list=empty"), ("block_list",)),
        ((*makes, "--block_list=pictures/i1.png"), ("block_list",)),
        ((*makes, "--extra_metrics=[nope]", "--held_out"), ("extra_metrics",)),
        ((*makes, "--extra_metrics=[ssim]"), ("extra_metrics",)),
        ((*makes, "--image_revision=main"), ("revision",)),
        (("--output=out", image, clip, "--clip_revision=main"), ("revision",)),
        ((*makes, "--generation_device=klingon"), ("generation_device", "klingon")),
        ((*makes, "--generation_device=cuda:7"), ("generation_device", "cuda")),
        ((*makes, "--offload=model"), ("offload", "accelerator")),
        ((*makes, "--image_size=[33,32]"), ("image_size",)),
        ((*makes, "--video_steps=3"), ("video_steps",)),
        (("--output=out", video, "--media=video", "--video_frames=100000"), ("video_frames",)),
        ((*makes, "--image_guidance=-5"), ("image_guidance",)),
    ]  # fmt: skip
    ways = {
        "run": (f"--run={world.navigen}", *FEW),
        "training first": (*FEW, f"--dataset={DATASET}", "--config_files", BASE),
    }
    for arguments, about in cases:
        for way, given in ways.items():
            what = " ".join(word.replace(str(world.models), "MODELS") for word in arguments)
            # What only the pipeline knows, such as the sizes it can draw, may be said when it draws.
            odd = ("--image_size=[33,32]", "--video_frames=100000", "--video_steps=3")
            right = None if arguments[-1] in odd else False
            yield Input("media: settings", f"{what}, {way}", ("generate", *given, *arguments), about, _pictures, right)
    for what, arguments in {
        "pictures": (image, clip, "--held_out"),
        "retrieval": ("--image_model=retrieval", clip, "--item_images=pictures"),
        "words": (),
    }.items():
        yield Input("media: good", what, ("generate", *ways["run"], "--output=out", *arguments), (), _pictures, True)


def _pictures(world: World) -> None:
    """Folders of pictures, right and broken."""
    for folder in ("pictures", "broken", "empty"):
        Path(folder).mkdir()
    for number in range(24):
        Image.new("RGB", (24, 24), (9 * number, 90, 90)).save(Path("pictures", f"i{number}.png"))
    Path("broken", "i1.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    whole = Path("pictures", "i1.png").read_bytes()
    Path("cut.png").write_bytes(whole[: len(whole) // 2])

    # A picture of 4 * 10^8 pixels in a few kilobytes: its header alone says so.
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    Path("large.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )

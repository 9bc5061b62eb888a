"""What instructions are about, and who makes media of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from recbole_navigen.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What is known of the items: raw id -> canonical text, and raw id -> picture where there is one."""

    texts: Mapping[str, str]
    images: Mapping[str, Path] = field(default_factory=dict)


def item_images(folder: str | Path, items: Sequence[str]) -> dict[str, Path]:
    """The pictures of items among the files of a folder, by name: ITEM_ID.png, .jpg, .jpeg or .webp."""
    if not Path(folder).is_dir():
        raise InputError(f"item_images={folder} is not a folder; name the one with files such as ITEM_ID.png.")
    files = {file.stem: file for file in sorted(Path(folder).iterdir()) if file.suffix.lower() in IMAGE_SUFFIXES}
    return {item: files[item] for item in items if item in files}


class Generator(Protocol):
    """Makes one kind of media.

    One that starts from pictures of users has `start_of(record)`, which gives the file for a record or None, and takes
    the files as a third argument. One that shows pictures of the catalogue has `items(instructions)`, their raw ids.
    """

    media: str
    # Plain values, `model` among them; with instruction and seed they decide what comes out. Records repeat revision,
    # weights, pipeline, dtype, safety_checker and arguments where they are there.
    identity: dict[str, Any]
    batch_size: int

    def lengths(self, instruction: str) -> dict[str, tuple[int, int]]:
        """Tokens of an instruction and how many are read, by tokenizer; empty where there is none to ask."""

    def __call__(self, instructions: Sequence[str], seeds: Sequence[int]) -> list[bytes | None]:
        """The content of one file an instruction (PNG or MP4); None where a safety checker refused the result."""

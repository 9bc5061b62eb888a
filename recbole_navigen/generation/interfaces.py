"""What is asked for, and who makes it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from recbole_navigen.config.calls import checked
from recbole_navigen.errors import InputError
from recbole_navigen.language.tags import MEDIA

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, slots=True)
class Request:
    """One user's instruction.

    Attributes:
        user: raw id. media: `image` or `video`. instruction: what is to be made.
        target: raw id of the held-out item. history: raw ids of the user's earlier items, oldest first.
        reasoning: shown in reports only.
        held_out: False where nothing was held out and `target` is what the model recommends; it is no measure then.
    """

    user: str
    media: str
    instruction: str
    target: str
    history: tuple[str, ...] = ()
    reasoning: str = ""
    held_out: bool = True

    def __post_init__(self) -> None:
        if self.media not in MEDIA:
            raise InputError(f"user {self.user}: media must be image or video, not {self.media!r}.")
        if not self.instruction.strip():
            raise InputError(f"user {self.user} has an empty instruction; leave the user out or write one.")


def text_lines(path: str | Path) -> list[str]:
    """Lines of a UTF-8 file. Not `splitlines`: JSON that is not ASCII may hold other characters that Unicode takes for
    line ends.
    """
    return Path(path).read_text("utf-8").split("\n")


def read_requests(path: str | Path) -> list[Request]:
    """Read a file with one JSON object a line; keys that `Request` does not have and empty lines are ignored."""
    requests = []
    try:
        lines = text_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"instructions {path} cannot be read as a text file; check --instructions.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            requests.append(_request(json.loads(line)))
        except (json.JSONDecodeError, KeyError, InputError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
            raise InputError(
                f"{path}, line {number} is no instruction ({reason}); it needs user, instruction and target in JSON."
            ) from error
    return requests


def _request(row: Any) -> Request:
    """One line of a file of instructions."""
    checked("a line", "whole dict", row)
    user = str(checked("user", "str or int", row["user"]))
    instruction = checked("instruction", "str", row["instruction"])
    target = str(checked("target", "str or int", row["target"]))
    if not user.strip() or not target.strip():
        raise InputError("user or target is empty")
    history = checked("history", "list of [str or int]", row.get("history", ()))
    reasoning = checked("reasoning", "str or None", row.get("reasoning"))
    return Request(user, row.get("media", "image"), instruction, target, tuple(map(str, history)), reasoning or "")


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
    """Makes one kind of media."""

    media: str
    # Plain values, `model` among them; with instruction and seed they decide what comes out. Records repeat revision,
    # weights, pipeline, dtype, safety_checker and arguments where they are there.
    identity: dict[str, Any]
    batch_size: int

    def lengths(self, instruction: str) -> dict[str, tuple[int, int]]:
        """Tokens of an instruction and how many are read, by tokenizer; empty where there is none to ask."""

    def __call__(self, instructions: Sequence[str], seeds: Sequence[int]) -> list[bytes | None]:
        """The content of one file an instruction (PNG or MP4); None where a safety checker refused the result."""

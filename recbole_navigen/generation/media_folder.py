"""A folder of made media: files by user and medium, and a line of `metadata.jsonl` for each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from recbole_navigen.artefacts import content_hash, file_hash, plain
from recbole_navigen.generation.records import InstructionRecord, text_lines

_FOLDERS = {"image": ("images", ".png"), "video": ("videos", ".mp4")}
_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Generated:
    """The media of instructions, with a record of what happened to each.

    Attributes:
        folder: where everything is. instructions: as given.
        records: one line of `metadata.jsonl` each, in the same order: user, media, status (`done`, `failed` or
            `blocked`), file, sha256, instruction, seed, model, what the generator's identity says of it (`make._TOLD`),
            item (raw id, where the medium is the catalogue's picture of one), seconds, tokens (by tokenizer: of the
            instruction, and how many are read), cut (whether no tokenizer reads all of it), unmeasured (whether there
            was no tokenizer to ask), reason (of what is not done), blocked_by (`checker` or `block_list`).
        counts: of statuses, of what was there already (`kept`), and of instructions that were cut or unmeasured.
    """

    folder: Path
    instructions: tuple[InstructionRecord, ...]
    records: tuple[dict[str, Any], ...]
    counts: dict[str, int]

    def file(self, place: int) -> Path | None:
        """The medium of one instruction; None: there is none."""
        name = self.records[place].get("file")
        return None if name is None else self.folder / name


def file_name(user: str, media: str) -> str:
    """Where a user's medium goes: `images/USER.png`, with ids that are no file names made ones."""
    folder, suffix = _FOLDERS[media]
    name = quote(user, safe=" ").replace(".", "%2E") if user.startswith(".") else quote(user, safe=" ")
    if len(name) > _LONGEST_NAME:
        name = f"{name[:60]}-{content_hash(user)[:16]}"
    return f"{folder}/{name}{suffix}"


def metadata_of(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Lines of an earlier call by user and medium, the newest of each; a line cut short by a kill is passed over."""
    records = {}
    for line in text_lines(path) if path.is_file() else ():
        try:
            record = json.loads(line)
            records[record["user"], record["media"]] = record
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    return records


def is_whole(folder: Path, record: Mapping[str, Any]) -> bool:
    if record.get("status") != "done":
        return False
    file = folder / record["file"]
    return file.is_file() and file_hash(file) == record["sha256"]


def metadata_line(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(plain(dict(record)), ensure_ascii=False) + "\n").encode()

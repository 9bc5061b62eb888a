"""What users say of their media: kept, edited or discarded, one JSON object a line in `feedback.jsonl`.

The file only grows. A line is written by one call to the system, behind all others (O_APPEND), while no other writer
holds the lock beside the file, and it is on the disk before the command ends; so two writers lose nothing, and a kill
leaves a line whole or not there. The last line of a medium counts.
"""

import errno
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from recbole_navigen.config.calls import checked
from recbole_navigen.config.reading import nearest
from recbole_navigen.errors import InputError
from recbole_navigen.generation.records import FILE as INSTRUCTIONS
from recbole_navigen.generation.records import METADATA, read_records, text_lines
from recbole_navigen.serving.preferences import Preferences

FEEDBACK = "feedback.jsonl"
VERDICTS = ("keep", "edit", "discard")
_KINDS = {
    "verdict": f"one of {', '.join(VERDICTS)}",
    "user": "str",
    "media": "str",
    "sha256": "str",
    "terms": "list of str",
    "edited": "str or None",
}


def add_feedback(
    folder: str | Path, verdict: str, user: str, instruction: str | None = None, media: str | None = None
) -> dict[str, Any]:
    """Append what a user says of a medium to the folder's `feedback.jsonl`.

    Args:
        folder: of run_generate, with `metadata.jsonl`. verdict: one of VERDICTS. user: raw id.
        instruction: what should have been made; with `edit`, and only there. media: `image` or `video`, where the user
            has both.

    Returns:
        The line: time, verdict, user, media, sha256 and file of the medium, its instruction, what it was edited to, and
        the terms that it was written for.
    """
    # 1. What is meant.
    folder, verdict = Path(folder), checked("verdict", _KINDS["verdict"], verdict)
    edits = instruction is not None and bool(instruction.strip())
    if edits != (verdict == "edit"):
        wrong = "edit needs the text that should have been; give --instruction" if verdict == "edit" else None
        raise InputError(f"{wrong or f'{verdict} takes no instruction; say edit to change one'}.")
    lines = _lines(folder / METADATA, f"{folder} holds no {METADATA}; name a folder that run_generate made media in")
    done = [line for line in lines if line.get("status") == "done"]
    own = [line for line in done if str(line.get("user")) == str(user) and media in (None, line.get("media"))]
    if not own:
        known = [str(line.get("user")) for line in done]
        close = f"; the nearest of {len(known)} users is {nearest(str(user), known)!r}" if known else ""
        raise InputError(f"{folder} has no {media or 'medium'} of user {user!r}{close}.")
    if len(own) > 1:
        raise InputError(f"user {user!r} has an image and a video in {folder}; say which by --media.")
    medium = own[0]

    # 2. What it was made for.
    terms: Sequence[str] = ()
    if (folder / INSTRUCTIONS).is_file():
        records = read_records(folder / INSTRUCTIONS)
        found = [one for one in records if (one.user, one.media) == (str(user), medium["media"])]
        terms = found[0].terms or found[0].aim_terms if found else ()

    # 3. One line, one call.
    line = {
        "time": round(time.time(), 3),
        "verdict": verdict,
        "user": str(user),
        **{name: medium.get(name) for name in ("media", "sha256", "file", "instruction")},
        "edited": instruction if edits else None,
        "terms": list(terms),
    }
    append_line(folder / FEEDBACK, line)
    return line


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Append a JSON object to a file by one call, and wait until the disk has it."""
    data = (json.dumps(line, ensure_ascii=False) + "\n").encode()
    with FileLock(f"{path}.lock"), path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size and os.pread(file.fileno(), 1, size - 1) != b"\n":  # a full disk once cut a line short
            data = b"\n" + data
        if file.write(data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(file.fileno())


def read_feedback(path: str | Path) -> list[dict[str, Any]]:
    """Lines of a `feedback.jsonl`, the last of each medium and user; one that was cut short is passed over."""
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    for line in _lines(Path(path), f"feedback={path} cannot be read; name a {FEEDBACK} that navigen-feedback wrote"):
        if missing := [name for name in _KINDS if name not in line]:
            raise InputError(f"{path}: a line says nothing of {missing[0]}; it is not of navigen-feedback.")
        own = {**line, **{name: checked(f"{name} in {path}", kind, line[name]) for name, kind in _KINDS.items()}}
        key = (own["user"], own["sha256"])
        latest.pop(key, None)
        latest[key] = own
    return list(latest.values())


def kept_preferences(feedback: Sequence[Mapping[str, Any]]) -> dict[str, Preferences]:
    """Raw user id -> the terms of what the user kept, each as often as it was kept."""
    kept: dict[str, Preferences] = {}
    for line in feedback:
        if line["verdict"] == "keep":
            own = Preferences(dict.fromkeys(line["terms"], 1.0))
            kept[line["user"]] = kept.get(line["user"], Preferences()) + own
    return kept


def _lines(path: Path, sentence: str) -> list[dict[str, Any]]:
    """JSON objects of a file; a last line without its end was never whole."""
    try:
        texts = text_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{sentence}.") from error
    found = []
    for text in filter(str.strip, texts):
        try:
            line = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            continue
        if isinstance(line, dict):
            found.append(line)
    return found

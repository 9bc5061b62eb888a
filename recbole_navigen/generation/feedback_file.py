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
from recbole_navigen.generation.records import METADATA, InstructionRecord, read_records
from recbole_navigen.serving.preferences import Preferences
from recbole_navigen.supervision.feedback_lines import FEEDBACK, KINDS, checked_line, json_lines, stated_terms


def add_feedback(
    folder: str | Path, verdict: str, user: str, instruction: str | None = None, media: str | None = None
) -> dict[str, Any]:
    """Append what a user says of a medium to the folder's `feedback.jsonl`.

    Args:
        folder: of run_generate, with `metadata.jsonl`. verdict: one of VERDICTS. user: raw id.
        instruction: what should have been made; with `edit`, and only there. media: `image` or `video`, where the user
            has both.

    Returns:
        The line: time, verdict, user, media, sha256 and file of the medium, its instruction, what it was edited to, the
        terms that it was written for, and domain, history, aim and plan of its record.
    """
    # 1. What is meant.
    folder, verdict = Path(folder), checked("verdict", KINDS["verdict"], verdict)
    edits = instruction is not None and bool(instruction.strip())
    if edits != (verdict == "edit"):
        wrong = "edit needs the text that should have been; give --instruction" if verdict == "edit" else None
        raise InputError(f"{wrong or f'{verdict} takes no instruction; say edit to change one'}.")
    done = made_media(folder)
    choice = [line for line in done if str(line.get("user")) == str(user) and media in (None, line.get("media"))]
    if not choice:
        known = [str(line.get("user")) for line in done]
        close = f"; the nearest of {len(known)} users is {nearest(str(user), known)!r}" if known else ""
        raise InputError(f"{folder} has no {media or 'medium'} of user {user!r}{close}.")
    if len(choice) > 1:
        raise InputError(f"user {user!r} has an image and a video in {folder}; say which by --media.")
    medium = choice[0]

    # 2. One line, one call.
    line = _line(medium, _records(folder), verdict, instruction if edits else None, time.time())
    append_lines(folder / FEEDBACK, line)
    return line


def add_page_feedback(folder: str | Path, file: str | Path) -> list[dict[str, Any]]:
    """Append what the buttons of a folder's page wrote, see `add_feedback`. Lines that are there already are left out.

    Args:
        folder: of run_generate. file: one that the page let somebody save: JSON lines with time, verdict, user, media,
            sha256 and, of an edit, the text `edited`.

    Returns:
        The lines that were appended, by their time.

    Raises:
        InputError: a line is none, or of a medium that is not in the folder; then nothing is appended.
    """
    folder, made, records = Path(folder), made_media(Path(folder)), _records(Path(folder))
    media = {(str(entry.get("user")), entry.get("media"), entry.get("sha256")): entry for entry in made}
    lines = []
    for said in json_lines(file, f"{file} cannot be read; name the file that the page of {folder} saved"):
        entry = checked_line({"terms": [], "edited": None, **said}, file)
        medium = media.get((entry["user"], entry["media"], entry["sha256"]))
        if medium is None:
            raise InputError(
                f"{file}: user {entry['user']!r} has no such {entry['media']} in {folder}; it was made anew since the "
                "page was opened, or the page is of another folder."
            )
        edits = entry["edited"] is not None and bool(entry["edited"].strip())
        if edits != (entry["verdict"] == "edit"):
            raise InputError(
                f"{file}: {entry['verdict']} of user {entry['user']!r} {'has a' if edits else 'lacks its'} text."
            )
        lines.append(
            _line(medium, records, entry["verdict"], entry["edited"] if edits else None, entry.get("time", 0.0))
        )
    known = set()
    if (folder / FEEDBACK).is_file():
        known = {json.dumps(line) for line in json_lines(folder / FEEDBACK, f"{folder / FEEDBACK} cannot be read")}
    new = [line for line in lines if json.dumps(line) not in known]
    append_lines(folder / FEEDBACK, *new)
    return new


def made_media(folder: str | Path) -> list[dict[str, Any]]:
    """Lines of the media that a folder holds."""
    sentence = f"{folder} holds no {METADATA}; name a folder that run_generate made media in"
    return [line for line in json_lines(Path(folder) / METADATA, sentence) if line.get("status") == "done"]


def _records(folder: Path) -> dict[tuple[str, str], InstructionRecord]:
    """Instructions of a folder by user and medium."""
    file = folder / INSTRUCTIONS
    return {(one.user, one.media): one for one in read_records(file)} if file.is_file() else {}


def _line(
    medium: Mapping[str, Any],
    records: Mapping[tuple[str, str], InstructionRecord],
    verdict: str,
    edited: str | None,
    moment: float,
) -> dict[str, Any]:
    """A line of feedback. medium: its line in metadata.jsonl. records: of the folder. moment: seconds since 1970."""
    user = str(medium["user"])
    record = records.get((user, medium["media"]))
    if record is not None and record.instruction != medium.get("instruction"):
        record = None  # written anew since the medium was made
    line = {"time": round(moment, 3), "verdict": verdict, "user": user}
    line |= {name: medium.get(name) for name in ("media", "sha256", "file", "instruction")}
    line |= {"edited": edited, "terms": list((record.terms or record.aim_terms) if record else ())}
    if record is not None:
        line |= {"domain": record.domain, "history": list(record.history), "aim": record.aim}
        line["plan"] = None if record.plan is None else dict(record.plan)
    return line


def append_lines(path: Path, *lines: Mapping[str, Any]) -> None:
    """Append JSON objects to a file by one call, and wait until the disk has them."""
    data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    with FileLock(f"{path}.lock"), path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size and os.pread(file.fileno(), 1, size - 1) != b"\n":  # a full disk once cut a line short
            data = b"\n" + data
        if file.write(data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(file.fileno())


def said_preferences(feedback: Sequence[Mapping[str, Any]], known: Sequence[str]) -> dict[str, Preferences]:
    """Raw user id -> what the user's feedback says of their taste, each term as often as it was said.

    Args:
        feedback: from `read_feedback`. known: terms of the catalogue, see `stated_terms`.
    """
    said: dict[str, Preferences] = {}
    for line in feedback:
        if terms := stated_terms(line, known):
            said[line["user"]] = said.get(line["user"], Preferences()) + Preferences(terms)
    return said

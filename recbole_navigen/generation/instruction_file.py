"""A file of instructions in the place of a run that writes: what may be asked for, and what it is about."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recbole_navigen.errors import InputError
from recbole_navigen.generation.records import InstructionRecord
from recbole_navigen.generation.settings import GenerationSettings


def refuse_unread(unread: Sequence[str], settings: Sequence[Any], generation: GenerationSettings) -> None:
    """Refuse what says how to write where a file of instructions is read.

    Args:
        unread: arguments of `run_generate` that nothing would read, as NAME=VALUE. settings: those of a run, empty ones
            None.
    """
    if unread:
        raise InputError(f"instructions are read from a file, and nothing is written; leave out {', '.join(unread)}.")
    if any(settings):
        raise InputError(
            "instructions are read from a file; leave out the settings of a run, or name one by --run=DIR."
        )
    if generation.reference_image and not generation.image_to_image:
        raise InputError(
            "reference_image joins histories, and the instructions are written already; leave it out, or set "
            "--image_to_image=True to start images from it."
        )


def chosen_records(
    records: Sequence[InstructionRecord], choice: int | list[str] | None, file: str | Path
) -> list[InstructionRecord]:
    """Return the chosen records of a file."""
    if not isinstance(choice, list):
        return list(records[:choice])
    users = dict.fromkeys(record.user for record in records)
    if unknown := [user for user in choice if user not in users]:
        raise InputError(f"{file} has no instruction for user {unknown[0]!r}; leave the user out.")
    return [record for record in records if record.user in choice]


def titles_of_records(records: Sequence[InstructionRecord], generation: GenerationSettings) -> dict[str, str]:
    """Names of items without a run: those that the records know, and of all that have a picture.

    Raises:
        InputError: media are to be scored against an item that nobody says the title of.
    """
    titles: dict[str, str] = {}
    for record in records:
        titles |= record.titles()
    named = [(record.user, item) for record in records for item in record.items()]
    unnamed = [pair for pair in named if pair[1] not in titles]
    scored = generation.models and generation.clip_model and all(record.target is not None for record in records)
    if unnamed and scored:
        user, item = unnamed[0]
        raise InputError(
            f"media are scored against titles, and user {user} has an item {item!r} without one; give history_titles "
            "and target_title, or name the run by --run=DIR."
        )
    pictures = Path(generation.item_images).iterdir() if generation.item_images else ()
    ids = [*(item for _, item in unnamed), *(file.stem for file in pictures)]
    return {**{item: f"item {item}" for item in ids}, **titles}

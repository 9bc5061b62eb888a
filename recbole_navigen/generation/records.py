"""The instruction record: what `run_generate` writes, what people edit by hand, and what media, scores and page are
made from. A file holds one JSON object a line.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbole_navigen.artefacts import write_bytes
from recbole_navigen.config.calls import checked
from recbole_navigen.errors import InputError
from recbole_navigen.language.tags import DOMAINS, MEDIA

FILE, METADATA = "instructions.jsonl", "metadata.jsonl"
# What a line may hold, in the order in which it is written.
_KINDS = {
    "user": "str or int",
    "domain": f"one of {', '.join(DOMAINS)} or None",
    "media": f"one of {', '.join(MEDIA)}",
    "history": "list of [str or int]",
    "history_titles": "list of str",
    "target": "str or int or None",
    "target_title": "str or None",
    "aim": "str or int or None",
    "aim_title": "str or None",
    "aim_terms": "list of str",
    "aim_probability": "float from 0 to 1 or None",
    "reasoning": "str or None",
    "terms": "list of str",
    "instruction": "str",
    "plan": "whole dict of str or None",
    "answer": "str or None",
}
_REQUIRED = ("user", "media", "instruction")
_IDS = ("user", "target", "aim")


@dataclass(frozen=True, slots=True)
class InstructionRecord:
    """One user's instruction for one kind of media.

    Attributes:
        user: raw id. media: `image` or `video`. instruction: what is to be made.
        target: raw id of the held-out item, which scores compare with; None: nothing was held out.
        history: raw ids of the items that were read, oldest first.
        reasoning: why this instruction; None without a thought.
        aim: raw id of the item that stands for what is expected next, see `Recommender.instruct`; None: there is none.
        aim_terms, aim_probability: the item's own terms, and how probable the model held it to be next.
        terms: what the model expects of the next item.
        domain: the kind of catalogue that was written for.
        history_titles, target_title, aim_title: names of these items, for readers and for cards.
        plan: aspect -> phrase, of which instruction and reasoning were made; None for free text.
        answer: the model's raw text, from which reasoning, terms and instruction were read.
        more: further fields of the line, kept as they are.
    """

    user: str
    media: str
    instruction: str
    target: str | None = None
    history: tuple[str, ...] = ()
    reasoning: str | None = None
    aim: str | None = None
    aim_terms: tuple[str, ...] = ()
    aim_probability: float | None = None
    terms: tuple[str, ...] = ()
    domain: str | None = None
    history_titles: tuple[str, ...] = ()
    target_title: str | None = None
    aim_title: str | None = None
    plan: Mapping[str, str] | None = None
    answer: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.media not in MEDIA:
            raise InputError(f"user {self.user}: media must be image or video, not {self.media!r}.")
        if not self.instruction.strip():
            raise InputError(f"user {self.user} has an empty instruction; leave the user out or write one.")
        if self.history_titles and len(self.history_titles) != len(self.history):
            raise InputError(
                f"user {self.user} has {len(self.history)} items in history and {len(self.history_titles)} in "
                "history_titles; give as many of both, or no titles."
            )

    @classmethod
    def of_line(cls, line: object) -> "InstructionRecord":
        """The record of a parsed line. Numbers as ids are taken for raw ids; unknown fields are kept in `more`."""
        checked("a line", "whole dict", line)
        if missing := [name for name in _REQUIRED if name not in line]:
            raise InputError(f"it has no {missing[0]}")
        values = {name: checked(name, kind, line[name]) for name, kind in _KINDS.items() if name in line}
        for name, value in values.items():
            if isinstance(value, list):
                values[name] = tuple(map(str, value))
        for name in _IDS:
            if values.get(name) is not None:
                values[name] = str(values[name])
                if not values[name].strip():
                    raise InputError(f"{name} is empty")
        return cls(**values, more={name: value for name, value in line.items() if name not in _KINDS})

    def line(self) -> dict[str, Any]:
        """The record as JSON values, in the order of the file."""
        known = {name: getattr(self, name) for name in _KINDS}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in known.items()} | {
            **self.more
        }

    def titles(self) -> dict[str, str]:
        """The items that the record names: raw id -> title, of those it knows a title of."""
        pairs = [*zip(self.history, self.history_titles, strict=False)]
        pairs += [(self.target, self.target_title), (self.aim, self.aim_title)]
        return {item: title for item, title in pairs if item is not None and title}

    def items(self) -> tuple[str, ...]:
        """Raw ids of all items that the record names."""
        return (*self.history, *(item for item in (self.target, self.aim) if item is not None))


def text_lines(path: str | Path) -> list[str]:
    """Lines of a UTF-8 file. Not `splitlines`: JSON that is not ASCII may hold other characters that Unicode takes for
    line ends.
    """
    return Path(path).read_text("utf-8").split("\n")


def read_records(path: str | Path) -> list[InstructionRecord]:
    """Read a file of records; blank lines are passed over.

    Raises:
        InputError: a line that is no record, or a second one of the same user and media, each with its number.
    """
    try:
        lines = text_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"instructions={path} cannot be read as a text file; name one with a record in each line."
        ) from error
    records: list[InstructionRecord] = []
    first: dict[tuple[str, str], int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = InstructionRecord.of_line(json.loads(line))
        except (json.JSONDecodeError, RecursionError, InputError) as error:
            reason = str(error).rstrip(".") if isinstance(error, InputError) else f"no JSON: {error}"
            raise InputError(
                f"{path}, line {number} is no instruction ({reason}); a line needs user, media and instruction in JSON."
            ) from error
        before = first.setdefault((record.user, record.media), number)
        if before != number:
            raise InputError(
                f"{path}, line {number} is the second {record.media} of user {record.user} after line {before}; "
                "keep one of them."
            )
        records.append(record)
    if not records:
        raise InputError(f"instructions={path} holds no record; run_generate --output=DIR writes some.")
    return records


def write_records(path: str | Path, records: Sequence[InstructionRecord]) -> None:
    """Write a file of records as a whole."""
    lines = "".join(json.dumps(record.line(), ensure_ascii=False) + "\n" for record in records)
    write_bytes(Path(path), lines.encode())

"""What a conversion is asked for, checked once."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from recbole_navigen.conversion.ids import escaped, id_text
from recbole_navigen.conversion.layouts import BLOCK
from recbole_navigen.errors import InputError

CHOICES = {
    "core_rule": ("iterative", "once"),
    "repeats": ("first", "last", "all"),
    "bad_lines": ("refuse", "skip"),
    "missing_times": ("drop", "refuse"),
    "order": ("time", "file"),
}
_SIZES = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
LEAST_MEMORY = 16 * 10**6


def bytes_of(text: str) -> int:
    """`2GB`, `500MB` or a number of bytes."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]i?B)?", text.strip(), re.IGNORECASE)
    if match is None or (size := int(float(match[1]) * _SIZES[(match[2] or "").upper()])) < LEAST_MEMORY:
        raise InputError(f"--memory={text} must be a size from 16MB on, such as 2GB")
    return size


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of a table whose format nobody knows but its user.

    Attributes:
        user, item, time, rating, event: of the interactions. items: the file of items, and key its column of the id.
        title: of the items. others: more columns, `NAME` or `NAME:SEPARATOR` for a list.
        separator: between columns; None finds it. header: whether the first line names the columns.
    """

    user: str | None = None
    item: str | None = None
    time: str | None = None
    rating: str | None = None
    event: str | None = None
    items: str | None = None
    key: str | None = None
    title: str | None = None
    others: tuple[str, ...] = ()
    separator: str | None = None
    header: bool = True


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of a conversion that change what it writes.

    Attributes:
        name: of the data set. output: the folder of data sets. core, user_core, item_core, core_rule: least rows a
        user and an item have. min_rating: least value. repeats: which row of a pair stays, None: by format. events:
            wanted.
        users, seed: how many users are drawn, before the core. last: rows a user keeps, after it.
        bad_lines, missing_times, order, time_format: see the command's help. memory: bytes. block: bytes read at once.
        escape_ids: whether ids that RecBole's own reader takes for missing get a leading `_`.
    """

    name: str
    output: str = "dataset"
    core: int | None = None
    user_core: int | None = None
    item_core: int | None = None
    core_rule: str = "iterative"
    min_rating: float | None = None
    repeats: str | None = None
    events: tuple[str, ...] = ()
    users: int | None = None
    seed: int = 2020
    last: int | None = None
    bad_lines: str = "refuse"
    missing_times: str = "drop"
    order: str = "time"
    time_format: str | None = None
    memory: int = 10**9
    temp_dir: str | None = None
    block: int = BLOCK
    escape_ids: bool = False
    overwrite: bool = False
    columns: Columns = field(default_factory=Columns)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w][\w.+-]*", self.name):
            raise InputError(
                f"--name={self.name} must be a name of letters, digits, `.`, `-`, `_` and `+`: files are called by it"
            )
        for name in ("core", "user_core", "item_core", "users", "last"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name}={value} must be 1 or more")
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise InputError(f"--{name}={value} must be one of {', '.join(choices)}")

    @property
    def id_text(self) -> Callable[[Any], str | None]:
        """Return the function that writes an id of the source as text."""
        return escaped if self.escape_ids else id_text

    @property
    def least(self) -> tuple[int, int]:
        """Rows that a user and an item must have; 0: any."""
        return self.user_core or self.core or 0, self.item_core or self.core or 0

"""Refusals of bad data, one clear sentence each. Nothing here changes the data."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_navigen.errors import InputError

FIELD_TYPES = ("token", "token_seq", "float", "float_seq")


def read_header(path: str | Path, separator: str = "\t", encoding: str | None = None) -> dict[str, str]:
    """Read the first line of an atomic file.

    Args:
        path: a RecBole atomic file, e.g. `ml-100k.inter`.
        separator: what stands between columns.
        encoding: of the file; None means UTF-8.

    Returns:
        Column name -> type (`token`, `token_seq`, `float` or `float_seq`), in the file's order.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {path.absolute()}; a data set needs its atomic files in that folder")
    try:
        with open(path, encoding=encoding or "utf-8") as file:
            first, second = file.readline().rstrip("\n"), file.readline()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not {encoding or 'UTF-8'} text; save it as UTF-8 or set encoding") from error
    if first.startswith("\ufeff"):
        raise InputError(
            f"{path} starts with a byte-order mark; save it as UTF-8 without one or set encoding: utf-8-sig"
        )
    if not first and not second:
        raise InputError(f"{path} is empty; it needs a header such as user_id:token and at least one row")
    pairs = [column.rpartition(":") for column in first.split(separator)]
    wrong = [column for column, pair in zip(first.split(separator), pairs, strict=True) if pair[2] not in FIELD_TYPES]
    if wrong or not all(name for name, _, _ in pairs):
        found = wrong[0] if wrong else first
        raise InputError(
            f"{path} has no atomic-file header: its first line must name every column as name:type with a type out of "
            f"{', '.join(FIELD_TYPES)}, separated by {separator!r}, and has {found[:60]!r}"
        )
    if not second.strip():
        raise InputError(f"{path} is empty: it has a header and no rows")
    repeated = [name for name, count in Counter(name for name, _, _ in pairs).items() if count > 1]
    if repeated:
        raise InputError(f"{path} names column {repeated[0]} twice; keep one")
    return {name: kind for name, _, kind in pairs}


def check_columns(path: str | Path, header: Iterable[str], wanted: Iterable[str], why: str) -> None:
    """Refuse a file that lacks a column.

    Args:
        path: the file, for the message.
        header: names of its columns.
        wanted: names that must be among them.
        why: what asked for them, for the message, e.g. "load_col".
    """
    header = list(header)
    for name in wanted:
        if name not in header:
            raise InputError(f"{path} has no column {name}, which {why} asks for; its columns are {', '.join(header)}")


def check_row_widths(path: str | Path, separator: str = "\t", encoding: str | None = None) -> None:
    """Refuse a row that has more columns than the header, by its line (RecBole's reader would name another one)."""
    with open(path, encoding=encoding or "utf-8") as file:
        width = file.readline().count(separator)
        for number, line in enumerate(file, start=2):
            if line.count(separator) > width:
                raise InputError(
                    f"{path} line {number} has {line.count(separator) + 1} columns and its header {width + 1}; "
                    f"remove the extra separator {separator!r}"
                )


def check_history_lengths(users: np.ndarray, tokens: Sequence[str], least: int, split: str) -> None:
    """Refuse users whose history is too short to be split.

    Args:
        users: internal user id of each interaction. Shape (S,).
        tokens: raw user id of each internal id.
        least: interactions that a user needs.
        split: the split that needs them, for the message.
    """
    ids, counts = np.unique(users, return_counts=True)
    short = ids[counts < least]
    if len(short):
        example = f"user {tokens[short[0]]} has {counts[counts < least][0]}"
        raise InputError(
            f"{len(short)} of {len(ids)} users have fewer than {least} interactions ({example}), too few for the split "
            f'{split}; filter them with user_inter_num_interval: "[{least},inf)"'
        )


def check_items_known(path: str | Path, present: Iterable[str], used: pd.Series | Sequence[str]) -> None:
    """Refuse interactions with items that the item file does not describe.

    Args:
        path: the item file, for the message.
        present: raw item ids it has.
        used: raw item ids of the interactions.
    """
    used = pd.Series(used)
    missing = used[~used.isin(set(present))].unique()
    if len(missing):
        raise InputError(
            f"{len(missing)} items of the interactions are missing from {path} (the first is {missing[0]}); "
            f"add a row for each or remove their interactions"
        )

"""Refusals of bad data, one clear sentence each. Nothing here changes the data."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_navigen.errors import InputError


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


def check_known(path: str | Path, present: Iterable[str], used: pd.Series | Sequence[str], kind: str = "items") -> None:
    """Refuse interactions with items or users that their file does not describe.

    Args:
        path: the item or user file, for the message.
        present: raw ids it has.
        used: raw ids of the interactions.
        kind: of ids, for the message.
    """
    used = pd.Series(used)
    missing = used[~used.isin(set(present))].unique()
    if len(missing):
        raise InputError(
            f"{len(missing)} {kind} of the interactions are missing from {path} (the first is {missing[0]}); "
            f"add a row for each or remove their interactions"
        )

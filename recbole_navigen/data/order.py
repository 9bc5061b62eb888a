"""Exact order in time of the rows of an interaction file.

RecBole turns time stamps into float32 before it sorts: Unix seconds of this century then fall into steps of 64 or 128
seconds, and on ml-100k 149 of 943 users get another last item. Here a column of whole numbers is compared as int64, up
to nanoseconds, and any other as float64. Equal times keep the order of the file, or one drawn from `shuffle_ties`.
"""

import numpy as np
import pandas as pd

from recbole_navigen.data.reader import AtomicFile
from recbole_navigen.errors import InputError

_WHOLE = r"[+-]?\d+(?:\.0*)?"


def exact_times(file: AtomicFile, column: pd.Series) -> np.ndarray:
    """Exact times of a file's rows.

    Args:
        file: of interactions.
        column: its times, or those of some of its rows, as `file.frame` reads them.

    Returns:
        The times of these rows. Shape (S,), int64 if every one is a whole number, else float64.
    """
    if column.dtype == np.float64:
        times = column.to_numpy()
        whole = times == np.floor(times)
        # Below 2^53 a float64 holds every whole number exactly. A missing time (NaN) is below nothing.
        if (np.abs(times) < 2**53).all():
            return times.astype(np.int64) if whole.all() else times
    texts = file.texts([column.name])[column.name].loc[column.index].str.strip()
    whole = texts.str.fullmatch(_WHOLE)
    try:
        if whole.all():
            # 881250949.0 is a whole number too: writers that went through a float column leave the dot.
            return texts.str.partition(".")[0].to_numpy(dtype=str).astype(np.int64)
        times = texts.to_numpy(dtype=str).astype(np.float64)
        if np.isfinite(times).all():
            return times
        row = int(np.flatnonzero(~np.isfinite(times))[0])
    except OverflowError:
        row = int(texts.str.len().argmax())
    except ValueError:
        row = next(i for i, text in enumerate(texts) if not _is_number(text))
    raise InputError(
        f"{file.path} line {texts.index[row]} has {texts.iloc[row]!r} as {column.name}; times must be plain numbers "
        f"below 2^63, such as Unix seconds"
    )


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def tied_last_rows(users: np.ndarray, times: np.ndarray) -> tuple[int, int]:
    """Count the users whose last two rows have equal times, so that the order of the file decides which is the last.

    Args:
        users: of all rows, in exact order of time. Shape (S,).
        times: of the same rows. Shape (S,).

    Returns:
        These users, and all users.
    """
    order = np.argsort(users, kind="stable")
    users, times = users[order], times[order]
    last = np.flatnonzero(np.append(users[1:] != users[:-1], True))
    return int(((users[last] == users[last - 1]) & (times[last] == times[last - 1]) & (last > 0)).sum()), len(last)


def exact_rank(times: np.ndarray, shuffle_ties: int | None = None) -> np.ndarray:
    """Number the rows in order of time.

    Args:
        times: in file order. Shape (S,), int64 or float64.
        shuffle_ties: seed that draws the order of rows with equal times; None keeps the file's.

    Returns:
        Place of each row, 0 for the earliest; all different. Shape (S,), int64.
    """
    tie = np.arange(len(times)) if shuffle_ties is None else np.random.default_rng(shuffle_ties).permutation(len(times))
    rank = np.empty(len(times), dtype=np.int64)
    rank[np.lexsort((tie, times))] = np.arange(len(times))
    return rank

"""Exact order in time of the rows of an interaction file.

RecBole turns time stamps into float32 before it sorts: Unix seconds of this century then fall into steps of 64 or 128
seconds, and on ml-100k 149 of 943 users get another last item. Here a column of whole numbers is compared as int64, up
to nanoseconds, and any other as float64. Equal times keep the order of the file, or one drawn from `shuffle_ties`.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from recbole_navigen.errors import InputError

_WHOLE = r"[+-]?\d+(?:\.0*)?"


def read_times(path: str | Path, column: str, separator: str = "\t", encoding: str | None = None) -> np.ndarray:
    """Read one column of times.

    Args:
        path: atomic file of interactions.
        column: its full heading, e.g. `timestamp:float`.
        separator: what stands between columns.
        encoding: of the file; None means UTF-8.

    Returns:
        The times in file order. Shape (S,), int64 if every one is a whole number, else float64.
    """
    texts = pd.read_csv(
        path, sep=separator, usecols=[column], dtype=str, encoding=encoding, keep_default_na=False, engine="c"
    )[column].str.strip()
    whole = texts.str.fullmatch(_WHOLE)
    try:
        if whole.all():
            # 881250949.0 is a whole number too: writers that went through a float column leave the dot.
            dotted = texts.str.contains(".", regex=False).any()
            return (texts.str.partition(".")[0] if dotted else texts).to_numpy(dtype=str).astype(np.int64)
        times = texts[~whole].to_numpy(dtype=str).astype(np.float64)
        if np.isfinite(times).all():
            return texts.to_numpy(dtype=str).astype(np.float64)
        row = int(np.flatnonzero(~whole)[np.flatnonzero(~np.isfinite(times))[0]])
    except OverflowError:
        row = int(texts.str.len().argmax())
    except ValueError:
        row = next(i for i, text in enumerate(texts) if not _is_number(text))
    raise InputError(
        f"{path} row {row + 1} after the header has {texts[row]!r} as {column.rpartition(':')[0]}; times must be plain "
        f"numbers below 2^63, such as Unix seconds"
    )


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


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

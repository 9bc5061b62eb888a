"""From all rows to those that are written: duplicates, repeats, the core, drawn users, last rows, order.

Everything works on numbers and one bucket of users at a time, so 500 million rows need disk and not memory.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from recbole_navigen.conversion.ids import Texts
from recbole_navigen.conversion.ingest import FATES, Ingest
from recbole_navigen.conversion.numbers import Numbers
from recbole_navigen.conversion.options import Options
from recbole_navigen.conversion.row_files import Buckets, Rows
from recbole_navigen.errors import InputError


@dataclass(frozen=True, slots=True)
class Step:
    """The numbers of rows, users and items after a step."""

    name: str
    rows: int
    users: int
    items: int


@dataclass(slots=True)
class Reduced:
    """The rows that are written, sorted by user, time and place in the source.

    Attributes:
        buckets: of rows, in order of users. users, items: ids by rank. steps: what each step left.
        user_counts, item_counts: rows of each. Shapes (U,), (N,), int64. counts: for the report.
    """

    buckets: Buckets
    users: Texts
    items: Texts
    user_counts: np.ndarray
    item_counts: np.ndarray
    steps: list[Step] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def reduce(ingest: Ingest, options: Options, repeats: str, folder: Path) -> Reduced:
    """Reduce what was read.

    Args:
        ingest: after reading. options: of the command. repeats: which row of a pair stays. folder: for temporary files.
    """
    # 1. Ranks in place of codes; who is there at which step of reading.
    user_ranks, users = ingest.users.finish()
    item_ranks, items = ingest.items.finish()
    present = {fate: (np.zeros(len(users), bool), np.zeros(len(items), bool)) for fate in (0, *FATES)}
    user_counts, item_counts = np.zeros(len(users), np.int64), np.zeros(len(items), np.int64)
    rows_by_fate = dict.fromkeys(present, 0)
    for chunk in ingest.rows.chunks():
        user, item = user_ranks[chunk.user], item_ranks[chunk.item]
        for fate, (seen_users, seen_items) in present.items():
            rows = chunk.fate == fate
            if rows.any():
                rows_by_fate[fate] += int(rows.sum())
                seen_users[user[rows]] = True
                seen_items[item[rows]] = True
        remaining = chunk.fate == 0
        user_counts += np.bincount(user[remaining], minlength=len(users))
        item_counts += np.bincount(item[remaining], minlength=len(items))
    result = Reduced(Buckets.by_users(folder, user_counts, options.memory // 2), users, items, user_counts, item_counts)
    left = sum(rows_by_fate.values())
    alive = [np.logical_or.reduce([pair[side] for pair in present.values()]) for side in (0, 1)]
    result.steps.append(Step("with user and item", left, int(alive[0].sum()), int(alive[1].sum())))
    for fate, (name, words) in FATES.items():
        if rows_by_fate[fate]:
            left -= rows_by_fate[fate]
            alive = [
                np.logical_or.reduce([pair[side] for f, pair in present.items() if f == 0 or f > fate])
                for side in (0, 1)
            ]
            result.steps.append(Step(f"not {words}", left, int(alive[0].sum()), int(alive[1].sum())))
        result.counts[name] = result.counts.get(name, 0) + rows_by_fate[fate]
    if not left:
        raise InputError("no row is left after reading: all were without time, filtered or impossible; see the options")

    # 2. Rows into buckets of users; where there are no times, the position in a user's rows is the time.
    drawn = _drawn(user_counts, options)
    position = np.zeros(len(users) if ingest.unit == "position" else 0, np.int64)
    for chunk in ingest.rows.chunks():
        remaining = chunk.fate == 0
        chunk = chunk.take(remaining)
        chunk.user = user_ranks[chunk.user].astype(np.uint32)
        chunk.item = item_ranks[chunk.item].astype(np.uint32)
        if ingest.unit == "position":
            chunk.time = position[chunk.user] + _place_within(chunk.user)
            position += np.bincount(chunk.user, minlength=len(users))
        result.buckets.append(chunk if drawn is None else chunk.take(drawn[chunk.user]))
    ingest.rows.remove()
    if drawn is not None:
        result.steps.append(_counted(f"{options.users} users drawn", result))
    # SASRec's script counts on the rows as they were read.
    once = (user_counts, item_counts) if options.core_rule == "once" else None
    del user_counts, item_counts

    # 3. Exact copies, then repeats of a pair. Neither takes away a user or an item.
    distinct = 0

    def once_each(rows: Rows) -> Rows:
        nonlocal distinct
        different, remaining = _distinct(rows, ingest.times, repeats)
        distinct += different
        return rows.take(remaining)

    before = len(result.buckets)
    result.buckets.change(once_each)
    after = _counted(f"the {repeats} row of a pair", result)
    result.steps.append(Step("no exact duplicates", distinct, after.users, after.items))
    if repeats != "all":
        result.steps.append(after)
    result.counts["exact_duplicates"] = before - distinct
    result.counts["repeats_dropped"] = distinct - after.rows

    # 4. The core.
    _core(result, options, once)

    # 5. Order, and the last rows of each user.
    result.buckets.change(lambda rows: rows.take(_order(rows, ingest.times)))
    if options.last:
        # How many rows of the same user stand behind each row, (S,).
        result.buckets.change(lambda rows: rows.take(_place_within(rows.user[::-1])[::-1] < options.last))
        result.steps.append(_counted(f"the last {options.last} rows of a user", result))
    _counted("", result)
    if not len(result.buckets):
        raise InputError("no row is left after the core; take a lower --core")
    return result


def _drawn(user_counts: np.ndarray, options: Options) -> np.ndarray | None:
    """Which users are drawn. Shape (U,), bool; None for all. The draw depends on the ids and the seed alone."""
    there = np.flatnonzero(user_counts)
    if options.users is None or options.users >= len(there):
        return None
    chosen = np.zeros(len(user_counts), dtype=bool)
    chosen[np.random.default_rng(options.seed).choice(there, options.users, replace=False)] = True
    return chosen


def _place_within(users: np.ndarray) -> np.ndarray:
    """How many rows of the same user stand before each row. Shape (S,) -> (S,), int64."""
    order = np.argsort(users, kind="stable")
    runs = users[order]
    starts = np.flatnonzero(np.append(True, runs[1:] != runs[:-1]))
    places = np.empty(len(users), dtype=np.int64)
    places[order] = np.arange(len(users)) - np.repeat(starts, np.diff(np.append(starts, len(users))))
    return places


def _distinct(rows: Rows, times: Numbers, repeats: str) -> tuple[int, np.ndarray]:
    """How many rows are no exact copies, and which stay: all of them, or one of each user and item. Mask of shape (S,).

    Of rows that agree in user, item and time the first counts; of those that agree in user and item the first or the
    last in time, and there the first or the last in the source.
    """
    whole, fraction = times.keys(rows.time, rows.time_decimals)
    pair = (rows.user.astype(np.uint64) << np.uint64(32)) | rows.item
    keys = (whole, pair) if fraction is None else (fraction, whole, pair)
    order = np.lexsort(keys)
    changed = [np.append(True, key[order][1:] != key[order][:-1]) for key in keys]
    different = np.logical_or.reduce(changed)
    chosen, begins = order[different], changed[-1][different]
    if repeats != "all":
        chosen = chosen[begins if repeats == "first" else np.append(begins[1:], True)]
    mask = np.zeros(len(rows), dtype=bool)
    mask[chosen] = True
    return int(different.sum()), mask


def _order(rows: Rows, times: Numbers) -> np.ndarray:
    """Order by user, time and place. Shape (S,)."""
    whole, fraction = times.keys(rows.time, rows.time_decimals)
    return np.lexsort((whole, rows.user) if fraction is None else (fraction, whole, rows.user))


def _counted(name: str, result: Reduced) -> Step:
    """Count the rows that are there, into the result, too."""
    result.user_counts = np.zeros(len(result.users), np.int64)
    result.item_counts = np.zeros(len(result.items), np.int64)
    for rows in result.buckets:
        result.user_counts += np.bincount(rows.user, minlength=len(result.users))
        result.item_counts += np.bincount(rows.item, minlength=len(result.items))
    users, items = int((result.user_counts > 0).sum()), int((result.item_counts > 0).sum())
    return Step(name, len(result.buckets), users, items)


def _core(result: Reduced, options: Options, once: tuple[np.ndarray, np.ndarray] | None) -> None:
    """Drop users and items with too few rows: again and again until nothing changes, or once by the raw counts.

    The core is the largest set in which all have enough, and unique: it does not depend on the order of anything.
    """
    of_user, of_item = options.least
    start, rounds = len(result.buckets), 0
    while of_user or of_item:
        if once:
            user_counts, item_counts = once
        else:
            user_counts, item_counts = result.user_counts, result.item_counts
        users, items = user_counts >= of_user, item_counts >= of_item
        before = len(result.buckets)
        result.buckets.change(lambda rows, u=users, i=items: rows.take(u[rows.user] & i[rows.item]))
        if len(result.buckets) == before:
            break
        rounds += 1
        result.steps.append(_counted(f"core, round {rounds}", result))
        if once or not len(result.buckets):
            break
    result.counts["core_rounds"] = rounds
    result.counts["core_dropped"] = start - len(result.buckets)

"""Filters of rows, checked before they are used: intervals, and what `val_interval` asks of a column.

RecBole logs a line about an interval that it cannot read and then filters nothing. Standard library only.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from recbole_navigen.errors import InputError

# Settings whose interval counts rows: of a user, an item, an entity or a relation.
COUNTS = ("user_inter_num_interval", "item_inter_num_interval", "entity_kg_num_interval", "relation_kg_num_interval")

_FORM = "write '[5,inf)' for 5 or more, '[5,10]' for 5 to 10, and parts of a union with ; between them: '[1,2];(5,inf)'"
_INTERVAL = re.compile(r"\s*([\[(])([^,;]+),([^,;]+)([\])])\s*")

Interval = tuple[str, float, float, str]  # left bracket, ends, right bracket; as RecBole holds them


def parse_intervals(name: str, value: object, whole: bool = False) -> list[Interval]:
    """Read a union of intervals as RecBole writes it.

    Args:
        name: of the setting, for the message.
        value: text such as "[1,2];(5,inf)", or a list of two numbers, which is a closed interval.
        whole: True if the interval counts something, so that only whole numbers above zero lie in it.

    Returns:
        The parts by their lower ends (RecBole takes that of the first for the least of all).

    Raises:
        InputError: a form that RecBole cannot read, or a part in which no number lies.
    """
    text = value
    if isinstance(value, list | tuple) and len(value) == 2:
        text = f"[{value[0]},{value[1]}]"
    if not isinstance(text, str):
        raise InputError(f"{name} must be an interval, not {value!r}; {_FORM}")
    parts: list[Interval] = []
    for part in text.split(";"):
        match = _INTERVAL.fullmatch(part)
        ends = [_end(end) for end in match.group(2, 3)] if match else []
        if not match or None in ends:
            raise InputError(f"{name} must be an interval, not {value!r}; {_FORM}")
        interval = (match[1], *ends, match[4])
        if _empty(interval, whole):
            numbers = "whole number above zero" if whole else "number"
            raise InputError(f"{name}: no {numbers} lies in {part.strip()}; {_FORM}")
        parts.append(interval)
    return sorted(parts, key=lambda interval: (interval[1], interval[0] == "("))


def _end(text: str) -> float | None:
    """An end of an interval; None if it is no number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _empty(interval: Interval, whole: bool) -> bool:
    left, low, high, right = interval
    if whole and low < math.inf:
        low = max(low, 0.0 if left == "(" else 1.0)
        low = math.floor(low) + 1 if left == "(" else math.ceil(low)
        left = "["
        if math.isfinite(high):
            high = math.ceil(high) - 1 if right == ")" else math.floor(high)
            right = "]"
    return low > high or low == math.inf or high == -math.inf or (low == high and left + right != "[]")


def _keeps_all(parts: list[Interval]) -> bool:
    """Whether every count from 1 up lies in one interval."""
    (left, low, high, _), *others = parts
    return not others and high == math.inf and (low < 1 or (low == 1 and left == "["))


def check_filters(settings: Mapping[str, Any]) -> None:
    """Refuse filters that would not filter, or leave nothing. `settings` may lack any of them.

    `val_interval` is checked where the types of columns are known, by `check_value_filter`.
    """
    everything = True  # whether all rows are kept
    for name in COUNTS:
        if settings.get(name) is not None:
            parts = parse_intervals(name, settings[name], whole=True)
            everything &= _keeps_all(parts)
    if settings.get("benchmark_filename") and not (
        everything and not settings.get("val_interval") and not settings.get("rm_dup_inter")
    ):
        filters = ", ".join((*COUNTS, "val_interval", "rm_dup_inter"))
        raise InputError(f"files that are split already (benchmark_filename) are not filtered; unset {filters}")


def check_value_filter(column: str, kind: str, wanted: object) -> None:
    """Refuse an entry of `val_interval` that does not fit the type of its column.

    Args:
        column: its name.
        kind: its type, as a header gives it.
        wanted: the entry.
    """
    if kind == "float":
        parse_intervals(f"val_interval of {column}", wanted)
    elif kind != "token":
        raise InputError(f"val_interval cannot choose rows by {column}, which holds sequences ({kind}); leave it out")
    elif not isinstance(wanted, list | tuple):
        raise InputError(
            f"val_interval of {column} must be a list of tokens such as ['{wanted}'], not {wanted!r}: "
            "the column holds tokens, not numbers"
        )
    elif not all(isinstance(token, str) for token in wanted):
        listed = ", ".join(f"'{token}'" for token in wanted)
        raise InputError(f"val_interval of {column} must list tokens as text; write [{listed}] instead of {wanted!r}")

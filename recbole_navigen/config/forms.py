"""Settings that are texts with a rule of their own: intervals, splits, modes of evaluation, encodings. No torch."""

import codecs
import math
import re

from recbole_navigen.config.intervals import parse_intervals
from recbole_navigen.errors import InputError

_SAMPLED = re.compile(r"(?:uni|pop)[1-9]\d*")
_LEAVE_ONE = ("valid_and_test", "valid_only", "test_only")


def is_interval(value: object) -> bool:
    """Whether a value is an interval, or several joined by `;`, in each of which some number lies."""
    try:
        return bool(parse_intervals("", value))
    except InputError:
        return False


def is_split(value: object) -> bool:
    """Whether a value is one of RecBole's ways to split, with all that it needs."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((kind, how),) = value.items()
    if kind == "LS":
        return how in _LEAVE_ONE
    if kind not in ("RS", "TS") or not isinstance(how, list | tuple) or len(how) != 3:
        return False
    numbers = all(isinstance(share, int | float) and not isinstance(share, bool) for share in how)
    return numbers and all(0 <= share < math.inf for share in how) and how[0] > 0 and how[2] > 0


def is_mode(value: object) -> bool:
    """Whether a value says among which items targets are ranked, at validation and at test."""
    if isinstance(value, dict):
        return bool(value) and set(value) <= {"valid", "test"} and all(_is_mode(mode) for mode in value.values())
    return _is_mode(value)


def _is_mode(value: object) -> bool:
    return isinstance(value, str) and (value in ("full", "labeled") or _SAMPLED.fullmatch(value) is not None)


def sampled(mode: str) -> str:
    """Say in words which items a sampled ranking is among; "" if targets are ranked among the whole catalogue.

    Args:
        mode: full, labeled, uni100, pop100, ...
    """
    if not _SAMPLED.fullmatch(mode):
        return ""
    how = "at random" if mode.startswith("uni") else "by popularity"
    return f"sampled: among {mode[3:]} items drawn {how} ({mode}), not the whole catalogue"


def is_encoding(value: object) -> bool:
    """Whether Python knows an encoding."""
    try:
        return isinstance(value, str) and codecs.lookup(value)._is_text_encoding
    except (LookupError, ValueError):
        return False


# Word of a description -> rule.
RULES = {"interval": is_interval, "split": is_split, "mode": is_mode, "encoding": is_encoding}

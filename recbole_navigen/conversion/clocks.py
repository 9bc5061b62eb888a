"""Times of sources as numbers: plain ones stay as written, dates become Unix seconds, UTC, never in local time."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MISSING = frozenset({"", "nan", "nat", "null", "none", "na", "<na>", "\\n"})
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_GOODREADS = re.compile(r"\w{3} (\w{3}) (\d\d?) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d) (\d{4})", re.ASCII)
_NEWS = re.compile(r"(\d\d?)/(\d\d?)/(\d{4}) (\d\d?):(\d\d):(\d\d) ([AP]M)", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
TMALL_YEAR = 2014  # of the data set whose days are month and day only


def _seconds(moment: datetime) -> int | str:
    """Unix seconds; fractions stay as decimals. What has no zone is UTC."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
    whole, fraction = divmod(microseconds, 10**6)
    if not fraction:
        return whole
    if whole < 0:
        raise ValueError("a fraction of a second before 1970")
    return f"{whole}.{fraction:06d}".rstrip("0")


def _dated(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    def clock(raw: object) -> Any:
        text = str(raw).strip() if raw is not None else ""
        return None if text.lower() in _MISSING else parse(text)

    return clock


def _iso(text: str) -> int | str:
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        raise ValueError(text)
    return _seconds(datetime.fromisoformat(text))


def _compact(text: str) -> int | str:
    text = text.removesuffix(".0")  # dates that went through a float column
    return _seconds(datetime(int(text[:4]), int(text[4:6]), int(text[6:]))) if len(text) == 8 else _iso(text)


def _month_day(text: str) -> int | str:
    text = text.removesuffix(".0").zfill(4)
    if len(text) != 4:
        raise ValueError(text)
    return _seconds(datetime(TMALL_YEAR, int(text[:2]), int(text[2:])))


def _goodreads(text: str) -> int | str:
    match = _GOODREADS.fullmatch(text)
    if match is None:
        raise ValueError(text)
    month, day, hour, minute, second, sign, off_hours, off_minutes, year = match.groups()
    local = datetime(
        int(year), _MONTHS.index(month) // 3 + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC
    )
    offset = timedelta(hours=int(off_hours), minutes=int(off_minutes))
    return _seconds(local - offset if sign == "+" else local + offset)


def news_time(text: str) -> int:
    """MIND's 12-hour clock: 12:05 AM is five past midnight, 12:00 PM noon."""
    match = _NEWS.fullmatch(text.strip())
    if match is None or not 1 <= int(match[4]) <= 12:
        raise ValueError(text)
    hour = int(match[4]) % 12 + 12 * (match[7] == "PM")
    moment = datetime(int(match[3]), int(match[1]), int(match[2]), hour, int(match[5]), int(match[6]), tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(seconds=1)


def _day_and_ms(raw: object) -> int | None:
    """Diginetica: a day, and milliseconds since the session began; together in Unix milliseconds."""
    day, milliseconds = raw
    if not str(day).strip():
        return None
    text = str(milliseconds).strip()
    return 1000 * int(_iso(str(day).strip())) + (int(text) if text else 0)


class AnyTime:
    """For tables that we do not know: a number stays as it is, anything else must be a date in ISO form.

    A column is one or the other, or nobody knows what its times mean.
    """

    def __init__(self) -> None:
        self._numbers: bool | None = None

    def __call__(self, raw: object) -> Any:
        is_number = not isinstance(raw, str) or _NUMBER.fullmatch(raw) is not None
        if raw is None or (not is_number and raw.strip().lower() in _MISSING):
            return None
        if self._numbers is None:
            self._numbers = is_number
        if self._numbers != is_number:
            raise ValueError("numbers and dates in one column")
        return raw if is_number else _dated(_iso)(raw)


def pattern(form: str) -> Callable[[Any], Any]:
    """A clock for dates of one form, in the letters of Python's strptime."""
    return _dated(lambda text: _seconds(datetime.strptime(text, form)))


# By name of a part's clock. None: numbers, copied as they are.
CLOCKS: dict[str, Callable[[Any], Any] | None] = {
    "s": None,
    "ms": None,
    "position": None,
    "file": None,
    "iso": _dated(_iso),
    "compact": _dated(_compact),
    "month_day": _dated(_month_day),
    "goodreads": _dated(_goodreads),
    "day_ms": _day_and_ms,
}
# By name of a clock; others are seconds. `position`: lists are in order; `file`: only the order of the file is left.
UNITS = {"ms": "ms", "day_ms": "ms", "position": "position", "file": "position", "any": ""}
PER_SECOND = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}
EARLIEST = 631152000  # 1990-01-01, before which no data set here begins


def unit_of(clock: str) -> str:
    """Unit of the times that a clock gives; empty where only the numbers tell."""
    return UNITS.get(clock, "s")


def guessed_unit(median: float) -> str:
    """The unit that plain numbers seem to be in, by their size; `number` where they are no times of this era."""
    for unit, factor in PER_SECOND.items():
        if EARLIEST <= median / factor < 4 * 10**9:
            return unit
    return "number"


def day(value: float, unit: str) -> str | None:
    """The day of a time, UTC; None where the unit is no clock."""
    if unit not in PER_SECOND:
        return None
    try:
        return str((_EPOCH + timedelta(seconds=value / PER_SECOND[unit])).date())
    except OverflowError:
        return None


def today() -> date:
    """Return today's date; later times are impossible."""
    return datetime.now(UTC).date()

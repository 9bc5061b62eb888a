"""Numbers of a source, kept exactly as they are written in 9 bytes: digits as int64 and the decimals as int8.

`1593898068.378` is (1593898068378, 3) and `5.0` is (50, 1); what does not fit (`1e5`, `+4`, `007`) is text in a list,
and its place there with `ODD` in place of the decimals. No number ever passes through a float.
"""

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

MISSING, BAD, ODD = -1, -2, 100  # in place of the number of decimals
_CANONICAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.(\d+))?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_NO_NUMBER = frozenset({"", "nan", "null", "none", "na", "n/a", "<na>", "\\n"})  # words that mean a missing number
_CACHE = 1 << 16
_FRACTION = 18  # decimals of the second sort key


class Numbers(dict):
    """Encodes texts and numbers; remembers the last ones, since ratings and days come again."""

    def __init__(self) -> None:
        super().__init__()
        self._prepare: Callable[[Any], Any] | None = None
        self.odd: list[str] = []

    def use(self, prepare: Callable[[Any], Any] | None) -> None:
        """From here on, turn raw values into a number, its text or None by `prepare` first; it raises ValueError on
        nonsense. None: they are numbers.
        """
        self._prepare = prepare
        self.clear()

    def __missing__(self, raw: object) -> tuple[int, int]:
        if len(self) >= _CACHE:
            self.clear()
        try:
            value = self._prepare(raw) if self._prepare else raw
            code = self._code(value)
        except (ValueError, TypeError, OverflowError):
            code = (0, BAD)
        self[raw] = code
        return code

    def _code(self, value: object) -> tuple[int, int]:
        if value is None or value != value:  # NaN
            return 0, MISSING
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return 0, BAD
        text = value.strip() if isinstance(value, str) else repr(value)
        if text.lower() in _NO_NUMBER:
            return 0, MISSING
        match = _CANONICAL.fullmatch(text)
        digits = text.replace(".", "").lstrip("-")
        if match and len(digits) <= 18 and not (text[0] == "-" and not int(digits)):
            return int(text.replace(".", "")), len(match[1] or "")
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            return 0, BAD
        self.odd.append(text)
        return len(self.odd) - 1, ODD

    def encode(self, values: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Encode values.

        Args:
            values: texts, numbers and None. Length S.

        Returns:
            Digits, int64, and decimals, int8, `MISSING`, `BAD` or `ODD`. Shapes (S,).
        """
        if self._prepare is None and len(values):
            whole = None
            if type(values[0]) is int:
                array = np.array(values)
                whole = array if array.dtype == np.int64 else None
            elif type(values[0]) is str:
                try:
                    integers = list(map(int, values))
                    whole = np.array(integers, dtype=np.int64) if list(map(str, integers)) == values else None
                except (ValueError, TypeError, OverflowError):
                    whole = None
            if whole is not None:
                return whole, np.zeros(len(values), dtype=np.int8)
        try:
            codes = np.array([self[value] for value in values], dtype=np.int64).reshape(-1, 2)
        except TypeError:  # a list or a dictionary where a number should be
            codes = [self[v] if not isinstance(v, list | dict) else (0, BAD) for v in values]
            codes = np.array(codes, dtype=np.int64).reshape(-1, 2)
        return codes[:, 0].copy(), codes[:, 1].astype(np.int8)

    def texts(self, digits: np.ndarray, decimals: np.ndarray) -> list[str]:
        """The numbers as they were written; empty where they are missing. Shapes (S,), (S,) -> S texts."""
        if not decimals.any():
            return list(map(str, digits.tolist()))
        if np.abs(digits).max() < 2**55:  # each different number is put into words once
            different, place = np.unique((digits << 8) | (decimals.astype(np.int64) & 255), return_inverse=True)
            pairs = zip(
                (different >> 8).tolist(), (different & 255).astype(np.uint8).astype(np.int8).tolist(), strict=True
            )
            return np.array([self._text(*pair) for pair in pairs], dtype=object)[place].tolist()
        return [self._text(*pair) for pair in zip(digits.tolist(), decimals.tolist(), strict=True)]

    def _text(self, digits: int, decimals: int) -> str:
        if decimals == MISSING:
            return ""
        if decimals == ODD:
            return self.odd[digits]
        if decimals == 0:
            return str(digits)
        text = str(abs(digits)).zfill(decimals + 1)
        return f"{'-' if digits < 0 else ''}{text[:-decimals]}.{text[-decimals:]}"

    def keys(self, digits: np.ndarray, decimals: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Whole part and, where there is one, fraction in units of 1e-18; as int64 they sort exactly. Shapes (S,)."""
        if not decimals.any():
            return digits, None
        whole, fraction = digits.copy(), np.zeros(len(digits), dtype=np.int64)
        for count in np.unique(decimals[(decimals > 0) & (decimals != ODD)]).tolist():
            rows = decimals == count
            whole[rows] = digits[rows] // 10**count
            fraction[rows] = (digits[rows] - whole[rows] * 10**count) * 10 ** (_FRACTION - count)
        for row in np.flatnonzero(decimals == ODD):
            exact = Decimal(self.odd[digits[row]])
            floor = int(exact // 1) - (exact < 0 and exact % 1 != 0)
            whole[row] = max(min(floor, 2**62), -(2**62))
            fraction[row] = int((exact - floor) * 10**_FRACTION)
        return whole, fraction

    def floats(self, digits: np.ndarray, decimals: np.ndarray) -> np.ndarray:
        """The numbers as float64, NaN where missing, for limits and statistics only. Shapes (S,)."""
        values = digits / np.power(10.0, np.where(decimals == ODD, 0, np.maximum(decimals, 0)))
        for row in np.flatnonzero(decimals == ODD):
            values[row] = float(self.odd[digits[row]])
        values[decimals < 0] = np.nan
        return values

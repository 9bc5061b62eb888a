"""The parquets of the released NaviGen: sequences of codes, `hist_sid` and `target_sid`, a row a user."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar

from recbole_navigen.conversion.layouts.base import Batch, Layout, Reading
from recbole_navigen.conversion.layouts.special import Parquet


@dataclass(frozen=True, slots=True)
class ReleasedSequences(Layout):
    """Gives user and item: the items of a row's history and then its target.

    Items are known by their codes alone, so those that share a code are one item. Where rows have no `uid`, their file
    and number are the user.
    """

    columns: ClassVar = ("user", "item")

    def read(self, stream: BinaryIO, reading: Reading, wanted: Sequence[str]) -> Iterator[Batch]:
        prefix = Path(reading.label).name.partition("_")[0]
        for batch in Parquet().read(stream, reading, ("uid?", "hist_sid", "target_sid")):
            rows, lines = [], []
            for number, user, history, target in zip(batch.lines, *batch.columns.values(), strict=True):
                target = target[0] if isinstance(target, list) and target else target
                if not isinstance(history, list) or not isinstance(target, str):
                    reading.reject(number, "hist_sid is no list, or target_sid no code", counted=True)
                    continue
                user = f"{prefix}-{number}" if user is None else str(user)
                rows += [(user, item) for item in (*history, target)]
                lines += [number] * (len(history) + 1)
            columns = dict(zip(self.columns, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
            yield Batch({name: columns.get(name, []) for name in wanted}, lines, batch.records)

    def names(self, stream: BinaryIO, reading: Reading) -> set[str]:
        return set(self.columns) if {"hist_sid", "target_sid"} <= Parquet().names(stream, reading) else set()

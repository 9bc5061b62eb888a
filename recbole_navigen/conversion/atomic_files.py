"""The atomic files of a data set and its settings, written as one step: whole or not at all."""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_navigen.conversion.numbers import Numbers
from recbole_navigen.conversion.reduce import Reduced
from recbole_navigen.conversion.row_files import CHUNK
from recbole_navigen.conversion.spec import Field
from recbole_navigen.errors import InputError
from recbole_navigen.visible import visible

LENGTHS = 10  # MAX_ITEM_LIST_LENGTH is a multiple of it


@dataclass(slots=True)
class Statistics:
    """The counts that are kept while rows are written.

    Attributes:
        tied: users whose last two rows have equal times. rows_tied: rows whose time equals that of the row before them.
        pairs: distinct pairs of a user and an item. first, last: times as numbers. step: the largest of a day, an
        hour, a minute and a second, in the unit of the times, that divides all; smaller ones are 1 or a decimal.
        repeats: whether a pair may have several rows.
        targets: the last two items of each user, where asked for. Shape (U, 2), int64, -1 where there is none.
    """

    tied: int = 0
    rows_tied: int = 0
    pairs: int = 0
    first: float = math.inf
    last: float = -math.inf
    median: float = 0.0
    decimals: int = 0
    divisor: int = 0
    repeats: bool = True
    targets: np.ndarray | None = None

    def add(self, rows, times: Numbers) -> None:
        """Count some users' rows, sorted."""
        if not len(rows):
            return
        whole, fraction = times.keys(rows.time, rows.time_decimals)
        same_user = rows.user[1:] == rows.user[:-1]
        same_time = whole[1:] == whole[:-1]
        if fraction is not None:
            same_time &= fraction[1:] == fraction[:-1]
        equal = same_user & same_time
        last = np.append(~same_user, True)
        self.rows_tied += int(equal.sum())
        self.tied += int((equal & last[1:]).sum())
        if self.repeats:
            self.pairs += len(np.unique((rows.user.astype(np.uint64) << np.uint64(32)) | rows.item))
        else:
            self.pairs += len(rows)
        values = times.floats(rows.time, rows.time_decimals)
        self.first, self.last = min(self.first, float(values.min())), max(self.last, float(values.max()))
        self.decimals = max(self.decimals, int(rows.time_decimals.max()))
        self.divisor = math.gcd(self.divisor, int(np.gcd.reduce(np.abs(whole))))
        self.median = float(np.median(values))
        if self.targets is not None:
            ends = np.flatnonzero(last)
            self.targets[rows.user[ends], 1] = rows.item[ends]
            before = ends[(ends > 0)]
            before = before[rows.user[before - 1] == rows.user[before]]
            self.targets[rows.user[before], 0] = rows.item[before - 1]


def write_interactions(
    path: Path, reduced: Reduced, times: Numbers, values: Numbers, value: str | None, repeats: bool, targets: bool
) -> Statistics:
    """Write `.inter`.

    Args:
        path: of the file. reduced: the rows. times, values: that decode their numbers. value: name of the value's
            column, None: there is none. repeats: whether a pair may have several rows. targets: whether to keep the
            last two items of each user.

    Returns:
        What was counted.
    """
    statistics = Statistics(repeats=repeats)
    if targets:
        statistics.targets = np.full((len(reduced.users), 2), -1, dtype=np.int64)
    columns = [f"{value}:float"] if value else []
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(["user_id:token", "item_id:token", *columns, "timestamp:float"]) + "\n")
        for rows in reduced.buckets:
            statistics.add(rows, times)
            for start in range(0, len(rows), CHUNK // 8):
                chunk = rows.take(slice(start, start + CHUNK // 8))
                cells = [reduced.users.of(chunk.user), reduced.items.of(chunk.item)]
                if value:
                    cells.append(values.texts(chunk.value, chunk.value_decimals))
                cells.append(times.texts(chunk.time, chunk.time_decimals))
                file.write("\n".join(map("\t".join, zip(*cells, strict=True))) + "\n")
    return statistics


def settings(title: str, reduced: Reduced, value: str | None, fields: Iterable[Field], command: str) -> str:
    """The text of `properties/dataset/NAME.yaml`."""
    counts = reduced.user_counts[reduced.user_counts > 0]
    rows, items = int(counts.sum()), int((reduced.item_counts > 0).sum())
    length = max(LENGTHS, math.ceil(float(np.quantile(counts, 0.9)) / LENGTHS) * LENGTHS)
    loaded = ["user_id", "item_id", *([value] if value else []), "timestamp"]
    texts = [one for one in fields if one.role]
    nine_of_ten = int(np.quantile(counts, 0.9))
    lines = [
        f"# {title}: {len(counts):,} users, {items:,} items, {rows:,} interactions, converted by",
        f"# {visible(command)}",
        "",
        "USER_ID_FIELD: user_id          # (str) Column of the user.",
        "ITEM_ID_FIELD: item_id          # (str) Column of the item.",
        *(["RATING_FIELD: rating            # (str) Column of the rating."] if value == "rating" else []),
        "TIME_FIELD: timestamp           # (str) Column of the time.",
        "load_col:                       # (whole dict of [list of str or one of *] or None) The columns to load, by "
        "the suffix of the atomic file.",
        f"  inter: {_list(loaded)}",
        f"item_text_fields: {_list(one.name for one in texts) if texts else 'null'}  # (list of str or str or None) "
        "Columns of the .item file that hold text, the title first.",
        f"MAX_ITEM_LIST_LENGTH: {length:<9} # (int from 1) The number of last items that a model sees; nine of ten "
        f"users have {nine_of_ten} interactions or fewer.",
    ]
    if texts:
        roles = ", ".join(f"{one.name}: {one.role}" for one in texts)
        kinds = "open dict of one of name, genre, story, brand, kind, tag or None"
        lines.append(f"item_text_roles: {{{roles}}}  # ({kinds}) What each of these columns says of an item.")
    if short := int((counts < 3).sum()):
        lines.append(
            f'user_inter_num_interval: "[3,inf)"  # (interval or None) {short:,} users have fewer than 3 interactions, '
            "too few to be split."
        )
    return "\n".join(lines) + "\n"


def _list(names: Iterable[str]) -> str:
    shown = (name if re.fullmatch(r"[A-Za-z_]\w*", name) else json.dumps(name) for name in names)
    return f"[{', '.join(shown)}]"


def refuse_existing(folder: Path, yaml: Path, name: str, overwrite: bool) -> None:
    """Refuse to write over what is there, unless asked to; files that no conversion wrote are never removed."""
    if not overwrite:
        for path in (folder, yaml):
            if path.exists():
                raise InputError(f"{path.absolute()} exists; take another --name, or --overwrite to write it anew")
    elif folder.is_dir():
        ours = {
            f"{name}{suffix}" for suffix in (".inter", ".item", ".user", ".report.json", ".report.md", ".report.tex")
        }
        if others := sorted(entry.name for entry in folder.iterdir() if entry.name not in ours):
            raise InputError(
                f"{folder.absolute()} holds {others[0]}, which no conversion wrote and which would be lost; "
                "move it away"
            )

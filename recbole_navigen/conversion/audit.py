"""What is wrong with atomic files that exist, and what is in them: `navigen-convert --check dataset/NAME`.

A fault is what the product refuses, or what silently makes numbers mean something else. A remark is what one should
know.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_navigen.artefacts import file_hash
from recbole_navigen.config.locate import BUNDLED, bundled_folder
from recbole_navigen.config.reading import properties_folders, read_yaml
from recbole_navigen.conversion.clocks import EARLIEST, PER_SECOND, guessed_unit
from recbole_navigen.data.order import exact_times, tied_last_rows
from recbole_navigen.data.reader import AtomicFile
from recbole_navigen.errors import InputError

# Columns that sum over all time, by name: they hold the test rows.
LEAKS = re.compile(
    r"(average|avg|mean)_?(rating|stars|score)s?|(rating|review|view|like|play|click|comment|share|favorite|download|"
    r"listen|sale)s?_?(number|count|num|cnt|total)|(num|count|number|total)_?(of_)?(rating|review|view|like|play|click|comment|"
    r"share|download|sale)s?|views|likes|popularity|sales_?rank",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:[a-z]{2,8}|#\d{2,5});|</?(?:br|b|i|p|span|div)\s*/?>", re.IGNORECASE)
LEAST = 3  # interactions of a user, for leave-one-out


@dataclass(slots=True)
class Findings:
    """The problems that a check of a data set has found, and what it counted.

    Attributes:
        folder: that was checked. facts: counts by name. faults, remarks: sentences.
    """

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def check(folder: str | Path) -> Findings:
    """Check a data set.

    Args:
        folder: with the files NAME.inter, NAME.item and NAME.user, of which some may be missing.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder.absolute()}; name the folder of the atomic files, dataset/NAME")
    name = _name(folder)
    result = Findings(folder)
    inter, item, user = (folder / f"{name}{suffix}" for suffix in (".inter", ".item", ".user"))
    if not inter.is_file() and name == BUNDLED:
        inter = bundled_folder() / f"{BUNDLED}.inter"
        result.remarks.append("the interactions are those of the installed recbole package")
    settings = _settings(name, result)
    used = _interactions(inter, result, settings)
    for path, key, of in ((item, settings.get("ITEM_ID_FIELD", "item_id"), "item"),) + (
        ((user, settings.get("USER_ID_FIELD", "user_id"), "user"),) if user.is_file() else ()
    ):
        _descriptions(path, key, of, used.get(of), result, settings)
    _hashes(folder, name, result)
    return result


def _name(folder: Path) -> str:
    names = {file.stem for file in folder.iterdir() if file.suffix in (".inter", ".item", ".user")}
    if folder.resolve().name in names:
        return folder.resolve().name
    if len(names) != 1:
        what = f"files of {', '.join(sorted(names))}" if names else "no .inter, .item or .user file"
        raise InputError(f"{folder.absolute()} holds {what}; it must hold NAME.inter, and be called NAME")
    return names.pop()


def _settings(name: str, result: Findings) -> dict[str, Any]:
    files = [path for folder in properties_folders() if (path := folder / "dataset" / f"{name}.yaml").is_file()]
    if not files:
        result.remarks.append(f"there is no properties/dataset/{name}.yaml here: it says which columns to load")
        return {}
    try:
        return read_yaml(files[-1])
    except InputError as error:
        result.faults.append(str(error))
        return {}


def _open(path: Path, result: Findings) -> AtomicFile | None:
    """The product's own reader; what it refuses is a fault."""
    try:
        return AtomicFile(path)
    except InputError as error:
        result.faults.append(str(error))
        return None


def _interactions(path: Path, result: Findings, settings: dict[str, Any]) -> dict[str, set[str]]:
    """Check `.inter`; returns the users and items in it."""
    names = [
        settings.get(key, default) for key, default in (("USER_ID_FIELD", "user_id"), ("ITEM_ID_FIELD", "item_id"))
    ]
    time = settings.get("TIME_FIELD", "timestamp")
    if (file := _open(path, result)) is None:
        return {}
    for name in (*names, time):
        if name not in file.header:
            result.faults.append(f"{path} has no column {name}; its columns are {', '.join(file.header)}")
    loaded = (settings.get("load_col") or {}).get("inter") or []
    for name in loaded if isinstance(loaded, list) else ():
        if name not in file.header and name not in (*names, time):
            result.faults.append(f"{path} has no column {name}, which load_col of its settings names")
    try:
        file.frame([name for name, kind in file.header.items() if kind == "float"])
    except InputError as error:
        result.faults.append(str(error))
    if not {*names} <= file.header.keys():
        return {}

    # Ids: missing, RecBole's own, or one id in two spellings.
    ids = file.texts(names)
    for of, name in zip(("user", "item"), names, strict=True):
        empty = ids[name] == ""
        if empty.any():
            result.faults.append(f"{path} line {ids.index[empty][0]}: {int(empty.sum()):,} rows have no {of}")
        if (ids[name] == "[PAD]").any():
            result.faults.append(f"{path} has the {of} [PAD], which is RecBole's own id")
        _spellings(path, of, ids[name], result)
    users, items = pd.factorize(ids[names[0]]), pd.factorize(ids[names[1]])
    counts = np.bincount(users[0])
    result.facts |= {"rows": len(ids), "users": len(users[1]), "items": len(items[1])}
    result.facts["interactions of a user"] = (
        f"{counts.mean():.1f} (median {np.median(counts):g}, most {counts.max():,})"
    )
    if short := int((counts < LEAST).sum()):
        words = f"{short:,} users have fewer than {LEAST} interactions"
        if settings.get("user_inter_num_interval"):
            result.remarks.append(f"{words}; user_inter_num_interval of the settings drops them")
        else:
            result.faults.append(
                f'{path}: {words}, too few for leave-one-out; set user_inter_num_interval: "[3,inf)" or remove them'
            )
    if time in file.header:
        _times(path, file, time, users[0], items[0], result)
    return {"user": set(users[1]), "item": set(items[1])}


def _spellings(path: Path, of: str, ids: pd.Series, result: Findings) -> None:
    different = pd.Series(ids.unique())
    bare = different.str.strip()
    blanks = different[(bare != different) & bare.isin(set(different))]
    if len(blanks):
        result.faults.append(
            f"{path} has the {of} {blanks.iloc[0]!r} beside {blanks.iloc[0].strip()!r}: blanks make two ids of one"
        )
    elif (bare != different).any():
        result.remarks.append(f"{int((bare != different).sum()):,} {of} ids have blanks at an end")


def _times(path: Path, file: AtomicFile, name: str, users: np.ndarray, items: np.ndarray, result: Findings) -> None:
    texts = file.texts([name])[name]
    empty = texts.str.strip() == ""
    if empty.any():
        result.faults.append(f"{path} line {texts.index[empty][0]}: {int(empty.sum()):,} rows have no {name}")
        return
    try:
        times = exact_times(file, file.frame([name])[name])
    except InputError as error:
        result.faults.append(str(error))
        return
    frame = pd.DataFrame({"user": users, "item": items, "time": times})
    copies = frame.duplicated()
    if copies.any():
        result.faults.append(
            f"{path} line {file.lines[int(np.flatnonzero(copies)[0])]}: {int(copies.sum()):,} rows repeat the "
            f"user, item and {name} of an earlier row; remove the copies"
        )
    repeats = int(frame.duplicated(["user", "item"]).sum())
    result.facts["repeats of a pair"] = f"{repeats:,} ({repeats / len(frame):.1%})"
    tied, everyone = tied_last_rows(users[order := np.argsort(times, kind="stable")], times[order])
    result.facts["users whose last two rows tie"] = f"{tied:,} of {everyone:,} ({tied / everyone:.1%})"

    # Times of two units in one column, or outside of our era.
    unit = guessed_unit(float(np.median(times)))
    result.facts["unit of the times"] = unit if unit in PER_SECOND else "plain numbers"
    if unit in PER_SECOND:
        units = {guessed_unit(float(value)) for value in np.quantile(times, [0.001, 0.999], method="nearest")}
        other = {guessed_unit(float(times.min())), guessed_unit(float(times.max()))} | units
        if len(other & PER_SECOND.keys()) > 1:
            result.faults.append(
                f"{path}: {name} is in {' and '.join(sorted(other & PER_SECOND.keys()))}; bring it to one unit"
            )
        early = int((times / PER_SECOND[unit] < EARLIEST).sum())
        late = int((times / PER_SECOND[unit] > pd.Timestamp.now(tz="UTC").timestamp() + 2 * 86400).sum())
        if early + late and len(other & PER_SECOND.keys()) <= 1:
            result.faults.append(f"{path}: {early + late:,} rows have a {name} before 1990 or after today")


def _descriptions(
    path: Path, key: str, of: str, used: set[str] | None, result: Findings, settings: dict[str, Any]
) -> None:
    """Check `.item` or `.user`."""
    if not path.is_file():
        result.remarks.append(f"there is no {path.name}: NaviGen's terms need text")
        return
    if (file := _open(path, result)) is None:
        return
    if key not in file.header:
        result.faults.append(f"{path} has no column {key}; its columns are {', '.join(file.header)}")
        return
    try:
        file.frame([name for name, kind in file.header.items() if kind == "float"])
    except InputError as error:
        result.faults.append(str(error))
    ids = file.texts([key])[key]
    _spellings(path, of, ids, result)
    if (empty := ids == "").any():
        result.faults.append(f"{path} line {ids.index[empty][0]}: {int(empty.sum()):,} rows have no {key}")
    twice = ids[ids.duplicated() & ~empty]
    if len(twice):
        result.faults.append(
            f"{path} line {twice.index[0]}: {len(twice):,} rows repeat an id, the first {twice.iloc[0]!r}"
        )
    if used is not None:
        absent = sorted(used - set(ids))
        if absent:
            result.faults.append(
                f"{path}: {len(absent):,} {of}s of the interactions have no row, the first {absent[0]!r}"
            )
        if unused := len(set(ids) - used):
            result.remarks.append(f"{unused:,} {of}s of {path.name} have no interaction")
    for name in file.header:
        if LEAKS.fullmatch(name):
            result.faults.append(f"{path}: column {name} sums over all time, so it holds the test rows; remove it")
    if of == "item":
        _texts(path, file, result, settings)


def _texts(path: Path, file: AtomicFile, result: Findings, settings: dict[str, Any]) -> None:
    wanted = settings.get("item_text_fields")
    wanted = (
        [wanted] if isinstance(wanted, str) else wanted or [n for n in file.header if n.endswith(("title", "name"))][:1]
    )
    for name in wanted:
        if name not in file.header:
            result.faults.append(f"{path} has no column {name}, which item_text_fields of its settings names")
            continue
        texts = file.texts([name])[name]
        empty = int((texts.str.strip() == "").sum())
        if empty == len(texts):
            result.faults.append(f"{path}: column {name} is empty in every row, and it is to give the items' text")
        elif empty:
            result.remarks.append(f"{empty:,} of {len(texts):,} items have no {name}")
        if odd := int(texts.str.contains(_ENTITY).sum()):
            result.remarks.append(f"{odd:,} cells of {name} hold entities or tags such as &amp; or <br>")
    if not wanted:
        result.remarks.append(f"{path.name} has no title: set item_text_fields")


def _hashes(folder: Path, name: str, result: Findings) -> None:
    """Whether the files are those that a conversion wrote."""
    path = folder / f"{name}.report.json"
    if not path.is_file():
        return
    try:
        outputs = json.loads(path.read_text(encoding="utf-8"))["outputs"]
    except (ValueError, KeyError, TypeError):
        result.faults.append(f"{path} is no report of a conversion")
        return
    for file, digest in outputs.items():
        if not (folder / file).is_file():
            result.faults.append(f"{folder / file} is missing; the report of the conversion names it")
        elif file_hash(folder / file) != digest:
            result.faults.append(
                f"{folder / file} was changed after its conversion; convert again, or delete {path.name}"
            )


def shown(findings: Findings) -> str:
    """Findings as text."""
    lines = [
        f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}" for name, value in findings.facts.items()
    ]
    lines += [f"fault: {fault}" for fault in dict.fromkeys(findings.faults)]
    lines += [f"remark: {remark}" for remark in findings.remarks]
    count = len(dict.fromkeys(findings.faults))
    verdict = "no fault" if not count else "1 fault" if count == 1 else f"{count} faults"
    lines.append(f"{findings.folder}: {verdict}")
    return "\n".join(lines)

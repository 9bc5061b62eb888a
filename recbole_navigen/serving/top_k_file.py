"""The best items of many users as one file: written batch by batch, so that a killed command goes on where it stood.

Beside FILE stands the folder FILE.parts, one Parquet file a batch, until all batches are there; then they become FILE.
"""

import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recbole_navigen.artefacts import plain, read_record, write_bytes, write_record
from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.leftovers import NEW, beside, remove_whole
from recbole_navigen.presentation.tables import csv_text

FORMATS = (".parquet", ".csv", ".jsonl")
MADE_OF = "made_of.json"  # in the folder of parts


def refuse_format(output: str | Path) -> Path:
    """The path of the file to be, if its ending is one of `FORMATS`."""
    output = Path(output)
    if output.suffix not in FORMATS or output.is_dir():
        raise InputError(f"output={output} must be a file that ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}.")
    return output


def write_top_k(
    output: Path,
    made_of: dict[str, Any],
    batches: Sequence[Sequence[str]],
    rows_of: Callable[[Sequence[str]], list[dict[str, Any]]],
    done: Callable[[int], None],
) -> None:
    """Compute what is missing and write the file, all or nothing.

    Args:
        output: the file. made_of: what decides its content; parts that were made of something else begin anew.
        batches: users. rows_of: the lines of a batch. done: called with the users of each batch that is there.
    """
    parts = output.with_name(f"{output.name}.parts")
    if not _go_on(parts, made_of):
        remove_whole(parts)
        parts.mkdir(parents=True)
        write_record(parts / MADE_OF, made_of)
    files = [parts / f"{number:06d}.parquet" for number in range(len(batches))]
    for file, users in zip(files, batches, strict=True):
        if not file.is_file():
            memory = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows_of(users)), memory)
            write_bytes(file, memory.getvalue())
        done(len(users))
    temporary = beside(output, NEW)
    try:
        _join(files, temporary, output.suffix)
        os.replace(temporary, output)
    finally:
        temporary.unlink(missing_ok=True)
    remove_whole(parts)


def _go_on(parts: Path, made_of: dict[str, Any]) -> bool:
    try:
        return read_record(parts / MADE_OF) == plain(made_of)
    except (FileNotFoundError, NotADirectoryError, DamagedArtefact):
        return False


def _join(files: Sequence[Path], path: Path, ending: str) -> None:
    """All parts, one after the other, in the format of the ending."""
    tables = (pq.read_table(file) for file in files)
    if ending == ".parquet":
        first = next(tables)
        with pq.ParquetWriter(path, first.schema) as writer:
            writer.write_table(first)
            for table in tables:
                writer.write_table(table)
        return
    with open(path, "x", encoding="utf-8", newline="") as file:
        for number, table in enumerate(tables):
            if ending == ".csv":
                text = csv_text(table.column_names, table.to_pylist())
                file.write(text if number == 0 else text.partition("\n")[2])
            else:
                file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in table.to_pylist())

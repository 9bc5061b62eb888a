"""One conversion from downloaded files to a data set that the product runs on."""

import contextlib
import gc
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from recbole_navigen.artefacts import atomic_directory, file_hash, write_bytes, write_json
from recbole_navigen.conversion import report as reports
from recbole_navigen.conversion.archives import find_files
from recbole_navigen.conversion.atomic_files import refuse_existing, settings, write_interactions
from recbole_navigen.conversion.describe import describe, header, writer
from recbole_navigen.conversion.formats import TABLES, format_of
from recbole_navigen.conversion.ids import is_escaped
from recbole_navigen.conversion.ingest import Assignment, Ingest, assign, described, open_all
from recbole_navigen.conversion.options import Options
from recbole_navigen.conversion.own_table import table_format
from recbole_navigen.conversion.reduce import Reduced, Step, reduce
from recbole_navigen.conversion.spec import Format, Interactions


def convert(
    name: str, sources: Sequence[str | Path], options: Options, command: str | None = None, show_progress: bool = True
) -> dict[str, Any]:
    """Convert a download into atomic files, `properties/dataset/NAME.yaml` and a report.

    Args:
        name: of the format, or csv, tsv, jsonl, parquet for any table. sources: files, archives or folders.
        options: what is asked for. command: that a report shows. show_progress: a bar over bytes, on a terminal.

    Returns:
        The report. Its files lie in `OUTPUT/NAME`.
    """
    start = time.perf_counter()
    folder = Path(options.output).expanduser() / options.name
    yaml = Path("properties") / "dataset" / f"{options.name}.yaml"
    refuse_existing(folder, yaml, options.name, options.overwrite)

    # 1. Which file is what.
    files = find_files(sources)
    items = find_files([options.columns.items]) if options.columns.items else []
    entry = table_format(name, options, files, items) if name in TABLES else format_of(name)
    assignments, left_out = assign([*files, *items], entry)
    command = command or shlex.join(["navigen-convert", name, *map(str, sources), f"--name={options.name}"])

    with _progress(open_all(assignments), show_progress) as bar, _temporary(options) as temporary, _no_collector():
        # 2. Read, and reduce.
        ingest = Ingest(options, temporary)
        bar("reading interactions", 0)
        ingest.read(entry, assignments, lambda count: bar(None, count))
        bar("sorting and reducing", 0)
        reduced = reduce(ingest, options, options.repeats or entry.repeats, temporary)

        # 3. Write.
        with atomic_directory(folder) as output:
            written = _write(output, entry, assignments, ingest, reduced, options, bar)
            hashes = {file.name: file_hash(file) for file in sorted(output.iterdir())}
            sources_read = {str(path): file_hash(path) for path in dict.fromkeys(one.file.path for one in assignments)}
            report = _report(entry, assignments, left_out, ingest, reduced, written, options, command)
            report |= {
                "outputs": hashes,
                "sources": sources_read,
                "versions": reports.versions(),
                "seconds": round(time.perf_counter() - start, 2),
                "peak_memory_mib": round(reports.peak_memory() / 2**20, 1),
            }
            write_json(output / f"{options.name}.report.json", report)
            (output / f"{options.name}.report.md").write_text(reports.markdown(report), encoding="utf-8")
            (output / f"{options.name}.report.tex").write_text(report["latex"], encoding="utf-8")
        value = entry.value if ingest.has_value else None
        text = settings(entry.title, reduced, value, written["fields"], command)
        write_bytes(yaml, text.encode())
    return report


@contextlib.contextmanager
def _progress(total: int, show: bool) -> Iterator[Callable[[str | None, int], None]]:
    """A bar over compressed bytes that says what is being done; nothing where nobody looks."""
    with tqdm(total=total, unit="B", unit_scale=True, disable=None if show else True, ncols=100) as bar:

        def step(doing: str | None, count: int) -> None:
            if doing:
                bar.set_description(doing)
            bar.update(count)

        yield step


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Rows are many small objects without circles: looking for circles among them costs a quarter of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def _temporary(options: Options) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="navigen-convert-", dir=options.temp_dir) as folder:
        yield Path(folder)


def _write(
    output: Path,
    entry: Format,
    assignments: Sequence[Assignment],
    ingest: Ingest,
    reduced: Reduced,
    options: Options,
    bar: Callable[[str | None, int], None],
) -> dict[str, Any]:
    """Write `.inter`, `.item` and `.user`; what is left to say about them."""
    split = _split_files(assignments)
    bar("writing interactions", 0)
    statistics = write_interactions(
        output / f"{options.name}.inter",
        reduced,
        ingest.times,
        ingest.values,
        entry.value if ingest.has_value else None,
        repeats=(options.repeats or entry.repeats) == "all",
        targets=bool(split),
    )
    result: dict[str, Any] = {"statistics": statistics, "fields": []}
    for of, suffix, texts, counts in (
        ("items", "item", reduced.items, reduced.item_counts),
        ("users", "user", reduced.users, reduced.user_counts),
    ):
        parts = described(assignments, of)
        if not parts:
            continue
        bar(f"reading {of}", 0)
        fields = list({one.name: one for _, part in parts for one in part.fields}.values())
        with open(output / f"{options.name}.{suffix}", "w", encoding="utf-8", newline="\n") as file:
            file.write(header(f"{of[:-1]}_id", fields))
            write = writer(file, fields)
            result[of] = describe(parts, texts, counts > 0, options, write, lambda count: bar(None, count))
        if of == "items":
            result["fields"] = fields
    if split:
        bar("comparing with the split", 0)
        result["same_targets"] = _same_targets(split, reduced, statistics.targets, options)
    return result


def _split_files(assignments: Sequence[Assignment]) -> list[Assignment]:
    """Files of a split's validation and test rows, where there are both."""
    places = {
        place: [one for one in assignments if isinstance(one.part, Interactions) and one.part.place == place]
        for place in (1, 2)
    }
    return [*places[1], *places[2]] if all(places.values()) else []


def _same_targets(split: Sequence[Assignment], reduced: Reduced, targets: np.ndarray, options: Options) -> bool | None:
    """Whether a split's validation and test rows are each user's last two; None where it leaves out more than one."""
    from recbole_navigen.conversion.layouts import Reading

    ranks = {reduced.users[rank]: rank for rank in np.flatnonzero(reduced.user_counts).tolist()}
    seen: set[tuple[int, str]] = set()
    same = True
    for one in split:
        part = one.part
        with one.file.open() as stream:
            reading = Reading(one.file.label, one.encoding, options.bad_lines == "refuse", block=options.block)
            for batch in part.layout.read(stream, reading, [part.user, part.item]):
                for user, item in zip(batch.columns[part.user], batch.columns[part.item], strict=True):
                    rank = ranks.get(options.id_text(user))
                    if rank is None:
                        continue
                    if (part.place, user) in seen:
                        return None
                    seen.add((part.place, user))
                    target = int(targets[rank, part.place - 1])
                    same &= target >= 0 and reduced.items[target] == options.id_text(item)
    return bool(same)


def _report(
    entry: Format,
    assignments: Sequence[Assignment],
    left_out: Sequence[str],
    ingest: Ingest,
    reduced: Reduced,
    written: dict[str, Any],
    options: Options,
    command: str,
) -> dict[str, Any]:
    """Everything that is known of a conversion but its files and seconds."""
    facts = reports.facts(reduced, written["statistics"], ingest.unit)
    counts = {
        name: int(ingest.counts[name]) for name in ("rows_read", "rows_bad", "rows_without_user", "rows_without_item")
    }
    layout_counts = {n: int(c) for n, c in ingest.counts.items() if n not in counts and n != "exact_duplicates"}
    reduced.counts["exact_duplicates"] += int(ingest.counts["exact_duplicates"])
    of_user, of_item = options.least
    encodings = sorted({one.encoding for one in assignments})
    report: dict[str, Any] = {
        "name": options.name,
        "format": entry.name,
        "title": entry.title,
        "command": command,
        **counts,
        "first_bad_line": ingest.first_bad,
        **reduced.counts,
        **layout_counts,
        "core": options.core if options.core else {"users": of_user, "items": of_item} if of_user or of_item else None,
        "core_rule": options.core_rule,
        **facts,
        "ids_escaped": _escapes(reduced) if options.escape_ids else 0,
        "encoding": next((name for name in encodings if name != "utf-8"), "utf-8"),
        "repeats": options.repeats or entry.repeats,
    }
    notes = list(entry.notes)
    if "items" in written:
        description = written["items"]
        report |= {
            "items_without_metadata": description.counts["without_metadata"],
            "items_unused": description.counts["unused"],
            "attribute_conflicts": description.counts["conflicts"],
            "item_rows_bad": description.counts["rows_bad"],
            "item_rows_without_id": description.counts["rows_without_id"],
        }
        if any(one.name == "title" for one in description.fields):
            titled = facts["items"] - description.counts["without_title"]
            report |= {
                "items_without_title": description.counts["without_title"],
                "titles_shared_by_several_items": description.counts["titles_shared"],
                "title_words_mean": round(description.words / titled, 2) if titled else None,
            }
        else:
            notes.append("there is no title: NaviGen's terms need text, so add a title column to the .item file")
    else:
        notes.append("there is no .item file: NaviGen's terms need text; add one with a title for every item")
    if "same_targets" in written:
        report["same_targets_as_split"] = written["same_targets"]
    if ingest.unit == "position":
        notes.append("the source has no times: the timestamp is the position in the user's rows")
    elif facts["time_unit"] == "number":
        notes.append("the times are no Unix times; they are used as plain numbers")
    if facts["users_with_fewer_than_3"]:
        notes.append(
            f"{facts['users_with_fewer_than_3']} users have fewer than 3 interactions and are dropped at loading by "
            "user_inter_num_interval; --user_core=3 or --core=5 leaves them out of the files"
        )
    report["columns_left_out"] = list(entry.left_out)
    report["files_left_out"] = list(left_out)
    report["notes"] = notes
    report["steps"] = reports.lost([Step("read", counts["rows_read"], 0, 0), *reduced.steps])
    report["steps"][0] |= {"users": reduced.steps[0].users, "items": reduced.steps[0].items}
    for name in ("users_lost", "items_lost"):
        report["steps"][1][name] = 0
    report["published"] = reports.size_against(entry.sizes, facts, [one.file.label for one in assignments])
    report["latex"] = reports.latex(facts, options.name)
    return report


def _escapes(reduced: Reduced) -> int:
    pairs = ((reduced.users, reduced.user_counts), (reduced.items, reduced.item_counts))
    return sum(is_escaped(texts[rank]) for texts, counts in pairs for rank in np.flatnonzero(counts).tolist())


def next_command(options: Options) -> str:
    """Return the command that trains on a converted data set."""
    command = ["python", "run_navigen.py", f"--dataset={options.name}"]
    if Path(options.output) != Path("dataset"):
        command.append(f"--data_path={options.output}")
    return shlex.join(command)

"""The command `navigen-convert` (`python run_convert.py`). It imports the standard library alone before it works."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recbole_navigen.cli.command_line import CommandLine
from recbole_navigen.cli.shared import bare_command_line, command, refuse_torchrun
from recbole_navigen.errors import InputError
from recbole_navigen.visible import visible

EPILOG = """\
  %(prog)s amazon2023 Video_Games.jsonl.gz meta_Video_Games.jsonl.gz --name=games --core=5
  %(prog)s ml-1m ml-1m.zip --name=ml-1m                 (plain, gz, bz2, xz, zst, zip, tar or a folder; nothing is
  unpacked by hand)
  %(prog)s csv clicks.csv --user=uid --item=sku --time=ts --items=products.csv --title=name --name=mine
  %(prog)s --list                                       all formats
  %(prog)s --show steam                                 files, traps, published sizes and a command of one
  %(prog)s --check dataset/NAME                         what is wrong with atomic files that exist
It writes dataset/NAME/NAME.inter, .item, .user and a report, and properties/dataset/NAME.yaml; the last line printed
is the next command. Ids are copied as text. See docs/howto/convert.md.
"""
# Option -> type and help; all take one value.
_OPTIONS: dict[str, tuple[type, str]] = {
    "name": (str, "of the data set that is written"),
    "output": (str, "folder of data sets (default: dataset)"),
    "core": (int, "keep users and items with K rows at least, until nothing changes"),
    "user_core": (int, "the same of users only, or other than --core"),
    "item_core": (int, "the same of items only, or other than --core"),
    "core_rule": (str, "iterative (default), or once: count on the rows as read, as SASRec's script does"),
    "min_rating": (float, "keep rows rated so at least"),
    "repeats": (str, "first, last or all rows of a user and an item (default: first of reviews, all of logs)"),
    "events": (str, "events to keep, with commas: buy,click"),
    "users": (int, "draw N users, before the core"),
    "seed": (int, "of the draw (default: 2020)"),
    "last": (int, "keep the last N rows of each user, after the core"),
    "bad_lines": (str, "refuse (default), or skip and count lines that cannot be meant"),
    "missing_times": (str, "drop (default) and count rows without time, or refuse"),
    "order": (str, "file: take the order of the file, for data without times"),
    "memory": (str, "bound of memory for ids, sorting and items (default: 1GB); the rest goes to temporary files"),
    "temp_dir": (str, "folder of the temporary files, 30 bytes a row (default: that of the system)"),
}
_COLUMNS: dict[str, tuple[type, str]] = {
    "user": (str, "column of the user"),
    "item": (str, "column of the item"),
    "time": (str, "column of the time: numbers as they are, or dates in ISO form, UTC where no zone is named"),
    "time_format": (str, "of other dates, in the letters of strptime: %%d.%%m.%%Y"),
    "rating": (str, "column of a rating"),
    "event": (str, "column of the event, for --events"),
    "items": (str, "file that describes the items"),
    "item_key": (str, "its column of the item (default: as --item)"),
    "title": (str, "its column of the title"),
    "item_columns": (str, "more columns of it, with commas: brand,tags:| (a list is cut at what follows the colon)"),
    "separator": (str, "between columns: `,`, `;`, tab, ... (default: what fits the header)"),
}


def convert_parser() -> CommandLine:
    """Return the parser of `navigen-convert`."""
    commands = bare_command_line(
        "run_convert",
        "%(prog)s [-h] FORMAT SOURCE ... --name=NAME [--option=value ...]",
        "Turn a downloaded data set into atomic files that NaviGen and RecBole read.",
        EPILOG,
    )
    commands.add_argument(
        "format", nargs="?", metavar="FORMAT", help="of the data set, or csv, tsv, jsonl, parquet for any table"
    )
    commands.add_argument("sources", nargs="*", metavar="SOURCE", help="files, archives or folders, as downloaded")
    commands.add_argument("--list", action="store_true", help="show all formats")
    commands.add_argument("--show", metavar="FORMAT", help="show what is known of a format")
    commands.add_argument("--check", metavar="FOLDER", help="check atomic files that exist, and count")
    for name, (kind, text) in _OPTIONS.items():
        commands.add_argument(f"--{name}", type=kind, metavar=kind.__name__[0].upper(), help=text)
    commands.add_argument("--overwrite", action="store_true", help="write over an earlier conversion of the same name")
    commands.add_argument(
        "--escape_ids",
        action="store_true",
        help="put _ before ids that RecBole's own reader takes for missing (null, NA)",
    )
    tables = commands.add_argument_group("any table")
    for name, (kind, text) in _COLUMNS.items():
        tables.add_argument(f"--{name}", type=kind, metavar="COLUMN" if text.startswith("column") else "X", help=text)
    tables.add_argument("--no_header", action="store_true", help="columns have no names: 1 is the first")
    return commands


@command
def convert(argv: Sequence[str] | None = None) -> int:
    """Run `navigen-convert`; 1 where `--check` found a fault."""
    arguments, unknown = convert_parser().split(argv)
    refuse_torchrun("run_convert.py")
    if unknown:
        raise InputError(_unknown(unknown[0]))
    if arguments.list or arguments.show:
        print(_list() if arguments.list else _show(arguments.show))
        return 0
    if arguments.check:
        from recbole_navigen.conversion.audit import check, shown

        found = check(arguments.check)
        print(visible_lines(shown(found)))
        return int(bool(found.faults))
    return _convert(arguments, sys.argv[1:] if argv is None else argv)


def _unknown(argument: str) -> str:
    import difflib

    name = argument.partition("=")[0].removeprefix("--")
    near = difflib.get_close_matches(
        name, [*_OPTIONS, *_COLUMNS, "overwrite", "list", "show", "check"], n=1, cutoff=0.5
    )
    hint = f"; nearest: --{near[0]}" if near else ""
    return f"unknown option --{name}{hint}; see run_convert --help"


def _convert(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    from recbole_navigen.conversion.formats import TABLES, format_of
    from recbole_navigen.conversion.options import Columns, Options, bytes_of

    if not arguments.format:
        raise InputError("name a format and the files, such as ml-1m ml-1m.zip --name=ml-1m; --list shows all formats")
    if not arguments.sources:
        raise InputError(f"name the files, archives or folders of {arguments.format}; see run_convert --show FORMAT")
    if not arguments.name:
        raise InputError("--name=NAME is missing: it names the data set that is written")
    if arguments.format not in TABLES:
        format_of(arguments.format)
        for name in (*_COLUMNS, "no_header"):
            if getattr(arguments, name):
                raise InputError(
                    f"--{name} is for tables (csv, tsv, jsonl, parquet); {arguments.format} has its own columns"
                )
    values: dict[str, Any] = {
        name: value
        for name in (*_OPTIONS, "overwrite", "escape_ids", "time_format")
        if (value := getattr(arguments, name)) is not None
    }
    if arguments.events is not None:
        values["events"] = _split(arguments.events)
    if arguments.memory is not None:
        values["memory"] = bytes_of(arguments.memory)
    values["columns"] = Columns(
        **{
            name: getattr(arguments, name)
            for name in ("user", "item", "time", "rating", "event", "items", "title", "separator")
        },
        key=arguments.item_key,
        others=_split(arguments.item_columns or ""),
        header=not arguments.no_header,
    )
    options = Options(**values)

    from recbole_navigen.conversion.convert_source import convert as run
    from recbole_navigen.conversion.convert_source import next_command

    report = run(arguments.format, arguments.sources, options, shlex.join(["navigen-convert", *argv]))
    print(visible_lines(_summary(report, Path(options.output) / options.name)))
    print(next_command(options))
    return 0


def _split(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def visible_lines(text: str) -> str:
    """A text of several lines without what steers a terminal."""
    return "\n".join(map(visible, text.split("\n")))


def _summary(report: dict[str, Any], folder: Path) -> str:
    lines = [f"{'step':<34} {'rows':>13} {'users':>11} {'items':>11}"]
    lines += [f"{s['step']:<34} {s['rows']:>13,} {s['users']:>11,} {s['items']:>11,}" for s in report["steps"]]
    tied = report["users_last_two_tied"]
    lines.append(
        f"{tied:,} of {report['users']:,} users' last two rows tie in time; the order of the file decides there"
    )
    if report["rows_bad"]:
        lines.append(f"{report['rows_bad']:,} bad lines left out, the first: {report['first_bad_line']}")
    if report.get("items_without_title"):
        lines.append(f"{report['items_without_title']:,} of {report['items']:,} items have no title")
    if report["columns_left_out"]:
        lines.append(
            f"columns left out, since they sum over all time or are not needed: {', '.join(report['columns_left_out'])}"
        )
    for entry in report["published"][:1]:
        met = (
            "as published"
            if entry["met"]
            else f"differs from the published size by up to {entry['largest_difference']:.1%}"
        )
        lines.append(f"size: {met} ({entry['of']})")
    lines += [f"note: {note}" for note in report["notes"]]
    lines.append(
        f"{folder}: written in {report['seconds']:.1f} s, {report['peak_memory_mib']:.0f} MiB; "
        f"{report['name']}.report.md says more"
    )
    return "\n".join(lines)


def _list() -> str:
    from recbole_navigen.conversion.formats import FORMATS, TABLES

    lines = [f"{entry.name:<16} {entry.title}" for entry in FORMATS.values()]
    lines.append(f"{', '.join(TABLES)}: any table; name its columns with --user, --item, --time")
    return "\n".join(lines)


def _show(name: str) -> str:
    from recbole_navigen.conversion.formats import format_of
    from recbole_navigen.conversion.spec import Interactions, shown

    entry = format_of(name)
    lines = [f"{entry.name}: {entry.title}", f"got at: {entry.download.get}", "files:"]
    for part in entry.parts:
        if isinstance(part, Interactions):
            columns = [part.user, part.item, part.time, part.value, part.event]
            kind = f"interactions from {', '.join(filter(None, columns))}"
            if part.events:
                kind += f"; events {', '.join(part.events)}"
        else:
            kind = f"{part.of} from {part.key}: {', '.join(f'{one.name}:{one.kind}' for one in part.fields)}"
        lines.append(f"  {shown(part.files)}: {kind}")
    lines.append(f"of several rows of a user and an item: {entry.repeats}")
    if entry.left_out:
        lines.append(f"never written: {', '.join(entry.left_out)}")
    lines += ["traps:", *(f"  {trap}" for trap in entry.traps)]
    for rule, (users, items, rows) in entry.sizes.items():
        numbers = ", ".join(f"{n:,} {what}" for n, what in ((users, "users"), (items, "items"), (rows, "rows")) if n)
        lines.append(f"published size ({rule}): {numbers}")
    lines.append(entry.download.example)
    return "\n".join(lines)

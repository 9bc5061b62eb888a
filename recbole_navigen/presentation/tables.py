"""Tables of a comparison: one object, and one short function for each form in which it is shown.

A `Cell` holds its text ready-made, so that all forms show the same digits; the forms only add what bold, small print
and escapes look like in them.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.table import Table as TerminalTable
from rich.text import Text

from recbole_navigen.evaluation.statistics import Interval
from recbole_navigen.redaction import hide, without_secrets
from recbole_navigen.visible import visible

_LATEX = {
    "\\": r"\textbackslash{}",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
_MARKDOWN = {"&": "&amp;", **{character: f"\\{character}" for character in "\\|*_`<>[]~$"}}
# Spreadsheets take a text that begins so for a formula; an apostrophe before it makes it text again.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of a table.

    Attributes:
        text: what it says.
        aside: what stands smaller beside it, such as an interval.
        mark: a sign that a note below the table explains.
        best: whether it is the best of its column.
        numbers: the same as numbers, for CSV: ending of the column's name -> value.
    """

    text: str
    aside: str = ""
    mark: str = ""
    best: bool = False
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under named columns; the first column names the rows.

    Attributes:
        title: one line above it.
        key: a short name of what it shows, in the first column of CSV.
        columns: their names.
        rows: as many cells each as there are columns.
        notes: sentences below it.
    """

    title: str
    key: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def interval_cell(interval: Interval, best: bool = False, digits: int = 4) -> Cell:
    """A mean with its interval beside it; a dash where there is none."""
    if not np.isfinite(interval.mean):
        return Cell("-")
    numbers = {"": interval.mean, " low": interval.low, " high": interval.high}
    aside = f"[{interval.low:.{digits}f}, {interval.high:.{digits}f}]" if np.isfinite(interval.low) else ""
    return Cell(f"{interval.mean:.{digits}f}", aside, best=best, numbers=numbers)


def to_terminal(tables: Sequence[Table]) -> list[TerminalTable | Text]:
    """Turn tables into what rich prints: the tables, then all their notes."""
    printed: list[TerminalTable | Text] = []
    for table in tables:
        shown = TerminalTable(title=Text(_seen(table.title)), title_justify="left")
        for number, column in enumerate(table.columns):
            shown.add_column(Text(_seen(column)), justify="right" if number else "left")
        for row in table.rows:
            parts = ((cell, "bold" if cell.best else "", _before("\n", _seen(cell.aside))) for cell in row)
            shown.add_row(
                *(Text.assemble((_seen(cell.text), style), cell.mark, (aside, "dim")) for cell, style, aside in parts)
            )
        printed.append(shown)
    notes = dict.fromkeys(_seen(note) for table in tables for note in table.notes)
    return [*printed, Text("\n".join(notes) + "\n", style="dim")]


def prints(state: str | None) -> bool:
    """Whether the setting `state` leaves room for tables on the terminal: WARNING and above silence them."""
    return state in (None, "DEBUG", "INFO")


def to_markdown(tables: Sequence[Table]) -> str:
    """GitHub's tables, one section each."""
    lines = []
    for table in tables:
        lines += [f"## {_escaped(table.title, _MARKDOWN)}", ""]
        lines += [_markdown_row(_escaped(column, _MARKDOWN) for column in table.columns)]
        lines += [_markdown_row("---:" if number else "---" for number in range(len(table.columns)))]
        for row in table.rows:
            parts = ((cell, _escaped(cell.text, _MARKDOWN), _escaped(cell.aside, _MARKDOWN)) for cell in row)
            lines += [
                _markdown_row(
                    (f"**{text}**" if cell.best else text) + cell.mark + _before(" ", aside)
                    for cell, text, aside in parts
                )
            ]
        lines += ["", *(f"{_escaped(note, _MARKDOWN)}  " for note in table.notes), ""]
    return "\n".join(lines)


def to_latex(tables: Sequence[Table]) -> str:
    """Tables for the package booktabs, everything escaped."""
    lines = [r"% \usepackage{booktabs}"]
    for table in tables:
        lines += [r"\begin{table*}", r"\centering", rf"\caption{{{_escaped(table.title, _LATEX)}}}"]
        lines += [rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}", r"\toprule"]
        lines += [_latex_line(_escaped(column, _LATEX) for column in table.columns), r"\midrule"]
        for row in table.rows:
            parts = ((cell, *(_escaped(part, _LATEX) for part in (cell.text, cell.mark, cell.aside))) for cell in row)
            cells = (
                (rf"\textbf{{{text}}}" if cell.best else text) + mark + (rf" {{\scriptsize {aside}}}" if aside else "")
                for cell, text, mark, aside in parts
            )
            lines += [_latex_line(cells)]
        lines += [r"\bottomrule", r"\end{tabular}", "", r"\smallskip\footnotesize"]
        lines += [_latex_line([_escaped(note, _LATEX)]) for note in table.notes]
        lines += [r"\end{table*}", ""]
    return "\n".join(lines)


def to_csv(tables: Sequence[Table]) -> str:
    """One line a key and row name, with the numbers of all tables of that key side by side; no digits are lost."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for table in tables:
        for name, *cells in table.rows:
            line = lines.setdefault((table.key, name.text), {"ranked": table.key, table.columns[0]: name.text})
            for column, cell in zip(table.columns[1:], cells, strict=True):
                line.update({f"{column}{ending}": value for ending, value in cell.numbers.items()})
    columns = dict.fromkeys(column for line in lines.values() for column in line)
    return csv_text(list(columns), list(lines.values()))


def csv_text(columns: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> str:
    """The only way in which a CSV file is written: numbers with all their digits, and texts that no spreadsheet
    executes, without secrets.

    Args:
        columns: names, in order. lines: column -> value; what a line does not have is left empty.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([_csv_cell(column) for column in columns])
    # A column's name is a setting's name unless it is in words.
    names = {column: "" if " " in column else column for column in columns}
    for line in lines:
        writer.writerow([_csv_cell(without_secrets(line.get(column), name)) for column, name in names.items()])
    return file.getvalue()


def _csv_cell(value: object) -> Any:
    """A value as it stands, but for a text that begins as a formula does: it gets an apostrophe. A text that is a
    number, such as -0.5, is none.
    """
    if not isinstance(value, str):
        return value
    text = value.lstrip(" ")
    try:
        float(text)
    except ValueError:
        pass
    else:
        if text.isprintable():
            return value
    if text.startswith(_FORMULA):
        value = f"'{value}"
    # A lone carriage return ends a line for many readers, and the csv module does not quote it.
    return value.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _escaped(text: str, escapes: Mapping[str, str]) -> str:
    return "".join(escapes.get(character, character) for character in _seen(text))


def _seen(text: str) -> str:
    return visible(hide(text))


def _before(separator: str, text: str) -> str:
    return separator + text if text else ""


def _latex_line(cells: Iterable[str]) -> str:
    r"""A line of a table, or of text. The {} stands before it and not behind: \\ and \midrule would take a bracket that
    comes next as their argument, and a {} behind the last \\ would open a cell before \bottomrule.
    """
    return f"{{}}{' & '.join(cells)} \\\\"


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def shown_name(metric: str) -> str:
    """Return the name of a metric as tables write it: NDCG@10, Recall@10."""
    name, _, k = metric.partition("@")
    return f"{name.upper() if name in ('ndcg', 'mrr', 'map') else name.capitalize()}@{k}"

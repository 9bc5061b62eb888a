"""Results that a notebook shows as tables."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from recbole_navigen.presentation.tables import Table
from recbole_navigen.redaction import hide
from recbole_navigen.visible import visible


class HtmlResult(dict):
    """A dictionary of results, which is what it is everywhere but in a notebook, that shows tables."""

    def __init__(self, values: Mapping[str, Any], tables: Sequence[Table]):
        super().__init__(values)
        self._tables = tuple(tables)

    def _repr_html_(self) -> str:
        return to_fragment(self._tables)


def to_fragment(tables: Sequence[Table]) -> str:
    """Tables as HTML for a cell of a notebook, in its own fonts and colours."""
    parts = []
    for table in tables:
        head = "".join(f"<th>{_shown(column)}</th>" for column in table.columns)
        rows = []
        for row in table.rows:
            cells = []
            for cell in row:
                text = f"<b>{_shown(cell.text)}</b>" if cell.best else _shown(cell.text)
                aside = f" <small>{_shown(cell.aside)}</small>" if cell.aside else ""
                cells.append(f"<td>{text}{_shown(cell.mark)}{aside}</td>")
            rows.append(f"<tr>{''.join(cells)}</tr>")
        notes = "".join(f"<br><small>{_shown(note)}</small>" for note in table.notes)
        parts.append(
            f"<table><caption>{_shown(table.title)}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(rows)}</tbody></table>{notes}"
        )
    return "\n".join(parts)


def _shown(text: str) -> str:
    return escape(visible(hide(text)))

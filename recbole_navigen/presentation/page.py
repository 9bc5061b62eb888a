"""A comparison, or what a generation made, as one HTML page that needs nothing beside itself."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recbole_navigen.presentation.plots import Plot
from recbole_navigen.presentation.tables import Table
from recbole_navigen.redaction import hide

SENTENCE = 40  # characters; no number is longer


def to_html(
    title: str,
    facts: Mapping[str, str],
    tables: Sequence[Table],
    plots: Sequence[Plot],
    cards: Sequence[Any] = (),
    folded: tuple[Sequence[Table], Sequence[Plot]] = ((), ()),
) -> str:
    """Fill the template `page.html`.

    Args:
        title: of the page.
        facts: name -> value, shown below the title.
        tables: in their order.
        plots: shown after the tables.
        cards: `generation.page.UserCard`s, shown before the tables.
        folded: tables and plots at the end that are shown when they are asked for.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # An image as an address that holds the image.
    environment.filters["data_url"] = lambda svg: f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
    environment.globals["worded"] = _worded
    return environment.get_template("page.html").render(
        title=title, facts=facts, tables=tables, plots=plots, cards=cards, folded=folded
    )


def _shown(value: object) -> Any:
    """A value as the page shows it: a text without its secrets. Pictures, and what the template made itself, stay."""
    plain = isinstance(value, str) and not hasattr(value, "__html__") and not value.startswith("data:")
    return hide(value) if plain else value


def _worded(table: Table, column: int) -> bool:
    """Whether a column holds sentences rather than numbers: it is set to the left, and its lines may break."""
    return column > 0 and any(len(row[column].text) > SENTENCE for row in table.rows)

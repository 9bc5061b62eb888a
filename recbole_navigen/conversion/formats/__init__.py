"""All formats, in one explicit table."""

import difflib

from recbole_navigen.config.downloads import DOWNLOADS, name_of
from recbole_navigen.conversion.formats.logs import LOGS
from recbole_navigen.conversion.formats.media import MEDIA
from recbole_navigen.conversion.formats.movies import MOVIES
from recbole_navigen.conversion.formats.navigen_release import RELEASED
from recbole_navigen.conversion.formats.reviews import REVIEWS
from recbole_navigen.conversion.formats.shopping import SHOPPING
from recbole_navigen.conversion.spec import Format
from recbole_navigen.errors import InputError

FORMATS: dict[str, Format] = {entry.name: entry for entry in (*REVIEWS, *MOVIES, *MEDIA, *SHOPPING, *LOGS, *RELEASED)}
TABLES = ("csv", "tsv", "jsonl", "parquet")  # any table, whose columns the command names


def format_of(name: str) -> Format:
    """The format of a name or alias; an unknown one is refused with the nearest names."""
    if known := name_of(name):
        return FORMATS[known]
    names = [*FORMATS, *TABLES, *(alias for entry in DOWNLOADS.values() for alias in entry.aliases)]
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.4)
    hint = f"; nearest: {', '.join(near)}" if near else ""
    raise InputError(f"unknown format `{name}`{hint}; navigen-convert --list shows all of them")

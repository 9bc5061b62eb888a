"""How the files of data sets are laid out, and their records read as columns, a batch at a time.

A layout knows nothing of users and items: it turns lines into named values, refuses lines that it cannot mean, and
counts records. What the values are for, a part of a format says (spec.py).
"""

from recbole_navigen.conversion.layouts.base import BLOCK, Batch, Layout, Reading
from recbole_navigen.conversion.layouts.delimited import Delimited
from recbole_navigen.conversion.layouts.objects import Json, Literal, literal
from recbole_navigen.conversion.layouts.special import Actions, Impressions, Netflix, Paragraphs, Parquet, Timelines

__all__ = [
    "BLOCK",
    "Actions",
    "Batch",
    "Delimited",
    "Impressions",
    "Json",
    "Layout",
    "Literal",
    "Netflix",
    "Paragraphs",
    "Parquet",
    "Reading",
    "Timelines",
    "literal",
]

"""What a format is: its files, the columns that hold user, item and time, the fields of its items, and its traps.

Everything that the converter does differently for two data sets is said in such a declaration (formats/).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from recbole_navigen.config.downloads import DOWNLOADS, Download
from recbole_navigen.conversion.layouts import Layout

Cell = Callable[..., str]  # what makes the text of a cell from values of the source


@dataclass(frozen=True, slots=True)
class Field:
    """One column of an item or user file.

    Attributes:
        name, kind: of the column in the atomic file. columns: of the source. cell: their values -> the cell's text.
        role: what the text means to the product: name, genre, story, brand, kind or tag; None: it is no text.
    """

    name: str
    kind: str
    columns: tuple[str, ...]
    cell: Cell
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Interactions:
    """Files of interactions.

    Attributes:
        files: pattern of their names, without folders and suffixes of compression; letters' case does not count.
        user, item, time, value, event: their columns (`a|b`: whichever is there); time None: there are none.
        clock: how times are written (clocks.CLOCKS).
        place: files of lower places are read first, whatever the order they are named in.
        variant: of the same interactions in several files; from a folder or archive, the first that is there is taken.
        events: name on the command line -> value in the column `event`; without that column, the column that is 1 where
            the event happened.
        several: whether a folder or archive may hold several of them; otherwise the user says which is meant.
        check: looks at the first users and items and raises ValueError if they seem to be exchanged.
    """

    files: str
    layout: Layout
    user: str
    item: str
    time: str | None = None
    value: str | None = None
    event: str | None = None
    clock: str = "s"
    place: int = 0
    variant: int = 0
    events: dict[str, str] = field(default_factory=dict)
    several: bool = False
    check: Callable[[list, list], None] | None = None
    encoding: str = "utf-8"

    @property
    def role(self) -> str:
        return "interactions"

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns by which the content of a file is known."""
        return tuple(name for name in (self.user, self.item, *(self.time or "").split("+")) if name)


@dataclass(frozen=True, slots=True)
class Attributes:
    """Files that describe items or users.

    Attributes:
        of: `items` or `users`. files, layout, encoding: as above. key: column of the id. fields: what is written.
        where: column and value that a row must have, for files that list one property a row.
        earliest: column of a number; of several rows of an item, the one where it is lowest counts, not the first.
        repeated: whether the rows are interactions that repeat the item's attributes, so that disagreements are
        counted.
    """

    of: str
    files: str
    layout: Layout
    key: str
    fields: tuple[Field, ...]
    where: tuple[str, str] | None = None
    earliest: str | None = None
    repeated: bool = False
    encoding: str = "utf-8"

    @property
    def role(self) -> str:
        return self.of

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns by which the content of a file is known."""
        return (self.key, *(name for one in self.fields for name in one.columns if not name.endswith("?")))


Part = Interactions | Attributes


@dataclass(frozen=True, slots=True)
class Format:
    """One data set family.

    Attributes:
        name: on the command line, and in config.downloads, which says what it is and where it is got. parts: its files.
        repeats: which row of a pair stays. value: name of the value's column in `.inter`.
        left_out: columns never written, by name: they sum over all time and so hold the test rows, or are none of the
            model's business. sizes: published users, items, rows by rule (None: not published).
        traps: what goes wrong with it, one sentence each. notes: what a report says of every conversion.
    """

    name: str
    parts: tuple[Part, ...]
    repeats: str = "first"
    value: str = "rating"
    left_out: tuple[str, ...] = ()
    sizes: dict[str, tuple[int | None, int | None, int | None]] = field(default_factory=dict)
    traps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def download(self) -> Download:
        """Return what the download is and where to get it."""
        return DOWNLOADS.get(self.name) or Download("A table", "", "")

    @property
    def title(self) -> str:
        return self.download.title

    @property
    def interactions(self) -> tuple[Interactions, ...]:
        return tuple(part for part in self.parts if isinstance(part, Interactions))

    @property
    def attributes(self) -> tuple[Attributes, ...]:
        return tuple(part for part in self.parts if isinstance(part, Attributes))


def text(
    name: str, column: str | None = None, role: str | None = None, kind: str = "token", cell: Cell | None = None
) -> Field:
    """A field of clean text; `column` is that of the source, the same name if None, `a+b` for several."""
    from recbole_navigen.conversion.text import clean, either

    columns = tuple((column or name).split("+"))
    return Field(name, kind, columns, cell or (clean if len(columns) == 1 else either), role)


def words(name: str, column: str | None = None, role: str | None = None, cell: Cell | None = None) -> Field:
    """A field of words, `token_seq`, such as a title or a description."""
    return text(name, column, role, "token_seq", cell)


def tokens(
    name: str, column: str | None = None, separator: str = ",", role: str | None = None, cell: Cell | None = None
) -> Field:
    """A field that is a list, one token an element: a list of the source, or a text cut at the separator."""
    from recbole_navigen.conversion.text import parts

    return Field(name, "token_seq", tuple((column or name).split("+")), cell or parts(separator), role)


def shown(pattern: str) -> str:
    """A pattern of file names as people write one: `meta_*.jsonl`."""
    plain = re.sub(r"\(\?!.*?\)(?=\.\*)", "", pattern)
    for sign, word in ((r"\d+", "N"), (".*", "*"), ("\\", ""), ("l?", "l"), ("s?", "s")):
        plain = plain.replace(sign, word)
    return plain

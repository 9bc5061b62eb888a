"""What a setting may be: the comments of `properties/` read as a description. No RecBole, no torch.

Each line `name: default  # (type) help` describes one setting. The type is made of these words:

    bool, str, path (a file or folder), source (a folder or a hub id), int, float, any
    int from 1            float from 0 to below 1            float above 0
    one of pooled, tokens, dual                              one value of a list
    list of int from 1                                       pair of int from 1 (two of them); empty (the list [])
    dict                                                     its entries stand below it, a line each, or within it
    dict of float from 0                                     the names that stand in the default, and no others
    open dict of float                                       other names are welcome too
    whole dict of interval                                   a later one replaces all of it, any names
    settings of reinforce                                    what properties/reinforce.yaml describes
    settings by model                                        for each model, what that model reads
    interval, split, mode, encoding                          see `recbole_navigen.config.forms`

`A or B` allows either, `or None` allows nothing; brackets group: `list of [int or str]`.
"""

import functools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recbole_navigen.config.reading import read_settings

PLAIN = ("bool", "str", "path", "source", "any")
NUMBERS = ("int", "float")
EMPTY = "empty"  # the list without entries, which `list of T` alone does not take
FORMS = ("interval", "split", "mode", "encoding")  # texts with a rule of their own
DICTS = ("dict", "open dict", "whole dict")
SEQUENCES = ("list", "pair")
SETTINGS = ("settings of", "settings by model")

_RANGE = re.compile(
    r"(?P<word>int|float)(?: (?P<start>from|above) (?P<low>\S+))?(?: to (?P<below>below )?(?P<high>\S+))?"
)
_LINE = re.compile(
    r"^(?P<indent> *)(?P<name>'[^']+'|[^\s#:'][^\s:]*):(?: +(?P<value>.*?))?\s+# \((?P<kind>[^)]*)\) (?P<help>.+)$"
)
_TRUTH = {"True": True, "False": False}
_HEADING = re.compile(r"^# (?P<text>.+)$")


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing that a value may be.

    Attributes:
        word: of `PLAIN`, `NUMBERS`, `FORMS`, `DICTS`, `SEQUENCES` or `SETTINGS`, or "choice".
        low, high: ends of a number's range; low_open, high_open: whether an end itself is outside.
        choices: the values of a choice.
        inner: what the entries of a list or dictionary may be; empty for any.
        inner_none: whether they may be None.
        section: the file of `settings of`.
    """

    word: str
    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    choices: tuple[Any, ...] = ()
    inner: tuple["Kind", ...] = ()
    inner_none: bool = False
    section: str = ""

    def __str__(self) -> str:
        """In words, as in `must be a whole number of at least 1`."""
        if self.word == "choice":
            return f"one of {', '.join(map(str, self.choices))}"
        if self.word in NUMBERS:
            parts = []
            if self.low > -math.inf:
                parts.append(f"above {shown(self.low)}" if self.low_open else f"of at least {shown(self.low)}")
            if self.high < math.inf:
                parts.append(f"below {shown(self.high)}" if self.high_open else f"at most {shown(self.high)}")
            return " ".join(("a whole number" if self.word == "int" else "a number", " and ".join(parts))).strip()
        entries = joined(self.inner, self.inner_none) if self.inner else ""
        each = f", each entry {entries}" if entries else ""
        names = {
            "bool": "True or False",
            "str": "text",
            "path": "the path of a file or folder",
            "source": "text that names a folder or a model on the hub",
            "any": "anything",
            "interval": "an interval such as [3,inf)",
            "split": "{LS: valid_and_test}, {LS: valid_only}, {LS: test_only} or shares such as {RS: [0.8,0.1,0.1]}",
            "mode": "full, labeled, or a kind and number of sampled items such as uni100 or pop100, for both or as "
            "{valid: uni100, test: full}",
            "encoding": "the name of an encoding such as utf-8",
            "pair": f"a list of two, each {entries}" if entries else "a list of two",
            "empty": "an empty list",
        }
        if self.word in names:
            return names[self.word]
        return ("a list" if self.word == "list" else "a dictionary {name: value}") + each


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Attributes:
        name: with dots for an entry of a dictionary: `task_weights.dense`.
        kinds: what it may be, beside None.
        none: whether None is allowed.
        default: as shipped; None also where the file that describes it ships none.
        help: what it does. type: its type as the file writes it. heading: that it stands under. file: where it stands.
        entries: of a dictionary with names of its own: name of the entry -> setting.
    """

    name: str
    kinds: tuple[Kind, ...]
    none: bool
    default: Any = None
    help: str = ""
    type: str = ""
    heading: str = ""
    file: str = ""
    entries: Mapping[str, "Setting"] = field(default_factory=dict)

    @property
    def merged(self) -> bool:
        """Whether a dictionary given for it is laid over the shipped one, name by name, and does not replace it."""
        return any(kind.word in ("dict", "open dict", *SETTINGS) for kind in self.kinds)

    def __str__(self) -> str:
        return joined(self.kinds, self.none)


def shown(number: float) -> str:
    """A number without a useless fraction."""
    return str(int(number)) if float(number).is_integer() else str(number)


def joined(kinds: tuple[Kind, ...], none: bool) -> str:
    """Several kinds in words."""
    return " or ".join([*map(str, kinds), *(["None"] if none else [])])


def parse_type(text: str) -> tuple[tuple[Kind, ...], bool]:
    """Read the type of a comment.

    Returns:
        What the value may be beside None, and whether it may be None.
    """
    kinds, none = [], False
    for part in _split(text):
        if part == "None":
            none = True
        else:
            kinds.append(_kind(part))
    return tuple(kinds), none


def _split(text: str) -> list[str]:
    """Split at `or`, but not within brackets."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(r"\[|\]| or ", text):
        depth += {"[": 1, "]": -1}.get(match.group(), 0)
        if match.group() == " or " and not depth:
            parts.append(text[start : match.start()])
            start = match.end()
    return [part.strip() for part in (*parts, text[start:])]


def _kind(text: str) -> Kind:
    if text in (*PLAIN, *FORMS, *DICTS, EMPTY, "list", "settings by model"):
        return Kind(text)
    if text.startswith("settings of "):
        return Kind("settings of", section=text.removeprefix("settings of "))
    if text.startswith("one of "):
        return Kind("choice", choices=tuple(_TRUTH.get(choice, choice) for choice in text[7:].split(", ")))
    if bounds := _RANGE.fullmatch(text):
        low, high = (float(bounds[end]) if bounds[end] else None for end in ("low", "high"))
        return Kind(
            bounds["word"],
            -math.inf if low is None else low,
            math.inf if high is None else high,
            bounds["start"] == "above",
            bounds["below"] is not None,
        )
    for word in (*SEQUENCES, *DICTS):
        if text.startswith(f"{word} of "):
            inner = text.removeprefix(f"{word} of ")
            inner, none = parse_type(inner[1:-1]) if inner.startswith("[") else ((_kind(inner),), False)
            return Kind(word, inner=inner, inner_none=none)
    raise ValueError(f"`{text}` is no type of a setting; see recbole_navigen.config.description")


def describe_text(text: str, file: str, values: Mapping[str, Any] | None = None) -> dict[str, Setting]:
    """Read the description in a file of `properties/`, in the order of the file.

    Args:
        text: of the file. file: its name. values: what it ships, by yaml's rules.

    Raises:
        ValueError: a line that is neither setting nor comment.
    """
    values = values or {}
    described: dict[str, Setting] = {}
    heading, indent_of_entries = "", None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            heading = heading if line.startswith(" ") else ""
            continue
        if match := _HEADING.match(line):
            heading = match["text"].rstrip(".")
            continue
        match = _LINE.match(line)
        indented = line.startswith(" ")
        inside = indented and described
        if (indented and not described) or (
            not match and not (inside and (":" in line or line.strip().startswith(("-", "#"))))
        ):
            raise ValueError(f"{file}, line {number} is no setting with `# (type) help`: {line}")
        if not inside:
            kinds, none = parse_type(match["kind"])
            name = match["name"].strip("'")
            about = (values.get(name), match["help"], match["kind"], heading, file)
            described[name] = Setting(name, kinds, none, *about)
            indent_of_entries = None
        elif match and indent_of_entries in (None, len(match["indent"])):
            # An entry of the dictionary above; what lies deeper still is part of its default.
            indent_of_entries = len(match["indent"])
            outer = described[next(reversed(described))]
            name = match["name"].strip("'")
            kinds, none = parse_type(match["kind"])
            default = outer.default.get(name) if isinstance(outer.default, Mapping) else None
            entry = Setting(f"{outer.name}.{name}", kinds, none, default, match["help"], match["kind"], heading, file)
            described[outer.name] = replace(outer, entries={**outer.entries, name: entry})
    return {name: _with_entries(setting) for name, setting in described.items()}


def _with_entries(setting: Setting) -> Setting:
    """Give `dict of T` one entry for each name in its default."""
    if setting.entries or not isinstance(setting.default, Mapping):
        return setting
    for kind in setting.kinds:
        if kind.word in ("dict", "open dict") and kind.inner:
            entries = {
                str(name): Setting(f"{setting.name}.{name}", kind.inner, kind.inner_none, value, file=setting.file)
                for name, value in setting.default.items()
            }
            return replace(setting, entries=entries)
    return setting


@functools.cache
def describe_file(path: str | Path) -> Mapping[str, Setting]:
    """The description in one file, by name. Do not change what comes back: it is kept."""
    path = Path(path)
    return describe_text(path.read_text(encoding="utf-8"), path.name, read_settings(path))


def every(described: Mapping[str, Setting]) -> Iterator[Setting]:
    """All settings of a description, entries of dictionaries behind their dictionary."""
    for setting in described.values():
        yield setting
        yield from every(setting.entries)

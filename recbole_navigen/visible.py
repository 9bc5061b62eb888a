"""Text of others as what can be seen of it: titles and ids may hold signs that steer a terminal, a page or a model."""

import re
import unicodedata

# What terminals execute: colours and cursor movements, window titles, and single escapes.
_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|\x9b[0-?]*[ -/]*[@-~]")
# Control, format (zero-width, overrides of direction, tags), surrogates, private use, and both kinds of line separator.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")  # unseen as well, and able to carry a text


def visible(text: str) -> str:
    """Return a text as one line without invisible characters: no control or format characters, no escapes of terminals.

    What parts words (tabs, line ends) becomes a space; everything else of the kind vanishes.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _SELECTORS.sub("", _TERMINAL.sub("", text))
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    kind = unicodedata.category(character)
    if kind not in _UNSEEN:
        return character
    return " " if character.isspace() or kind in ("Zl", "Zp") else ""

"""Cells of item and user files out of what sources say: clean text, lists, prices, years. Standard library only."""

import html
import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_INLINE = "a|abbr|b|big|cite|code|em|font|i|mark|q|s|small|span|strike|strong|sub|sup|tt|u"
_BLOCK = (
    "article|blockquote|body|br|button|caption|center|dd|div|dl|dt|embed|figure|form|frame|h[1-6]|head|header|hr|html|"
    "iframe|img|input|li|link|meta|noscript|object|ol|option|p|param|pre|script|section|select|style|table|tbody|td|"
    "textarea|th|thead|title|tr|ul|video"
)
_SCRIPT = re.compile(r"<(script|style)\b[^<>]*>.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_BLOCK_TAG = re.compile(rf"</?(?:{_BLOCK})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_BLANKS = re.compile(r"\s+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PRICE = re.compile(r"(?:US)?\$?\s*((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)")
# A year that ends a title, or stands before the mark of a video (V) or television (TV): "Fake Theory (2007-)".
_YEAR = re.compile(
    r"(.*?)\s*\(((?:18|19|20)\d\d)(?:\s*[-\u2013\u2014]\s*(?:\d{4})?)?\)\s*(?:\((?:V|TV|VG|TV mini-series)\))?",
    re.DOTALL,
)


def plain(value: object) -> str:
    """A value as text, as it stands; empty for what is missing."""
    if value is None or value is False:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else ""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return " ".join(filter(None, map(plain, value)))
    return ""


def clean(value: object) -> str:
    """A text for one cell: entities undone (up to three times), tags removed, NFC, white space collapsed.

    A leading quotation mark and its partner become “ and ”, since readers with quoting would take them for their own.
    Cleaning a clean text changes nothing.
    """
    text = plain(value)
    for _ in range(3):
        if "&" not in text:
            break
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    if "<" in text:
        text = _BLOCK_TAG.sub(" ", _INLINE_TAG.sub("", _SCRIPT.sub(" ", text)))
    if not text.isascii():
        text = unicodedata.normalize("NFC", _SURROGATE.sub("\ufffd", text))
    text = _BLANKS.sub(" ", text).strip()
    if text.startswith('"'):
        text = "“" + text[1:].replace('"', "”", 1)
    return text


def listed(elements: Iterable[Any]) -> str:
    """A cell of a `token_seq` column: one token an element, blanks inside become `_`, repeats and empty ones dropped.

    Lists of lists (Amazon 2014) count as one list.
    """
    tokens: dict[str, None] = {}
    for element in elements:
        if isinstance(element, list | tuple):
            tokens.update(dict.fromkeys(filter(None, listed(element).split(" "))))
        elif token := clean(element).replace(" ", "_"):
            tokens[token] = None
    return " ".join(tokens)


def parts(separator: str, *drop: str) -> Any:
    """Make a cell function that cuts a text at a separator; a list is taken as it is. Elements in `drop` are none."""

    def cell(value: object) -> str:
        elements = value if isinstance(value, list | tuple) else plain(value).split(separator)
        return listed(element for element in elements if plain(element).strip() not in drop)

    return cell


def either(*values: object) -> str:
    """The first value that is not empty, as clean text."""
    return next(filter(None, map(clean, values)), "")


def price(value: object) -> str:
    """A price without currency, sign or thousands commas; what is no single price (a range, a style sheet) is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return plain(value)
    match = _PRICE.fullmatch(plain(value).strip())
    return match[1].replace(",", "") if match else ""


def free_price(value: object) -> str:
    """A price where words such as `Free To Play` mean 0."""
    return price(value) or ("0" if re.search(r"\bfree\b", plain(value), re.IGNORECASE) else "")


def number(value: object) -> str:
    """A finite number as it is written; anything else is none."""
    text = plain(value).strip()
    return text if re.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", text, re.ASCII) else ""


def film_title(value: object) -> str:
    """A film's title without its year: the last pair of brackets that holds one."""
    text = plain(value).strip()
    match = _YEAR.fullmatch(text)
    return clean(match[1] if match and match[1] else text)


def film_year(value: object) -> str:
    """The year that ends a film's title; none if there is none."""
    match = _YEAR.fullmatch(plain(value).strip())
    return match[2] if match and match[1] else ""


def page_title(value: object) -> str:
    """A title, where those that are script of the page (`getTime`) are none."""
    text = plain(value)
    return "" if "getTime" in text or "function(" in text else clean(text)

"""Secrets stay out of every file, log, page and error. Standard library only, and known to all.

A secret is recognised in four ways: by the name of its setting (`api_key`, `password`), by its place in an address (the
login, what stands in the query), by its shape (`Bearer ...`, `sk-...`), and, once settings that held it were read, by
itself, so that it is also hidden where a driver or a server repeats it inside a longer text.
"""

import base64
import html
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "(hidden)"
# Shorter ones would blacken ordinary words wherever they occur; their names and places hide them all the same.
SHORTEST = 6
_LONG = 12  # letters from which a secret is looked for inside words, too

# What a text may name with a value behind it; `key` and `token` alone are words of many sentences.
_PLAIN_NAMES = (
    "api_?key|secret|passw(?:or)?d|passphrase|pwd|credentials?|authorization|private_?key|secret_?key|access_?key|"
    "(?:access|api|auth|bearer|hf|id|refresh|session)_?token"
)
_SECRET_NAME = re.compile(rf"(?:^|_)(?:{_PLAIN_NAMES}|key|token|auth|bearer|cookie|signature|sig)\d*$")
_ENVIRONMENT_ENDING = "_env"  # of settings that name an environment variable, which holds the secret
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_ADDRESS = re.compile(r"(?<![A-Za-z0-9+.\-])([A-Za-z][A-Za-z0-9+.\-]*://)([^\s\"'<>`]+)")
# A password may hold every sign, a slash and an @ among them: the last @ ends it.
_LOGIN = re.compile(r"^(?:[^/@:?#]*:.*|[^/@?#]+)@")
_IN_TEXT = _PLAIN_NAMES.replace("_?", "[_-]?")
_PATH_QUERY = re.compile(
    r"([?&][\w.\-]*(?:key|token|sig|signature|secret|password|auth)=)[^\s\"'<>&;#]+", re.IGNORECASE
)
_QUERY_VALUE = re.compile(r"([^=&;#?]+=)?[^&;#]+")
_NAMED_LINE = re.compile(
    rf"^(\s*(?:- )?[\w.\-]*(?:{_IN_TEXT})\d*\s*:\s+)(?![\"'\[{{])(?!\(hidden\))(.+)$", re.IGNORECASE | re.MULTILINE
)
_NAMED = re.compile(
    rf"(?<![A-Za-z0-9])([\w.\-]*(?:{_IN_TEXT})\d*[\"']?\s*[:=]\s*)"
    r"(?!(?:None|null|True|False)\b|~|[\"']?\(hidden\))"
    r"(\"(?:[^\"\\]|\\.)+\"|'(?:[^'\\]|\\.)+'|(?:(?:Bearer|Basic) )?[^\s\"',;&)}\]]+)",
    re.IGNORECASE,
)
_SHAPES = re.compile(
    r"(?<=\bBearer )(?=\S*[\d_=+/-])[A-Za-z0-9._~+/=\-]{8,}|(?<=\bBasic )(?=\S*\d)[A-Za-z0-9+/=]{8,}"
    r"|(?<![A-Za-z0-9])(?:sk-[A-Za-z0-9_\-]{8,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}"
    r"|glpat-[\w\-]{16,}|xox[abprs]-[\w\-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w\-]{30,}"
    r"|eyJ[\w\-]{10,}\.[\w\-]{5,}\.[\w\-]+)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)

_known: set[str] = set()
_known_pattern: re.Pattern | None = None


def is_secret(name: str) -> bool:
    """Whether a setting of this name holds a secret: `api_key`, `OPENAI_API_KEY`, `x-api-key`, `accessToken`."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return _SECRET_NAME.search(re.sub(r"[\W_]+", "_", snake).lower()) is not None


def hide(text: str) -> str:
    """A text with every secret in it replaced by "(hidden)"."""
    text = _ADDRESS.sub(lambda found: found[1] + _hidden_address(found[2]), hide_known(text))
    text = _PATH_QUERY.sub(rf"\1{HIDDEN}", _SHAPES.sub(HIDDEN, text))
    return _NAMED.sub(rf"\1{HIDDEN}", _NAMED_LINE.sub(rf"\1{HIDDEN}", text))


def hide_known(value: object) -> Any:
    """Any nest of values whose texts lose the secrets of settings that were read, and nothing else: for what holds the
    words of users and items, which may look like secrets.
    """
    if isinstance(value, str):
        return value if _known_pattern is None else _known_pattern.sub(HIDDEN, value)
    if isinstance(value, dict):
        return {key: hide_known(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [hide_known(entry) for entry in value]
    return value


def without_secrets(value: object, name: str = "") -> Any:
    """Settings, or one of them, with everything secret hidden at any depth.

    Args:
        value: of the setting. name: its name, if it has one.
    """
    if value is not None and (is_secret(name) or _is_no_variable(name, value)):
        return HIDDEN
    if isinstance(value, Mapping):
        return {key: without_secrets(entry, str(key)) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(entry) for entry in value]
    return hide(value) if isinstance(value, str) else value


def without_hidden(settings: Mapping[str, Any], above: str = "") -> tuple[dict[str, Any], dict[str, str]]:
    """Settings that can be given again as they stand, without those that hold a secret.

    Args:
        settings: plain values, lists and dictionaries. above: name of the setting that holds these, with a dot.

    Returns:
        What is left, and for each setting that is not, by its dotted name, what may be shown of it.
    """
    public, left_out = {}, {}
    for key, value in settings.items():
        shown = without_secrets(value, str(key))
        if shown is value or shown == value:
            public[key] = value
        elif isinstance(value, Mapping) and isinstance(shown, dict):
            public[key], inner = without_hidden(value, f"{above}{key}.")
            left_out |= inner
        else:
            left_out[f"{above}{key}"] = " ".join(str(shown).split())
    return public, left_out


def remember(value: object, name: str = "") -> None:
    """Keep in mind what is secret in some settings, so that `hide` knows it in any text from now on.

    Args:
        value: of a setting, or a mapping of settings. name: of the setting, if it has one.
    """
    if isinstance(value, Mapping):
        for key, entry in value.items():
            remember(entry, name if is_secret(name) else str(key))
    elif isinstance(value, list | tuple | set):
        for entry in value:
            remember(entry, name)
    elif name.lower() == "key":
        return  # it may as well be what a mapping is looked up by; its value is hidden there and nowhere else
    elif is_secret(name) or _is_no_variable(name, value):
        _learn([str(value)] if value is not None and not isinstance(value, bool) else ())
    elif isinstance(value, str):
        if name.endswith(_ENVIRONMENT_ENDING):
            _learn([os.environ.get(value, "")])
        for _, address in _ADDRESS.findall(value):
            _learn(_secrets_of(address))


class HiddenSecrets(logging.Formatter):
    """Formats as another formatter does, and hides secrets in what comes out, tracebacks included."""

    def __init__(self, formatter: logging.Formatter | None):
        super().__init__()
        self.formatter = formatter or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        return hide(self.formatter.format(record))


def _is_no_variable(name: str, value: object) -> bool:
    """Whether a setting that should name an environment variable holds the secret itself, as happens."""
    return name.endswith(_ENVIRONMENT_ENDING) and isinstance(value, str) and not _names_variable(value)


def _names_variable(value: str) -> bool:
    # Names are words; a long one with digits in it that is not in capitals is a key.
    mixed = len(value) >= 20 and any(sign.isdigit() for sign in value) and value != value.upper()
    return _VARIABLE.fullmatch(value) is not None and (not mixed or value in os.environ)


def _hidden_address(rest: str) -> str:
    """What stands behind `://`, with its login and the values of its query hidden."""
    rest = _LOGIN.sub(f"{HIDDEN}@", rest)
    place, mark, query = rest.partition("?")
    if not mark:
        place, mark, query = rest.partition("#")
    return place + mark + _QUERY_VALUE.sub(lambda found: (found[1] or "") + HIDDEN, query)


def _secrets_of(address: str) -> list[str]:
    """The password of an address, its login as a header would send it, and values of its query with telling names."""
    secrets = []
    if login := _LOGIN.match(address):
        user, colon, password = login[0][:-1].partition(":")
        if colon:
            secrets += [password, base64.b64encode(unquote(f"{user}:{password}").encode()).decode()]
        elif len(user) >= _LONG:
            secrets.append(user)
    for part in re.split(r"[&;#]", address.partition("?")[2] or address.partition("#")[2]):
        name, equals, value = part.partition("=")
        if not equals or is_secret(unquote(name)):
            secrets.append(value if equals else name)
    return secrets


def _learn(secrets: Iterable[str]) -> None:
    """Keep secrets, with the forms in which addresses, JSON, HTML and Python write them."""
    global _known_pattern
    new: set[str] = set()
    for secret in secrets:
        for form in {secret, unquote(secret), *secret.splitlines()}:
            form = form.strip()
            if len(form) < SHORTEST or form == HIDDEN:
                continue
            new |= {form, quote(form, safe=""), quote(form), quote_plus(form), html.escape(form)}
            new |= {json.dumps(form)[1:-1], json.dumps(form, ensure_ascii=False)[1:-1], repr(form)[1:-1]}
    if new <= _known:
        return
    _known.update(new)
    forms = sorted(_known, key=lambda form: (-len(form), form))
    _known_pattern = re.compile("|".join(map(_bounded, forms)))


def _bounded(form: str) -> str:
    """A pattern for one form. A short one that could be part of a word or number counts only where it stands alone."""
    if len(form) >= _LONG or not form.isalnum():
        return re.escape(form)
    return rf"(?<![A-Za-z0-9_.]){re.escape(form)}(?![A-Za-z0-9_])"


# PWD and OLDPWD are folders, whatever their names look like; so is a variable that names a file of keys.
_learn(
    value
    for name, value in os.environ.items()
    if is_secret(name) and name not in ("PWD", "OLDPWD") and not os.path.exists(value)
)

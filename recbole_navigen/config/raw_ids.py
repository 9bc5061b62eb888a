"""Raw ids that are given, as text or numbers, and the users that are meant. No RecBole, no torch."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from recbole_navigen.config.calls import checked
from recbole_navigen.config.reading import expanded, nearest
from recbole_navigen.errors import InputError

Id = str | int  # a raw id: what the file says, or a number that reads the same
Histories = Sequence[Sequence[Id]]  # of items, oldest first, one a user
Exclude = Sequence[Iterable[Id]] | None  # items that must not appear, one list a history
ALL = "all"


def asked_users(users: str | Sequence[Id] | None, n_users: int | None) -> list[str] | int | None:
    """Read which users are asked for, before any data are.

    Args:
        users: `all`, the path of a file with one raw id a line, raw ids with commas, or a list of them; None: n_users.
        n_users: how many, in the order of the data; None: all.

    Returns:
        Raw ids, how many, or None for all.
    """
    n_users = checked("n_users", "int from 1 or None", n_users)
    if users is None:
        return n_users
    if n_users is not None:
        raise InputError("users and n_users are both given; keep one: n_users says how many, users which.")
    if isinstance(users, str):
        file = Path(expanded(users))
        if users == ALL:
            return None
        users = file.read_text(encoding="utf-8-sig").splitlines() if file.is_file() else users.split(",")
        names = [name.strip() for name in users]
        names = [name for name in names if name] if file.is_file() else names
    elif isinstance(users, Real):
        raise InputError(
            f"users={users} is a number; n_users={users} says how many users, users=['{users}'] names one."
        )
    else:
        names = [raw_id(name) for name in listed("users", users)]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"users={users!r} leaves a name empty; give raw ids, a file with one a line, or all.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"users names {twice!r} twice; keep one.")
    return names


def chosen_users(known: Sequence[str], choice: list[str] | int | None) -> list[str]:
    """Raw ids of the users that were asked for, see `asked_users`; an unknown one is refused with the nearest."""
    if isinstance(choice, list):
        lookup = frozenset(known)
        return [known_user(name, lookup) for name in choice]
    return list(known[:choice])


def raw_id(value: object) -> Any:
    """A raw id as text; a whole number reads as the file writes it, also as a float, which pandas makes of numbers."""
    if isinstance(value, str | bool) or not isinstance(value, Real):
        return value
    whole = isinstance(value, Integral) or float(value).is_integer()
    return str(int(value)) if whole else value


def known_user(user: object, known: Collection[str]) -> str:
    """The raw id of a user, as text; one that is not among the known ids is refused, with the nearest."""
    token = raw_id(user)
    if not isinstance(token, str) or token not in known:
        raise InputError(
            f"unknown user {user!r}; the nearest of the {len(known)} known ids is {nearest(str(user), known)!r}."
        )
    return token


def listed(name: str, value: object) -> list[Any]:
    """The entries of an argument that must be a list."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InputError(f"{name} must be a list of ids, not {value!r}.")
    return list(value)

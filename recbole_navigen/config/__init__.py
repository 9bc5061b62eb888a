"""Settings: reading, checking and merging them, and `Config`, which RecBole's modules take.

`Config` is imported when it is first asked for: reading and checking need neither torch nor RecBole.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recbole_navigen.config.config import Config

__all__ = ["Config"]


def __getattr__(name: str) -> Any:
    if name == "Config":
        from recbole_navigen.config.config import Config

        return Config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

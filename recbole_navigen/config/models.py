"""Models by name: ours first, then RecBole's. One table and no scan of modules."""

from importlib import import_module

from recbole_navigen import compat
from recbole_navigen.config.shipped import family_of, refuse_unknown_model
from recbole_navigen.errors import InputError

# Name -> module and class. Imported when asked for: NaviGen brings transformers along.
OURS = {"NaviGen": "recbole_navigen.model.navigen"}


def get_model(name: str) -> type:
    """Return the model class of that name.

    Raises:
        InputError: no such model, with the nearest names; or one that needs a library that is not installed.
    """
    refuse_unknown_model(name)
    if name in OURS:
        return getattr(import_module(OURS[name]), name)
    compat.apply_to_models()
    family = family_of(name)
    try:
        return getattr(import_module(f"recbole.model.{family}.{name.lower()}"), name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"model {name} needs the package {error.name}, which is not installed; pip install {error.name}"
        ) from error

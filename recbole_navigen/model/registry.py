"""Models by name: ours first, then RecBole's. One table and no scan of modules."""

import difflib
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.errors import InputError

# Name -> module and class. Imported when asked for: NaviGen brings transformers along.
OURS = {"NaviGen": "recbole_navigen.model.navigen"}
_FAMILIES = (
    "sequential_recommender",
    "general_recommender",
    "context_aware_recommender",
    "knowledge_aware_recommender",
    "exlib_recommender",
)


@cache
def model_names() -> tuple[str, ...]:
    """Names of all models, ours and RecBole's (RecBole's files of properties bear its exact names; Random has none)."""
    properties = Path(find_spec("recbole").origin).parent / "properties" / "model"
    return tuple(sorted({*OURS, "Random", *(file.stem for file in properties.glob("*.yaml"))}, key=str.lower))


def get_model(name: str) -> type:
    """Return the model class of that name.

    Raises:
        InputError: no such model, with the nearest names; or one that needs a library that is not installed.
    """
    if name not in model_names():
        by_lower = {known.lower(): known for known in model_names()}
        near = [by_lower[close] for close in difflib.get_close_matches(str(name).lower(), by_lower, n=3, cutoff=0.4)]
        raise InputError(
            f"unknown model `{name}`; nearest names: {', '.join(near or ['NaviGen', 'SASRec', 'LightGCN'])}"
        )
    if name in OURS:
        return getattr(import_module(OURS[name]), name)
    root = Path(find_spec("recbole").origin).parent / "model"
    family = next(family for family in _FAMILIES if (root / family / f"{name.lower()}.py").is_file())
    try:
        return getattr(import_module(f"recbole.model.{family}.{name.lower()}"), name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"model {name} needs the package {error.name}, which is not installed; pip install {error.name}"
        ) from error

"""Models by name: ours first, then RecBole's; and the table of what a run needs of ours. No scan of modules."""

from importlib import import_module
from typing import Any

from recbole_navigen import compat
from recbole_navigen.config.shipped import family_of, refuse_unknown_model
from recbole_navigen.errors import InputError


class Parts:
    """The parts of a model that a run needs. Each is given as `module:name` and imported when it is first asked for.

    Attributes:
        model: its class. trainer: class of its trainer.
        build: makes model and trainer of (config, loaders of training and validation, stages).
        load: reads the model of (config, training split, folder of the run). later: what follows training.
        identity: what decides its result beside what decides that of any model.
    """

    def __init__(self, **places: str):
        self._places = places

    def __getattr__(self, name: str) -> Any:
        module, _, found = self._places.get(name, "").partition(":")
        return getattr(import_module(f"recbole_navigen.{module}"), found) if module else None


_STOCK, _USER_ROWS = "training.trainer:build_stock", "training.user_rows:UserRowTrainer"
_UNTRAINED = "baselines.untrained:UntrainedTrainer"
OURS = {
    "NaviGen": Parts(
        model="model.navigen:NaviGen",
        trainer="training.sft:NaviGenTrainer",
        build="pipeline.train:build_navigen",
        load="runs.load:load_navigen",
        later="pipeline.reinforce:later_stages",
        identity="runs.identity:navigen_identity",
    ),
    # Baselines that RecBole has not.
    "Transitions": Parts(model="baselines.transitions:Transitions", trainer=_UNTRAINED, build=_STOCK),
    "HSTU": Parts(model="baselines.hstu:HSTU", trainer=_USER_ROWS, build=_STOCK),
    "SASRecText": Parts(
        model="baselines.sasrec_text:SASRecText",
        trainer=_USER_ROWS,
        build=_STOCK,
        identity="runs.identity:text_identity",
    ),
    "ReleasedNaviGen": Parts(
        model="baselines.released_navigen:ReleasedNaviGen",
        trainer=_UNTRAINED,
        build=_STOCK,
        identity="runs.identity:released_identity",
    ),
    "Ensemble": Parts(
        model="baselines.ensemble:Ensemble",
        trainer=_UNTRAINED,
        build="pipeline.members:build_ensemble",
        load="pipeline.members:load_ensemble",
        identity="runs.identity:ensemble_identity",
    ),
}
_OTHERS = {True: Parts(build=_STOCK, trainer=_USER_ROWS), False: Parts(build=_STOCK)}


def parts_of(model: str, user_rows: bool = False) -> Parts:
    """Return the parts of a model of ours by its name, or those of any other by the kind of rows that it trains on."""
    return OURS.get(model, _OTHERS[user_rows])


def get_model(name: str) -> type:
    """Return the model class of that name.

    Raises:
        InputError: no such model, with the nearest names; or one that needs a library that is not installed.
    """
    refuse_unknown_model(name)
    if name == "NaviGen":
        return OURS[name].model
    compat.apply_to_models()
    if name in OURS:
        return OURS[name].model
    family = family_of(name)
    try:
        return getattr(import_module(f"recbole.model.{family}.{name.lower()}"), name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"model {name} needs the package {error.name}, which is not installed; pip install {error.name}"
        ) from error

"""`Config`: RecBole's Config with our properties, a safe command line and early refusals."""

import contextlib
import copy
import inspect
from collections.abc import Sequence
from enum import Enum
from typing import Any

import torch

# isort: off
from recbole_navigen import compat  # must run before anything of RecBole is imported

# isort: on
from recbole.config import Config as RecBoleConfig
from recbole.utils import ModelType

from recbole_navigen.artefacts import content_hash
from recbole_navigen.config import shipped
from recbole_navigen.config.given import gather
from recbole_navigen.config.locate import dataset_folder
from recbole_navigen.config.media_metrics import register_media_metrics
from recbole_navigen.config.own_code import OwnModel, load_file
from recbole_navigen.config.own_metrics import register_own_metrics
from recbole_navigen.config.rules import AS_BEFORE, NOT_LEARNED
from recbole_navigen.errors import InputError
from recbole_navigen.processes import own_gpu, size
from recbole_navigen.redaction import remember, without_secrets


class Config(RecBoleConfig):
    """Settings of one run; `config["key"]` as in RecBole, None for a key nobody set.

    Rank, low to high: RecBole's yaml < our `properties/overall.yaml` < `properties/model/MODEL.yaml` <
    `properties/dataset/DATASET.yaml` < config files (later ones win) < `config_dict` < `argv`.

    It differs from RecBole's in five ways. Values are never evaluated as Python. `sys.argv` is not read. Whatever the
    description of the settings does not allow is refused with an InputError. Nested settings are merged name by name,
    so a partial `eval_args` is completed from yaml files instead of from RecBole's random split. Models trained with
    softmax (loss_type CE) need no `train_neg_sample_args=None`.
    """

    def __init__(
        self,
        model: str | type | None = None,
        dataset: str | None = None,
        config_file_list: Sequence[str] | None = None,
        config_dict: dict[str, Any] | None = None,
        argv: Sequence[str] = (),
        comparison: bool = False,
    ):
        """
        Args:
            model: name or class; None takes `model` from the settings, or else NaviGen.
            dataset: name of the data set; None takes `dataset` from the settings, or else ml-100k.
            config_file_list: yaml files.
            config_dict: settings as typed Python values; taken as they are.
            argv: settings as `--key=value`, parsed by yaml's safe rules.
            comparison: True if files and command line serve several models: what only others know is left out here, and
                a section `models` is allowed.
        """
        remember(config_dict or {})
        family, also = None, frozenset()
        if model is not None and not isinstance(model, str):
            if not isinstance(model, type) or not isinstance(getattr(model, "type", None), ModelType):
                raise InputError(f"model must be the name or the class of a model, not {model!r}")
            family, also = _FAMILIES.get(model.type, shipped.FAMILIES[1]), frozenset(_keys_read_by(model))
        name = model if model is None or isinstance(model, str) else model.__name__
        self.given = gather(name, dataset, config_file_list, config_dict, argv, comparison, family, also)
        self._class = None if isinstance(model, str) else model
        if (source := self.given.source) is not None:
            self._class = _own_class(source)
            family, also = _FAMILIES.get(self._class.type, shipped.FAMILIES[1]), frozenset(_keys_read_by(self._class))
            self.given = gather(name, dataset, config_file_list, config_dict, argv, comparison, family, also)
        try:
            super().__init__(self.given.model, self.given.dataset)
        except InputError:
            raise
        except (ValueError, TypeError, NotImplementedError, RuntimeError) as error:
            # RecBole refuses bad combinations with these; to the user they are bad input like any other.
            raise InputError(str(error)) from error

    # The hooks below stand in the order in which RecBole's constructor calls them.

    def compatibility_settings(self) -> None:
        """Do nothing: `recbole_navigen.compat` has set the aliases that NumPy 2 still allows."""

    def _init_parameters_category(self) -> None:
        # RecBole appends the data set's keys to its module-level lists; copies keep one run out of the next.
        super()._init_parameters_category()
        self.parameters = {category: list(keys) for category, keys in self.parameters.items()}

    def _load_config_files(self, file_list: Sequence[str] | None) -> dict[str, Any]:
        return self.given.files

    def _load_variable_config_dict(self, config_dict: dict[str, Any] | None) -> dict[str, Any]:
        return self.given.own

    def _load_cmd_line(self) -> dict[str, Any]:
        return self.given.argv

    def _merge_external_config_dict(self) -> None:
        self.external_config_dict = self.given.external

    def _get_model_and_dataset(self, model: str, dataset: str) -> tuple[str, type, str]:
        from recbole_navigen.config.models import get_model

        if model != "NaviGen":  # also a class that somebody else imported
            compat.apply_to_models()
        return model, self._class or get_model(model), dataset

    def _load_internal_config_dict(self, model: str, model_class: type, dataset: str) -> None:
        self.internal_config_dict = {**self.given.internal, "MODEL_TYPE": model_class.type}
        columns = self.parameters["Dataset"]
        columns += [key for key in self.given.of_dataset if key not in columns]

    def _get_final_config_dict(self) -> dict[str, Any]:
        final = {**copy.deepcopy(self.given.final), "MODEL_TYPE": self.internal_config_dict["MODEL_TYPE"]}
        softmax = final["MODEL_TYPE"] == ModelType.SEQUENTIAL and final.get("loss_type") == "CE"
        if softmax and not hasattr(self.model_class, "input_type") and not self.user_set("train_neg_sample_args"):
            final["train_neg_sample_args"] = None
        return final

    def user_set(self, key: str) -> bool:
        """Whether a config file, `config_dict` or the command line sets a key."""
        return self.external_config_dict.get(key) is not None

    def _set_default_parameters(self) -> None:
        final = self.final_config_dict
        folder = dataset_folder(final["data_path"], self.dataset)
        register_media_metrics()
        register_own_metrics(final.get("metrics_file"))
        super()._set_default_parameters()
        final["data_path"] = str(folder.absolute())

    def _init_device(self) -> None:
        final = self.final_config_dict
        if final["gpu_id"] is None or not final["use_gpu"]:
            final["gpu_id"] = ""
        elif size() > 1 and torch.backends.cuda.is_built():
            final["gpu_id"] = own_gpu(str(final["gpu_id"]))
        super()._init_device()

    def __str__(self) -> str:
        return super(Config, self.without_secrets()).__str__()

    def without_secrets(self) -> "Config":
        """Return these settings with keys and passwords hidden, to be shown or sent away."""
        shown = copy.copy(self)
        shown.final_config_dict = without_secrets(self.final_config_dict)
        # What the user gave stands in these as it was given.
        shown.file_config_dict = shown.variable_config_dict = shown.cmd_config_dict = shown.external_config_dict = {}
        shown.given = None
        return shown

    def public(self) -> dict[str, Any]:
        """Return all settings as plain JSON values, with keys and passwords hidden."""

        def as_json(value: object) -> Any:
            if isinstance(value, dict):
                return {str(key): as_json(entry) for key, entry in value.items()}
            if isinstance(value, list | tuple):
                return [as_json(entry) for entry in value]
            if isinstance(value, Enum):
                return value.name
            return value if value is None or isinstance(value, bool | int | float | str) else str(value)

        return as_json(without_secrets(self.final_config_dict))

    def settings_hash(self, leave_out: Sequence[str] = ()) -> str:
        """Name the settings that decide what a run learns, apart from its seed. To be asked before the run: data sets
        and trainers write into the settings.

        Args:
            leave_out: further settings that do not matter to this run.
        """
        unused = {*NOT_LEARNED, *leave_out}
        public = self.public().items()
        return content_hash(
            {key: value for key, value in public if key not in unused and (key, value) not in AS_BEFORE.items()}
        )


# Kinds of models by the folder of RecBole's that holds them; all others are like those of general_recommender.
_FAMILIES = {
    ModelType.SEQUENTIAL: "sequential_recommender",
    ModelType.CONTEXT: "context_aware_recommender",
    ModelType.KNOWLEDGE: "knowledge_aware_recommender",
    ModelType.DECISIONTREE: "exlib_recommender",
}


def _own_class(source: OwnModel) -> type:
    """The model class of a user's file."""
    model_class = getattr(load_file(source.file), source.name)
    if not isinstance(getattr(model_class, "type", None), ModelType):
        raise InputError(
            f"{source.name} of {source.file} is no model: let it derive from SequentialRecommender, GeneralRecommender "
            "or another of recbole.model.abstract_recommender, or from a model"
        )
    return model_class


def _keys_read_by(model_class: type) -> set[str]:
    """Names of the settings that a model's own modules read, so that a model without a yaml file can be set up."""
    keys: set[str] = set()
    for base in model_class.__mro__:
        # A class typed into a notebook has no source; its settings then need a yaml file or another name known here.
        with contextlib.suppress(OSError, TypeError):
            if not base.__module__.startswith(("torch.", "builtins")):
                keys.update(shipped.READ_BY_CODE.findall(inspect.getsource(inspect.getmodule(base))))
    return keys

"""`Config`: RecBole's Config with our properties, a safe command line and early refusals."""

import contextlib
import copy
import inspect
import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from recbole.config import Config as RecBoleConfig
from recbole.evaluator import metric_types
from recbole.utils import ModelType

import recbole_navigen.compat  # noqa: F401 (must run before anything of RecBole is imported)
from recbole_navigen.artefacts import content_hash
from recbole_navigen.config.media_metrics import NAMES, register_media_metrics
from recbole_navigen.config.reading import (
    SettingsLoader,
    fit_types,
    nearest,
    parse_argv,
    properties_folders,
    read_settings,
    refuse_no_folder,
    refuse_nonpositive,
    refuse_unknown,
    without_secrets,
)
from recbole_navigen.errors import InputError
from recbole_navigen.processes import own_gpu, size

DEFAULT_MODEL = "NaviGen"
DEFAULT_DATASET = "ml-100k"

# Settings that RecBole's data, trainers and loggers read and that no yaml file names.
_WITHOUT_YAML = frozenset(
    {
        "model",
        "dataset",
        "config_files",
        "debug",
        "config_file",
        "convert_token_to_onehot",
        "token_num_threshold",
        "double_tower",
        "encoding",
        "kge_interval",
        "tail_ratio",
    }
)
# Settings that change nothing about what a run learns: places, devices, output, and what is measured afterwards.
NOT_LEARNED = frozenset(
    {
        "seed",
        "data_path",
        "checkpoint_dir",
        "run_dir",
        "state",
        "show_progress",
        "log_wandb",
        "wandb_project",
        "gpu_id",
        "gradient_checkpointing",
        "use_gpu",
        "device",
        "worker",
        "metrics",
        "topk",
        "metric_decimal_place",
        "eval_batch_size",
        "scoring_memory",
    }
)
_WITHOUT_K = frozenset({"gauc", "auc", "mae", "rmse", "logloss"})
_READ_BY_CODE = re.compile(r"""config\[["'](\w+)["']\]""")


class Config(RecBoleConfig):
    """Settings of one run; `config["key"]` as in RecBole, None for a key nobody set.

    Rank, low to high: RecBole's yaml < our `properties/overall.yaml` < `properties/model/MODEL.yaml` <
    `properties/dataset/DATASET.yaml` < config files (later ones win) < `config_dict` < `argv`.

    It differs from RecBole's in five ways. Values are never evaluated as Python. `sys.argv` is not read. Unknown keys,
    wrong types and non-positive sizes are refused with an InputError. A partial `eval_args` is completed from the yaml
    files instead of from RecBole's random split. Models trained with softmax (loss_type CE) need no
    `train_neg_sample_args=None`.
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
        self._argv = tuple(argv)
        self._comparison = comparison
        self._recbole_yaml: dict[str, dict] = {}
        try:
            super().__init__(model, dataset, config_file_list, config_dict)
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

    def _build_yaml_loader(self) -> type:
        return SettingsLoader

    def _load_config_files(self, file_list: Sequence[str] | None) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for file in file_list or ():
            merged.update(read_settings(file))
        if self._comparison:
            merged.pop("models", None)
        return merged

    def _load_variable_config_dict(self, config_dict: dict[str, Any] | None) -> dict[str, Any]:
        return copy.deepcopy(config_dict) if config_dict else {}

    def _load_cmd_line(self) -> dict[str, Any]:
        return parse_argv(self._argv)

    def _get_model_and_dataset(self, model: str | type | None, dataset: str | None) -> tuple[str, type, str]:
        from recbole_navigen.model.registry import get_model

        model = self.external_config_dict.get("model", DEFAULT_MODEL) if model is None else model
        dataset = self.external_config_dict.get("dataset", DEFAULT_DATASET) if dataset is None else dataset
        if not isinstance(model, str):
            return model.__name__, model, str(dataset)
        return model, get_model(model), str(dataset)

    def _update_internal_config_dict(self, file: str) -> dict[str, Any]:
        loaded = read_settings(file)
        self._recbole_yaml[Path(file).stem] = loaded
        self.internal_config_dict.update(loaded)
        return loaded

    def _load_internal_config_dict(self, model: str, model_class: type, dataset: str) -> None:
        super()._load_internal_config_dict(model, model_class, dataset)
        # Context-aware and knowledge-aware models cannot run without the columns and the labelled evaluation that
        # RecBole gives their kind, so what it loaded for the kind stays above our general defaults.
        kind = [self._recbole_yaml[stem] for stem in self._recbole_yaml if stem.startswith(_KIND_FILES)]
        for name in ("overall", f"model/{model}", f"dataset/{dataset}"):
            for folder in properties_folders():
                if (file := folder / f"{name}.yaml").is_file():
                    settings = read_settings(file)
                    self.internal_config_dict.update(settings)
                    if name.startswith("dataset/"):
                        self.parameters["Dataset"] += [key for key in settings if key not in self.parameters["Dataset"]]
        for settings in kind:
            self.internal_config_dict.update(settings)
        self._accept_external(model, model_class)

    def _accept_external(self, model: str, model_class: type) -> None:
        """Check what the user set against what the yaml files say, before anything is computed from it."""
        known = set(self.internal_config_dict) | _WITHOUT_YAML | _keys_read_by(model_class)
        known.update(key for keys in self.parameters.values() for key in keys)
        # One file, or one dictionary, may serve several models in a comparison and hold the settings of all of them.
        for settings, where, alone in (
            (self.cmd_config_dict, f"on the command line for {model}", not self._comparison),
            (self.variable_config_dict, "in config_dict", False),
            (self.file_config_dict, "in a config file", False),
        ):
            if not known.issuperset(settings):
                refuse_unknown(settings, known if alone else known | _keys_of_all_models(), where)
        if self._comparison:
            self.external_config_dict = {k: v for k, v in self.external_config_dict.items() if k in known}
        self.external_config_dict = fit_types(self.external_config_dict, self.internal_config_dict)

    def _get_final_config_dict(self) -> dict[str, Any]:
        final = super()._get_final_config_dict()
        refuse_nonpositive(final)
        refuse_no_folder(final)
        # RecBole completes a partial eval_args from a random 8:1:1 split; the yaml files keep the protocol.
        if isinstance(final["eval_args"], dict):
            final["eval_args"] = {**self.internal_config_dict["eval_args"], **final["eval_args"]}
        softmax = final["MODEL_TYPE"] == ModelType.SEQUENTIAL and final.get("loss_type") == "CE"
        if softmax and not hasattr(self.model_class, "input_type") and not self.user_set("train_neg_sample_args"):
            final["train_neg_sample_args"] = None
        return final

    def user_set(self, key: str) -> bool:
        """Whether a config file, `config_dict` or the command line sets a key."""
        return self.external_config_dict.get(key) is not None

    def _set_default_parameters(self) -> None:
        from recbole_navigen.data import dataset_folder

        final = self.final_config_dict
        self._check_metrics(final)
        folder = dataset_folder(final["data_path"], self.dataset)
        super()._set_default_parameters()
        final["data_path"] = str(folder)

    def _check_metrics(self, final: dict[str, Any]) -> None:
        """Refuse metrics that do not exist and a `valid_metric` that would not be computed."""
        metrics = [final["metrics"]] if isinstance(final["metrics"], str) else final["metrics"]
        refuse_unknown_metrics(metrics)
        name, _, k = str(final["valid_metric"]).partition("@")
        if name.lower() not in {metric.lower() for metric in metrics}:
            raise InputError(
                f"valid_metric {final['valid_metric']} is not among metrics {metrics}; add it or choose one of them"
            )
        if name.lower() in {metric.lower() for metric in NAMES}:
            raise InputError(f"valid_metric {name} is measured on media, after training; choose one such as NDCG@10")
        if not k and name.lower() not in _WITHOUT_K:
            raise InputError(f"valid_metric {name} needs its k; set for example --valid_metric={name}@10")
        topk = final["topk"] if isinstance(final["topk"], list) else [final["topk"]]
        if k and k not in {str(entry) for entry in topk}:
            raise InputError(
                f"valid_metric {final['valid_metric']} is not computed with topk {topk}; add {k} to topk "
                f"or set --valid_metric={name}@{topk[-1]}"
            )

    def _init_device(self) -> None:
        final = self.final_config_dict
        if final["gpu_id"] is None or not final["use_gpu"]:
            final["gpu_id"] = ""
        elif size() > 1 and torch.backends.cuda.is_built():
            final["gpu_id"] = own_gpu(str(final["gpu_id"]))
        super()._init_device()

    def __str__(self) -> str:
        shown = copy.copy(self)
        shown.final_config_dict = without_secrets(self.final_config_dict)
        return super(Config, shown).__str__()

    def public(self) -> dict[str, Any]:
        """Return all settings as plain JSON values, with keys and passwords hidden."""

        def as_json(value: Any) -> Any:
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
        return content_hash({key: value for key, value in self.public().items() if key not in unused})


def refuse_unknown_metrics(metrics: Sequence[Any]) -> None:
    """Refuse metrics that neither RecBole nor we compute."""
    register_media_metrics()
    for metric in metrics:
        if str(metric).lower() not in metric_types:
            raise InputError(
                f"unknown metric `{metric}`; the nearest valid name is `{nearest(str(metric), metric_types)}`"
            )


# File names (without .yaml) that RecBole loads for kinds of models that need other columns or labelled evaluation.
_KIND_FILES = ("context-aware", "sequential_DIN", "special_sequential", "sequential_embedding_model", "knowledge_base")


def _keys_read_by(model_class: type) -> set[str]:
    """Names of the settings that a model's own modules read, so that a model without a yaml file can be set up."""
    keys: set[str] = set()
    for base in model_class.__mro__:
        # A class typed into a notebook has no source; its settings then need a yaml file or another name known here.
        with contextlib.suppress(OSError, TypeError):
            if not base.__module__.startswith(("torch.", "builtins")):
                keys.update(_READ_BY_CODE.findall(inspect.getsource(inspect.getmodule(base))))
    return keys


def _keys_of_all_models() -> set[str]:
    """Names of the settings of all models that have a yaml file, RecBole's and ours."""
    import recbole

    folders = [Path(recbole.__file__).parent / "properties", *properties_folders()]
    return {key for folder in folders for file in (folder / "model").glob("*.yaml") for key in read_settings(file)}

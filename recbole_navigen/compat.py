"""The few lines that let RecBole 1.2.1 run, and count, as it should on today's packages, without editing it.

Importing this module applies them; every module of ours that imports RecBole imports this one first. `install()` does
more, for scripts that were written for RecBole. Each entry below names what breaks and where, so that it can be deleted
when RecBole mends it. RecBole's pickled checkpoints, which current torch refuses to load, are the business of
`training/trainer.py`. RecBole's own `quick_start` is never imported: it drags in a Ray that cannot be imported on
NumPy 2.
"""

import copy
import functools
import os
import sys
import warnings
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import recbole
import scipy.sparse
import torch

SUPPORTED = "1.2.1"

# Names that NumPy 2 dropped. RecBole's data code uses the first two, its `Config.compatibility_settings` the others.
_NUMPY_NAMES = {
    "float": np.float64,
    "str": np.str_,
    "float_": np.float64,
    "complex_": np.complex128,
    "unicode_": np.str_,
}

# Noise that RecBole 1.2.1 makes once an epoch or once a batch and that its users can do nothing about.
_NOISE = (
    (FutureWarning, r"`torch\.cuda\.amp\.GradScaler", ""),
    (DeprecationWarning, r"__array_wrap__ must accept context", ""),
    (FutureWarning, "", r"recbole\..*"),
    (DeprecationWarning, r"distutils Version classes", ""),
)

# What one evaluation leaves in the collector and the next one must not see.
_PER_EVALUATION = ("rec.topk", "rec.meanrank", "rec.score", "rec.items", "data.label")


# Whether torch searched for anomalies before a model switched that on.
_ANOMALY = torch.is_anomaly_enabled()


def apply() -> None:
    """Apply every entry. Doing it again changes nothing."""
    if recbole.__version__ != SUPPORTED:
        raise ImportError(
            f"RecBole-NaviGen works with recbole=={SUPPORTED} and found recbole {recbole.__version__}; "
            f"run `pip install recbole=={SUPPORTED}`"
        )
    for name, value in _NUMPY_NAMES.items():
        if name not in vars(np):
            setattr(np, name, value)
    # LightGCN, NGCF, GCMC, SpectralCF and NCL fill a dok_matrix by a method that SciPy 1.13 made private to its dict.
    if not hasattr(scipy.sparse.dok_matrix, "_update"):
        scipy.sparse.dok_matrix._update = _dok_update
    # RecBole imports TensorBoard for a writer that only a training makes, and scikit-learn for the AUC and the errors
    # of ratings; each takes as long as much of RecBole.
    for heavy, reader in (("torch.utils.tensorboard", "utils.utils"), ("sklearn.metrics", "evaluator.metrics")):
        if heavy not in sys.modules:
            sys.modules[heavy] = _WhenCalled(heavy)
            import_module(f"recbole.{reader}")
            del sys.modules[heavy]
    from recbole.evaluator.collector import Collector

    # ItemCoverage, GiniIndex, AveragePopularity and TailPercentage crash: the method asks plain numbers for `.cpu()`.
    Collector.get_data_struct = _get_data_struct
    # Two processes that start at once both find no `log` or `saved`, and the second to make it fails.
    for module in ("utils.logger", "trainer.trainer"):
        import_module(f"recbole.{module}").ensure_dir = _ensure_dir
    for category, message, module in _NOISE:
        warnings.filterwarnings("ignore", message=message, category=category, module=module)


@functools.cache
def apply_to_models() -> None:
    """Apply the entries about RecBole's models, all of which take a second to import. Whoever builds one calls this."""
    # SINE switches torch's anomaly detection on for the whole process when it is imported, which it is with every
    # sequential model: each operation of a backward pass is then searched for NaN, and training takes twice as long.
    import_module("recbole.model.sequential_recommender")
    torch.autograd.set_detect_anomaly(_ANOMALY)
    # Pop counts an item once a batch however often it occurs: no count passes the number of batches, and all depend on
    # the seed. And being pointwise it counts sampled negatives too, which pairwise models get in another column.
    pop = import_module("recbole.model.general_recommender.pop")
    pop.Pop.calculate_loss = _count
    pop.Pop.input_type = pop.InputType.PAIRWISE


# What `install` puts in the place of RecBole's own: module -> name -> where ours is. All of it stands in rooms above
# this one, and is imported when it is asked for.
_OURS = {
    "recbole.quick_start": dict.fromkeys(
        ("run", "run_recbole", "run_recboles", "objective_function", "load_data_and_model"),
        "recbole_navigen.quick_start.recbole_api",
    ),
    "recbole.config": {"Config": "recbole_navigen.config.config"},
    "recbole.data": dict.fromkeys(("create_dataset", "data_preparation"), "recbole_navigen.data"),
    "recbole.utils": {
        "get_model": "recbole_navigen.config.models",
        "get_trainer": "recbole_navigen.training.recbole_trainer",
    },
    "recbole.trainer": {"Trainer": "recbole_navigen.training.recbole_trainer"},
}


def install() -> None:
    """Let a script that was written for RecBole run as it stands: call this before its first import of recbole.

    `recbole.quick_start` becomes ours, and Ray is never imported. So do the names of RecBole's own loop: `Config`,
    `create_dataset`, `data_preparation`, `get_model`, `get_trainer` and `Trainer`, whose checkpoints are no pickles and
    which know NaviGen.
    """
    apply_to_models()
    packages = {package: names for package, names in _OURS.items() if package != "recbole.quick_start"}
    # All of ours is imported, and has RecBole's own as its bases, before anything is replaced.
    ours = {
        (package, name): getattr(import_module(home), name)
        for package, names in packages.items()
        for name, home in names.items()
    }
    for (package, name), own in ours.items():
        setattr(import_module(package), name, own)
    for name in ("recbole.quick_start", "recbole.quick_start.quick_start"):
        sys.modules[name] = _Lazy(name, _OURS["recbole.quick_start"])
    recbole.quick_start = sys.modules["recbole.quick_start"]


class _Lazy(ModuleType):
    """A module whose names are imported from elsewhere when they are asked for."""

    def __init__(self, name: str, names: dict[str, str]):
        super().__init__(name)
        self.__all__, self.__path__, self._names = list(names), [], names

    def __getattr__(self, name: str) -> Any:
        if name not in self.__dict__.get("_names", ()):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(import_module(self._names[name]), name)


class _WhenCalled(ModuleType):
    """A module whose functions import the real one when they are called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *given, **named: getattr(import_module(self.__name__), name)(*given, **named)


def _dok_update(self: scipy.sparse.dok_matrix, entries: dict) -> None:
    self._dict.update(entries)


def _get_data_struct(self):
    """Return what the evaluator needs, on the CPU, and forget what belongs to this evaluation only."""
    tensors = self.data_struct._data_dict
    for key, value in tensors.items():
        if hasattr(value, "cpu"):
            tensors[key] = value.cpu()
    struct = copy.deepcopy(self.data_struct)
    for key in _PER_EVALUATION:
        tensors.pop(key, None)
    return struct


def _ensure_dir(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)


def _count(self, interaction):
    """Count the items of a batch, each as often as it occurs; returns the zero that RecBole's Pop calls its loss."""
    items = interaction[self.ITEM_ID]
    self.item_cnt.index_add_(0, items, torch.ones_like(items)[:, None])
    self.max_cnt = self.item_cnt.max(dim=0)[0]
    return torch.nn.Parameter(torch.zeros(1)).to(self.device)


apply()

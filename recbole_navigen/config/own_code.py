"""Models and metrics in files of a user's own: what they are is read from their text before anything is imported."""

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from recbole_navigen.config import shipped
from recbole_navigen.config.reading import expanded, nearest
from recbole_navigen.errors import InputError

_SPELLED = re.compile(r"(?P<file>.+\.py):(?P<name>\w+)")
_ABSTRACT = {
    "SequentialRecommender": "sequential_recommender",
    "GeneralRecommender": "general_recommender",
    "AutoEncoderMixin": "general_recommender",
    "ContextRecommender": "context_aware_recommender",
    "KnowledgeRecommender": "knowledge_aware_recommender",
}

_own_keys: set[str] = set()


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A model class in a user's file.

    Attributes:
        file: its absolute path. name: of the class.
        family: one of `shipped.FAMILIES`, None where the text alone does not say it.
        base: the shipped model that it derives from, whose settings it has, too; None without one.
        keys: names of settings that the file reads.
    """

    file: Path
    name: str
    family: str | None
    base: str | None
    keys: frozenset[str]


def spelled_model(model: str) -> tuple[str, str] | None:
    """File and class of `my_models.py:MyModel`; None for a bare name."""
    match = _SPELLED.fullmatch(model)
    return (str(Path(expanded(match["file"])).absolute()), match["name"]) if match else None


def own_model(file: str | Path, name: str) -> OwnModel | None:
    """Read what a file says of a model class; None if it has no class of that name and the model is a shipped one.

    Raises:
        InputError: the file cannot be read, is no Python, or has no such class.
    """
    file = Path(expanded(file)).absolute()
    text, classes = _classes(file, "model_file")
    if name not in classes:
        if name in shipped.model_names():
            return None
        known = f"the nearest is {nearest(name, classes)}" if classes else "it has none"
        raise InputError(f"{file} has no class {name}; {known}")
    family, base, place = None, None, name
    while family is None and place in classes:
        parents, place = classes[place], None
        for parent in parents:
            if parent in shipped.OURS:
                raise InputError(
                    f"{name} of {file} derives from {parent}, whose stages are for it alone; derive from a model of "
                    "RecBole"
                )
            if parent in classes:
                place = parent
            elif parent in _ABSTRACT or shipped.family_of(parent):
                family = _ABSTRACT.get(parent) or shipped.family_of(parent)
                base = None if parent in _ABSTRACT else parent
                break
    keys = frozenset(shipped.READ_BY_CODE.findall(text))
    _own_keys.update(keys)
    return OwnModel(file, name, family, base, keys)


def keys_of_own_models() -> frozenset[str]:
    """Names of the settings of all files of models that were read so far."""
    return frozenset(_own_keys)


def own_metrics(file: str | Path | None) -> Mapping[str, str]:
    """The metrics of a file, in small letters: `TOP_K` (with an @k), `VALUE` (of labels) or `RANKING`.

    Args:
        file: with classes that derive from RecBole's `TopkMetric`, `LossMetric` or `AbstractMetric`, or from one of its
            metrics; None has none.
    """
    if file is None:
        return {}
    _, classes = _classes(Path(expanded(file)).absolute(), "metrics_file")
    kinds = {}
    for name in classes:
        kind = _kind(name, classes)
        if kind is not None and not name.startswith("_"):
            kinds[name.lower()] = kind
    if not kinds:
        raise InputError(
            f"metrics_file={file} has no metric: a class that derives from TopkMetric, LossMetric or AbstractMetric of "
            "recbole.evaluator.base_metric"
        )
    return kinds


def _kind(name: str, classes: Mapping[str, list[str]]) -> str | None:
    """What kind of metric a class is, from the names of its bases."""
    for parent in classes.get(name, ()):
        if parent == "TopkMetric":
            return "TOP_K"
        if parent == "LossMetric" or shipped.metric_types().get(parent.lower()) == "VALUE":
            return "VALUE"
        if parent == "AbstractMetric":
            return "RANKING"
        if parent.lower() in shipped.metric_types():
            return "TOP_K"
        if parent in classes and (kind := _kind(parent, classes)) is not None:
            return kind
    return None


def load_file(file: str | Path) -> ModuleType:
    """Import a file, which may import what lies beside it; each file once."""
    file = Path(expanded(file)).absolute()
    text = file.read_bytes()
    name = f"{file.stem}_{hashlib.sha256(bytes(file) + text).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    beside = str(file.parent)
    sys.path.insert(0, beside)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(
            f"{file} cannot be imported ({type(error).__name__}: {error}); mend it and run again"
        ) from error
    finally:
        sys.path.remove(beside)
    return module


def _classes(file: Path, key: str) -> tuple[str, dict[str, list[str]]]:
    """The text of a file and its classes: name -> names of their bases."""
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except OSError as error:
        raise InputError(f"{key}={file} cannot be read ({error.strerror}); name a file of Python") from error
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if getattr(error, "lineno", None) else ""
        raise InputError(f"{key}={file} is not Python{line}: {getattr(error, 'msg', error)}") from error
    called = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    classes = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = [base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases]
            classes[node.name] = [called.get(base, base) for base in bases]
    return text, classes

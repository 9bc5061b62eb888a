"""What names the weights of a model that is loaded by its folder or hub id, the versions of what computes, and what is
never loaded: pickles, and code that comes with a model.
"""

import contextlib
import hashlib
import importlib.metadata
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import recbole_navigen
from recbole_navigen.artefacts import file_hash
from recbole_navigen.errors import InputError

# How every model is loaded. Code of a model's own is never run.
SAFE_CODE = {"trust_remote_code": False}
SAFE = {**SAFE_CODE, "use_safetensors": True}
_MODEL_FILES = frozenset({".safetensors", ".json", ".txt", ".model", ".gguf", ".jinja"})
_PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide a result, so that other versions' results are told from it."""
    return {"recbole_navigen": recbole_navigen.__version__, "torch": importlib.metadata.version("torch")}


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of the packages that are installed, by name."""
    version_of = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            version_of[package] = importlib.metadata.version(package)
    return version_of


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model comes from.

    Attributes:
        name: of the folder, or the hub id; it holds no local path.
        weights: sha256 over the folder's files, or the commit on the hub.
        revision: the commit, so that whatever else is loaded is of the same state; None for a folder.
    """

    name: str
    weights: str
    revision: str | None


def find_source(path: str, revision: str | None, file: str) -> ModelSource:
    """Look up which weights a path means now; files of a folder are read once, and again when they change.

    Args:
        path: folder or hub id. revision: branch, tag or commit of the hub; None: its main branch.
        file: one that every such model has, `config.json` or `model_index.json`. Loaded models do not say their commit,
            the place of this file in the cache does.

    Raises:
        InputError: `file` is no JSON object, or a folder has its weights as pickles only.
        OSError: there is no such model, neither on the hub nor in its cache.
    """
    folder = Path(path)
    if folder.is_dir():
        if revision is not None:
            raise InputError(f"{path} is a folder and has no revision {revision!r}; leave it out.")
        refuse_pickles(folder)
        if (folder / file).is_file():
            _refuse_malformed(folder / file)
        return ModelSource(folder.resolve().name, folder_hash(folder), None)
    from transformers.utils.hub import cached_file, extract_commit_hash

    described = cached_file(path, file, revision=revision)
    commit = extract_commit_hash(described, None)
    if commit is None:
        raise InputError(f"the commit of {path} cannot be told; download it and name its folder instead.")
    _refuse_malformed(Path(described))
    return ModelSource(path, commit, commit)


def refuse_pickles(folder: str | Path) -> None:
    """Refuse a model's folder with weights as pickles and not as safetensors, in itself or in a part of a pipeline."""
    folder = Path(folder)
    for place in (folder, *sorted(entry for entry in folder.iterdir() if entry.is_dir())):
        files = [file for file in place.iterdir() if file.is_file()]
        pickles = sorted(file.name for file in files if file.suffix in _PICKLES)
        if pickles and (place / "config.json").is_file() and not any(file.suffix == ".safetensors" for file in files):
            raise InputError(
                f"{folder} cannot be loaded: {place / pickles[0]} is a pickle, which could run code, and weights are "
                "read from safetensors only; load it with transformers or diffusers where you trust it and call "
                "save_pretrained(FOLDER), which writes safetensors."
            )


def _refuse_malformed(file: Path) -> None:
    try:
        what = type(json.loads(file.read_text(encoding="utf-8"))).__name__
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not valid JSON ({error}), so its model cannot be loaded; get it again.") from error
    if what != "dict":
        raise InputError(f"{file} holds a JSON {what}, not an object, so its model cannot be loaded; get it again.")


def folder_hash(folder: str | Path) -> str:
    """sha256 over names and contents of the files of a model's folder."""
    folder = Path(folder)
    files = sorted(file for file in folder.rglob("*") if file.suffix in _MODEL_FILES and file.is_file())
    stats = ((file, file.stat()) for file in files)
    names = ((file.relative_to(folder).as_posix(), str(file), at.st_size, at.st_mtime_ns) for file, at in stats)
    return _hash_of(tuple(names))


@lru_cache(maxsize=64)
def _hash_of(files: tuple[tuple[str, str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for name, file, _, _ in files:
        digest.update(f"{name} {file_hash(file)}\n".encode())
    return digest.hexdigest()


def refuse_broken_weights(folder: str | Path) -> None:
    """Refuse a model's folder whose safetensors are missing, cut or of another shape than their index says. Headers
    are read and nothing else, so that this can be asked long before the model is loaded.
    """
    from safetensors import SafetensorError, safe_open

    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise InputError(
            f"{folder} has no weights as safetensors; write them with save_pretrained(FOLDER), or name another model."
        )
    present: set[str] = set()
    for file in files:
        try:
            with safe_open(file, "np") as opened:
                present.update(opened.keys())
        except (SafetensorError, OSError) as error:
            raise InputError(f"{file} is damaged ({error}), so its model cannot be loaded; get it again.") from error
    for index in Path(folder).glob("*.safetensors.index.json"):
        try:
            wanted = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{index} is damaged ({error!r}), so its model cannot be loaded; get it again.") from error
        if missing := sorted(set(wanted) - present):
            raise InputError(f"{folder} lacks {len(missing)} weights that {index.name} names; get its files again.")

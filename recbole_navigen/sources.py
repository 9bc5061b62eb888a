"""What names the weights of a model that is loaded by its folder or hub id."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from recbole_navigen.artefacts import file_hash
from recbole_navigen.errors import InputError

_MODEL_FILES = frozenset({".safetensors", ".json", ".txt", ".model"})


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
    """Look up which weights a path means now; files of a folder are read once, so keep the answer.

    Args:
        path: folder or hub id. revision: branch, tag or commit of the hub; None: its main branch.
        file: one that every such model has, `config.json` or `model_index.json`. Loaded models do not say their commit,
            the place of this file in the cache does.

    Raises:
        OSError: there is no such model, neither on the hub nor in its cache.
    """
    folder = Path(path)
    if folder.is_dir():
        if revision is not None:
            raise InputError(f"{path} is a folder and has no revision {revision!r}; leave it out.")
        digest = hashlib.sha256()
        for found in sorted(folder.rglob("*")):
            if found.suffix in _MODEL_FILES:
                digest.update(f"{found.relative_to(folder).as_posix()} {file_hash(found)}\n".encode())
        return ModelSource(folder.resolve().name, digest.hexdigest(), None)
    from transformers.utils.hub import cached_file, extract_commit_hash

    commit = extract_commit_hash(cached_file(path, file, revision=revision), None)
    if commit is None:
        raise InputError(f"the commit of {path} cannot be told; download it and name its folder instead.")
    return ModelSource(path, commit, commit)


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
    held: set[str] = set()
    for file in files:
        try:
            with safe_open(file, "np") as opened:
                held.update(opened.keys())
        except (SafetensorError, OSError) as error:
            raise InputError(f"{file} is damaged ({error}), so its model cannot be loaded; get it again.") from error
    for index in Path(folder).glob("*.safetensors.index.json"):
        try:
            wanted = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{index} is damaged ({error!r}), so its model cannot be loaded; get it again.") from error
        if missing := sorted(set(wanted) - held):
            raise InputError(f"{folder} lacks {len(missing)} weights that {index.name} names; get its files again.")

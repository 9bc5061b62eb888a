"""What names the weights of a model that is loaded by its folder or hub id."""

import hashlib
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

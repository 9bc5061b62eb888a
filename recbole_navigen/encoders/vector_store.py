"""Vectors on disk under the hash of what they were computed from, so that nothing is encoded twice."""

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from recbole_navigen.artefacts import content_hash, write_bytes

logger = logging.getLogger(__name__)


class VectorStore:
    """key -> vector. Each `put` writes one safetensors file of its own, whole or not at all; several processes may
    write into one folder. A damaged file is set aside with a warning and its vectors are computed again.
    """

    def __init__(self, folder: str | Path | None):
        """
        Args:
            folder: where the files are; made when missing. None keeps vectors in memory only.
        """
        self.folder = None if folder is None else Path(folder)
        self._vectors: dict[str, np.ndarray] = {}
        for file in sorted(self.folder.glob("*.safetensors")) if self.folder else ():
            try:
                with safe_open(file, "numpy") as opened:
                    about, vectors = opened.metadata(), opened.get_tensor("vectors")
                keys = json.loads(about["keys"])
                if about["checksum"] != content_hash(keys, vectors):
                    raise ValueError("its checksum does not fit")
                self._vectors.update(zip(keys, vectors, strict=True))
            except (SafetensorError, KeyError, ValueError, TypeError) as error:
                logger.warning("%s is damaged (%s); its vectors are computed again", file, error)
                file.rename(file.with_suffix(".damaged"))

    def get(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """The vectors that are known among some keys, each of shape (D,)."""
        return {key: self._vectors[key] for key in keys if key in self._vectors}

    def put(self, keys: Sequence[str], vectors: np.ndarray) -> None:
        """Keep vectors, shape (n, D), float32, under n keys."""
        self._vectors.update(zip(keys, vectors, strict=True))
        if self.folder is not None:
            vectors = np.ascontiguousarray(vectors, np.float32)
            about = {"keys": json.dumps(list(keys)), "checksum": content_hash(list(keys), vectors)}
            data = save({"vectors": vectors}, about)
            write_bytes(self.folder / f"{content_hash(list(keys))[:32]}.safetensors", data)

    def __len__(self) -> int:
        return len(self._vectors)

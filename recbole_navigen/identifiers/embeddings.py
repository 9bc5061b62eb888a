"""Item embeddings of a trained RecBole model, from which the collaborative codes are made; cached by content."""

import inspect
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock
from safetensors.numpy import load_file, save_file

from recbole_navigen.artefacts import content_hash, read_json, write_json
from recbole_navigen.errors import InputError
from recbole_navigen.work import Stage

EMBEDDINGS_FILE, CLOCK_FILE = "embeddings.safetensors", "seconds.json"
SIMILARITIES = 1 << 25  # that are held at once


def item_embeddings(model) -> np.ndarray:
    """Vectors of all items of a trained RecBole model, without the padding item.

    Models that compute embeddings of all users and items without input (LightGCN and other graph models) give those of
    their `forward`; others the rows of `item_embedding`.

    Returns:
        (N, D), float32.
    """
    import torch

    model.eval()
    with torch.no_grad():
        propagates = not inspect.signature(model.forward).parameters
        vectors = model.forward()[1] if propagates else model.item_embedding.weight
        return vectors[1 : model.n_items].float().cpu().numpy().copy()


def text_embeddings(texts: Sequence[str], seed: int, width: int = 128) -> np.ndarray:
    """Vectors of item texts by latent semantic analysis: TF-IDF of words and pairs of words, and its first components.

    Args:
        texts: N strings. seed: of the decomposition. width: D, at most: as many as there are words and items.

    Returns:
        Rows of unit length; zero for items without a word. Shape (N, D), float32.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import normalize

    try:
        weighted = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b").fit_transform(
            texts
        )
    except ValueError as error:
        raise InputError("no item text has a word in it; name columns with text by item_text_fields") from error
    rank = min(width, min(weighted.shape) - 1)
    if rank < 1:
        raise InputError("the item texts are too few or too alike for codes of their own; choose a collaborative_model")
    return normalize(TruncatedSVD(rank, random_state=seed).fit_transform(weighted)).astype(np.float32)


def refuse_without_embeddings(model) -> None:
    """Refuse a RecBole model, not trained yet, that has no vectors of items."""
    if not hasattr(model, "item_embedding"):
        raise InputError(
            f"collaborative_model={type(model).__name__} has no item embeddings; choose one that has, such as SASRec, "
            "LightGCN or BPR."
        )


def cached_embeddings(
    folder: str | Path, inputs: dict, train: Callable[[Path], tuple[np.ndarray, float]]
) -> tuple[np.ndarray, bool, float]:
    """Embeddings trained from exactly these inputs, from the cache if they are there. Of several processes that want
    the same ones, one trains and the others wait for it.

    Args:
        folder: where caches live; one entry a content hash.
        inputs: everything the embeddings depend on: settings and the hash of the training split.
        train: trains the model and returns its embeddings, (N, D), and the seconds that it took. It is given the place
            of a folder in which a training that is killed may leave what it goes on from.

    Returns:
        The embeddings (N, D), float32, True if they came from the cache, and the seconds that it spared: a model that
        finds them there was not trained in less time.
    """
    entry = Path(folder) / f"collaborative-{content_hash(inputs)[:16]}"
    entry.parent.mkdir(parents=True, exist_ok=True)
    begun = entry.with_name(f"{entry.name}-in-training")

    def save(folder: Path, trained: tuple[np.ndarray, float]) -> None:
        save_file({"embeddings": trained[0]}, folder / EMBEDDINGS_FILE)
        write_json(folder / CLOCK_FILE, {"seconds": round(trained[1], 3)})

    def load(folder: Path) -> tuple[np.ndarray, float]:
        return load_file(folder / EMBEDDINGS_FILE)["embeddings"], read_json(folder / CLOCK_FILE)["seconds"]

    stage = Stage(entry, inputs, lambda: train(begun), save, load)
    with FileLock(f"{entry}.lock"):
        embeddings, seconds = stage.run()
        shutil.rmtree(begun, ignore_errors=True)
    return embeddings, stage.cached, seconds if stage.cached else 0.0


def nearest_items(vectors: np.ndarray, count: int, chunk: int = 2048) -> np.ndarray:
    """The items most similar to each item by cosine, itself left out.

    (N, D) -> (N, C = min(count, N - 1)), nearest first; of equally similar ones those that come first in the catalogue.

    It costs a partition of each row, not a sort: only what is at least as similar as the C-th is put in order.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    count = min(count, len(vectors) - 1)
    result = np.empty((len(vectors), count), dtype=np.int64)
    chunk = min(chunk, max(1, SIMILARITIES // max(1, len(vectors))))
    for begin in range(0, len(vectors) if count > 0 else 0, chunk):
        similarity = unit[begin : begin + chunk] @ unit.T
        similarity[np.arange(len(similarity)), begin + np.arange(len(similarity))] = -np.inf
        least = np.partition(similarity, -count, axis=1)[:, -count, None]
        rows, items = np.nonzero(similarity >= least)
        # `nonzero` goes row by row and item by item, and the sort is stable: ties stay in the order of the catalogue.
        order = np.lexsort((-similarity[rows, items], rows))
        first = np.searchsorted(rows, np.arange(len(similarity)))
        result[begin : begin + chunk] = items[order[first[:, None] + np.arange(count)]]
    return result

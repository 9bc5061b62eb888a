"""Small data sets of atomic files, and settings to run on them."""

from pathlib import Path
from typing import Any

import numpy as np

from recbole_navigen.config import Config

BASE_SECOND = 1_500_000_000  # where float32 seconds fall into steps of 128


def write_atomic(path: str | Path, name: str, users: int = 30, items: int = 25, seed: int = 0) -> Path:
    """Write NAME.inter and NAME.item into path/name.

    Each user has 5 to 12 interactions, seconds apart (so float32 cannot order them), some at equal times, in shuffled
    file order. Items follow each other in a ring often enough for a model to learn it.

    Returns:
        `path`, to be used as `data_path`.
    """
    rng = np.random.default_rng(seed)
    lines = []
    for user in range(users):
        count = int(rng.integers(5, 13))
        steps = np.where(rng.random(count) < 0.8, 1, rng.integers(2, items, size=count))
        sequence = (rng.integers(items) + np.cumsum(steps)) % items
        times = BASE_SECOND + np.cumsum(rng.integers(0, 4, size=count))
        lines += [f"u{user}\ti{item}\t{rng.integers(1, 6)}\t{time}" for item, time in zip(sequence, times, strict=True)]
    # Every item occurs, so that the catalogue's size is known.
    lines += [f"u{item % users}\ti{item}\t3\t{BASE_SECOND - 100 + item}" for item in range(items)]
    rng.shuffle(lines)
    inter = ["user_id:token\titem_id:token\trating:float\ttimestamp:float", *lines]
    genres = ("drama", "comedy night", "space opera", "western")
    item = [f"i{number}\tTale {number} of the River\t{genres[number % 4]}" for number in range(items)]
    write_files(path, name, inter, ["item_id:token\ttitle:token_seq\tgenre:token_seq", *item])
    return Path(path)


def write_files(path: str | Path, name: str, inter: list[str], item: list[str] | None = None) -> Path:
    """Write atomic files line by line into path/name and return `path`."""
    folder = Path(path) / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.inter").write_text("".join(f"{line}\n" for line in inter), encoding="utf-8")
    if item is not None:
        (folder / f"{name}.item").write_text("".join(f"{line}\n" for line in item), encoding="utf-8")
    return Path(path)


def make_config(model: str, data_path: str | Path, name: str = "tiny", **settings: Any) -> Config:
    """Return quiet settings for a short run on tiny data; `settings` overrides them."""
    quiet = {
        "data_path": str(data_path),
        "checkpoint_dir": str(Path(data_path) / "saved"),
        "state": "ERROR",
        "show_progress": False,
        "epochs": 2,
        "train_batch_size": 16,
        "MAX_ITEM_LIST_LENGTH": 8,
        "topk": [5],
        "valid_metric": "NDCG@5",
        "use_gpu": False,
    }
    return Config(model, name, config_dict={**quiet, **settings})

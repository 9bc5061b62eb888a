"""Codes of the model's own item vectors, in place of those of the collaborative model (`recode_epochs`).

The model is trained for some epochs on the first codes. Then its item vectors are quantised anew, and a model with the
new codes starts where the first one stood: all other weights are carried over, and an item's new rows add up to what
its old ones added up to, so no item has moved.

Symbols: N items, L levels, K codes, D width.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from recbole_navigen.artefacts import atomic_directory, verify_manifest
from recbole_navigen.config import Config
from recbole_navigen.data import UserRowLoader
from recbole_navigen.identifiers.codes import residual_kmeans
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.model.navigen import NaviGen
from recbole_navigen.network.item_model import DualIdentifierLM
from recbole_navigen.processes import alone
from recbole_navigen.runs.layout import RECODING, RECODING_PROGRESS
from recbole_navigen.training.progress import Progress
from recbole_navigen.training.sft import NaviGenTrainer

FILE = "weights.safetensors"
OF_CODES = ("code_rows", "item_rows", "decoder.code_bias")  # weights that mean nothing under other codes


def recode(config: Config, model: NaviGen, train_data: UserRowLoader, inputs: dict[str, Any]) -> DualIdentifierTable:
    """Train a model on the first table, write the weights to start from into the run's folder, and return the table of
    the new codes.

    Args:
        config: settings of the run. model: with the first table. train_data: user rows.
        inputs: what the new table is made of, for its manifest.
    """
    folder, progress = Path(config["run_dir"]) / RECODING, Progress(Path(config["run_dir"]) / RECODING_PROGRESS)
    model.to(config["device"])
    with alone():
        trainer = NaviGenTrainer(config, model)
        trainer.epochs = config["recode_epochs"]
        trainer.go_on(progress)
        trainer.fit(train_data, None, saved=False, show_progress=config["show_progress"])
    with trainer.averaged():
        vectors = row_sums(model.lm)
        weights = {name: value.cpu().numpy() for name, value in model.lm.state_dict().items() if name not in OF_CODES}
    new = recoded(model.table, vectors, config["seed"], config["balanced"])
    weights |= split_rows(vectors, new.codes, new.codebook_size)
    with atomic_directory(folder, inputs) as place:
        save_file({name: np.ascontiguousarray(value) for name, value in weights.items()}, place / FILE)
    progress.remove()
    return new


def recoded(table: DualIdentifierTable, vectors: np.ndarray, seed: int, balanced: bool) -> DualIdentifierTable:
    """Return a table of the same items and terms whose codes are those of other vectors, (N, D)."""
    quantized = residual_kmeans(vectors, table.levels, table.codebook_size, seed, balanced)
    return replace(
        table,
        codes=quantized.codes,
        codebooks=np.stack(quantized.codebooks),
        residuals=quantized.residuals,
        report={**table.report, "codes": quantized.report},
    )


@torch.no_grad()
def row_sums(lm: DualIdentifierLM) -> np.ndarray:
    """Add up the code rows and the own row of each item, by item index. Shape (N, D), float32."""
    items = torch.arange(1, len(lm.codes), device=lm.codes.device)
    sums = lm.code_vectors(items)
    return (sums if lm.item_rows is None else sums + lm.item_rows[items]).float().cpu().numpy()


def split_rows(vectors: np.ndarray, codes: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Code rows and item rows that add up to given vectors: a code's row is the mean of what its items have left.

    Args:
        vectors: (N, D). codes: (N, L). size: K.

    Returns:
        `code_rows` (L * K, D), zero for codes that no item has, and `item_rows` (N + 1, D), zero for the padding item.
    """
    left, rows = vectors.astype(np.float32), []
    for level in codes.T:
        sums = np.zeros((size, left.shape[1]), dtype=np.float32)
        np.add.at(sums, level, left)
        rows.append(sums / np.maximum(np.bincount(level, minlength=size), 1)[:, None].astype(np.float32))
        left = left - rows[-1][level]
    return {"code_rows": np.concatenate(rows), "item_rows": np.pad(left, ((1, 0), (0, 0)))}


def start_from(model: NaviGen, run_dir: str | Path) -> None:
    """Give a new model the weights that `recode` left for it."""
    verify_manifest(Path(run_dir) / RECODING)
    weights = {name: torch.from_numpy(value) for name, value in load_file(Path(run_dir) / RECODING / FILE).items()}
    own = model.lm.state_dict()
    model.lm.load_state_dict({name: weights.get(name, value) for name, value in own.items()})

"""The states of all random generators that training draws from: read, kept with a checkpoint, and put back."""

import random
from typing import Any

import numpy as np
import torch
from recbole.data.dataloader import AbstractDataLoader

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)


def random_states(train_data: AbstractDataLoader | None = None) -> dict[str, Any]:
    """Return the states of all generators that training draws from."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "loaders": [generator.get_state() for generator in _generators(train_data)],
    }


def set_random_states(states: dict[str, Any], train_data: AbstractDataLoader | None = None) -> None:
    """Put all generators back to states that `random_states` returned."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    for generator, state in zip(_generators(train_data), states["loaders"], strict=True):
        generator.set_state(state)


def _generators(train_data: AbstractDataLoader | None) -> list[torch.Generator]:
    """Those of a loader, and of the loaders it consists of, as for models on knowledge graphs."""
    if train_data is None:
        return []
    parts = [train_data, *(part for part in vars(train_data).values() if isinstance(part, AbstractDataLoader))]
    return [part.generator for part in parts if isinstance(getattr(part, "generator", None), torch.Generator)]

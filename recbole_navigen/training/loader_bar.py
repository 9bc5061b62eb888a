"""The bar of a training epoch."""

from collections.abc import Iterator
from typing import Any

from recbole.data.dataloader import AbstractDataLoader

import recbole_navigen.compat  # noqa: F401 (applies itself to RecBole)
from recbole_navigen.bars import tqdm


class LoaderBar:
    """A progress bar that stands in for the loader it runs over."""

    def __init__(self, loader: AbstractDataLoader, title: str):
        self._loader, self._bar = loader, tqdm(loader, total=len(loader), desc=title, ncols=100)

    def __getattr__(self, name: str) -> Any:
        if name in ("_loader", "_bar"):
            raise AttributeError(name)
        return getattr(self._loader, name)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._bar)

    def __enter__(self) -> "LoaderBar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, loss: float) -> None:
        """Show the loss of a batch beside the bar."""
        self._bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

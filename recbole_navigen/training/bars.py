"""The bar of a training epoch."""

from typing import Any

from tqdm import tqdm


class LoaderBar(tqdm):
    """A progress bar that stands in for the loader it runs over."""

    def __getattr__(self, name: str) -> Any:
        if name == "iterable":
            raise AttributeError(name)
        return getattr(self.iterable, name)

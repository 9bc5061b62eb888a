"""What all tests share: a working directory of their own, and a tiny data set with text."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic import write_atomic


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run each test in an empty folder: RecBole writes log/, log_tensorboard/ and saved/ into the working directory."""
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield tmp_path
    # The log files of this test's runs lie in a folder that is about to go.
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


@pytest.fixture
def tiny(own_folder: Path) -> Path:
    """Write the data set `tiny` (60 users, 80 items, titles and genres) under dataset/ and return its data_path."""
    return write_atomic(own_folder / "dataset", "tiny", users=60, items=80)

"""Where a data set, and what runs share, live on disk. Standard library only."""

import difflib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recbole_navigen.config.downloads import hint
from recbole_navigen.errors import InputError

BUNDLED = "ml-100k"


def cache_folder(settings: Mapping[str, Any]) -> Path:
    """Folder of what the runs of a `checkpoint_dir` share: vectors, supervision, answers of language models."""
    return Path(settings["checkpoint_dir"]) / "cache"


def bundled_folder() -> Path:
    """Folder of the ml-100k that the recbole wheel carries."""
    return Path(find_spec("recbole").origin).parent / "dataset_example" / BUNDLED


def dataset_folder(data_path: str | Path, name: str) -> Path:
    """Find the folder that holds `name.inter`.

    Args:
        data_path: folder of data sets, as in `--data_path`.
        name: name of the data set, as in `--dataset`.

    Returns:
        `data_path/name` if it exists; else, for ml-100k, the copy inside the installed recbole package.

    Raises:
        InputError: no such data set, with the nearest names and the folder that was searched.
    """
    if "/" in name or "\\" in name:
        raise InputError(
            f"dataset={name} is a path; give the data set's name, and --data_path=FOLDER for the folder that holds its "
            "folder"
        )
    root = Path(data_path)
    folder = root / name
    if name and folder.is_dir():
        return folder
    if name == BUNDLED:
        return bundled_folder()
    present = sorted(entry.name for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []
    known = [*present, BUNDLED] if BUNDLED not in present else present
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:5]
    got = f". {where}" if (where := hint(name)) else "; navigen-convert makes it out of a download (--list: formats)"
    raise InputError(
        f"unknown data set `{name}`: there is no folder {folder.absolute()}; nearest names: {', '.join(near)} "
        f"(set --data_path to the folder that holds the folder `{name}`){got}"
    )

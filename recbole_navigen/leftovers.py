"""Names of what stands beside an artefact while it is written, and what is done with what a killed process left.

`.NAME.OWNER.tmp` is being filled; `.NAME.OWNER.old` is the version before, on its way out.
OWNER says which process made it (see `owners`), and ends in random digits.
"""

import contextlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from recbole_navigen.owners import OWNER, lives, this_process

NEW, OLD = "tmp", "old"
DEEPEST = 3  # folders below the one that is cleaned: saved/RUN/writer-in-training/
UNTOUCHED_SECONDS = 24 * 3600.0  # after which what a process elsewhere was writing is given up: nothing takes so long
# Random digits alone were the owner before processes were told apart.
_OWNER = f"{OWNER}-[0-9a-f]{{12}}|[0-9a-f]{{32}}"
_NAME = re.compile(rf"\.(?P<name>.+)\.(?P<owner>{_OWNER})\.(?P<kind>{NEW}|{OLD})")


def beside(path: Path, kind: str) -> Path:
    """A new name beside an artefact, of `kind` NEW or OLD, that nobody else uses."""
    return path.parent / f".{path.name}.{this_process()}-{uuid.uuid4().hex[:12]}.{kind}"


def remove_whole(folder: Path) -> None:
    """Remove a folder, if it is there, at once for all who look for it: a kill in the middle leaves none half there."""
    doomed = beside(folder, NEW)
    with contextlib.suppress(FileNotFoundError):
        os.rename(folder, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def older_versions(path: Path) -> list[Path]:
    """Return the older versions of `path` that interrupted replacements left beside it, the newest last."""
    versions = []
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(path.parent):
            match = _NAME.fullmatch(entry.name)
            if match and match["kind"] == OLD and match["name"] == path.name:
                with contextlib.suppress(FileNotFoundError):
                    versions.append((entry.stat().st_mtime_ns, Path(entry.path)))
    return [older for _, older in sorted(versions)]


def remove_leftovers(folder: str | Path, name: str | None = None) -> list[Path]:
    """Remove what dead processes left unfinished, and return what it was.

    Args:
        folder: where it is looked for, and in the folders below it.
        name: of one artefact in that very folder; None: all.

    A process of another machine or container that writes into the same shared folder cannot be asked whether it lives:
    what it left goes only when it has not been touched for a day. An older version is kept while what was to replace it
    is not there.
    """
    removed = []
    for path, match in _leftovers(Path(folder), DEEPEST if name is None else 0):
        if name not in (None, match["name"]):
            continue
        replaced = match["kind"] == NEW or (path.parent / match["name"]).exists()
        if not replaced or not _abandoned(path, match["owner"]):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
        removed.append(path)
    return removed


def _leftovers(folder: Path, depth: int) -> Iterator[tuple[Path, re.Match]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:  # it is not there, or not ours to look into
        return
    for entry in entries:
        match = _NAME.fullmatch(entry.name)
        if match:
            yield Path(entry.path), match
        elif depth and entry.is_dir(follow_symlinks=False):
            yield from _leftovers(Path(entry.path), depth - 1)


def _abandoned(path: Path, owner: str) -> bool:
    alive = lives(owner.rpartition("-")[0])
    return time.time() - _touched(path) > UNTOUCHED_SECONDS if alive is None else not alive


def _touched(path: Path) -> float:
    """When a file, or anything in a folder, was last changed; seconds since 1970. Now, if that cannot be told."""
    try:
        inside = (Path(folder, name) for folder, folders, files in os.walk(path) for name in (*folders, *files))
        return max(each.lstat().st_mtime for each in (path, *inside))
    except OSError:
        return time.time()

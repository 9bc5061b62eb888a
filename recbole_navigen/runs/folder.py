"""Folders of runs: making one, holding it while a run works there, and finding one that was begun."""

import contextlib
import glob
import itertools
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from recbole_navigen import processes
from recbole_navigen.artefacts import plain, read_record, write_record
from recbole_navigen.errors import DamagedArtefact
from recbole_navigen.leftovers import remove_leftovers, remove_whole
from recbole_navigen.runs.layout import LOCK, RESULT, STARTED

logger = logging.getLogger(__name__)


class StopRun(Exception):
    """Raised by a `callback` to end a run that nobody needs any more; its folder is removed."""


@contextlib.contextmanager
def own_folder(root: str | Path, stem: str, wanted: dict[str, Any]) -> Iterator[tuple[Path, bool]]:
    """Hold the folder of a run for as long as the block lasts. If a run with this identity was begun and not finished,
    and nobody works on it, the folder is that run's, and the second value is True; otherwise the folder is new.

    A run that nobody needs any more leaves no folder, nor does one that ends in an error before it wrote anything.
    """
    with contextlib.ExitStack() as locks:
        path = _unfinished(root, stem, wanted, locks)
        goes_on = path is not None
        if path is None:
            path = new_folder(root, stem)
            locks.enter_context(FileLock(path / LOCK))
            write_record(path / STARTED, wanted)
        try:
            yield path, goes_on
        except BaseException as error:
            if isinstance(error, StopRun) or {file.name for file in path.iterdir()} <= {STARTED, LOCK}:
                remove_whole(path)
            raise


@contextlib.contextmanager
def common_folder(
    root: str | Path, stem: str, wanted: dict[str, Any], device: torch.device
) -> Iterator[tuple[Path, bool]]:
    """`own_folder` for all processes of a run: the main one holds the folder, and the others are told of it."""
    with contextlib.ExitStack() as locks:

        def begin() -> str:
            path, goes_on = locks.enter_context(own_folder(root, stem, wanted))
            return json.dumps([str(path), goes_on])

        path, goes_on = json.loads(processes.from_main(begin, device))
        yield Path(path), goes_on


def begun_as(folder: Path) -> dict[str, Any] | None:
    """The identity of the run that was begun in a folder; None, with a warning, if that can no longer be told."""
    try:
        return read_record(folder / STARTED, f"delete {folder}, where a run was begun and not finished")
    except DamagedArtefact as error:
        logger.warning("%s; no run goes on there", error)
    except FileNotFoundError:  # removed in between
        pass
    return None


def _unfinished(root: str | Path, stem: str, wanted: dict[str, Any], locks: contextlib.ExitStack) -> Path | None:
    """A folder to go on in, whose lock is now held; the lock of a killed process is free."""
    remove_leftovers(root)
    for file in sorted(Path(root).glob(f"{glob.escape(stem)}-*/{STARTED}")):
        folder = file.parent
        if (folder / RESULT).exists() or begun_as(folder) != plain(wanted):
            continue
        with contextlib.suppress(Timeout):
            locks.enter_context(FileLock(folder / LOCK, blocking=False))
            if file.exists() and not (folder / RESULT).exists():
                logger.info("going on with the run in %s", folder)
                return folder
            locks.close()  # it was finished, or removed, in between
    return None


def new_folder(root: str | Path, stem: str) -> Path:
    """Make the folder `root/STEM-TIME`; a second one in the same second gets -2."""
    Path(root).mkdir(parents=True, exist_ok=True)
    remove_leftovers(root)
    base = f"{stem}-{time.strftime('%b-%d-%Y_%H-%M-%S')}"
    for number in itertools.count(1):
        path = Path(root) / (base if number == 1 else f"{base}-{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError

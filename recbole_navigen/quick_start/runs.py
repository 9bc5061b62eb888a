"""Run folders: what makes two runs the same run, which ones are finished, and what a comparison reads from them."""

import contextlib
import glob
import itertools
import json
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from recbole_navigen import processes
from recbole_navigen.artefacts import content_hash, file_hash, plain, read_json, write_json
from recbole_navigen.config import Config
from recbole_navigen.config.reading import added_settings, without_secrets
from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.evaluation.user_ranks import UserRanks
from recbole_navigen.language.adapters import LORA_KEYS

RESULT = "result.json"  # written last: a folder that holds it is a finished run
STARTED = "started.json"  # written first, with the run's identity
LOCK = "run.lock"  # held by the process that works on the run

logger = logging.getLogger(__name__)


class StopRun(Exception):
    """Raised by a `callback` to end a run that nobody needs any more; its folder is removed."""


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    Attributes:
        folder: `saved/RUN`.
        record: its result.json.
        ranks: of its test users.
    """

    folder: Path
    record: dict[str, Any]
    ranks: UserRanks

    @classmethod
    def load(cls, folder: str | Path) -> "Run":
        """Read a run's folder.

        Raises:
            InputError: no finished run, or one whose evaluation keeps no ranks.
            DamagedArtefact: the ranks it kept are gone or not whole.
        """
        folder, record = Path(folder), read_result(folder)
        if record["split_hash"] is None:
            raise InputError(
                f"{folder} keeps no ranks of its test users (they need leave-one-out by time and full ranking); "
                "run the model again or leave it out"
            )
        return cls(folder, record, UserRanks.load(folder))

    def __str__(self) -> str:
        return str(self.folder)


def read_result(folder: str | Path) -> dict[str, Any]:
    """The result.json of a finished run's folder."""
    if not (Path(folder) / RESULT).is_file():
        raise InputError(f"{folder} is not the folder of a finished run: it holds no {RESULT}; name saved/RUN")
    return read_json(Path(folder) / RESULT)


def identity(config: Config) -> dict[str, Any]:
    """Name a run by what decides its result: model, settings, the bytes of its data files, and seed.

    Args:
        config: settings as they are before the run.
    """
    own, leave_out = {}, ()
    if config["model"] == "NaviGen":
        from recbole_navigen.quick_start.supervised import WRITING_KEYS, learns_instructions, settings_of

        # A model that learns to rank alone is the same whatever a writer beside it may learn.
        supervision = settings_of(config)
        stages = config["training_stages"]
        if learns_instructions(config) or "write" in stages or supervision["tid_source"] == "teacher":
            own["supervision_hash"] = content_hash(without_secrets(supervision))
        else:
            leave_out = WRITING_KEYS
        if "reinforce" not in stages:
            leave_out = (*leave_out, "reinforce")
        # Of the settings of collaborative models, those of the one that is used.
        name = config["collaborative_model"]
        used = (config["collaborative_config"] or {}).get(name, {})
        own["collaborative_hash"] = content_hash({**added_settings(f"model/{name}"), **used})
        leave_out = (*leave_out, "collaborative_config")
        if config["backbone"] != "scratch":
            from recbole_navigen.language.backbone import weights_of

            own["backbone_hash"] = weights_of(config["backbone"])
        if not config["lora"]:
            leave_out = (*leave_out, *LORA_KEYS)
    files = sorted(Path(config["data_path"]).glob(f"{glob.escape(config['dataset'])}.*"))
    return {
        "model": config["model"],
        "settings_hash": config.settings_hash(leave_out),
        "files_hash": content_hash({file.name: file_hash(file) for file in files}),
        "seed": config["seed"],
        **own,
    }


def refuse_other_backbone(wanted: dict[str, Any], backbone: str, run_dir: Path) -> None:
    """Refuse a pretrained backbone that is no longer what a run was trained on, since a checkpoint may leave the frozen
    weights to it.

    Args:
        wanted: the run's identity; one that says nothing of a backbone's weights is taken as it is.
        backbone: folder or hub id. run_dir: `saved/RUN`.
    """
    from recbole_navigen.language.backbone import weights_of

    then = wanted.get("backbone_hash")
    if then is not None and then != weights_of(backbone):
        raise InputError(
            f"backbone={backbone} has other files now than when {run_dir} was trained on it; bring those back or train "
            "again"
        )


def protocol(config: Config) -> dict[str, Any]:
    """What decides how a run is validated and tested."""
    public = config.public()
    return {key: public[key] for key in ("eval_args", "exclude_history", "repeatable")}


def find_finished(root: str | Path, wanted: dict[str, Any]) -> Run | None:
    """The newest finished run with an identity whose ranks are whole."""
    for folder in finished_folders(root, wanted):
        try:
            return Run.load(folder)
        except DamagedArtefact as error:
            logger.warning("%s; running it again", error)
    return None


def finished_folders(root: str | Path, wanted: dict[str, Any]) -> Iterator[Path]:
    """Folders of the finished runs with an identity, the newest first."""
    results = sorted(Path(root).glob(f"*/{RESULT}"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    for file in results:
        try:
            if read_json(file).get("identity") == wanted:
                yield file.parent
        except DamagedArtefact as error:
            logger.warning("%s; it is not considered", error)


@contextlib.contextmanager
def own_folder(root: str | Path, stem: str, wanted: dict[str, Any]) -> Iterator[tuple[Path, bool]]:
    """The folder of a run, held for as long as the block lasts: that of a run with this identity which was begun and
    not finished, if nobody works on it, or else a new one. The second value is True for a run to go on with.

    A run that nobody needs any more leaves no folder, nor does one that ends in an error before it wrote anything.
    """
    with contextlib.ExitStack() as held:
        path = _unfinished(root, stem, wanted, held)
        goes_on = path is not None
        if path is None:
            path = new_folder(root, stem)
            held.enter_context(FileLock(path / LOCK))
            write_json(path / STARTED, wanted)
        try:
            yield path, goes_on
        except BaseException as error:
            if isinstance(error, StopRun) or {file.name for file in path.iterdir()} <= {STARTED, LOCK}:
                shutil.rmtree(path)
            raise


@contextlib.contextmanager
def common_folder(root: str | Path, stem: str, wanted: dict[str, Any], device: Any) -> Iterator[tuple[Path, bool]]:
    """`own_folder` for all processes of a run: the main one holds the folder, and the others are told of it."""
    with contextlib.ExitStack() as held:

        def begin() -> str:
            path, goes_on = held.enter_context(own_folder(root, stem, wanted))
            return json.dumps([str(path), goes_on])

        path, goes_on = json.loads(processes.from_main(begin, device))
        yield Path(path), goes_on


def _unfinished(root: str | Path, stem: str, wanted: dict[str, Any], held: contextlib.ExitStack) -> Path | None:
    """A folder to go on in, whose lock is now held; the lock of a killed process is free."""
    for file in sorted(Path(root).glob(f"{glob.escape(stem)}-*/{STARTED}")):
        folder = file.parent
        if (folder / RESULT).exists() or read_json(file) != plain(wanted):
            continue
        with contextlib.suppress(Timeout):
            held.enter_context(FileLock(folder / LOCK, blocking=False))
            if file.exists() and not (folder / RESULT).exists():
                logger.info("going on with the run in %s", folder)
                return folder
            held.close()  # it was finished, or removed, in between
    return None


def new_folder(root: str | Path, stem: str) -> Path:
    """Make the folder `root/STEM-TIME`; a second one in the same second gets -2."""
    Path(root).mkdir(parents=True, exist_ok=True)
    base = f"{stem}-{time.strftime('%b-%d-%Y_%H-%M-%S')}"
    for number in itertools.count(1):
        path = Path(root) / (base if number == 1 else f"{base}-{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError

"""Run folders: what makes two runs the same run, which ones are finished, and what a comparison reads from them."""

import contextlib
import glob
import itertools
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from recbole_navigen import processes
from recbole_navigen.artefacts import content_hash, file_hash, plain, read_record, write_record
from recbole_navigen.config import Config
from recbole_navigen.config.reading import added_settings
from recbole_navigen.encoders.sentences import encoder_folder
from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.evaluation.user_ranks import UserRanks
from recbole_navigen.language.adapters import LORA_KEYS
from recbole_navigen.leftovers import remove_leftovers, remove_whole
from recbole_navigen.reinforcement.rewards import CODE_REWARDS
from recbole_navigen.runs.user_code import code_hash
from recbole_navigen.sources import folder_hash, versions
from recbole_navigen.training.precision import use_bf16

RESULT = "result.json"  # written last: a folder that holds it is a finished run
STARTED = "started.json"  # written first, with the run's identity
LOCK = "run.lock"  # held by the process that works on the run
# What result.json of a run holds and others read.
RESULT_KEYS = (
    *("model", "dataset", "seed", "identity", "protocol", "config", "versions", "dataset_hash", "split_hash"),
    *("best_valid_score", "best_valid_result", "test_result", "validations", "stages", "parameters"),
    *("training_seconds", "test_users_per_second", "peak_memory_mb"),
)

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
    """The result.json of a finished run's folder.

    Raises:
        InputError: the folder is not that of a finished run.
        DamagedArtefact: the file is not what the run wrote.
    """
    if not (Path(folder) / RESULT).is_file():
        raise InputError(f"{folder} is not the folder of a finished run: it holds no {RESULT}; name saved/RUN")
    record = read_record(Path(folder) / RESULT, f"delete {folder} and run its model again")
    if missing := [key for key in RESULT_KEYS if key not in record]:
        raise InputError(
            f"{folder} is not the folder of a finished run of this version: its {RESULT} says nothing of {missing[0]}; "
            "name saved/RUN, or run its model again"
        )
    return record


def identity(config: Config) -> dict[str, Any]:
    """Name a run by what decides its result: model, settings, the bytes of its data files, seed, versions, and the
    content of what is not of this package: model classes and scorers of one's own, weights that are loaded.

    Args:
        config: settings as they are before the run.
    """
    own, leave_out = {}, ()
    if config["model"] == "NaviGen":
        own, leave_out = _own_identity(config)
    files = sorted(Path(config["data_path"]).glob(f"{glob.escape(config['dataset'])}.*"))
    return plain(
        {
            **trained_by(config, leave_out),
            "files_hash": content_hash({file.name: file_hash(file) for file in files}),
            "seed": config["seed"],
            **own,
        }
    )


def trained_by(config: Config, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """What decides the training of a model beside its data and seed.

    Args:
        config: settings as they are before the run. leave_out: settings that do not matter to it.
    """
    known = {"model": config["model"], "versions": versions()}
    # `auto` is another precision on another machine; and models on RecBole's own rows do not know the setting at all.
    if config["model"] == "NaviGen" or config["train_rows"] == "user":
        known["autocast"] = use_bf16(config["autocast"], config["device"])
    known["settings_hash"] = config.settings_hash((*leave_out, "autocast"))
    if (code := code_hash(config.model_class)) is not None:
        known["code_hash"] = code
    return known


def _own_identity(config: Config) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What decides the result of a NaviGen beside what decides that of any model; and the settings that do not, or that
    are named here in another way.
    """
    from recbole_navigen.config.reinforcement import reinforce_settings
    from recbole_navigen.pipeline.supervision import WRITING_KEYS, learns_instructions, made_of, settings_of
    from recbole_navigen.reinforcement.scorers import SCORERS

    own, leave_out = {}, ("reinforce", "collaborative_config")
    # A model that learns to rank alone is the same whatever a writer beside it may learn.
    supervision, stages = settings_of(config), config["training_stages"]
    if learns_instructions(config) or "write" in stages or supervision["tid_source"] == "teacher":
        own["supervision_hash"] = content_hash(made_of(supervision))
    else:
        leave_out += WRITING_KEYS
    if "reinforce" in stages:
        reinforced = reinforce_settings(config["reinforce"])
        rewards = filter(None, (SCORERS.get(reinforced["scorer"]), CODE_REWARDS.get(reinforced["reward"])))
        own["reinforce_hash"] = content_hash(reinforced, code_hash(*rewards))
    # Of the settings of collaborative models, those of the one that is used.
    name = config["collaborative_model"]
    used = (config["collaborative_config"] or {}).get(name, {})
    own["collaborative_hash"] = content_hash({**added_settings(f"model/{name}"), **used})
    if (encoder := encoder_weights(config["text_vectors"])) is not None:
        own["encoder_hash"] = encoder
    if config["backbone"] != "scratch":
        from recbole_navigen.language.backbone import weights_of

        own["backbone_hash"] = weights_of(config["backbone"], config["backbone_revision"])
    if not config["lora"]:
        leave_out += LORA_KEYS
    return own, leave_out


def encoder_weights(text_vectors: str) -> str | None:
    """What names the weights of the sentence encoder of the setting `text_vectors`; None if it wants none."""
    return None if text_vectors == "terms" else folder_hash(encoder_folder(text_vectors))


def refuse_other_backbone(wanted: dict[str, Any], backbone: str, run_dir: Path, revision: str | None = None) -> None:
    """Refuse a pretrained backbone that is no longer what a run was trained on, since a checkpoint may leave the frozen
    weights to it.

    Args:
        wanted: the run's identity; one that says nothing of a backbone's weights is taken as it is.
        backbone: folder or hub id. run_dir: `saved/RUN`. revision: the run's `backbone_revision`.
    """
    from recbole_navigen.language.backbone import weights_of

    then = wanted.get("backbone_hash")
    if then is not None and then != weights_of(backbone, revision):
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
            if read_result(file.parent).get("identity") == plain(wanted):
                yield file.parent
        except DamagedArtefact as error:
            logger.warning("%s; it is not considered", error)
        except InputError:  # a result of something else, such as media
            continue


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
            write_record(path / STARTED, wanted)
        try:
            yield path, goes_on
        except BaseException as error:
            if isinstance(error, StopRun) or {file.name for file in path.iterdir()} <= {STARTED, LOCK}:
                remove_whole(path)
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


def begun_as(folder: Path) -> dict[str, Any] | None:
    """The identity of the run that was begun in a folder; None, with a warning, if that can no longer be told."""
    try:
        return read_record(folder / STARTED, f"delete {folder}, where a run was begun and not finished")
    except DamagedArtefact as error:
        logger.warning("%s; no run goes on there", error)
    except FileNotFoundError:  # removed in between
        pass
    return None


def _unfinished(root: str | Path, stem: str, wanted: dict[str, Any], held: contextlib.ExitStack) -> Path | None:
    """A folder to go on in, whose lock is now held; the lock of a killed process is free."""
    remove_leftovers(root)
    for file in sorted(Path(root).glob(f"{glob.escape(stem)}-*/{STARTED}")):
        folder = file.parent
        if (folder / RESULT).exists() or begun_as(folder) != plain(wanted):
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
    remove_leftovers(root)
    base = f"{stem}-{time.strftime('%b-%d-%Y_%H-%M-%S')}"
    for number in itertools.count(1):
        path = Path(root) / (base if number == 1 else f"{base}-{number}")
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError

"""Finished runs: which there are, and what others read from them."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_navigen.artefacts import plain, read_record
from recbole_navigen.config.rules import NOT_LEARNED
from recbole_navigen.config.shipped import NAMES, dataset_arguments, described, model_names
from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.evaluation.user_ranks import UserRanks
from recbole_navigen.runs.layout import RESULT, refuse_unfinished

# What result.json of a run holds and others read.
RESULT_KEYS = (
    *("model", "dataset", "seed", "identity", "protocol", "config", "versions", "dataset_hash", "split_hash"),
    *("best_valid_score", "best_valid_result", "test_result", "validations", "stages", "parameters"),
    *("training_seconds", "test_users_per_second", "peak_memory_mb"),
)

# What RecBole, the protocol or the data set sets by itself.
_SET_BY_ITSELF = ("eval_args", "repeatable", "train_neg_sample_args", "item_text_fields", "item_text_roles")

logger = logging.getLogger(__name__)


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
    """Read result.json of a finished run's folder.

    Raises:
        InputError: the folder is not that of a finished run.
        DamagedArtefact: the file is not what the run wrote.
    """
    refuse_unfinished(folder)
    record = read_record(Path(folder) / RESULT, f"delete {folder} and run its model again")
    if missing := [key for key in RESULT_KEYS if key not in record]:
        raise InputError(
            f"{folder} is not the folder of a finished run of this version: its {RESULT} says nothing of {missing[0]}; "
            "name saved/RUN, or run its model again"
        )
    return record


def find_finished(root: str | Path, wanted: dict[str, Any]) -> Run | None:
    """Find the newest finished run with an identity whose ranks are whole."""
    for folder in finished_folders(root, wanted):
        try:
            return Run.load(folder)
        except DamagedArtefact as error:
            logger.warning("%s; running it again", error)
    return None


def finished_folders(root: str | Path, wanted: dict[str, Any]) -> Iterator[Path]:
    """Find the folders of the finished runs with an identity, the newest first."""
    results = sorted(Path(root).glob(f"*/{RESULT}"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    for file in results:
        try:
            if read_result(file.parent).get("identity") == plain(wanted):
                yield file.parent
        except DamagedArtefact as error:
            logger.warning("%s; it is not considered", error)
        except InputError:  # a result of something else, such as media
            continue


def own_settings(record: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run that decide what its model learns and differ from the shipped ones; of a
    dictionary, the entries that differ.

    Args:
        record: its result.json.
    """
    model, config = record["model"], record["config"]
    elsewhere = {*NOT_LEARNED, *NAMES, *dataset_arguments(), *_SET_BY_ITSELF}
    known = described(model if model in model_names() else None)
    names = [name for name in known if name in config and name not in elsewhere]
    pairs = {name: (config[name], plain(known[name].default)) for name in names}
    return {name: _differing(value, default) for name, (value, default) in pairs.items() if value != default}


def _differing(value: Any, default: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(default, dict):
        return value
    return {key: _differing(own, default.get(key)) for key, own in value.items() if own != default.get(key)}

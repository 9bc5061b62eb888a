"""RecBole's `quick_start` under its own names and with its own signatures, on today's stack.

RecBole reads settings from `sys.argv` whoever calls it; these functions do so too, as scripts rely on it. Everything
else is `run_navigen`: its checks, its defaults, its folders and its resume.
"""

import logging
import sys
from collections.abc import MutableMapping, Sequence
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from recbole_navigen.config import shipped
from recbole_navigen.config.given import gather
from recbole_navigen.errors import InputError
from recbole_navigen.leftovers import remove_whole
from recbole_navigen.quick_start.run import run_navigen
from recbole_navigen.runs.layout import CHECKPOINT, RESULT
from recbole_navigen.runs.loaded import LoadedRun, load_run

_OF_SCRIPTS = ("model", "dataset", "config_files", "params_file", "output_file", "tool")  # that scripts read themselves
_METRICS = ("best_valid_score", "valid_score_bigger", "best_valid_result", "test_result")

logger = logging.getLogger(__name__)


def run_recbole(
    model: str | type | None = None,
    dataset: str | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    saved: bool = True,
    queue: Queue | None = None,
) -> dict[str, Any]:
    """Train and test a model.

    Args:
        model: name or class. dataset: its name. config_file_list: yaml files. config_dict: typed settings.
        saved: False leaves no folder of the run behind. queue: gets the result, too.

    Returns:
        RecBole's `best_valid_score`, `valid_score_bigger`, `best_valid_result` and `test_result`, and, if it is saved,
        `run_dir`.
    """
    argv = script_settings()
    result = run_navigen(model, dataset, config_file_list, dict(config_dict or {}), argv)
    if not saved:
        remove_whole(Path(result["run_dir"]))
        result = {key: result[key] for key in _METRICS}
    if queue is not None:
        queue.put(result)
    return result


def run(
    model: str | type,
    dataset: str,
    config_file_list: Sequence[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    saved: bool = True,
    nproc: int = 1,
    world_size: int = -1,
    ip: str = "localhost",
    port: str = "5678",
    group_offset: int = 0,
) -> dict[str, Any]:
    """`run_recbole`. Several processes are started by torchrun, not here: ip, port and group_offset change nothing."""
    if nproc > 1 or world_size > 1:
        raise InputError(
            f"nproc={nproc} and world_size={world_size} ask for several processes; start the script by torchrun "
            "--nproc_per_node=N instead, see docs/distributed.md."
        )
    return run_recbole(model, dataset, config_file_list, config_dict, saved)


def run_recboles(rank: int, *args: object) -> None:
    """Stand in for the function that RecBole spawns; it is refused unless there is one process."""
    *names, more = args
    if not isinstance(more, MutableMapping):
        raise InputError(f"the last argument of run_recboles must be a dictionary, not {more!r}.")
    if rank:
        raise InputError("run_recboles is for one process; start the script by torchrun instead.")
    run_recbole(*names[:3], **more)


def objective_function(
    config_dict: dict[str, Any] | None = None, config_file_list: Sequence[str] | None = None, saved: bool = True
) -> dict[str, Any]:
    """Train and test the model that the settings name, for a search of one's own; `run_hyper` is a whole one.

    Returns:
        As `run_recbole`, and `model`, its name. Nothing is reported to Ray.
    """
    model = gather(None, None, config_file_list, config_dict, script_settings()).model
    return {"model": model, **run_recbole(None, None, config_file_list, config_dict, saved)}


def load_data_and_model(model_file: str | Path) -> LoadedRun:
    """Load what a finished run was made of: config, model, dataset, train_data, valid_data and test_data.

    Args:
        model_file: folder of a run, `saved/RUN`, or the checkpoint inside it. RecBole's `.pth` files are pickles, which
            execute whatever stands in them, and are not read.
    """
    path = Path(model_file)
    if path.is_file() and path.name != RESULT:
        raise InputError(
            f"{path} is not the folder of a run; pickles (.pth) are never read here: give saved/RUN, which run_recbole "
            "returns as `run_dir`."
        )
    return load_run(path.parent if path.name in (CHECKPOINT, RESULT) else path)


def script_settings() -> list[str]:
    """The settings among the arguments of the process, as RecBole reads them; all else belongs to the script."""
    if "ipykernel_launcher" in sys.argv[0]:
        return []
    argv, others = [], []
    known = shipped.keys_of_all_models() | set(shipped.described())
    for argument in sys.argv[1:]:
        name, equals, _ = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or not equals:
            others.append(argument)
        elif name.partition(".")[0] in known and name not in _OF_SCRIPTS:
            argv.append(argument)
        elif name not in _OF_SCRIPTS:
            others.append(argument)
    if others:
        logger.warning("command line args [%s] will not be used in RecBole", " ".join(others))
    return argv

"""`run_navigen`: one model on one data set, from atomic files to test metrics."""

import contextlib
import logging
import os
import platform
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from recbole.data.dataloader import AbstractDataLoader
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import ModelType, init_seed, set_color

import recbole_navigen
from recbole_navigen import processes
from recbole_navigen.artefacts import read_record, write_record
from recbole_navigen.bars import use_bars
from recbole_navigen.config import Config
from recbole_navigen.config.calls import SETTINGS, checks
from recbole_navigen.config.forms import sampled
from recbole_navigen.config.models import parts_of
from recbole_navigen.config.settings import RunSettings
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.devices import peak_device_memory_mb
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.user_ranks import rank_users
from recbole_navigen.leftovers import remove_whole
from recbole_navigen.pipeline.check import refuse_deep_topk
from recbole_navigen.presentation.html_result import HtmlResult
from recbole_navigen.presentation.tables import prints
from recbole_navigen.runs.folder import common_folder
from recbole_navigen.runs.identity import evaluation_protocol, identity
from recbole_navigen.runs.layout import RECODING, RESULT, TRAINED
from recbole_navigen.runs.result import finished_folders
from recbole_navigen.runs.run_log import start_logging
from recbole_navigen.runs.stages import Stages
from recbole_navigen.runs.summary import SampleUser, metrics_table, sample_users, show
from recbole_navigen.sources import installed
from recbole_navigen.training.trainer import SafeCheckpoint

_VERSIONS_OF = ("recbole", "torch", "numpy", "pandas", "scipy", "scikit-learn", "transformers", "tokenizers", "peft")

logger = logging.getLogger(__name__)


@checks(**SETTINGS, callback="function or None")
def run_navigen(
    model: str | type | None = None,
    dataset: str | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    argv: Sequence[str] = (),
    callback: Callable[[int, float], None] | None = None,
) -> dict[str, Any]:
    """Train and test a model as RecBole's `run_recbole` does, NaviGen or any model of RecBole.

    Args:
        model: name or class; None takes `model` from the settings, or else NaviGen.
        dataset: name of the data set; None takes `dataset` from the settings, or else ml-100k.
        config_file_list: yaml files of settings.
        config_dict: settings as typed Python values.
        argv: settings as `--key=value`. `sys.argv` is never read.
        callback: called with the epoch and the valid score after every evaluation; it may raise `StopRun`.

    Returns:
        RecBole's `best_valid_score`, `valid_score_bigger`, `best_valid_result` and `test_result` (plain floats), of the
        reinforced model where one was kept;
        `validations`, the score of each evaluation with its epoch and the seconds since training began; and `run_dir`,
        the folder that holds `result.json` and the checkpoint.

    Raises:
        InputError: bad input, found before any training.
    """
    # 1. Settings and the places to write to: everything that can be refused early is refused here.
    config = Config(model, dataset, config_file_list, config_dict, argv)
    if not processes.is_main():
        config["show_progress"] = False
    run = RunSettings.of(config)
    parts = parts_of(run.model)
    origin = {"identity": identity(config), "protocol": evaluation_protocol(config)}
    require_writable(run.checkpoint_dir, "checkpoint_dir")
    use_bars(run.progress)
    if processes.is_main():
        start_logging(config)
    init_seed(run.seed, run.reproducibility)
    logger.info(config)

    # 2. Data.
    stages = Stages()
    with stages("data") as stage:
        data = create_dataset(config)
        logger.info(data)
        # Splitting expands prefixes for most models, so interactions are counted before it.
        stage.metric = f"{data.user_num - 1} users, {data.item_num - 1} items, {data.inter_num} interactions"
        refuse_deep_topk(config, data.item_num - 1)
        train_data, valid_data, test_data = data_preparation(config, data)

    # 3. Model and training. The run folder is made only now, so that refused input leaves none behind.
    with (
        processes.joined(run.device.type),
        common_folder(run.checkpoint_dir, run.name, origin["identity"], run.device) as (run_dir, goes_on),
    ):
        config["run_dir"] = str(run_dir)
        init_seed(run.seed + run.local_rank, run.reproducibility)
        with processes.main_first():
            net, trainer = parts.build(config, train_data, valid_data, stages)
        logger.info(net)
        with stages("train") as stage:
            best_valid_score, best_valid_result = _fit(trainer, train_data, valid_data, goes_on, callback)
            stage.spared = trainer.seconds_before
            if best_valid_result:
                stage.metric = f"best valid {run.valid_metric} {best_valid_score:.4f}"
        if parts.later is not None:
            with processes.main_alone() as mine:
                if mine:
                    parts.later(config, trainer, train_data.dataset, valid_data, stages)
            best_valid_score, best_valid_result = trainer.best_valid_score, trainer.best_valid_result

        # 4. Test, with RecBole's own evaluator on the best checkpoint.
        with stages("test") as stage:
            # A ranking among sampled items must not depend on what was drawn before: a killed run drew less.
            init_seed(run.seed, run.reproducibility)
            test_result = trainer.evaluate(test_data, load_best_model=True, show_progress=run.show_progress)
            stage.metric = f"test {run.valid_metric} {test_result[run.metric]:.4f}"
        costs = _costs(trainer, test_data, stages)
        with stages("ranks") as stage:
            ranks = rank_users(config, test_data, net) if processes.is_main() else None
            if ranks is not None:
                ranks.save(run_dir)
            stage.metric = "not kept" if ranks is None else f"{len(ranks.user)} users, both protocols"
        logger.info(set_color("best valid ", "yellow") + f": {best_valid_result}")
        logger.info(set_color("test result", "yellow") + f": {test_result}")

        # 5. Report.
        result = {
            # Without a validation split (LS: test_only) RecBole keeps the last epoch and has no score.
            "best_valid_score": float(best_valid_score) if best_valid_result else None,
            "valid_score_bigger": bool(run.valid_metric_bigger),
            "best_valid_result": _floats(best_valid_result or {}),
            "test_result": _floats(test_result),
            "validations": trainer.validations,
        }
        if not processes.is_main():
            return {**result, "run_dir": str(run_dir)}
        # After a kill, the seconds of training go on from the last checkpoint; those of other stages are those since.
        origin["resumed"] = goes_on
        origin |= {"dataset_hash": data.content_hash, "split_hash": ranks.split_hash if ranks is not None else None}
        # How often the order of the file, or `shuffle_ties`, decided which row is the last.
        tied, users = data.tied_last_rows or (None, None)
        origin["tied_last_rows"] = tied if tied is None else {"tied": tied, "users": users, "share": tied / users}
        write_record(run_dir / RESULT, {**result, **origin, **costs, **_provenance(config, stages)})
        remove_whole(run_dir / RECODING)  # what training began from is of no use behind its end
        probabilities = bool(getattr(net, "scores_are_log_probabilities", False))
        among = sampled(run.eval_args["mode"]["test"])
        if prints(run.state):
            show(stages, result["test_result"], _samples(run, test_data, net), probabilities, among)
        logger.info("results are in %s", run_dir / RESULT)
    result["run_dir"] = str(run_dir)
    return HtmlResult(result, [metrics_table(result["test_result"], among)])


def finished_run(
    dataset: str | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    argv: Sequence[str] = (),
) -> Path:
    """Folder of the newest finished NaviGen with these settings (as `run_navigen` takes them); without one, it is
    trained now.
    """
    found = find_run(Config("NaviGen", dataset, config_file_list, config_dict, argv))
    return found or Path(run_navigen("NaviGen", dataset, config_file_list, config_dict, argv)["run_dir"])


def find_run(config: Config) -> Path | None:
    """Folder of the newest finished run of these settings."""
    return next(finished_folders(RunSettings.of(config).checkpoint_dir, identity(config)), None)


def _fit(
    trainer: SafeCheckpoint,
    train_data: AbstractDataLoader,
    valid_data: AbstractDataLoader,
    goes_on: bool,
    callback: Callable | None,
) -> tuple[float, dict[str, float] | None]:
    """Train, or go on where a killed run stood. Returns the best validation score and result."""
    run_dir = Path(trainer.saved_model_file).parent
    done = run_dir / TRAINED
    through = goes_on and done.exists()
    if through:
        trainer.load_best()
        kept = read_record(done, f"delete {run_dir} and run again")
        trainer.validations, trainer.seconds_before = kept["validations"], kept["seconds"]
        trainer.eval_collector.data_collect(train_data)  # as `fit` does; metrics such as ItemCoverage need it
    if through or (goes_on and trainer.go_on()):
        # Whoever judges the epochs sees all of them, as without the kill.
        for row in trainer.validations if callback is not None else ():
            callback(row["epoch"], row["score"])
    if not through:
        trainer.fit(
            train_data, valid_data, saved=True, show_progress=trainer.settings.show_progress, callback_fn=callback
        )
        if processes.is_main():
            write_record(done, {"validations": trainer.validations, "seconds": trainer.spent()["seconds"]})
    if processes.is_main():
        trainer.forget_last()
    return trainer.best_valid_score, trainer.best_valid_result


def _samples(run: RunSettings, test_data: AbstractDataLoader, net: AbstractRecommender) -> list[SampleUser]:
    """Return three users of a sequential model; models that rank item by item only are left out."""
    if run.MODEL_TYPE != ModelType.SEQUENTIAL or "full" not in run.eval_args["mode"]["test"]:
        return []
    try:
        return sample_users(test_data, net)
    except NotImplementedError:
        return []


def _floats(result: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in result.items()}


def require_writable(folder: str, key: str) -> None:
    """Refuse an output folder in which no file can be made. One that is not there yet is not left behind."""
    probe = Path(folder) / f".write-test-{os.getpid()}"
    new = [place for place in (probe.parent, *probe.parent.parents) if not place.exists()]
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        for place in new:
            with contextlib.suppress(OSError):  # another process has put something there meanwhile
                place.rmdir()
    except OSError as error:
        raise InputError(
            f"{key} {Path(folder).resolve()} cannot be written ({error.strerror}); choose another with --{key}=FOLDER"
        ) from error


def _costs(trainer: SafeCheckpoint, test_data: AbstractDataLoader, stages: Stages) -> dict[str, Any]:
    """Say what training and testing took, right after them: time, size and memory."""
    parameters, device = list(trainer.model.parameters()), str(trainer.device)
    kilobyte = 1024 if sys.platform == "darwin" else 1  # the unit of ru_maxrss: bytes on macOS, kilobytes on Linux
    users = len(np.unique(test_data._dataset.inter_feat[test_data._dataset.uid_field]))
    return {
        "training_seconds": stages.training_seconds,
        "test_users": users,
        "test_users_per_second": round(users / trainer.evaluation_seconds, 1),
        "parameters": {
            "total": sum(parameter.numel() for parameter in parameters),
            "trainable": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        },
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / kilobyte / 1024, 1),
        "peak_device_memory_mb": peak_device_memory_mb(device),
        "machine": {
            "platform": platform.platform(),
            "processors": os.cpu_count(),
            "device": device,
            "processes": processes.size(),
        },
    }


def _provenance(config: Config, stages: Stages) -> dict[str, Any]:
    """Say where a result comes from: settings, stages and versions."""
    versions = {"recbole_navigen": recbole_navigen.__version__, "python": platform.python_version()}
    versions |= installed(_VERSIONS_OF)
    run = RunSettings.of(config)
    return {
        "model": run.model,
        "dataset": run.dataset,
        "seed": run.seed,
        "seconds": stages.seconds,
        "stages": [{"name": row.name, "seconds": row.seconds, "metric": row.metric} for row in stages.rows],
        "versions": versions,
        "config": config.public(),
    }

"""The Optuna study of a sweep: where it is stored, what proposes its trials, and what stops them early."""

import contextlib
import copy
import os
import random
import re
import socket
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from recbole_navigen.artefacts import content_hash
from recbole_navigen.errors import InputError
from recbole_navigen.owners import lives
from recbole_navigen.redaction import hide, remember
from recbole_navigen.tuning.search_space import Parameter

try:
    import optuna
    import sqlalchemy
    import sqlalchemy.exc
    from optuna.exceptions import ExperimentalWarning, OptunaError, UpdateFinishedTrialError
    from optuna.trial import TrialState
except ModuleNotFoundError as error:
    raise InputError("a sweep needs Optuna, which is not installed; pip install 'recbole-navigen[tune]'") from error

SAMPLERS = ("tpe", "random", "grid", "cmaes", "nsga2")
PRUNERS = ("median", "hyperband", "halving", "none")
JOURNAL = "journal:"
FAILURE = "failure"  # attribute of trials that ended in an error of their own, not with their worker
PROCESS = "process"  # attribute of trials: `owners.this_process` of their worker
_IDENTITY = "identity"  # attribute of studies: what they search
_RETRIES = 3  # of a trial whose worker was killed
_ATTEMPTS = 5  # to open a storage that others are making
_MEANWHILE = re.compile("already exists|locked|duplicate", re.IGNORECASE)
# What Optuna lets through: a journal whose lines are of another shape is a TypeError, a KeyError or the like.
_STORAGE_ERRORS = (
    *(sqlalchemy.exc.SQLAlchemyError, OptunaError, ImportError, OSError, ValueError, RuntimeError),
    *(TypeError, LookupError, AttributeError, AssertionError),
)
_LOCKED_SECONDS = 60  # how long one worker waits for the other to write to SQLite

# Optuna's heartbeat and multivariate TPE are what it calls experimental; sweeps keep to its exact tested version.
warnings.filterwarnings("ignore", category=ExperimentalWarning)
optuna.logging.set_verbosity(optuna.logging.ERROR)
_retry = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=_RETRIES)


def open_study(
    name: str,
    directions: Sequence[str],
    space: Sequence[Parameter],
    identity: Mapping[str, Any],
    storage: str | None,
    sampler: str,
    pruner: str,
    heartbeat: int,
    n_trials: int,
    seed: int,
) -> "optuna.Study":
    """Make a study, or join one that other workers or an earlier sweep have begun.

    Args:
        name: of the study in its storage.
        directions: maximize or minimize, one for each objective.
        space, identity: what is searched, and everything else that trials of one study must have in common.
        storage: None for memory, `journal:FILE`, or the URL of a database.
        sampler: one of SAMPLERS. pruner: one of PRUNERS.
        heartbeat: seconds between two signs of life of a worker, for databases.
        n_trials: of the study, for the number of random trials at the start. seed: of the sampler.
    """
    if storage is not None and sampler == "cmaes":
        raise InputError(
            "--sampler=cmaes keeps its state in the study as a pickle, and what others may have written is never read "
            "so; leave --storage out or use another sampler"
        )
    # Workers with the same seed would propose the same trials, so a stored study is given none.
    seed = seed if storage is None else None
    remember(storage, "storage")
    study = _reach(
        storage,
        lambda: optuna.create_study(
            storage=_storage(storage, heartbeat),
            sampler=_sampler(sampler, space, n_trials, seed),
            pruner=_pruner(pruner),
            study_name=name,
            directions=list(directions),
            load_if_exists=True,
        ),
    )
    space_hash = content_hash([repr(parameter) for parameter in space], dict(identity), list(directions))
    known = study.user_attrs.setdefault(_IDENTITY, space_hash)
    if known != space_hash:
        raise InputError(
            f"the study {name} in {_shown(storage)} searches another space, or with other settings, data, precision "
            "(autocast) or versions; name another with --study=NAME, or repeat its command where it was begun"
        )
    study.set_user_attr(_IDENTITY, space_hash)
    return study


def _reach(storage: str | None, create: Callable[[], "optuna.Study"]) -> "optuna.Study":
    """Turn all that can be wrong with a storage into one sentence. Workers that start together make its tables at the
    same moment: whoever is second tries again, and finds them.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return create()
        except InputError:
            raise
        except _STORAGE_ERRORS as error:
            together = isinstance(error, sqlalchemy.exc.IntegrityError) or _MEANWHILE.search(str(error))
            if together and attempt < _ATTEMPTS - 1:
                time.sleep(1.0 + random.random())
                continue
            # SQLAlchemy's errors have a first line that says it, then statements and links.
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"the study cannot be kept in --storage={_shown(storage)} ({reason}); use sqlite:///FILE, "
                f"{JOURNAL}FILE or the URL of a database that is running, with its driver installed"
            ) from error
    raise AssertionError


def _shown(storage: str | None) -> str:
    return hide(storage) if storage else "memory"


def _storage(storage: str | None, heartbeat: int) -> Any:
    if storage is None:
        return None
    if storage.startswith(JOURNAL):
        path = Path(storage.removeprefix(JOURNAL))
        path.parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    if "://" not in storage:
        raise InputError(f"--storage={storage} is no storage; use sqlite:///FILE, {JOURNAL}FILE or a database's URL")
    sqlite = storage.startswith("sqlite")
    return optuna.storages.RDBStorage(
        storage,
        engine_kwargs={"connect_args": {"timeout": _LOCKED_SECONDS}} if sqlite else {"pool_pre_ping": True},
        heartbeat_interval=heartbeat,
        heartbeat_stale_trial_callback=_retry,
    )


def _sampler(name: str, space: Sequence[Parameter], n_trials: int, seed: int | None) -> Any:
    if name == "random":
        return optuna.samplers.RandomSampler(seed)
    if name == "grid":
        return optuna.samplers.GridSampler({parameter.name: parameter.grid() for parameter in space}, seed=seed)
    start = max(3, min(10, n_trials // 3))
    if name == "tpe":
        return optuna.samplers.TPESampler(n_startup_trials=start, multivariate=True, constant_liar=True, seed=seed)
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=max(4, min(50, n_trials // 4)), seed=seed)
    try:
        import cmaes  # noqa: F401 (Optuna would say so only after the first trials)
    except ModuleNotFoundError as error:
        raise InputError("--sampler=cmaes needs the package cmaes; pip install cmaes") from error
    if sum(parameter.kind != "choice" and parameter.low < parameter.high for parameter in space) < 2:
        raise InputError("--sampler=cmaes needs at least two settings of type float or int; use another sampler")
    return optuna.samplers.CmaEsSampler(n_startup_trials=start, warn_independent_sampling=False, seed=seed)


def _pruner(name: str) -> Any:
    if name == "none":
        return optuna.pruners.NopPruner()
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=3)
    return optuna.pruners.HyperbandPruner() if name == "hyperband" else optuna.pruners.SuccessiveHalvingPruner()


def ended(study: "optuna.Study") -> list[Any]:
    """Trials that ran to an end of their own: done, stopped early, or failed. Those that died with a worker are not."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        or (trial.state == TrialState.FAIL and FAILURE in trial.user_attrs)
    ]


def spent_seconds(study: "optuna.Study") -> float:
    """What the trials took that ran to an end of their own, by all workers."""
    return sum(trial.user_attrs.get("seconds", 0.0) for trial in ended(study))


def put_up_again(study: "optuna.Study") -> None:
    """Put trials into the queue again that an earlier worker began and did not end.

    That worker was interrupted by Ctrl-C, for which Optuna does nothing, or killed. The copy of a trial keeps its
    settings and its place on a grid.
    """
    _fail_dead(study)
    trials = study.get_trials()
    again = {number for trial in trials for number in trial.system_attrs.get("retry_history", ())}
    for trial in trials:
        if trial.state == TrialState.FAIL and FAILURE not in trial.user_attrs and trial.number not in again:
            _retry(study, trial)


def is_drawn(study: "optuna.Study", params: Mapping[str, Any]) -> bool:
    """Whether a trial that ended, runs or waits has some settings, in the form Optuna stores."""
    trials = ended(study) + study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING))
    drawn = ({**trial.system_attrs.get("fixed_params", {}), **trial.params} for trial in trials)
    return any(params.items() <= found.items() for found in drawn)


def best_trial(study: "optuna.Study") -> Any | None:
    """The trial with the best first value among those that none beats in all values; None while none is done."""
    maximize = study.directions[0].name == "MAXIMIZE"
    return max(study.best_trials, key=lambda trial: trial.values[0] * (1 if maximize else -1), default=None)


def others_running(study: "optuna.Study", heartbeats: bool) -> int:
    """Trials that workers with a heartbeat are at. Those whose worker died are failed here, and put up for retry."""
    _fail_dead(study)
    if not heartbeats:
        return 0  # nothing would tell a trial that is running from one whose worker was killed
    optuna.storages.fail_stale_trials(study)
    _fail_unbegun(study)
    return len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))


def _fail_dead(study: "optuna.Study") -> None:
    """Fail trials whose worker ran on this machine and runs no more, and put them up for retry: that needs no wait, and
    no heartbeat. Of several workers that see it, the first does it.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if lives(trial.user_attrs.get(PROCESS)) is False:
            with contextlib.suppress(UpdateFinishedTrialError):
                study._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
                _retry(study, copy.deepcopy(study._storage.get_trial(trial._trial_id)))


def _fail_unbegun(study: "optuna.Study") -> None:
    """As `fail_stale_trials`, for trials whose worker died before its first sign of life, which Optuna passes over."""
    storage = study._storage
    latest = datetime.now() - timedelta(seconds=2 * storage.get_heartbeat_interval())
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    old = {trial._trial_id for trial in running if trial.datetime_start < latest}
    if not old:
        return
    signs = sqlalchemy.table("trial_heartbeats", sqlalchemy.column("trial_id"))
    with storage._backend.engine.connect() as connection:
        alive = connection.scalars(sqlalchemy.select(signs.c.trial_id).where(signs.c.trial_id.in_(old)))
        unbegun = old.difference(alive)
    for trial_id in unbegun:
        with contextlib.suppress(UpdateFinishedTrialError):  # another worker was faster
            storage.set_trial_state_values(trial_id, state=TrialState.FAIL)
            _retry(study, copy.deepcopy(storage.get_trial(trial_id)))


def has_heartbeats(storage: str | None) -> bool:
    """Whether a storage notices workers that were killed."""
    return storage is not None and not storage.startswith(JOURNAL)


def worker_name() -> str:
    """This process on this machine."""
    return f"{socket.gethostname()}:{os.getpid()}"

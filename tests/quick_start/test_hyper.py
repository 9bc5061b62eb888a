"""Sweeps: what they search, what becomes of each trial, and several workers on one study."""

import contextlib
import csv
import json
import os
import runpy
import signal
import sqlite3
import time
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from forked_commands import ForkedCommands
from places import ROOT

from recbole_navigen.artefacts import write_record
from recbole_navigen.cli.hyper import hyper
from recbole_navigen.config.reading import read_settings
from recbole_navigen.errors import InputError
from recbole_navigen.quick_start import run_hyper, run_navigen
from recbole_navigen.quick_start.separate import RunFailed, RunStopped, SeparateRuns
from recbole_navigen.runs.result import RESULT_KEYS
from recbole_navigen.tuning.search_space import Parameter
from recbole_navigen.tuning.study import is_drawn, open_study, others_running, put_up_again

RUNNING = optuna.trial.TrialState.RUNNING
QUIET = {"show_progress": False, "use_gpu": False, "state": "ERROR", "epochs": 2}
SPACE = "learning_rate: {type: float, low: 0.0001, high: 0.1, log: true}\nembedding_size: [8, 16, 64]\n"


@pytest.fixture
def space(tiny: Path) -> str:
    Path("space.yaml").write_text(SPACE)
    return "space.yaml"


Curve = Callable[[dict[str, Any]], list[float]]


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, space: str) -> Callable[[Curve], list[dict[str, Any]]]:
    """Play runs instead of making them: a curve gives the valid scores of settings. Lists the settings that ran."""

    def play(curve: Curve) -> list[dict[str, Any]]:
        ran: list[dict[str, Any]] = []

        def run(self: SeparateRuns, model: str, dataset: str, settings: dict, progress: Any, judge: Any) -> str:
            ran.append(settings)
            for epoch, score in enumerate(curve(settings)):
                progress(f"epoch {epoch}")
                if not judge(epoch, score):
                    raise RunStopped
            folder, best = Path("saved") / f"run-{len(ran)}", max(curve(settings))
            folder.mkdir(parents=True)
            speed = 1000.0 / settings.get("embedding_size", 64)
            test = {"ndcg@10": best / 2}
            record = {"best_valid_score": best, "test_result": test, "test_users_per_second": speed}
            write_record(folder / "result.json", {**dict.fromkeys(RESULT_KEYS), **record})
            return str(folder)

        monkeypatch.setattr(SeparateRuns, "__call__", run)
        return ran

    return play


def sweep(**given: Any) -> dict[str, Any]:
    return run_hyper("BPR", "tiny", "space.yaml", config_dict=QUIET, output="out", **given)


def rows() -> list[dict[str, str]]:
    with open("out/trials.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_real_sweep_from_end_to_end(space: str, in_this_process: list[str], capsys: Any) -> None:
    given = ["--model=BPR", "--dataset=tiny", f"--params_file={space}", "--n_trials=4", "--output=out"]
    assert hyper([*given, "--show_progress=False", "--use_gpu=False", "--epochs=2"]) == 0
    assert in_this_process == ["BPR"] * 4
    trials = rows()
    assert [row["trial"] for row in trials] == ["0", "1", "2", "3"]
    # 1. The first trial is the run without a sweep.
    assert (float(trials[0]["learning_rate"]), trials[0]["embedding_size"]) == (0.001, "64")
    # 2. best.yaml is the best trial: the same run, with the same result.
    done = [row for row in trials if row["state"] == "done"]
    best = max(done, key=lambda row: float(row["ndcg@10"]))
    again = run_navigen(config_file_list=["out/best.yaml"], config_dict={"show_progress": False, "use_gpu": False})
    assert again["best_valid_score"] == float(best["ndcg@10"])
    one, other = (
        json.loads((Path(folder) / "result.json").read_text()) for folder in (best["folder"], again["run_dir"])
    )
    assert one["identity"] == other["identity"] and one["test_result"] == other["test_result"]
    # 3. One page that needs nothing beside itself.
    page = Path("out/sweep.html").read_text()
    assert "<img" in page and 'src="http' not in page and "<script src" not in page
    assert "history.svg" in os.listdir("out") and "The sweep is in out" in capsys.readouterr().out


def test_the_best_trial_is_the_one_with_the_best_valid_score(played: Any) -> None:
    ran = played(lambda settings: [settings["learning_rate"], 0.05])
    result = sweep(n_trials=8, pruner="none")
    scores = [max(settings["learning_rate"], 0.05) for settings in ran]
    assert len(ran) == result["trials"] == 8 and result["failed"] == result["pruned"] == 0
    assert result["best"]["value"] == pytest.approx(max(scores))
    assert result["best"]["settings"]["learning_rate"] == ran[result["best"]["number"]]["learning_rate"]
    assert result["best"]["test_result"] == {"ndcg@10": pytest.approx(max(scores) / 2)}
    # All trials share one place for artefacts, and what the user fixed.
    assert {settings["epochs"] for settings in ran} == {2} and not any("checkpoint_dir" in s for s in ran)


def test_paths_are_written_as_text(played: Any) -> None:
    """`data_path` may be a Path; the report is written after all trials, and must not fail at it."""
    played(lambda settings: [0.1])
    config_dict = {**QUIET, "data_path": Path("dataset").resolve()}
    found = run_hyper("BPR", "tiny", "space.yaml", 1, config_dict=config_dict, output="out")
    written = read_settings("out/best.yaml")
    assert written["data_path"] == str(Path("dataset").resolve()) and written == found["best"]["settings"]


def test_a_trial_that_lies_behind_is_stopped(played: Any) -> None:
    """By the valid metric of each evaluation; the sizes 8 and 64 learn, 16 does not."""
    Path("space.yaml").write_text("embedding_size: [8, 16, 64]\n")

    def curve(settings: dict[str, Any]) -> list[float]:
        slope = 0.0 if settings["embedding_size"] == 16 else 0.1
        return [slope * epoch for epoch in range(10)]

    played(curve)
    result = sweep(n_trials=12, sampler="random")
    trials = rows()
    stopped = [row for row in trials if row["state"] == "stopped early"]
    assert result["pruned"] == len(stopped) > 0
    assert {row["embedding_size"] for row in stopped} == {"16"}
    assert all(1 <= int(row["evaluations"]) < 10 for row in stopped)
    assert all(row["evaluations"] == "10" for row in trials if row["embedding_size"] != "16")
    assert sweep(n_trials=12, sampler="random", pruner="none")["pruned"] == 0


def test_a_failed_trial_is_recorded_and_the_sweep_goes_on(played: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("space.yaml").write_text("embedding_size: [8, 16, 64]\n")
    played(lambda settings: [0.1, float("nan") if settings["embedding_size"] == 16 else 0.2])
    run = SeparateRuns.__call__

    def sometimes(self: SeparateRuns, model: str, dataset: str, settings: dict, progress: Any, judge: Any) -> str:
        if settings["embedding_size"] == 8:
            raise RunFailed("its process was killed by SIGKILL; it may have run out of memory")
        return run(self, model, dataset, settings, progress, judge)

    monkeypatch.setattr(SeparateRuns, "__call__", sometimes)
    result = sweep(n_trials=3, sampler="grid")
    why = {row["embedding_size"]: row["failure"] for row in rows()}
    assert result["failed"] == 2 and result["best"]["settings"]["embedding_size"] == 64
    assert why["64"] == "" and "out of memory" in why["8"] and why["16"] == "NDCG@10 was nan at evaluation 2"
    assert "out of memory" in Path("out/sweep.html").read_text()


def test_the_benchmark_tells_pruning_from_shared_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten full runs of 100 s, 40 of them for embeddings, take 1,000 s, or 640 s where one trains them for all."""
    ratios = runpy.run_path(str(ROOT / "benchmarks" / "sweep.py"))["ratios"]
    full = [{"seconds": 90.0, "collaborative": 30.0}, {"seconds": 110.0, "collaborative": 50.0}]
    assert ratios(320.0, 10, full) == (0.32, 0.5)


def test_a_real_run_that_diverges_is_a_failed_trial(tiny: Path, in_this_process: list[str]) -> None:
    Path("space.yaml").write_text("learning_rate: [0.001, 1e30]\n")
    result = sweep(n_trials=2, sampler="grid")
    (failed,) = [row for row in rows() if row["state"] == "failed"]
    assert result["failed"] == 1 and float(failed["learning_rate"]) == 1e30 and "nan" in failed["failure"].lower()


def test_a_sweep_without_a_success_says_so(played: Any) -> None:
    played(lambda settings: [float("nan")])
    result = sweep(n_trials=2)
    assert result["best"] is None and result["failed"] == 2 and not Path("out/best.yaml").exists()


def test_the_grid_visits_every_point_once(played: Any) -> None:
    Path("space.yaml").write_text("embedding_size choice [8,16]\nlearning_rate choice [0.1,0.01,0.001]\n")
    ran = played(lambda settings: [settings["learning_rate"]])
    result = sweep(n_trials=50, sampler="grid", pruner="none")
    points = {(settings["embedding_size"], settings["learning_rate"]) for settings in ran}
    assert len(ran) == len(points) == result["trials"] == 6


def test_two_objectives(played: Any) -> None:
    """Larger embeddings score better and are slower, so all sizes are on the front; the best has the best score."""
    played(lambda settings: [settings["embedding_size"] / 100])
    result = sweep(n_trials=12, sampler="nsga2")
    assert result["best"]["settings"]["embedding_size"] == 64 and result["best"]["value"] == 0.64
    assert {float(row["users/s"]) for row in rows()} <= {1000 / 8, 1000 / 16, 1000 / 64}
    assert Path("out/front.svg").is_file()


def test_cma_es_finds_the_top(played: Any) -> None:
    space = "learning_rate: {type: float, low: 0.01, high: 1.0}\nweight_decay: {type: float, low: 0.0, high: 1.0}\n"
    Path("space.yaml").write_text(space)
    played(lambda s: [1 - (s["learning_rate"] - 0.7) ** 2 - (s["weight_decay"] - 0.3) ** 2])
    result = sweep(n_trials=60, sampler="cmaes", pruner="none")
    assert result["best"]["value"] > 0.99
    with pytest.raises(InputError, match="at least two settings of type float or int"):
        Path("space.yaml").write_text("embedding_size: [8, 16]\n")
        sweep(sampler="cmaes")


@pytest.mark.parametrize("storage", ["sqlite:///sweep.db", "journal:sweep.log"])
def test_a_stored_sweep_goes_on(played: Any, storage: str) -> None:
    ran = played(lambda settings: [settings["learning_rate"]])
    assert sweep(n_trials=3, storage=storage)["trials"] == 3
    assert sweep(n_trials=5, storage=storage)["trials"] == 5 and len(ran) == 5
    assert sweep(n_trials=5, storage=storage)["trials"] == 5 and len(ran) == 5
    Path("space.yaml").write_text(SPACE.replace("16", "32"))
    with pytest.raises(InputError, match="searches another space, or with other settings, data, precision"):
        sweep(n_trials=6, storage=storage)
    assert sweep(n_trials=1, storage=storage, study="another")["trials"] == 1


@pytest.mark.parametrize(
    ("sampler", "storage"), [("tpe", "sqlite:///sweep.db"), ("tpe", "journal:sweep.log"), ("grid", "journal:sweep.log")]
)
def test_an_interrupted_trial_is_run_again(
    played: Any, monkeypatch: pytest.MonkeyPatch, sampler: str, storage: str
) -> None:
    """Ctrl-C in the first trial, which has the default settings, and in a later one."""
    Path("space.yaml").write_text("learning_rate: [0.1, 0.01, 0.001]\nembedding_size: [8, 64]\n")
    played(lambda settings: [settings["learning_rate"]])
    run, begun = SeparateRuns.__call__, []

    def interrupted(self: SeparateRuns, model: str, dataset: str, settings: dict, *others: Any) -> str:
        begun.append((settings["learning_rate"], settings["embedding_size"]))
        if len(begun) in (1, 3):
            raise KeyboardInterrupt
        return run(self, model, dataset, settings, *others)

    monkeypatch.setattr(SeparateRuns, "__call__", interrupted)
    given = {"n_trials": 6, "storage": storage, "sampler": sampler, "pruner": "none"}
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            sweep(**given)
    result = sweep(**given)
    assert begun[1] == begun[0] and begun[3] == begun[2] and len(begun) == 8
    assert sampler == "grid" or begun[0] == (0.001, 64)
    assert sampler != "grid" or len(set(begun)) == 6
    assert sorted(row["state"] for row in rows()) == ["done"] * 6 + ["killed"] * 2
    assert result["trials"] == 8 and result["failed"] == 0


@pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed")  # nothing runs here
def test_a_trial_whose_worker_died_before_its_first_sign_of_life(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is failed after two heartbeats and put up again; one that gives signs of life is left alone."""
    space = (Parameter("embedding_size", "choice", values=(8, 64)),)
    study = open_study("s", ["maximize"], space, {}, "sqlite:///s.db", "tpe", "none", 60, 4, 0)
    study.enqueue_trial({"embedding_size": 64})
    study.ask()
    other = study.ask()
    assert others_running(study, heartbeats=True) == 2
    later = types.SimpleNamespace(now=lambda: datetime.now() + timedelta(seconds=121))
    monkeypatch.setattr("recbole_navigen.tuning.study.datetime", later)
    study._storage.record_heartbeat(other._trial_id)
    assert others_running(study, heartbeats=True) == 1
    assert [trial.state.name for trial in study.trials] == ["FAIL", "RUNNING", "WAITING"]
    assert is_drawn(study, {"embedding_size": 64}) and not is_drawn(study, {"embedding_size": 8})
    put_up_again(study)  # once is enough
    assert len(study.trials) == 3 and space[0].suggest(study.ask()) == 64


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_trials": 0}, "n_trials must be a whole number of at least 1"),
        ({"sampler": "tpee"}, "sampler must be one of tpe, random, grid, cmaes, nsga2, not 'tpee'; the nearest is tpe"),
        ({"pruner": "best"}, "pruner must be one of median, hyperband, halving, none, not 'best'"),
        ({"storage": "sweep.db"}, "--storage=sweep.db is no storage; use sqlite:///FILE"),
        ({"storage": "oracle99://me:secret@host/db"}, "cannot be kept in --storage=oracle99://"),
        ({"storage": "sqlite:////no/such/folder/sweep.db"}, "cannot be kept in --storage=sqlite"),
        ({"sampler": "grid"}, "learning_rate, which is continuous"),
        ({"heartbeat": 0}, "heartbeat must be a whole number of at least 1"),
    ],
)
def test_refusals(played: Any, given: dict[str, Any], message: str) -> None:
    ran = played(lambda settings: [0.1])
    with pytest.raises(InputError) as raised:
        sweep(**given)
    assert message in str(raised.value) and "secret" not in str(raised.value) and not ran


def test_spaces_that_do_not_fit_the_model(played: Any) -> None:
    ran = played(lambda settings: [0.1])
    for text, message in (
        ("embeding_size: [8]", "nearest valid name is `embedding_size`"),
        ("embedding_size: [8, 0]", "embedding_size must be a whole number of at least 1, not 0"),
        ("epochs: [1, 2]", "epochs is searched in space.yaml and fixed as 2 at once"),
    ):
        Path("space.yaml").write_text(text)
        with pytest.raises(InputError, match=message):
            sweep()
    Path("keep").mkdir()
    Path("keep/thesis.tex").touch()
    Path("space.yaml").write_text(SPACE)
    with pytest.raises(InputError, match="is there already and is no sweep's report"):
        run_hyper("BPR", "tiny", "space.yaml", config_dict=QUIET, output="keep")
    with pytest.raises(InputError, match="no search space for Pop; name one with --params_file"):
        run_hyper("Pop", "tiny", config_dict=QUIET)
    assert not ran and Path("keep/thesis.tex").exists()


def test_two_workers_one_killed(space: str, commands: ForkedCommands, own_folder: Path) -> None:
    """Two processes on one SQLite study; one is killed in the middle of a trial, and the other runs it again."""
    given = ["--model=BPR", "--dataset=tiny", "--params_file=space.yaml", "--n_trials=4", "--storage=sqlite:///s.db"]
    given += ["--heartbeat=2", "--pruner=none", "--show_progress=False", "--use_gpu=False", "--state=ERROR"]
    given += ["--epochs=24", "--stopping_step=24"]
    words = ["hyper", *given, "--output=one", "&", "hyper", *given, "--output=two"]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(commands, "together", words, own_folder)

        # 1. When both are at work, one is killed whose trial has reported a score.
        killed = None
        while killed is None:
            assert not running.done(), running.result().printed
            time.sleep(0.05)
            # Optuna would make tables that are missing, so it is not asked before there are some.
            with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect("s.db")) as database:
                if database.execute("select count(*) from trial_intermediate_values").fetchone()[0]:
                    study = optuna.load_study(study_name="BPR-tiny", storage="sqlite:///s.db")
                    killed = kill_in_the_middle(study)

        # 2. The other one ends the study, that trial included.
        codes = json.loads(running.result().lines[-1][1])
    assert sorted(codes) == [-signal.SIGKILL, 0]
    (failed,) = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.FAIL]
    assert failed.number == killed.number
    (again,) = [trial for trial in study.trials if trial.system_attrs.get("failed_trial") == killed.number]
    assert again.params == killed.params and again.state == optuna.trial.TrialState.COMPLETE
    assert again.user_attrs["worker"] != killed.user_attrs["worker"]
    assert sum(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials) == 4

    # 3. Its report counts both.
    ours, theirs = ("two", "one") if codes[1] == 0 else ("one", "two")
    with open(f"{ours}/trials.csv", encoding="utf-8") as file:
        states = [row["state"] for row in csv.DictReader(file)]
    assert sorted(states) == ["done"] * 4 + ["killed"] and not Path(theirs).exists()


def kill_in_the_middle(study: optuna.Study) -> optuna.trial.FrozenTrial | None:
    """Kill a worker whose trial has a score and goes on, once two workers have trials: that trial, or None."""
    workers = {trial.user_attrs["worker"] for trial in study.trials if "worker" in trial.user_attrs}
    trial = next((trial for trial in study.get_trials(states=[RUNNING]) if trial.intermediate_values), None)
    if len(workers) < 2 or trial is None:
        return None
    process = int(trial.user_attrs["worker"].rpartition(":")[2])
    os.kill(process, signal.SIGSTOP)  # so that the trial cannot end between the look at it and the kill
    goes_on = study.trials[trial.number].state == RUNNING
    os.kill(process, signal.SIGKILL if goes_on else signal.SIGCONT)
    return trial if goes_on else None

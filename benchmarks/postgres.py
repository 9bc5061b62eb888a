"""A sweep by two workers on a real PostgreSQL, one of them killed in the middle of a trial.

    apt-get install postgresql && pip install 'psycopg[binary]'
    python benchmarks/postgres.py [--n_trials=6] [--epochs=15]

It starts a server of its own, in a temporary folder and on a free port, from Debian's package; nothing of a server that
runs already is touched. BPR on ml-100k. The first worker is killed when its trial has reported a score; the second
one must run that trial again with the same settings and end the study.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.trial import TrialState

from harness.common import Bar, write_results

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "benchmarks" / "runs" / "postgres"
SPACE = "learning_rate: {type: float, low: 0.0003, high: 0.01, log: true}\nembedding_size: [16, 32, 64]\n"
PATIENCE = 900.0  # seconds until the first worker's trial must have reported


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A PostgreSQL with an empty database; yields the address for SQLAlchemy."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise SystemExit("this needs PostgreSQL of Debian: apt-get install postgresql && pip install 'psycopg[binary]'")
    # The server refuses to run as root.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    home = Path(tempfile.mkdtemp(prefix="navigen-postgres-"))
    if user:
        shutil.chown(home, "postgres")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]

    def call(program: str, *arguments: str) -> None:
        subprocess.run([*user, str(found[-1] / program), *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/")

    try:
        call("initdb", "-D", f"{home}/data", "-A", "trust", "-U", "sweeper")
        options = f"-p {port} -k {home} -c listen_addresses=localhost"
        call("pg_ctl", "-D", f"{home}/data", "-l", f"{home}/log", "-o", options, "-w", "start")
        try:
            call("createdb", "-h", str(home), "-p", str(port), "-U", "sweeper", "sweeps")
            yield f"postgresql+psycopg://sweeper@localhost:{port}/sweeps"
        finally:
            call("pg_ctl", "-D", f"{home}/data", "-m", "fast", "stop")
    finally:
        shutil.rmtree(home)


def first_report(worker: subprocess.Popen, storage: str) -> optuna.trial.FrozenTrial:
    """Wait until the running trial of a worker has a score; returns the trial."""
    end = time.perf_counter() + PATIENCE
    while time.perf_counter() < end and worker.poll() is None:
        time.sleep(0.2)
        # The study is not there before a worker has made it.
        with contextlib.suppress(Exception):
            study = optuna.load_study(study_name="BPR-ml-100k", storage=storage)
            for trial in study.get_trials(states=[TrialState.RUNNING]):
                if trial.user_attrs.get("worker", "").endswith(f":{worker.pid}") and trial.intermediate_values:
                    return trial
    raise SystemExit("the first worker reported no score")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--n_trials", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=15)
    given = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    (FOLDER / "space.yaml").write_text(SPACE)
    start = time.perf_counter()
    with server() as storage:
        command = [sys.executable, str(ROOT / "run_hyper.py"), "--model=BPR", "--dataset=ml-100k", "--heartbeat=5"]
        command += ["--params_file=space.yaml", f"--n_trials={given.n_trials}", f"--storage={storage}", "--pruner=none"]
        command += [f"--epochs={given.epochs}", "--show_progress=False", "--state=ERROR"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        workers = [
            subprocess.Popen([*command, f"--output={name}"], cwd=FOLDER, env=environment) for name in ("one", "two")
        ]
        killed = first_report(workers[0], storage)
        workers[0].send_signal(signal.SIGKILL)
        workers[0].wait()
        code = workers[1].wait()
        trials = optuna.load_study(study_name="BPR-ml-100k", storage=storage).get_trials()
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    again = [trial for trial in done if trial.system_attrs.get("failed_trial") == killed.number]
    same = len(again) == 1 and again[0].params == killed.params
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    write_results(
        "postgres",
        [
            Bar("exit code of the worker that lived", code, "0", code == 0),
            Bar("trials that succeeded", len(done), f"{given.n_trials}", len(done) == given.n_trials),
            Bar("trials that died with their worker", len(failed), "1", [t.number for t in failed] == [killed.number]),
            Bar("of these, run again with the same settings", int(same), "1", same),
        ],
        {"seconds": time.perf_counter() - start, "states": [trial.state.name for trial in trials]},
    )


if __name__ == "__main__":
    main()

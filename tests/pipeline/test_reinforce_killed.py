"""A run that is killed in its reinforcement ends as one that was not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import torch
from places import ROOT
from tiny_settings import REINFORCED

from recbole_navigen.artefacts import read_json
from recbole_navigen.training.checkpoint import load_checkpoint

# Runs that kill themselves at the place that is named, or at none; forked, so that what takes long is imported once.
CHILDREN = """
import json, os, signal, sys
import recbole_navigen.pipeline.write
from recbole_navigen.pipeline import reinforce as reinforcing
from recbole_navigen.quick_start.run import run_navigen

def die_after(module, name, when):
    own = getattr(module, name)
    def wrapped(*args, **kwargs):
        result = own(*args, **kwargs)
        if when(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(module, name, wrapped)

def run(where, settings):
    if where == "saved":  # the weights are in their places, and nothing says so yet
        die_after(reinforcing, "_draw", lambda *args: True)
    if where == "done":
        die_after(reinforcing, "write_record", lambda *args: True)
    run_navigen("NaviGen", "tiny", config_dict=settings)

ends = []
for where, folder in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        run(where, {**json.loads(sys.argv[2]), "checkpoint_dir": folder})
        os._exit(0)
    ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(ends))
"""


def test_a_kill_between_the_end_of_reinforcement_and_the_note_of_it(tiny):
    """A run that is started again then ends bit for bit like one that was not killed. Kills in all stages, and in the
    middle of them: tests/quick_start/test_kills.py.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    places = ["saved", "done"]
    runs = [*((place, "killed") for place in places), ("nowhere", "killed"), ("nowhere", "whole")]
    done = subprocess.run(
        [sys.executable, "-c", CHILDREN, json.dumps(runs), json.dumps({**REINFORCED, "data_path": str(tiny)})],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [-signal.SIGKILL] * len(places) + [0, 0]
    (killed,), (whole,) = (list(Path(folder).glob("NaviGen-*")) for folder in ("killed", "whole"))
    for part in ("checkpoint", "writer/checkpoint"):
        ours, theirs = (load_checkpoint(run / part)["state_dict"] for run in (killed, whole))
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    results = [json.loads((run / "result.json").read_text()) for run in (killed, whole)]
    for name in ("test_result", "best_valid_score", "best_valid_result"):
        assert results[0][name] == results[1][name]
    rows = [next(row for row in result["stages"] if row["name"] == "reinforce") for result in results]
    assert rows[0]["metric"] == rows[1]["metric"] == read_json(whole / "reinforced.json")["metric"]
    assert (killed / "reinforce.jsonl").read_text() == (whole / "reinforce.jsonl").read_text()
    assert not list(killed.glob("*-in-training*"))
    outcome = json.loads((whole / "reinforced.json").read_text())
    page = (whole / "reinforce.html").read_text()
    assert set(outcome["tasks"]) == {"cid2cid", "cid2ins"} and page.count("data:image/svg+xml;base64,") >= 10
    assert results[0]["resumed"] and not results[1]["resumed"]

"""What TensorBoard and Weights and Biases get, and what stays silent."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT
from tiny_settings import NAVIGEN

from recbole_navigen.__main__ import main
from recbole_navigen.errors import InputError
from recbole_navigen.quick_start import Recommender, run_navigen

QUIET = {"state": "ERROR", "show_progress": False, "epochs": 2, "use_gpu": False, "MAX_ITEM_LIST_LENGTH": 8}
LEARNS_ALL = {**NAVIGEN, "training_stages": ["align", "finetune"], "task_weights": {"cid2ins": 0.1}}
LEARNS_ALL |= {"align_epochs": 1, "train_batch_size": 8}
LOSSES = {f"loss/{task}" for task in ("cid2cid", "cid2tid", "tid2cid")}


def scalars() -> dict[str, list[int]]:
    """Name -> steps, of all that TensorBoard's files hold."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for folder in {file.parent for file in Path("log_tensorboard").rglob("events.*")}:
        events = EventAccumulator(str(folder)).Reload()
        if "train/loss/cid2cid" in events.Tags()["scalars"]:
            found |= {name: [event.step for event in events.Scalars(name)] for name in events.Tags()["scalars"]}
    return found


def test_tensorboard_has_every_number(tiny: Path) -> None:
    run_navigen("NaviGen", "tiny", config_dict={**QUIET, **LEARNS_ALL})
    found = scalars()
    train = {f"train/{name}" for name in {*LOSSES, "loss/cid2ins", "rate", "seconds"}}
    assert train <= set(found) and {f"train/align/{name}" for name in {*LOSSES, "rate", "seconds"}} <= set(found)
    assert {"valid/ndcg@10", "valid/recall@20", "valid/factor", "valid/seconds"} <= set(found)
    assert found["train/collaborative SASRec/rate"] == [0, 1, 2, 3]
    steps = {name: found[name] for name in (*train, "valid/ndcg@10", "train/align/rate")}
    assert steps == {**{name: [0, 1] for name in steps}, "train/align/rate": [0]}


def test_wandb_offline(tiny: Path) -> None:
    """In a process of its own: W&B starts threads. Nothing goes to a network, and no secret into its files."""
    pytest.importorskip("wandb")
    code = f"""
import wandb
logged = []
log = wandb.sdk.wandb_run.Run.log
wandb.sdk.wandb_run.Run.log = lambda self, data, *a, **k: (logged.append(sorted(data)), log(self, data, *a, **k))[1]
from recbole_navigen.quick_start import run_navigen
run_navigen("NaviGen", "tiny", config_dict={ {**QUIET, **NAVIGEN, "log_wandb": True, "wandb_project": "p"}!r})
import json
print(json.dumps(sorted(set(sum(logged, [])))))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    names = set(json.loads(done.stdout.splitlines()[-1]))
    assert {"train/loss/cid2cid", "train/rate", "train/seconds", "valid/ndcg@10", "valid/factor", "train_step"} <= names
    assert list(Path("wandb").glob("offline-run-*"))


def test_without_the_packages_a_sentence_says_so(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from recbole_navigen import bars
    from recbole_navigen.config import rules

    monkeypatch.setattr(rules, "find_spec", lambda name: None)
    assert main(["--model=BPR", "--dataset=tiny", "--log_wandb=True"]) == 2
    assert "pip install 'recbole-navigen[wandb]'" in capsys.readouterr().err
    monkeypatch.setattr(bars, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"progress=notebook needs ipywidgets"):
        run_navigen("Pop", "tiny", config_dict={**QUIET, "progress": "notebook"})


def test_state_silences_tables_and_notebooks_show_results(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {**QUIET, **NAVIGEN, "epochs": 1}
    result = run_navigen("NaviGen", "tiny", config_dict=settings)
    assert capsys.readouterr().out == ""
    page = result._repr_html_()
    assert page.startswith("<table>") and f"{result['test_result']['ndcg@10']:.4f}" in page
    assert json.loads(json.dumps(result)) == result
    recommended = Recommender.load(result["run_dir"]).recommend(["i1", "i2"], k=3)
    assert recommended[0].item in recommended._repr_html_() and "probability" in recommended._repr_html_()
    run_navigen("NaviGen", "tiny", config_dict={**settings, "state": "INFO"})
    assert "Test metrics" in capsys.readouterr().out


def test_bars_of_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipywidgets")
    from tqdm import tqdm as terminal_bar
    from tqdm.notebook import tqdm as notebook_bar

    from recbole_navigen import bars

    monkeypatch.setattr(bars, "_mode", "auto")
    assert type(bars.tqdm([], disable=True)) is terminal_bar
    bars.use_bars("notebook")
    assert type(bars.tqdm([], ncols=100, display=False)) is notebook_bar
    bars.use_bars("terminal")
    assert type(bars.tqdm([], disable=True)) is terminal_bar

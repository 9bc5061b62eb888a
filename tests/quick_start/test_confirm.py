"""What a sweep says of its best trial: whether it holds on other seeds, and that nothing is trained twice."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from recbole_navigen.quick_start import run_hyper, run_navigen
from recbole_navigen.quick_start.confirm import BEST, DEFAULT, Confirmation

QUIET = {"show_progress": False, "use_gpu": False, "state": "ERROR", "epochs": 2, "embedding_size": 8}


def sweep(values: list[float], **given: object) -> dict:
    Path("space.yaml").write_text(f"learning_rate: {values}\n")
    given = {"config_dict": QUIET, "output": "out", "sampler": "grid", "pruner": "none", **given}
    return run_hyper("BPR", "tiny", "space.yaml", **given)


def test_a_finished_run_is_not_trained_again(tiny: Path, in_this_process: list[str]) -> None:
    run = run_navigen("BPR", "tiny", config_dict={**QUIET, "learning_rate": 0.05})
    result = sweep([0.001, 0.05], n_trials=2)
    assert in_this_process == ["BPR"]
    with open("out/trials.csv", encoding="utf-8") as file:
        rows = {row["learning_rate"]: row for row in csv.DictReader(file)}
    assert rows["0.05"]["folder"] == run["run_dir"] and rows["0.05"]["found"] == "True" and not rows["0.001"]["found"]
    assert rows["0.05"]["evaluations"] == "2"
    assert float(rows["0.05"]["ndcg@10"]) == run["best_valid_score"]
    again = sweep([0.001, 0.05], n_trials=2)
    assert in_this_process == ["BPR"] and again["best"] == result["best"]
    page = Path("out/sweep.html").read_text()
    assert "epochs=2" in page and "embedding_size=8" in page and "2020" in page and "sha256 of its files" in page


def test_the_best_trial_is_run_on_other_seeds(
    tiny: Path, in_this_process: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    result = sweep([0.001, 0.05], n_trials=2, confirm=2, config_dict={**QUIET, "state": "INFO"})
    own = result["confirmation"]
    assert in_this_process == ["BPR"] * 6 and own["seeds"] == [2021, 2022]
    # From single runs, which the sweep has made.
    runs = {}
    for rate in (result["best"]["settings"]["learning_rate"], 0.001):
        for seed in own["seeds"]:
            settings = {**QUIET, "learning_rate": rate, "seed": seed}
            runs[rate, seed] = run_navigen("BPR", "tiny", config_dict=settings)
    best = result["best"]["settings"]["learning_rate"]
    valid = np.mean([runs[best, s]["best_valid_score"] - runs[0.001, s]["best_valid_score"] for s in own["seeds"]])
    test = np.mean(
        [runs[best, s]["test_result"]["ndcg@10"] - runs[0.001, s]["test_result"]["ndcg@10"] for s in own["seeds"]]
    )
    assert own["valid_gap"] == pytest.approx(valid) and own["confirmed"] == (valid > 0)
    mean, low, high = own["test_gap"]
    assert mean == pytest.approx(test, abs=2e-4) and low <= mean <= high
    assert own["verdict"] in Path("out/best.yaml").read_text() and yaml.safe_load(Path("out/best.yaml").read_text())
    assert (
        own["verdict"] in capsys.readouterr().out
        and "The best trial on other seeds" in Path("out/sweep.html").read_text()
    )


def test_nothing_is_called_better_without_other_seeds(tiny: Path, in_this_process: list[str]) -> None:
    assert sweep([0.001, 0.05], n_trials=2)["confirmation"] is None
    text = Path("out/best.yaml").read_text()
    assert "ran on one seed alone; --confirm=3" in text and "on the test from the default settings (trial" in text
    assert sweep([0.001], n_trials=1, confirm=1)["confirmation"] is None
    assert "The best trial has the default settings." in Path("out/best.yaml").read_text()


def test_the_verdict_follows_validation_alone() -> None:
    found = Confirmation("recent", bigger=False)
    for seed, (best, default) in enumerate([(0.1, 0.2), (0.3, 0.25)]):
        found.valid[BEST][seed], found.valid[DEFAULT][seed] = best, default
        found.test[BEST][seed], found.test[DEFAULT][seed] = 0.9, 0.1
    assert found.confirmed and found.gap(found.valid) == pytest.approx(0.025)
    assert found.gap(found.test) == pytest.approx(-0.8) and "-0.8000 on the test" in found.verdict()
    found.valid[BEST][1] = 0.4
    assert not found.confirmed and found.verdict().startswith("Not confirmed")
    assert not Confirmation("ndcg@10", True, failures=["best trial, seed 1 failed: no memory"]).confirmed

"""The benchmark of reinforcement on tiny data, and the released bugs that it switches on."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_model import item_policy
from tiny_settings import NAVIGEN

from recbole_navigen.evaluation.statistics import bootstrap

SETTINGS = {
    **NAVIGEN,
    "epochs": 1,
    "MAX_ITEM_LIST_LENGTH": 8,
    "writer_steps": 2,
    "use_gpu": False,
    "show_progress": False,
    "reinforce": {
        "steps": 1,
        "eval_every": 1,
        "prompts": 4,
        "group": 4,
        "instruction_prompts": 2,
        "instruction_group": 2,
        "eval_prompts": 2,
        "eval_draws": 1,
        "learning_rate": 0.01,
        "instruction_learning_rate": 0.01,
    },
}


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch):
    import reinforce
    from harness import common, ranking_runs

    monkeypatch.setattr(ranking_runs, "RUNS", Path("quality"))
    monkeypatch.setattr(reinforce, "RUNS", Path("runs"))
    monkeypatch.setattr(common, "RESULTS", Path("results"))
    monkeypatch.setattr(reinforce, "ROLLOUT_USERS", 4)
    monkeypatch.setattr(reinforce, "ROLLOUT_TEXTS", 1)
    monkeypatch.setattr(reinforce, "GROUP", 2)
    monkeypatch.setattr(reinforce, "packaged_encoder", lambda: None)

    def space(encoder):
        return lambda texts: np.array([[len(text), len(set(text)), 1.0] for text in texts], dtype=np.float32)

    monkeypatch.setattr(reinforce, "SentenceSpace", space)
    return reinforce


def test_variants_are_measured_with_what_was_kept_and_with_the_last_weights(tiny, benchmark, monkeypatch):
    words = [f"--{name}={json.dumps(value)}" for name, value in SETTINGS.items()]
    words += [
        "--dataset=tiny",
        f"--data_path={tiny}",
        "--seeds=2",
        "--supervised=1",
        "--users=4",
        "--variants=prefix,released bugs",
    ]
    monkeypatch.setattr(sys, "argv", ["reinforce.py", *words])
    benchmark.main()
    result = json.loads(Path("results/reinforce-tiny.json").read_text())
    table = result["table"]
    assert set(table) == {"supervised", "rollouts"} | {
        form.format(name) for form in ("{}", "{}, last weights") for name in ("prefix", "released bugs", PAIR)
    }
    assert "cid2cid kept in" in table["prefix"]["kept"] and "kept" not in table["prefix, last weights"]
    assert "items/s, as in training" in table["rollouts"] and result["bars"][-1]["name"].startswith("item rollouts")
    # Both are there at each variant and seed, from one run, and nothing is made twice.
    assert result["supervised runs"] == 1 and len(list(Path("runs/supervised").iterdir())) == 1
    folders = sorted(folder.name for folder in Path("runs/variants").iterdir())
    assert len(folders) == 8 and sum(name.endswith("-last") for name in folders) == 4
    for folder in Path("runs/variants").glob("*-last"):  # its own measurement, not one that came with the copy
        (measured,), made = folder.glob("measured-*"), folder / "checkpoint"
        assert measured.stat().st_mtime_ns > max(file.stat().st_mtime_ns for file in made.iterdir())
    before = {file: file.stat().st_mtime_ns for file in Path("runs").rglob("*.json")}
    benchmark.main()
    assert {file: file.stat().st_mtime_ns for file in Path("runs").rglob("*.json")} == before
    last = [load(folder / "checkpoint") for folder in Path("runs/variants").glob("*-last")]
    base = next(Path("runs/supervised").iterdir())
    start = load(base / "checkpoint")
    assert all(any(not torch.equal(weights[name], value) for name, value in start.items()) for weights in last)
    # Other settings are another variant, which goes on from the same run.
    monkeypatch.setattr(benchmark, "reinforce", lambda *args, **more: None)
    own = {**SETTINGS, "data_path": str(tiny), "training_stages": ["align", "finetune", "write", "reinforce"]}
    own["reinforce"] = {**SETTINGS["reinforce"], "steps": 2}
    assert benchmark._reinforced(base, "prefix", "tiny", own)[0].name not in folders


PAIR = "prefix - released bugs"


def load(folder: Path) -> dict:
    from recbole_navigen.training.checkpoint import load_checkpoint

    return load_checkpoint(folder)["state_dict"]


def test_bars_say_what_was_kept_and_pairs_what_differs(benchmark):
    def runs(shift, kept=None):
        values = {name: [0.1 + shift, 0.2 + shift, 0.4 + shift] for name in benchmark.PER_USER}
        more = {} if kept is None else {"kept": {"cid2cid": {"kept": kept}}, "minutes": 1.0}
        return [{**values, "valid": [1.0] * 3, "diversity": 0.5, **more}] * 2

    found = {"supervised": runs(0.0), "prefix": runs(0.0, kept=False)}
    bars = benchmark._bars(found)
    assert bars[0].name == "ndcg, all items: after / before (cid2cid kept in 0 of 2 seeds)" and bars[0].holds
    changed = benchmark._changes(runs(0.3), runs(0.1))
    assert changed["ndcg, all items"] == str(bootstrap(np.full(3, 0.2)))


@pytest.mark.parametrize("history", ["pooled", "tokens"])
def test_the_released_bugs_train_on_each_samples_own_states(benchmark, history):
    """Below the stream the model leaves out nodes that decide nothing; forced codes are scored from just those."""
    from baselines.released_bugs import with_bugs

    policy, lm = item_policy(history=history, decoder="tokens")
    buggy = with_bugs(policy)
    together = buggy.roll(3, 16, torch.Generator().manual_seed(1), torch.Generator().manual_seed(2))
    levels = lm.decoder.target_log_probs(lm, together.rendered)
    assert (levels == 0).any()  # forced codes are there
    found = buggy.log_probs(together, lm).view(3, 16, lm.levels)
    for place in range(16):
        alone = Alone(together, place)
        assert torch.allclose(buggy.log_probs(alone, lm).view(3, lm.levels), found[:, place], atol=1e-5)
    assert (found < 0).all() and torch.allclose(found.flatten(), together.log_probs)


class Alone:
    """One sample of each group."""

    def __init__(self, rollout, place):
        from dataclasses import replace

        one = {name: getattr(rollout.rendered, name)[:, place : place + 1] for name in ("targets", "anchors")}
        self.rendered = replace(rollout.rendered, **one)

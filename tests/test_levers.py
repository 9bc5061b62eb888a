"""The benchmark of single levers on tiny data: its records, its table, two fused channels, and what it takes away."""

import argparse
import json
import sys
from pathlib import Path

import pytest
import torch
from small_model import small_model

from recbole_navigen.config.reading import read_settings, read_yaml

ROOT = Path(__file__).resolve().parent.parent
SMALL = {
    "hidden_size": 16,
    "inner_size": 16,
    "codes": 8,
    "text_vocabulary": 400,
    "train_batch_size": 16,
    "item_text_fields": ["title"],
    "MAX_ITEM_LIST_LENGTH": 8,
    "collaborative_model": "BPR",
    "collaborative_config": {"BPR": {"epochs": 2, "embedding_size": 8}, "LightGCN": {"epochs": 2, "embedding_size": 8}},
}


@pytest.fixture
def levers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import common
    import levers

    monkeypatch.setattr(levers, "RUNS", Path("runs"))
    for module in (common, levers):
        monkeypatch.setattr(module, "RESULTS", Path("results"))
    return levers


def test_every_lever_is_measured_once(tiny: Path, levers, monkeypatch: pytest.MonkeyPatch) -> None:
    some = {
        "defaults": SMALL,
        "codes of LightGCN": {**SMALL, "collaborative_model": "LightGCN"},
        "another seed": {**SMALL, "seed": 7},
        "one code for all": {**SMALL, "decoder": "tokens", "without": "legal softmax"},
    }
    monkeypatch.setattr(levers, "read_yaml", lambda file: some)
    monkeypatch.setattr(sys, "argv", ["levers.py", "--dataset=tiny", "--epochs=1"])
    levers.main()
    result = json.loads(Path("results/levers-tiny.json").read_text())
    assert list(result["table"]) == list(some) and result["bars"][0]["value"] == 3
    assert result["table"]["defaults"]["less the defaults, unseen items"] == "0.0000 [0.0000, 0.0000]"
    records = [json.loads(file.read_text()) for file in Path("runs/tiny").glob("*.json")]
    assert len({record["run"] for record in records}) == 4
    tail = levers.in_tail(argparse.Namespace(dataset="tiny", data_path="dataset/", epochs=1, seed=2020))
    assert all(len(record["ranks"][0]) == len(tail) == 60 for record in records) and 0 < tail.sum() < 60

    # A second call trains nothing.
    monkeypatch.setattr(levers, "run_navigen", None)
    levers.main()
    assert json.loads(Path("results/levers-tiny.json").read_text())["table"] == result["table"]


def test_what_is_taken_out_of_training_is_put_back(levers) -> None:
    lm, renderer = small_model(decoder="tokens")
    histories, lengths = torch.tensor([[3, 7, 9, 1], [2, 5, 0, 0], [8, 4, 6, 0]]), torch.tensor([4, 2, 3])

    def log_probs() -> torch.Tensor:
        return lm.decoder.target_log_probs(lm, renderer.cid2cid(histories, lengths, targets=True))

    before = log_probs()
    with levers.without_legal_softmax():
        assert torch.equal(log_probs(), before)  # validation is not touched
        lm.decoder.legal.train()
        over_all = log_probs()
        lm.decoder.legal.eval()
    with levers.without_all_positions():
        last = log_probs()
    assert (over_all < before + 1e-6).all() and over_all.sum() < before.sum() - 0.1
    assert before.shape == (3, 6) and torch.equal(last, before[:, [2, 3, 5]])
    assert torch.equal(log_probs(), before)


def test_levers_change_settings_that_exist() -> None:
    file = read_settings(ROOT / "properties" / "model" / "NaviGen.yaml")
    for name, lever in read_yaml(ROOT / "benchmarks" / "levers.yaml").items():
        assert set(lever) <= {*file, "without", "seed", "sampled_softmax", "eval_step"}, name

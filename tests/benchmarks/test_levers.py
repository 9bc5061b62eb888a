"""The benchmark of single levers on tiny data: its records, its table, what it takes away and what it adds."""

import argparse
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from places import ROOT
from recbole.data.interaction import Interaction
from small_model import random_histories, small_model

from recbole_navigen.config.reading import read_settings, read_yaml

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
    import levers
    from harness import common

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
        "corrected": {**SMALL, "correction": {"rows": True, "late": 0.5}},
        "parts": {**SMALL, "adds": "item parts"},
        "cosines": {**SMALL, "adds": "cosines of item parts"},
        "two trees": {**SMALL, "adds": "second tree"},
        "backwards": {**SMALL, "adds": "reversed windows"},
        "HSTU": {**SMALL, "adds": "HSTU blocks"},
        "views": {**SMALL, "views": {"views": 2, "share": 0.5, "seed": 1}},
    }
    monkeypatch.setattr(levers, "read_yaml", lambda file: some)
    monkeypatch.setattr(sys, "argv", ["levers.py", "--dataset=tiny", "--epochs=1"])
    levers.main()
    result = json.loads(Path("results/levers-tiny.json").read_text())
    assert list(result["table"]) == list(some) and result["bars"][0]["value"] == 10
    assert result["table"]["defaults"]["less the defaults, unseen items"] == "0.0000 [0.0000, 0.0000]"
    records = [json.loads(file.read_text()) for file in Path("runs/tiny").glob("*.json")]
    assert len({record["run"] for record in records}) == 10
    arguments = argparse.Namespace(dataset="tiny", data_path="dataset/", epochs=1, seed=2020, targets=1)
    owners, tail = levers.in_tail(arguments)
    assert len(set(owners)) == 60
    assert all(len(record["ranks"][0]) == len(tail) == 60 for record in records) and 0 < tail.sum() < 60

    # A second call trains nothing.
    monkeypatch.setattr(levers, "run_navigen", None)
    levers.main()
    assert json.loads(Path("results/levers-tiny.json").read_text())["table"] == result["table"]


def test_several_targets_of_a_user_are_held_back_from_training(
    tiny: Path, levers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(levers, "read_yaml", lambda file: {"defaults": SMALL})
    parts = []

    def trained(model, dataset, config_dict):
        config = levers.Config(model, dataset, config_dict={**config_dict, **SMALL})
        parts.extend(levers.data_preparation(config, levers.create_dataset(config))[:2])
        return levers.finished(model, dataset, config_dict=config_dict)

    monkeypatch.setattr(levers, "finished", levers.run_navigen, raising=False)
    monkeypatch.setattr(levers, "run_navigen", trained)
    monkeypatch.setattr(sys, "argv", ["levers.py", "--dataset=tiny", "--epochs=1", "--targets=3"])
    levers.main()
    (file,) = Path("runs/tiny").glob("*.json")
    record, (train, valid) = json.loads(file.read_text()), [part._dataset for part in parts]
    timeline, last = valid.timeline, valid.timeline.last()
    positions = levers.target_positions(valid, 3)
    assert len(record["ranks"][1]) == len(positions) <= 180 and set(last - 1) <= set(positions.tolist())
    assert all(1 <= last[timeline.users[last] == timeline.users[place]][0] - place <= 3 for place in positions)
    # Training ends before the first of them.
    lengths = dict(zip(train.sequences.users.tolist(), train.sequences.lengths.tolist(), strict=True))
    for place in positions:
        assert lengths[timeline.users[place]] <= place - timeline.starts[place]


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


def test_without_code_rows_items_have_their_own_alone(levers) -> None:
    items = torch.arange(1, 31)
    with levers.without_code_rows():
        lm, _ = small_model(item_rows=True)
        lm.item_vectors(items).sum().backward()
    assert lm.code_rows.grad is None and (lm.item_rows.grad[1:] == 1).all()


def decoders(form: dict | str):
    """What makes a corrected decoder of a trie and a width."""
    if isinstance(form, dict):
        return partial(sys.modules["baselines.corrections"].CorrectedTree, **form)
    return sys.modules["baselines.published"].PartedTree


FORMS = [
    {"rows": True},
    {"rows": True, "gate": True, "levels": [2]},
    {"history": True},
    {"queries": True},
    {"smoothing": 0.1, "coarse": 0.5},
    "item parts",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_correction_starts_at_the_softmax_and_stays_a_distribution(levers, form) -> None:
    lm, renderer = small_model(item_rows=True)
    plain = lm.decoder
    corrected = decoders(form)(plain.trie, lm.backbone.width)
    corrected.query.load_state_dict(plain.query.state_dict())
    histories, lengths = random_histories(30, 5, 6, 0)
    rendered = renderer.cid2cid(histories, lengths)
    assert torch.allclose(corrected.log_probs(lm, rendered), plain.log_probs(lm, rendered), atol=1e-5)
    with torch.no_grad():
        for parameter in corrected.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    scores = corrected.log_probs(lm, rendered)
    assert torch.allclose(scores.exp().sum(dim=1), torch.ones(5), atol=1e-5)
    if "smoothing" in form:
        return
    # What the loss says of the last item is what the ranking says behind the items before it.
    trained = renderer.cid2cid(histories, lengths, targets=True)
    last = torch.arange(trained.targets.shape[1]) == lengths[:, None] - 2
    loss = corrected.loss(lm, replace(trained, targets=trained.targets * last))
    long = lengths > 1
    before = renderer.cid2cid(histories[long], lengths[long] - 1)
    targets = histories[long].gather(1, lengths[long, None] - 1) - 1
    assert float(loss) == pytest.approx(-float(corrected.log_probs(lm, before).gather(1, targets).mean()), abs=1e-4)


def test_a_shortened_history_keeps_its_order_and_its_last_item(levers) -> None:
    shortened = sys.modules["baselines.published"].shortened
    histories, lengths = random_histories(30, 50, 9, 0)
    given = Interaction({"items": histories, "length": lengths})
    short = shortened(given, "items", "length", 0.5, torch.Generator().manual_seed(1))
    for row, own, length in zip(histories.tolist(), short["items"].tolist(), short["length"].tolist(), strict=True):
        before, after = [item for item in row if item], own[:length]
        assert after[-1] == before[-1] and not any(own[length:])
        places = iter(before)
        assert all(item in places for item in after)  # a subsequence
    assert short["length"].sum() < 0.8 * lengths.sum()
    same = shortened(given, "items", "length", 0.0, torch.Generator())
    assert torch.equal(same["items"], histories) and torch.equal(same["length"], lengths)


def test_levers_change_settings_that_exist() -> None:
    file = read_settings(ROOT / "properties" / "model" / "NaviGen.yaml")
    for name, lever in read_yaml(ROOT / "benchmarks" / "levers.yaml").items():
        assert set(lever) <= {
            *file,
            "without",
            "correction",
            "adds",
            "views",
            "seed",
            "sampled_softmax",
            "eval_step",
        }, name

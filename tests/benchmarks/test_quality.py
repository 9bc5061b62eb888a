"""The benchmark of quality on tiny data: its runs, bars and files; and the data sets' properties."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import ROOT
from tiny_settings import SASREC, WIDTH

from recbole_navigen.config.reading import read_settings


def test_it_drives_the_comparison_and_writes_bars(
    tiny: Path, in_this_process: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import quality
    from harness import common, ranking_runs

    for module in (quality, ranking_runs):
        monkeypatch.setattr(module, "RUNS", Path("runs"))
    monkeypatch.setattr(common, "RESULTS", Path("results"))
    monkeypatch.setattr(sys, "argv", ["quality.py"])
    monkeypatch.setitem(quality.YARDSTICK, "tiny", 0.9)
    monkeypatch.setitem(quality.MINUTES, "tiny", 5)
    tuned = {
        "all": {"Pop": {}, "SASRec": {**SASREC, "epochs": 9}},
        "tiny": {"SASRec": SASREC, quality.LOOP: {"model": "SASRec", "seeds": 1, **WIDTH}},
        "other": {"BPR": {}},
    }
    Path("tuned.yaml").write_text(yaml.safe_dump(tuned))
    Path("small.yaml").write_text(yaml.safe_dump(WIDTH))
    arguments = ["--dataset=tiny", "--tuned=tuned.yaml", "--seeds=[5,6]", "--codes=8", "--epochs=6", "--hidden_size=16"]
    arguments += [
        "--item_text_fields=[title]",
        "--collaborative_model=BPR",
        "--MAX_ITEM_LIST_LENGTH=8",
        "--state=ERROR",
    ]
    assert quality.main(arguments) == 0
    assert in_this_process == ["Pop", "SASRec", "NaviGen"] * 2 + ["SASRec"]

    result = json.loads(Path("results/quality-tiny.json").read_text())
    assert list(result["table"]) == ["Pop", "SASRec", quality.LOOP, "NaviGen"] and result["notes"] == [quality.NOTE]
    assert [row["seeds"] for row in result["table"].values()] == ["2", "2", "1", "2"]
    assert list(result["speed"]) == ["Pop", "SASRec", quality.LOOP, "NaviGen"]
    assert result["speed"]["SASRec"]["epochs"] == "6" and float(result["speed"]["NaviGen"]["minutes to it"]) >= 0
    assert {"NDCG@10, all items", "NDCG@10, unseen items", "seeds", "MB"} <= set(result["table"]["Pop"])
    names = [bar["name"] for bar in result["bars"]]
    assert len(names) == 7 and any(quality.LOOP in name for name in names) and "yes" in capsys.readouterr().out
    assert not result["bars"][0]["holds"] and result["bars"][0]["goal"] == "at least 0.9"
    records = {path.stem: json.loads(path.read_text()) for path in Path("runs").glob("*.json")}
    assert set(records) == {f"tiny-{row}-{seed}" for row in ("Pop", "SASRec", "NaviGen") for seed in (5, 6)} | {
        "tiny-SASRec-RecBole-loop-5"
    }
    for record in records.values():
        assert len(record["ranks"]["rank_unseen"]) == len(record["ranks"]["user"]) == 60
        assert record["identity"]["seed"] == record["seed"] and record["split_hash"] and record["peak_memory_mb"]
    assert records["tiny-SASRec-5"]["config"]["epochs"] == 6

    # A second call trains nothing and measures the same.
    assert quality.main(arguments) == 0 and len(in_this_process) == 7
    again = json.loads(Path("results/quality-tiny.json").read_text())
    assert again["bars"] == result["bars"] and again["table"] == result["table"]


def test_settings_of_the_baselines_are_ones_that_the_models_know(tiny: Path) -> None:
    from recbole_navigen.config import Config

    tuned = read_settings(ROOT / "benchmarks" / "tuned.yaml")
    for section in tuned.values():
        for label, own in section.items():
            own = dict(own)
            model, _ = own.pop("model", label), own.pop("seeds", None)
            config = Config(model, "tiny", config_dict=own)
            assert all(holds(config[key], value) for key, value in own.items())


def holds(merged: Any, given: Any) -> bool:
    """Whether settings are as they were given; dictionaries are laid over the shipped ones."""
    if isinstance(given, dict):
        return all(holds(merged[key], value) for key, value in given.items())
    return merged == given


@pytest.mark.parametrize("name", ["amazon-toys-2014", "amazon-games-2018", "microlens-50k"])
def test_every_line_of_the_data_sets_properties_says_what_it_is(name: str) -> None:
    file = ROOT / "properties" / "dataset" / f"{name}.yaml"
    settings = read_settings(file)
    assert settings["item_text_fields"] == ["title"] and settings["MAX_ITEM_LIST_LENGTH"] == 20
    lines = [line for line in file.read_text().splitlines() if line and line[0] not in "# "]
    assert len(lines) == len(settings) and all(" # (" in line for line in lines)

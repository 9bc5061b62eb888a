"""The benchmark that gives both contenders equal chances, and the table of ablations, on tiny data."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from places import ROOT
from tiny_settings import NAVIGEN, SASREC, WIDTH


@pytest.fixture
def results(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where results are written; the settings of both models are tiny ones."""
    from harness import common

    monkeypatch.setattr(common, "RESULTS", Path("results"))
    folder = Path("properties/model")
    folder.mkdir(parents=True)
    keys = ("codes", "hidden_size", "inner_size", "text_vocabulary", "mapping_batch_size", "collaborative_config")
    own = {**{key: NAVIGEN[key] for key in keys}, "epochs": 1, "MAX_ITEM_LIST_LENGTH": 8, "n_heads": 2}
    (folder / "NaviGen.yaml").write_text(yaml.safe_dump(own))
    (folder / "SASRec.yaml").write_text(yaml.safe_dump({"epochs": 3, "MAX_ITEM_LIST_LENGTH": 8}))
    # A space in which every trial can run: the shipped one has more codes than `tiny` has items.
    Path("properties/sweep").mkdir()
    space = {"learning_rate": {"type": "float", "low": 0.0005, "high": 0.003}}
    for model in ("SASRec", "NaviGen"):
        Path(f"properties/sweep/{model}.yaml").write_text(yaml.safe_dump(space))
    return Path("results")


def test_both_get_the_same_trials_and_the_choice_is_in_the_interval(
    results: Path, in_this_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import tune

    monkeypatch.setattr(tune, "RUNS", Path("runs").absolute())
    monkeypatch.setattr(tune, "HERE", Path("here"))
    given = yaml.safe_load((ROOT / "benchmarks" / "tune.yaml").read_text())
    assert given["shared"]["select_on"] == "unseen"
    text = {"item_text_fields": ["title"], "state": "ERROR", "show_progress": False}
    Path("here").mkdir()
    own = {"shared": {**given["shared"], **text}, "SASRec": {"train_rows": "user", "epochs": 3}, "NaviGen": {}}
    Path("here/tune.yaml").write_text(yaml.safe_dump(own))
    command = ["tune.py", "--dataset=tiny", "--trials=3", "--seconds=600"]
    monkeypatch.setattr(sys, "argv", command)
    tune.main()
    assert in_this_process == ["SASRec"] * 3 + ["NaviGen"] * 3
    found = json.loads((results / "tune-tiny.json").read_text())
    rows = found["table"]
    assert list(rows) == ["SASRec, tuned", "NaviGen, tuned", tune.DEFAULT]
    assert [row["trials"] for row in rows.values()] == ["3", "3", "1"] and found["bars"][0]["holds"]
    assert rows[tune.DEFAULT]["settings"] == "the defaults"
    assert all(1 <= int(row["of these run to the end"]) <= int(row["trials"]) for row in rows.values())
    records = [json.loads(file.read_text()) for file in Path("runs/saved").glob("*/result.json")]
    assert {record["config"]["select_on"] for record in records} == {"unseen"}
    # The same command trains nothing; no time, no further trials.
    tune.main()
    monkeypatch.setattr(sys, "argv", [*command[:2], "--trials=9", "--seconds=0.001"])
    tune.main()
    assert len(in_this_process) == 6


def test_a_row_of_ablations_stands_beside_navigen(
    results: Path, in_this_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ablations
    from harness import ranking_runs

    monkeypatch.setattr(ranking_runs, "RUNS", Path("runs"))
    monkeypatch.setattr(ablations, "RESULTS", results)
    monkeypatch.setattr(ablations, "PAGE", Path("ablations.md"))
    monkeypatch.setattr(ablations, "SETS", ("tiny", "ml-100k"))
    monkeypatch.setattr(ablations, "settings_of", lambda name: {"SASRec": {**SASREC, **WIDTH, "epochs": 2}})
    shared = ["--dataset=tiny", "--item_text_fields=[title]", "--state=ERROR"]
    rows = ["NaviGen without text", "TIGER's layout", "SASRec"]
    assert ablations.main([*shared, f"--rows={';'.join(rows)}"]) == 0
    assert in_this_process == ["NaviGen"] * 3 + ["SASRec"]
    assert ablations.main([*shared, "--rows=SASRec + text + recipe"]) == 0
    assert in_this_process[4:] == ["SASRecText"]
    found = json.loads((results / "ablations-tiny.json").read_text())
    assert list(found["table"]) == ["NaviGen", rows[0], rows[1], ablations.RIVAL, "SASRec"]
    (bar,) = found["bars"]
    assert found["table"][ablations.RIVAL][ablations.RATIO].startswith(f"{bar['value']:.3f} [")
    page = Path("ablations.md").read_text()
    assert "| TIGER's layout | 0." in page and "## ml-100k\n\nNot measured yet" in page


def test_ensembles_stand_beside_their_members(
    results: Path, in_this_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ensembles
    from harness import ranking_runs

    for module in (ranking_runs, ensembles):
        monkeypatch.setattr(module, "RUNS", Path("runs"))
    small = {**SASREC, "epochs": 2}
    own = {"SASRec": small, "SASRec + text": {**WIDTH, "model": "SASRecText", "epochs": 2, "text_vocabulary": 400}}
    own |= {"Transitions": {"validation_users": 50}}
    own |= {"HSTU": {"train_rows": "user", "epochs": 2, "hidden_size": 16, "n_heads": 2, "train_batch_size": 16}}
    monkeypatch.setattr(ensembles, "settings_of", lambda name: own)
    words = ["--dataset=tiny", "--item_text_fields=[title]", "--MAX_ITEM_LIST_LENGTH=8", "--state=ERROR"]
    assert ensembles.main([*words, f"--rows={ensembles.MEMORY}"]) == 0
    assert in_this_process == ["NaviGen", "SASRec", "Transitions"]
    assert ensembles.main(words) == 0
    assert in_this_process[3:] == ["SASRec", "HSTU", "NaviGen", "SASRecText"]
    table = json.loads((results / "ensembles-tiny.json").read_text())["table"]
    members = ["NaviGen", "SASRec", "Transitions", "HSTU", ensembles.GENERATOR, ensembles.RANKER]
    assert list(table) == [*members, ensembles.TWO, ensembles.MEMORY, ensembles.OTHER, ensembles.FUSED]
    assert ensembles.main(words) == 0 and len(in_this_process) == 7

"""Which runs a comparison finds and puts into one row, and which metrics it shows of them."""

import json
import logging
import shutil
from pathlib import Path

import pytest
from run_folders import change

from recbole_navigen.config import Config
from recbole_navigen.errors import InputError
from recbole_navigen.quick_start import compare_runs, run_compare, run_navigen
from recbole_navigen.runs.identity import identity

QUIET = {"state": "ERROR", "show_progress": False}


def identity_of(folder: Path) -> dict:
    """What names a finished run."""
    return json.loads((folder / "result.json").read_text())["identity"]


def test_metrics_are_shown_once_and_left_out_aloud(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = run_navigen("Pop", "tiny", config_dict=QUIET)["run_dir"]
    with caplog.at_level(logging.WARNING):
        found = compare_runs([run], ["--metrics=[NDCG,GAUC,ndcg]", "--topk=[5,5]"])["comparison"]
    assert found.metrics == ("ndcg@5",)
    (line,) = caplog.messages
    assert line.startswith("the comparison leaves out gauc: ")
    with pytest.raises(InputError, match=r"ndcg@81 looks at 81 places, and .* ranks 80 items; lower topk\."):
        compare_runs([run], ["--topk=[81]"])
    assert compare_runs([run], ["--topk=[80]"])["comparison"].metrics == ("ndcg@80", "recall@80")


def test_a_row_holds_runs_that_differ_in_their_seed_alone(tiny: Path) -> None:
    run = Path(run_navigen("Pop", "tiny", config_dict=QUIET)["run_dir"])

    def copied(name: str, seed: int, epochs: int, **own: str) -> Path:
        """The run as one of NaviGen would stand there whose collaborative model took so many epochs."""
        config = Config(
            "NaviGen", "tiny", config_dict={"seed": seed, "collaborative_config": {"SASRec": {"epochs": epochs}}}
        )
        shutil.copytree(run, name)
        change(Path(name), config=config.public(), identity={**identity(config), **own})
        return Path(name)

    def rows(*folders: Path) -> dict[str, list[str]]:
        contenders = compare_runs(folders)["comparison"].contenders
        return {row.label: [str(run) for run in row.runs] for row in contenders}

    first, second, other = copied("a", 1, 2), copied("b", 2, 2), copied("c", 2, 3)
    assert rows(first, second) == {"NaviGen": ["a", "b"]}
    told = "NaviGen (collaborative_config.SASRec.epochs={})".format
    assert rows(first, second, other) == {told(2): ["a", "b"], told(3): ["c"]}
    # A text that changed leaves interactions and settings alike, and makes another model.
    changed = copied("d", 2, 2, files_hash="0" * 64)
    names = {f"NaviGen (files_hash={value[:12]})" for value in (identity_of(first)["files_hash"], "0" * 64)}
    assert set(rows(first, changed)) == names


def test_a_run_without_its_ranks_is_made_again(
    tiny: Path, in_this_process: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def compared() -> str:
        (run,) = run_compare(["Pop"], "tiny", config_dict=QUIET)["comparison"].contenders[0].runs
        return str(run)

    first = compared()
    assert compared() == first and in_this_process == ["Pop"]
    shutil.rmtree(f"{first}/ranks")
    with caplog.at_level(logging.WARNING):
        assert compared() != first and in_this_process == ["Pop", "Pop"]
    assert any(f"{first}/ranks" in line and line.endswith("running it again") for line in caplog.messages)


def test_rows_of_unequal_seeds_are_marked(tiny: Path) -> None:
    def folder(model: str, seed: int) -> str:
        return run_navigen(model, "tiny", config_dict={**QUIET, "seed": seed})["run_dir"]

    pop, knn = folder("Pop", 1), folder("ItemKNN", 1)
    alike = compare_runs([pop, knn])
    assert "UNEQUAL SEEDS" not in Path(alike["folder"], "table.md").read_text()
    unlike = compare_runs([pop, knn, folder("Pop", 2)])
    text = Path(unlike["folder"], "table.md").read_text()
    assert "UNEQUAL SEEDS: 1, 2 of Pop; 1 of ItemKNN. " in text

"""The commands for somebody new, and for users who say what they like or kept, on one small run."""

import json
from pathlib import Path

import pytest
from synthetic import write_atomic
from tiny_settings import NAVIGEN

from recbole_navigen.cli.feedback import feedback
from recbole_navigen.cli.generate import generate
from recbole_navigen.cli.recommend import recommend
from recbole_navigen.errors import InputError
from recbole_navigen.generation.records import read_records
from recbole_navigen.quick_start import Recommender, run_generate, run_navigen, run_recommend

SHORT = {"show_progress": False, "use_gpu": False, "epochs": 1, "MAX_ITEM_LIST_LENGTH": 8, "state": "ERROR"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a small finished run, with a writer."""
    folder = tmp_path_factory.mktemp("run")
    data = write_atomic(folder / "dataset", "tiny", users=60, items=80)
    settings = {**NAVIGEN, **SHORT, "data_path": str(data), "checkpoint_dir": str(folder / "saved")}
    run = run_navigen("NaviGen", "tiny", config_dict={**settings, "train_batch_size": 16})["run_dir"]
    run_generate(run=run, n_users=1)  # trains the writer
    return run


def test_somebody_new_is_recommended_to(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert recommend([f"--run={run}", "--preferences=western:2, not drama", "--k=4", "--no-progress"]) == 0
    shown = capsys.readouterr().out
    assert "User (new)" in shown and "popularity" not in shown
    table = run_recommend(run, preferences="western:3", k=4, show_progress=False)
    recommender = Recommender.load(run)
    assert all("western" in recommender.table.terms[recommender.item_tokens.index(item)] for item in table["item"])
    capsys.readouterr()
    assert recommend([f"--run={run}", "--preferences=", "--k=4", "--no-progress"]) == 0
    assert "ranked by their popularity in training" in capsys.readouterr().out
    # Beside histories, and in a file that knows what it was asked.
    plain = run_recommend(run, users=["u1"], k=3, output="a.jsonl", show_progress=False)
    moved = run_recommend(run, users=["u1"], k=3, preferences="western:3", output="b.jsonl", show_progress=False)
    assert Path(plain).read_text() != Path(moved).read_text()
    assert recommend([f"--run={run}", "--preferences=zeppelins", "--no-progress"]) == 2
    assert "nothing in the catalogue matches 'zeppelins'" in capsys.readouterr().err
    with pytest.raises(InputError, match="held_out needs users with a history"):
        run_recommend(run, preferences="western", held_out=True)


def test_a_saved_model_with_new_items_is_recommended_with(run: str) -> None:
    recommender = Recommender.load(run)
    recommender.add_items([{"item_id": "i900", "title": "Tale 900 of the River", "genre": "space opera"}])
    recommender.save("model")
    table = run_recommend("model", users=["u1", "u2"], k=81, exclude_history=False, show_progress=False)
    new = table[table["item"] == "i900"]
    assert len(new) == 2 and set(new["title"]) == {"Tale 900 of the River"}
    written = recommender.instruct([["i900", "i1"], []], preferences=[None, "space opera"], drafts=2, pool=5)
    assert all(one.instruction for one in written)
    assert recommender.recommend(k=1).basis == "popularity"


def test_somebody_new_is_written_for_and_what_was_kept_counts(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate([f"--run={run}", "--preferences=space opera", "--output=out", "--drafts=2"]) == 0
    (record,) = read_records("out/instructions.jsonl")
    assert (record.user, record.history) == ("(new)", ()) and record.more == {"preferences": {"space opera": 1.0}}
    assert "space opera" in record.aim_terms and record.instruction
    # A picture that was kept.
    (before,) = run_generate(run=run, users=["u1"], output="made", drafts=2)
    line = {"user": "u1", "media": "image", "status": "done", "file": "u1.png", "sha256": "0"}
    line["instruction"] = before.instruction
    Path("made/metadata.jsonl").write_text(json.dumps(line) + "\n")
    assert feedback(["made", "keep", "u1"]) == 0
    (record,) = run_generate(run=run, users=["u1"], feedback="made/feedback.jsonl", preferences="western", drafts=2)
    assert record.more["preferences"] == {"western": 1.0, **dict.fromkeys(before.terms, 1.0)} or (
        record.more["preferences"].keys() == {"western", *before.terms}
    )
    (other,) = run_generate(run=run, users=["u2"], feedback="made/feedback.jsonl", drafts=2)
    assert other.more == {}
    with pytest.raises(InputError, match="held_out needs users with a history"):
        run_generate(run=run, preferences="western", held_out=True)

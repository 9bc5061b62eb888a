"""The fairness report of a small run, as a command and as a function."""

import json
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_atomic
from tiny_settings import BASELINES, NAVIGEN

from recbole_navigen.cli.fairness import fairness
from recbole_navigen.cli.generate import generate
from recbole_navigen.errors import InputError
from recbole_navigen.generation.records import read_records
from recbole_navigen.quick_start import Recommender, run_navigen
from recbole_navigen.quick_start.fairness_report import run_fairness

SHORT = {"show_progress": False, "use_gpu": False, "epochs": 1, "MAX_ITEM_LIST_LENGTH": 8, "state": "ERROR"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("run")
    data = write_atomic(folder / "dataset", "tiny", users=60, items=80)
    lines = [f"u{user}\t{'FM'[user % 2]}\t{20 + user}" for user in range(61)]
    (data / "tiny" / "tiny.user").write_text("\n".join(["user_id:token\tgender:token\tage:token", *lines]) + "\n")
    settings = {**SHORT, "data_path": str(data), "checkpoint_dir": str(folder / "saved")}
    own = {**NAVIGEN, "training_stages": ["align", "finetune", "write"], "train_batch_size": 16}
    models = {"NaviGen": own, "Pop": BASELINES["Pop"]}
    return {
        name: run_navigen(name, "tiny", config_dict={**settings, **more})["run_dir"] for name, more in models.items()
    }


def test_groups_of_items_and_users(runs: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert fairness([f"--run={runs['NaviGen']}", "--columns=gender, age", "--output=out", "--no-progress"]) == 0
    shown = capsys.readouterr().out
    assert "By gender of the users" in shown and "page in out/fairness.html" in shown
    numbers = json.loads(Path("out/fairness.json").read_text())["tables"]
    items, gender, age = numbers["items"], numbers["users by gender"], numbers["users by age"]
    assert [row["third of items"] for row in items] == ["tail", "mid", "head"]
    assert sum(row["exposure"] for row in items) == pytest.approx(1) == sum(row["histories"] for row in items)
    assert [row["gender"] for row in gender] == ["F", "M"] and len(age) == 3  # sixty ages become thirds
    # NDCG of the groups is that of the users.
    recommender = Recommender.load(runs["NaviGen"])
    users = recommender.users
    values = []
    for user, best in zip(users, recommender.recommend_users(users, 10, held_out=1), strict=True):
        places = [each.item for each in best]
        target = recommender.history_of(user)[-1]
        values.append(1 / np.log2(2 + places.index(target)) if target in places else 0)
    means = sum(row["NDCG@10"] * row["users"] for row in gender) / len(users)
    assert means == pytest.approx(np.mean(values))
    assert "Who gets what" in Path("out/fairness.html").read_text()
    # Popularity alone hands out the head.
    (table,) = run_fairness(runs["Pop"], show_progress=False)
    head = table.rows[2]
    assert head[3].numbers[""] > head[2].numbers[""] and head[4].numbers[" low"] > 1


def test_instructions_beside_the_histories_and_a_calibrated_choice(runs: dict[str, str], capsys) -> None:
    run = f"--run={runs['NaviGen']}"
    asked = ["--n_users=20", "--drafts=3", "--no-think"]
    assert generate([run, "--output=plain", *asked]) == 0
    assert generate([run, "--output=own", "--calibrate", *asked]) == 0
    assert "calibrated: the divergence from the users' own proportions is" in capsys.readouterr().out
    plain, own = read_records("plain/instructions.jsonl"), read_records("own/instructions.jsonl")
    changed = [record.more["calibration"] for record in own]
    assert all(one["divergence"] <= one["uncalibrated"] + 1e-9 and one["price"] >= 0 for one in changed)
    for one, before, after in zip(changed, plain, own, strict=True):
        assert (one["price"] > 0) <= (before.instruction != after.instruction)
        assert "calibration" not in before.more
    assert fairness([run, "--instructions=plain/instructions.jsonl", "--no-progress", "--output=out"]) == 0
    tables = json.loads(Path("out/fairness.json").read_text())["tables"]
    first, *kinds = tables["subjects"]
    assert first["subject"] == "entropy, bits" and first["instructions"] > 0 and len(kinds) > 2
    assert sum(row["histories"] for row in kinds) <= 1 + 1e-6
    assert {row["subject"] for row in tables["persons"]} >= {"gender: women", "gender: men", "age: old"}


def test_what_cannot_be_meant_is_one_sentence(runs: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="no column 'gendr'; the nearest is 'gender'"):
        run_fairness(runs["Pop"], columns=["gendr"], show_progress=False)
    Path("own.jsonl").write_text(
        json.dumps({"user": "u1", "media": "image", "instruction": "x", "history": ["i1"]}) + "\n"
    )
    assert fairness([f"--run={runs['Pop']}", "--instructions=own.jsonl"]) == 2
    assert "is no NaviGen" in capsys.readouterr().err
    assert fairness([f"--run={runs['NaviGen']}", "--instructions=own.jsonl", "--no-progress"]) == 2
    assert "fewer than two instructions have a history" in capsys.readouterr().err
    assert fairness(["--run=nowhere"]) == 2 and "not the folder of a finished run" in capsys.readouterr().err

"""The command as its users type it, and what a run leaves behind."""

import json
import math
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from places import ROOT

from recbole_navigen import __version__
from recbole_navigen.__main__ import main, split_files
from recbole_navigen.config import Config
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.evaluation.ranks import metric_values
from recbole_navigen.evaluation.user_ranks import UserRanks
from recbole_navigen.quick_start import run_navigen
from recbole_navigen.runs.stages import Stages
from recbole_navigen.runs.summary import sample_users

SHORT = ["--epochs=1", "--show_progress=False", "--use_gpu=False"]


def run(*arguments: str, script: bool = True, **environment: str) -> subprocess.CompletedProcess:
    """Run the command in the working directory of the test."""
    command = [str(ROOT / "run_navigen.py")] if script else ["-m", "recbole_navigen"]
    path = {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, *command, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **path, **environment},
        check=False,
    )


def test_help_answers_and_loads_nothing_heavy() -> None:
    done = run("--help")
    assert done.returncode == 0 and "--key=value" in done.stdout and "--dataset" in done.stdout
    loaded = "import sys, recbole_navigen.__main__, recbole_navigen.quick_start; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
    assert run("--version", script=False).stdout.strip().endswith(__version__)


def test_bad_input_is_one_line_and_exit_code_2(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run("--model=BPR", "--dataset=tiny", "--epochz=3")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.strip().splitlines() == [
        "error: unknown setting `epochz` on the command line for BPR; the nearest valid name is `epochs`"
    ]
    assert main(["--model=BPR", "--dataset=tiny", "--epochz=3", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_sequential_baseline_from_end_to_end(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    Path("small.yaml").write_text("hidden_size: 8\ninner_size: 8\nn_layers: 1\nn_heads: 1\nMAX_ITEM_LIST_LENGTH: 10\n")
    given = ["-m", "SASRec", "-d", "tiny", *SHORT, "--item_text_fields=[title,genre]", "--config_files", "small.yaml"]
    assert main(given) == 0
    shown = capsys.readouterr()
    # 1. Tables and three users in words.
    assert all(word in shown.out for word in ("Stages", "data", "train", "test", "total", "Test metrics", "@10"))
    assert shown.out.count("User u") == 3 and shown.out.count("  next  Tale ") == 3
    assert shown.out.count("  5. ") == 3 and "%" not in shown.out
    # 2. RecBole's log lines, on the console and in log/MODEL/.
    log = next(Path("log/SASRec").glob("SASRec-tiny-*.log")).read_text()
    for line in ("epoch 0 training [time: ", "epoch 0 evaluating [time: ", "Saving current: saved", "test result: "):
        assert line in log and line.split(":")[0] in shown.err
    # 3. The run folder.
    (folder,) = Path("saved").iterdir()
    assert folder.name.startswith("SASRec-tiny-")
    kept = {"checkpoint", "ranks", "result.json", "started.json", "trained.json", "run.lock"}
    assert {path.name for path in folder.iterdir()} == kept
    result = json.loads((folder / "result.json").read_text())
    # The score that chose the epoch is not rounded; what is shown of it is.
    assert result["valid_score_bigger"] is True
    assert round(result["best_valid_score"], 4) == result["best_valid_result"]["ndcg@10"] != result["best_valid_score"]
    assert set(result["test_result"]) == {
        f"{m}@{k}" for m in ("recall", "hit", "ndcg", "mrr", "precision") for k in (5, 10, 20)
    }
    assert result["parameters"]["total"] == result["parameters"]["trainable"] > 80 * 8
    assert list(result["seconds"]) == ["data", "train", "test", "ranks"] and result["seed"] == 2020
    assert result["config"]["hidden_size"] == 8 and result["versions"]["recbole"] == "1.2.1"
    assert len(result["dataset_hash"]) == 64 and result["peak_memory_mb"] > 50
    assert result["training_seconds"] == result["seconds"]["train"] and result["test_users_per_second"] > 0
    tied = result["tied_last_rows"]
    assert 0 < tied["tied"] < tied["users"] == 60 and tied["share"] == tied["tied"] / 60
    assert f"The last two rows of {tied['tied']} of 60 users have equal times: the order of the file says" in log
    ranks = UserRanks.load(folder)
    assert result["split_hash"] == ranks.split_hash and len(ranks.user) == result["test_users"] == 60
    assert result["test_result"]["ndcg@10"] == pytest.approx(metric_values("ndcg@10", ranks.rank).mean(), abs=1e-4)


def test_the_function_and_a_second_run_in_one_process(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = [run_navigen("Pop", "tiny", argv=SHORT) for _ in range(2)]
    assert results[0]["run_dir"] != results[1]["run_dir"]
    for result in results:
        assert type(result["best_valid_score"]) is float
        assert all(type(value) is float for value in result["test_result"].values())
        stored = json.loads((Path(result["run_dir"]) / "result.json").read_text())
        assert {key: stored[key] for key in result if key != "run_dir"} == {
            k: v for k, v in result.items() if k != "run_dir"
        }
    assert results[0]["test_result"] == results[1]["test_result"]
    # Each run has a log file of its own; general models show no users.
    logs = sorted(Path("log/Pop").glob("*.log"))
    assert sum("test result" in log.read_text() for log in logs) == len(logs)
    assert "User" not in capsys.readouterr().out


def test_without_a_validation_split(tiny: Path) -> None:
    result = run_navigen("BPR", "tiny", config_dict={"eval_args": {"split": {"LS": "test_only"}}}, argv=SHORT)
    assert result["best_valid_score"] is None and result["best_valid_result"] == {} and result["test_result"]


def test_names_and_probabilities_of_the_sample(tiny: Path) -> None:
    small = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "n_heads": 1, "show_progress": False, "state": "ERROR"}
    config = Config("SASRec", "tiny", config_dict=small)
    data = create_dataset(config)
    train_data, _, test_data = data_preparation(config, data)

    torch.manual_seed(0)
    model = config.model_class(config, train_data._dataset)
    users = sample_users(test_data, model, count=4, k=3)
    model.scores_are_log_probabilities = True
    for user, same in zip(users, sample_users(test_data, model, count=4, k=3), strict=True):
        assert [title for title, _ in user.recommended] == [title for title, _ in same.recommended]
        for (_, score), (_, probability) in zip(user.recommended, same.recommended, strict=True):
            assert math.isclose(probability, math.exp(score), rel_tol=1e-5)
    assert len({user.user for user in users}) == 4
    rows = test_data._dataset.inter_feat
    by_user = {data.id2token("user_id", [row["user_id"]])[0]: row for row in (rows[i] for i in range(len(rows)))}
    for user in users:
        row = by_user[user.user]
        seen = row["item_id_list"][: row["item_length"]][-3:]
        assert user.history == tuple(f"item {token}" for token in data.id2token("item_id", seen))
        assert user.target == f"item {data.id2token('item_id', [row['item_id']])[0]}"
        assert user.hit == 0 or user.recommended[user.hit - 1][0] == user.target
        values = [value for _, value in user.recommended]
        assert len(values) == 3 and values == sorted(values, reverse=True) and "[PAD]" not in str(user.recommended)


def test_config_files_in_both_spellings(own_folder: Path) -> None:
    Path("with space.yaml").touch()
    assert split_files(["a.yaml", "b.yaml"]) == split_files(["a.yaml b.yaml"]) == ["a.yaml", "b.yaml"]
    assert split_files(["with space.yaml"]) == ["with space.yaml"]


def test_stages_keep_what_finished() -> None:
    stages = Stages()
    with stages("one") as stage:
        stage.metric = "half"
    with pytest.raises(RuntimeError), stages("two"):
        raise RuntimeError
    with stages("one"):
        pass
    assert [(row.name, row.metric) for row in stages.rows] == [("one", "half"), ("one", "")]
    assert list(stages.seconds) == ["one"]


def test_the_wheel_carries_the_properties_and_runs_anywhere(tiny: Path, tmp_path: Path) -> None:
    # 1. Build from a copy, so that nothing is left in the source tree.
    source = tmp_path / "source"
    shutil.copytree(
        ROOT,
        source,
        ignore=shutil.ignore_patterns(".*", "saved", "log", "log_tensorboard", "*.egg-info", "build", "dist"),
    )
    build = "import setuptools.build_meta as b, sys; print(b.build_wheel(sys.argv[1]))"
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    wheels.mkdir()
    subprocess.run([sys.executable, "-c", build, str(wheels)], cwd=source, check=True, capture_output=True)
    (wheel,) = wheels.glob("recbole_navigen-*.whl")
    # 2. A wheel is a zip: unpacked, it is what pip puts into site-packages.
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    shipped = {str(file.relative_to(ROOT / "properties")) for file in (ROOT / "properties").rglob("*.yaml")}
    packed = site / "recbole_navigen" / "properties"
    assert {str(file.relative_to(packed)) for file in packed.rglob("*.yaml")} == shipped
    assert not (site / "tests").exists() and (site / "recbole_navigen" / "presentation" / "page.html").is_file()
    assert (site / "recbole_navigen" / "supervision" / "template" / "lexicons.yaml").is_file()
    # 3. It runs from a directory that is not the source tree, with the packed settings.
    done = run("--model=Pop", "--dataset=tiny", *SHORT, script=False, PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    assert "eval_batch_size = 2000000" in done.stderr.replace("\x1b", "").replace("[", "").replace("]", "")

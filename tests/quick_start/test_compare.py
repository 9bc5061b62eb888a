"""The comparison of models over seeds, from the command line to the page in a browser."""

import contextlib
import csv
import io
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from browser import CHROMIUM, WIDTHS, look_at
from forked_commands import ForkedCommands
from places import ROOT
from run_folders import change
from synthetic import write_atomic
from tiny_settings import SASREC, WIDTH

from harness.fault_runner import Kill
from recbole_navigen.cli.compare import compare as command
from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.evaluation.ranks import metric_values
from recbole_navigen.quick_start import compare_runs, run_compare
from recbole_navigen.quick_start.separate import RunFailed, SeparateRuns
from recbole_navigen.runs.result import Run

NO_INSTRUCTIONS = {"cid2cid": 1.0, "cid2tid": 0.05, "tid2cid": 0.05}
VARIANTS = {
    "item_text_fields": ["title", "genre"],
    "MAX_ITEM_LIST_LENGTH": 8,
    "use_gpu": False,
    "epochs": 2,
    "collaborative_config": {"SASRec": {**SASREC, "epochs": 4}},
    "models": {
        "Pop": {},
        "BPR": {"embedding_size": 8},
        "SASRec": SASREC,
        "SASRec (3 heads)": {"model": "SASRec", **WIDTH, "n_heads": 3},  # 16 is no multiple of 3
        "NaviGen": {
            **WIDTH,
            "codes": 8,
            "text_vocabulary": 400,
            "mapping_batch_size": 4,
            "task_weights": NO_INSTRUCTIONS,
            "train_batch_size": 16,
        },
    },
}
WHOLE = ["Pop", "BPR", "SASRec", "NaviGen"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, commands: ForkedCommands) -> dict:
    """A comparison that was killed after two of its ten runs and started again; one of its models cannot be built."""
    folder = tmp_path_factory.mktemp("compare")
    write_atomic(folder / "dataset", "tiny", users=60, items=80)
    (folder / "variants.yaml").write_text(yaml.safe_dump(VARIANTS, sort_keys=False))
    arguments = ["--dataset=tiny", "--config_files", "variants.yaml", "--seeds=2"]
    kill = Kill(signal.SIGKILL, "run 2 of 10: BPR, seed 2020 done", itself=True)
    ended = commands("compare", arguments, folder, kill)
    assert ended.code == -signal.SIGKILL, ended.printed
    early = {path: path.stat().st_mtime_ns for path in folder.glob("saved/*/result.json")}
    shown, log = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(shown), contextlib.redirect_stderr(log):
        code = command(arguments)
    (written,) = folder.glob("saved/compare-tiny-*")
    return {
        "folder": folder,
        "early": early,
        "code": code,
        "shown": shown.getvalue(),
        "log": log.getvalue(),
        "written": written,
        "numbers": json.loads((written / "comparison.json").read_text()),
    }


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import runpy, sys\n"
        "try: runpy.run_path('run_compare.py', run_name='__main__')\n"
        "finally: print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "--seeds" in done.stdout and "--runs" in done.stdout and done.stdout.endswith("False False\n")


def test_a_killed_comparison_goes_on_where_it_stopped(finished: dict) -> None:
    assert len(finished["early"]) == 2
    results = list(finished["folder"].glob("saved/*/result.json"))
    assert len(results) == 8
    assert all(path.stat().st_mtime_ns == written for path, written in finished["early"].items())
    log = finished["log"].splitlines()
    assert [re.match(r"run \d+ of 10: (.+), seed \d+ (found|done|FAILED)", line).groups() for line in log] == [
        ("Pop", "found"),
        ("BPR", "found"),
        *[("SASRec", "done"), ("SASRec (3 heads)", "FAILED"), ("NaviGen", "done")],
        *[("Pop", "done"), ("BPR", "done"), ("SASRec", "done"), ("SASRec (3 heads)", "FAILED"), ("NaviGen", "done")],
    ]
    assert all("NDCG@10 0." in line and "among unseen items" in line for line in log if "FAILED" not in line)


def test_a_failing_run_is_recorded_and_the_others_go_on(finished: dict) -> None:
    assert finished["code"] == 1
    rows = {row["label"]: row for row in finished["numbers"]["models"]}
    assert list(rows) == list(VARIANTS["models"])
    failures = rows["SASRec (3 heads)"]["failures"]
    assert [failure["seed"] for failure in failures] == [2020, 2021] and not rows["SASRec (3 heads)"]["runs"]
    for failure in failures:
        assert "multiple of the number of attention heads" in failure["error"] and "Traceback" in failure["details"]
    markdown = (finished["written"] / "table.md").read_text()
    assert "| SASRec (3 heads) | failed | failed | 0 of 2 |" in markdown
    assert "SASRec (3 heads), seed 2021 failed: " in markdown
    assert all(not rows[label]["failures"] and len(rows[label]["runs"]) == 2 for label in WHOLE)


def test_the_numbers_are_those_of_the_runs(finished: dict) -> None:
    rows = {row["label"]: row for row in finished["numbers"]["models"]}
    assert len({run["split_hash"] for label in WHOLE for run in rows[label]["runs"]}) == 1
    for label in WHOLE:
        runs = [Run.load(finished["folder"] / run["folder"]) for run in rows[label]["runs"]]
        for column, ranked in (("rank", "all items"), ("rank_unseen", "unseen items")):
            values = np.array([metric_values("ndcg@10", getattr(run.ranks, column)) for run in runs])
            found = rows[label]["overall"][ranked]["ndcg@10"]
            assert found["interval"]["mean"] == pytest.approx(values.mean())
            assert found["by_seed"] == pytest.approx(values.mean(axis=1).tolist())
            assert found["interval"]["low"] <= values.mean() <= found["interval"]["high"]
            groups = rows[label]["by_group"][ranked]
            sizes = {name: group["users"] for name, group in finished["numbers"]["groups"].items()}
            for names in (("head", "mid", "tail"), ("short", "medium", "long")):
                assert sum(sizes[name] for name in names) == 60
                total = sum(groups[name]["interval"]["mean"] * sizes[name] for name in names)
                assert total / 60 == pytest.approx(values.mean())
        # RecBole's own evaluator hides consumed items from general models only.
        own = "rank_unseen" if label == "BPR" else "rank"
        if label != "Pop":  # whose many ties RecBole breaks its own way
            for run in runs:
                value = metric_values("ndcg@10", getattr(run.ranks, own)).mean()
                assert run.record["test_result"]["ndcg@10"] == pytest.approx(value, abs=1e-4)
        assert rows[label]["training_minutes"] > 0 and rows[label]["users_per_second"] > 0
    best = max(WHOLE, key=lambda label: rows[label]["overall"]["all items"]["recall@10"]["interval"]["mean"])
    for label in WHOLE:
        found = rows[label]["overall"]["all items"]["recall@10"]
        assert found["best"] == (label == best) == (found["p"] is None)
        if label != best:
            assert found["p"] <= found["p_family"] <= 1 and found["difference"]["mean"] <= 0


def test_all_forms_hold_all_models(finished: dict) -> None:
    texts = {name: (finished["written"] / name).read_text() for name in ("table.md", "table.tex", "report.html")}
    texts["terminal"] = finished["shown"]
    rows = {row["label"]: row for row in finished["numbers"]["models"]}
    for label in WHOLE:
        for ranked in ("all items", "unseen items"):
            value = f"{rows[label]['overall'][ranked]['ndcg@10']['interval']['mean']:.4f}"
            assert all(label in text and value in text and ranked in text for text in texts.values())
    with open(finished["written"] / "table.csv", newline="") as file:
        lines = {(line["ranked"], line["model"]): line for line in csv.DictReader(file)}
    assert len(lines) == 2 * 5
    value = rows["NaviGen"]["by_group"]["unseen items"]["tail"]["interval"]["high"]
    assert float(lines["unseen items", "NaviGen"]["tail high"]) == value
    assert "paired" in texts["table.md"] and "all pairs" in texts["table.md"]


def test_settings_seeds_and_machine_of_each_row_are_named(finished: dict) -> None:
    markdown = (finished["written"] / "table.md").read_text().partition("## Models\n")[2]
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in markdown.splitlines() if line.startswith("| ")}
    assert "embedding\\_size=8" in rows["BPR"] and "2020, 2021" in rows["BPR"] and "cpu, " in rows["BPR"]
    assert "codes=8" in rows["NaviGen"] and "epochs=2" in rows["NaviGen"]
    assert rows["SASRec (3 heads)"].count(" - ") == 3  # it never ran
    made = {row["label"]: row["runs"] for row in finished["numbers"]["models"]}
    assert made["BPR"][0]["settings"] == {"epochs": 2, "embedding_size": 8} and made["BPR"][0]["machine"]["device"]


def test_finished_runs_are_found_again_whatever_is_measured(
    finished: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started = []

    def refuse(self: SeparateRuns, model: str, dataset: str, settings: dict, progress: object) -> str:
        started.append((model, settings["seed"]))
        raise RunFailed("not now")

    monkeypatch.chdir(finished["folder"])
    monkeypatch.setattr(SeparateRuns, "__call__", refuse)
    shared = {"dataset": "tiny", "config_file_list": ["variants.yaml"]}
    # valid_metric decides which epoch is kept, so that NDCG@20 is another run; the rest is measured afterwards.
    result = run_compare(WHOLE, seeds=[2021, 2020], argv=["--topk=[5,20]", "--valid_metric=NDCG@20"], **shared)
    assert result == {"folder": None, "comparison": None, "failed": 8} and len(started) == 8
    started.clear()
    measured = ["--metrics=[MRR,NDCG]", "--topk=[10,5]", "--eval_batch_size=8", "--state=ERROR"]
    result = run_compare(WHOLE, seeds=[2021], argv=measured, **shared)
    assert not started and result["failed"] == 0
    assert result["comparison"].metrics == ("ndcg@10", "mrr@10", "mrr@5", "ndcg@5")
    # Another seed, setting or data file is another run; a setting that a model does not know does not matter to it.
    run_compare(["Pop", "SASRec"], seeds=[2021], argv=["--hidden_dropout_prob=0.1"], **shared)
    assert started == [("SASRec", 2021)]
    started.clear()
    run_compare(["Pop"], seeds=3, **shared)
    assert started == [("Pop", 2022)]
    started.clear()
    shutil.copytree("dataset", "other")
    with open("other/tiny/tiny.inter", "a") as file:
        file.write("u0\ti0\t1\t1600000000\n")
    run_compare(["Pop"], argv=["--data_path=other"], **shared)
    assert started == [("Pop", 2020)]
    assert "run 1 of 1: Pop, seed 2020 FAILED: not now" in capsys.readouterr().err


@pytest.fixture
def folders(finished: dict, own_folder: Path) -> dict[str, Path]:
    """Copies of one run each of BPR and SASRec, to be tampered with."""
    copies = {}
    for row in finished["numbers"]["models"][1:3]:
        copies[row["label"]] = own_folder / row["label"]
        shutil.copytree(finished["folder"] / row["runs"][0]["folder"], copies[row["label"]])
    return copies


def test_existing_runs_are_compared_without_training(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["--runs", *map(str, folders.values()), "--topk=[3]"]) == 0
    shown = capsys.readouterr().out
    assert "NDCG@3" in shown and "BPR" in shown and "SASRec" in shown and list(Path("saved").glob("compare-tiny-*"))
    # Runs of one model with other settings are told apart by what they differ in.
    other = folders["BPR"].with_name("wide")
    shutil.copytree(folders["BPR"], other)
    record = json.loads((other / "result.json").read_text())
    record["identity"]["settings_hash"] = "0" * 64
    elsewhere = {"embedding_size": 16, "run_dir": "elsewhere", "seed": 1}
    change(other, config={**record["config"], **elsewhere}, identity=record["identity"])
    result = compare_runs([folders["BPR"], other])
    assert [row.label for row in result["comparison"].contenders] == [
        "BPR (embedding_size=8)",
        "BPR (embedding_size=16)",
    ]
    # Models that agree on every user do not differ.
    estimates = result["comparison"].overall["rank", "ndcg@10"]
    assert estimates["BPR (embedding_size=16)"].p == 1 and estimates["BPR (embedding_size=16)"].difference.low == 0


def test_runs_that_do_not_belong_together_are_refused(folders: dict[str, Path]) -> None:
    ours, theirs = folders.values()
    record = json.loads((theirs / "result.json").read_text())
    for aspect, values in {
        "data": {"dataset_hash": "0" * 64},
        "splits": {"split_hash": "0" * 64},
        "exclude_history": {"protocol": {**record["protocol"], "exclude_history": True}},
        "eval_args": {"protocol": {**record["protocol"], "eval_args": {"split": {"LS": "test_only"}}}},
    }.items():
        change(theirs, **values)
        with pytest.raises(InputError, match=rf"different {aspect} cannot stand in one table: .*BPR; .* in .*SASRec"):
            compare_runs([ours, theirs])
        change(theirs, **record)
    assert compare_runs([ours, theirs], ["--topk=[9]"])["comparison"].metrics == ("ndcg@9", "recall@9")
    shutil.copytree(ours, "twin")
    with pytest.raises(InputError, match="the same model with the same settings, data files and seed"):
        compare_runs([ours, "twin"])
    shutil.rmtree("twin/ranks")
    with pytest.raises(DamagedArtefact, match=r"ranks/manifest\.json is missing"):
        compare_runs(["twin"])
    change(Path("twin"), split_hash=None)
    with pytest.raises(InputError, match="keeps no ranks"):
        compare_runs(["twin"])
    with pytest.raises(InputError, match=r"holds no result\.json"):
        compare_runs(["dataset"])
    with pytest.raises(InputError, match="unknown setting `epochs` beside --runs"):
        compare_runs([ours], ["--epochs=3"])
    for argument, message in {
        "--topk=[0]": "each entry of topk must be a whole number of at least 1, not 0",
        "--metrics=[NDCG,Recal]": "unknown metric `Recal`; the nearest valid name is `recall`",
        "--metrics=[GAUC]": "none of the metrics .* follows from ranks",
        "--checkpoint_dir=None": "checkpoint_dir must be the path of a file or folder, not None",
    }.items():
        with pytest.raises(InputError, match=message):
            compare_runs([ours], [argument])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models=Pop,SASRek"], "unknown model `SASRek`; nearest names: SASRec"),
        (["--models=Pop,Pop"], "names a model twice"),
        ([], "name what to compare"),
        (["--models=Pop", "--model=BPR"], "--models=NAME,NAME"),
        (["--models=Pop,BPR", "--epochz=3"], "unknown setting `epochz` .*nearest valid name is `epochs`"),
        (["--models=Pop", "--seeds=0"], "seeds must be a whole number of at least 1"),
        (["--models=Pop", "--seeds=[1,1]"], "seeds must be a number"),
        (["--models=Pop", "--seeds=many"], "neither a number of seeds nor a list"),
        (["--models=Pop,FM"], "FM cannot be compared"),
        (
            ["--models=SASRec,Pop", "--train_rows=user"],
            "needs a sequential model, and Pop is none; remove it or set it for others alone",
        ),
        (["--models=Pop", "--checkpoint_dir=None"], "checkpoint_dir must be the path of a file or folder"),
        (["--models=Pop", "--eval_args={mode: uni50}"], "does not rank the whole catalogue"),
        (["--models=Pop", "--metrics=[ItemCoverage,NDCG]", "--dataset=none"], "unknown data set `none`"),
        (["--models=Pop,BPR", "--config_files", "seed.yaml"], "BPR: seed is the same for all models"),
        (["--models=Pop,BPR", "--config_files", "hide.yaml"], "different exclude_history .*false in Pop; true in BPR"),
        (["--models=Pop,BPR", "--config_files", "list.yaml"], "the section `models` must hold lines"),
        (["--runs", "a", "--models=Pop"], "leave out --models"),
    ],
)
def test_bad_input_is_refused_before_any_training(
    arguments: list[str], message: str, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("seed.yaml").write_text("models: {BPR: {seed: 3}}\n")
    Path("hide.yaml").write_text("models: {BPR: {exclude_history: true}}\n")
    Path("list.yaml").write_text("models: [BPR]\n")
    given = [] if any("--dataset" in argument or argument == "--runs" for argument in arguments) else ["--dataset=tiny"]
    assert command([*arguments, *given]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, line), line
    assert not Path("saved").exists()


def test_a_run_on_other_data_stops_the_comparison_at_once(tiny: Path, in_this_process: list[str]) -> None:
    # The users of both are the same, and so are all settings of the protocol; but one of them drops items.
    own = {"models": {"Pop": {}, "BPR": {"item_inter_num_interval": "[5,inf)"}, "SASRec": {}}}
    with pytest.raises(InputError, match=r"different data cannot stand in one table: tiny \w+ in .*Pop.*; tiny .*BPR"):
        run_compare(config_dict={**own, "epochs": 1, "state": "ERROR"}, dataset="tiny")
    assert in_this_process == ["Pop", "BPR"]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed")
def test_the_page_in_a_browser(finished: dict, tmp_path: Path) -> None:
    page = (finished["written"] / "report.html").read_text()
    found = look_at(
        page,
        tmp_path,
        """page => ({
            width: page.documentElement.clientWidth,
            scroll: page.documentElement.scrollWidth,
            images: [...page.images].map(image => image.naturalWidth),
            tables: [...page.querySelectorAll("table")].map(table =>
              [...table.querySelectorAll("tbody th")].map(name => name.textContent)),
            best: page.querySelectorAll("td.best").length,
        })""",
    )
    assert len(found) == 2
    for frame, width in zip(found, WIDTHS, strict=True):
        assert width - 20 <= frame["width"] <= width and frame["scroll"] <= frame["width"]
        assert frame["tables"] == [list(VARIANTS["models"])] * 5
        assert len(frame["images"]) == 4 and min(frame["images"]) > 300
        assert frame["best"] == 2 * 2 + 2 * 6

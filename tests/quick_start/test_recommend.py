"""Recommendations as tables and files: whole, resumable, and for the users that are meant."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from recbole_navigen.cli.recommend import recommend
from recbole_navigen.config.raw_ids import asked_users, chosen_users
from recbole_navigen.errors import InputError
from recbole_navigen.quick_start import Recommender, run_navigen, run_recommend
from recbole_navigen.serving import top_k_file

SETTINGS = {"state": "ERROR", "show_progress": False, "epochs": 1, "use_gpu": False, "MAX_ITEM_LIST_LENGTH": 8}
SETTINGS |= {"hidden_size": 8, "inner_size": 8, "n_heads": 1, "item_text_fields": ["title"]}


@pytest.fixture
def run(tiny: Path) -> str:
    return run_navigen("SASRec", "tiny", config_dict=SETTINGS)["run_dir"]


def test_an_id_is_never_a_number_of_users(tmp_path: Path) -> None:
    known = ["5", "2", "1"]
    assert chosen_users(known, asked_users("5", None)) == ["5"]
    assert (
        chosen_users(known, asked_users("1,5", None)) == ["1", "5"] == chosen_users(known, asked_users([1, 5.0], None))
    )
    assert chosen_users(known, asked_users(None, 2)) == ["5", "2"]
    assert chosen_users(known, asked_users("all", None)) == known == chosen_users(known, asked_users(None, None))
    (tmp_path / "who.txt").write_text("2\n\n1\n")
    assert chosen_users(known, asked_users(str(tmp_path / "who.txt"), None)) == ["2", "1"]
    for wrong, message in (("5,5", "names '5' twice"), ("5,", "leaves a name empty"), ([], "leaves a name empty")):
        with pytest.raises(InputError, match=message):
            asked_users(wrong, None)
    with pytest.raises(InputError, match="keep one"):
        asked_users("all", 3)
    with pytest.raises(InputError, match="unknown user '7'"):
        chosen_users(known, asked_users("7", None))


def test_files_hold_what_is_printed(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run_recommend(run, n_users=60, k=3, held_out=True, show_progress=False)
    assert list(shown.columns) == ["user", "rank", "item", "title", "score", "target"] and len(shown) == 180
    assert shown["title"][0] == f"Tale {shown['item'][0][1:]} of the River" and "User u0" in capsys.readouterr().out
    recommender = Recommender.load(run)
    best = recommender.recommend_users(recommender.users, k=3, held_out=1)
    assert shown["item"].tolist() == [each.item for answer in best for each in answer]
    for ending in ("csv", "jsonl", "parquet"):
        file = run_recommend(
            run, users="all", k=3, held_out=True, output=f"out/top.{ending}", batch_size=7, show_progress=False
        )
        read = {"csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True), "parquet": pd.read_parquet}
        pd.testing.assert_frame_equal(read[ending](file), shown)
        assert [path.name for path in Path("out").iterdir()] == [f"top.{ending}"]
        shutil.rmtree("out")


def test_a_killed_command_goes_on(run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path(run_recommend(run, k=3, output="whole.jsonl", batch_size=7, show_progress=False)).read_bytes()
    computed = []
    write = top_k_file.write_bytes

    def killed(file: Path, data: bytes) -> None:
        if len(computed) == 4:
            raise KeyboardInterrupt
        computed.append(file.name)
        write(file, data)

    monkeypatch.setattr(top_k_file, "write_bytes", killed)
    arguments = [f"--run={run}", "--k=3", "--users=all", "--output=top.jsonl", "--batch_size=7", "--no-progress"]
    assert recommend(arguments) == 130 and not Path("top.jsonl").exists()
    monkeypatch.setattr(top_k_file, "write_bytes", lambda file, data: (computed.append(file.name), write(file, data)))
    assert recommend(arguments) == 0
    assert Path("top.jsonl").read_bytes() == whole and not Path("top.jsonl.parts").exists()
    assert len(computed) == len(set(computed)) == 9  # no batch was computed twice
    # What was begun for another question is not gone on with.
    Path("top.jsonl.parts").mkdir()
    (Path("top.jsonl.parts") / "000000.parquet").write_text("of another k")
    assert recommend(["--k=2", *arguments[:1], *arguments[2:]]) == 0
    assert len(Path("top.jsonl").read_text().splitlines()) == 120
    assert json.loads(Path("top.jsonl").read_text().splitlines()[1])["rank"] == 2


def test_what_cannot_be_meant_is_one_line(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_navigen("Pop", "tiny", config_dict={"state": "ERROR", "show_progress": False, "epochs": 1})["run_dir"]
    capsys.readouterr()
    for arguments, message in (
        (["--run=nowhere"], "nowhere is not the folder of a finished run"),
        ([f"--run={run}", "--usres=1"], "the nearest is `--users`"),
        ([f"--run={run}", "--users=61"], "unknown user '61'"),
        ([f"--run={run}", "--output=top.xlsx"], "must be a file that ends in .parquet, .csv or .jsonl"),
        ([f"--run={run}", "--k=0"], "k must be a whole number of at least 1"),
        ([f"--run={run}", "--k=99"], "k=99 items were asked for of a catalogue of 80"),
        (["--k=3"], "--run"),
    ):
        assert recommend(arguments) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith("error: ") and message in line

"""The command as its users type it: help at once, refusals, what it leaves behind, and a run on it."""

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recbole_navigen.__main__ import main
from recbole_navigen.cli.convert import convert
from recbole_navigen.config.locate import dataset_folder
from recbole_navigen.conversion.report import size_against
from recbole_navigen.data.reader import AtomicFile
from recbole_navigen.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
CLICKS = "u,i,t\n" + "".join(
    f"u{n},i{(n + k) % 5},{1600000000 + 60 * (5 * n + k)}\n" for n in range(6) for k in range(4)
)
TABLE = ["csv", "clicks.csv", "--user=u", "--item=i", "--time=t"]


def run(script: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def amazon2023(folder: Path, users: int = 60, items: int = 60, seed: int = 3) -> None:
    """A category of synthetic Amazon reviews of 2023 with metadata, as gz."""
    rng = random.Random(seed)
    genres = ["Puzzles", "Robots", "Kites & Wind", "Dolls"]
    with gzip.open(folder / "Toys.jsonl.gz", "wt", encoding="utf-8") as file:
        for user in range(users):
            start = rng.randrange(items)
            for step in range(rng.randrange(6, 12)):
                item, time = (start + step + rng.randrange(2)) % items, 1600000000000 + 86400000 * step + user
                row = {"rating": float(rng.randrange(1, 6)), "title": "ok", "text": "fine", "asin": f"V{item}"}
                row |= {"parent_asin": f"B{item:09d}", "user_id": f"AE{user:05d}", "timestamp": time}
                file.write(json.dumps(row) + "\n")
    with gzip.open(folder / "meta_Toys.jsonl.gz", "wt", encoding="utf-8") as file:
        for item in range(items):
            kind = genres[item % len(genres)]
            row = {"parent_asin": f"B{item:09d}", "title": f"The {kind} of river {item}", "average_rating": 4.2}
            row |= {"store": f"Maker {item % 7}", "categories": ["Toys", kind], "price": 1.5 * item or None}
            file.write(json.dumps(row) + "\n")


@pytest.fixture
def clicks(own_folder: Path) -> Path:
    (own_folder / "clicks.csv").write_text(CLICKS)
    return own_folder


def test_help_answers_and_loads_nothing_heavy() -> None:
    done = run("run_convert.py", "--help")
    assert done.returncode == 0 and "--core" in done.stdout and "FORMAT" in done.stdout
    code = "import sys, recbole_navigen.cli.convert as c; c.convert(['--list']); c.convert(['--show', 'steam'])"
    code += (
        "; print([name for name in ('torch', 'recbole', 'numpy', 'pandas', 'yaml', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip().endswith("[]")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a format"),
        (["steam"], "name the files"),
        (["stem", "x", "--name=a"], "nearest: steam"),
        (["steam", "x"], "--name=NAME is missing"),
        (["steam", "nowhere.gz", "--name=a"], "there is no file or folder"),
        (["steam", "clicks.csv", "--name=a", "--user=u"], "--user is for tables"),
        (["steam", "clicks.csv", "--name=a"], "clicks.csv is no file of steam"),
        ([*TABLE, "--name=../a"], "must be a name of letters"),
        ([*TABLE, "--name=a", "--core=0"], "--core=0 must be 1 or more"),
        ([*TABLE, "--name=a", "--core=many"], "invalid int value"),
        ([*TABLE, "--name=a", "--core_rule=twice"], "one of iterative, once"),
        ([*TABLE, "--name=a", "--repeats=some"], "one of first, last, all"),
        ([*TABLE, "--name=a", "--memory=2"], "must be a size from 16MB on"),
        ([*TABLE, "--name=a", "--cores=5"], "unknown option --cores; nearest: --core"),
        ([*TABLE, "--name=a", "--order=file"], "exclude each other"),
        (["ml-1m", ".", "--name=a"], "no file holds interactions: ml-1m needs ratings.dat"),
        (["--show", "stem"], "nearest: steam"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], words: str, clicks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(arguments) == 2
    said = capsys.readouterr().err
    assert words in said and said.startswith("error: ") and said.count("\n") == 1
    assert {file.name for file in clicks.iterdir()} == {"clicks.csv"}


def test_nothing_is_written_over_unless_asked(clicks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert([*TABLE, "--name=mine"]) == 0
    assert convert([*TABLE, "--name=mine"]) == 2
    assert "mine exists; take another --name" in capsys.readouterr().err
    (clicks / "dataset" / "mine" / "covers").mkdir()
    assert convert([*TABLE, "--name=mine", "--overwrite"]) == 2
    assert "holds covers, which no conversion wrote" in capsys.readouterr().err
    (clicks / "dataset" / "mine" / "covers").rmdir()
    assert convert([*TABLE, "--name=mine", "--overwrite", "--last=3"]) == 0
    assert len(AtomicFile(clicks / "dataset" / "mine" / "mine.inter").lines) == 18


def test_what_a_conversion_leaves_behind(clicks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clicks / "more.csv").write_text("u,i,t\nu0,i0,1700000000\nu9,i1,1700000001\n")
    arguments = ["csv", "clicks.csv", "more.csv", *TABLE[2:], "--name=mine", "--output=sets", "--memory=500MB"]
    assert convert(arguments) == 0
    output = capsys.readouterr().out
    assert output.splitlines()[-1] == "python run_navigen.py --dataset=mine --data_path=sets"
    folder = clicks / "sets" / "mine"
    names = {f"mine{suffix}" for suffix in (".inter", ".report.json", ".report.md", ".report.tex")}
    assert {file.name for file in folder.iterdir()} == names
    report = json.loads((folder / "mine.report.json").read_text())
    assert report["users"] == 7 and report["users_with_fewer_than_3"] == 1 and report["repeats_share"] > 0
    assert (report["first_day"], report["last_day"]) == ("2020-09-13", "2023-11-14")
    assert report["time_unit"] == "s" and report["time_step"] == 1 and report["steps"][0]["rows"] == 26
    assert set(report["sources"]) == {"clicks.csv", "more.csv"} and report["peak_memory_mib"] > 0
    assert report["command"].startswith("navigen-convert csv clicks.csv more.csv --user=u")
    assert "| read | 26 |" in (folder / "mine.report.md").read_text()
    assert (folder / "mine.report.tex").read_text() == "mine & 7 & 5 & 26 & 3.7 & 25.71\\% \\\\\n"
    settings = yaml.safe_load((clicks / "properties" / "dataset" / "mine.yaml").read_text())
    assert settings["load_col"] == {"inter": ["user_id", "item_id", "timestamp"]}
    assert settings["MAX_ITEM_LIST_LENGTH"] == 10 and settings["user_inter_num_interval"] == "[3,inf)"


def test_published_sizes_are_those_of_the_same_part() -> None:
    sizes = {"Video_Games, no core": (10, 5, 100), "Books, no core": (9, 9, 9), "all": (10, 5, None)}
    numbers = {"users": 10, "items": 5, "interactions": 110}
    compared = size_against(sizes, numbers, ["x/Video_Games.jsonl.gz"])
    assert [(entry["of"], entry["largest_difference"], entry["met"]) for entry in compared] == [
        ("all", 0.0, True),
        ("Video_Games, no core", 0.1, False),
    ]


def test_a_missing_data_set_is_got_somewhere() -> None:
    with pytest.raises(
        InputError, match=r"MovieLens 1M is got at .*ml-1m\.zip.*`navigen-convert ml-1m ml-1m\.zip --name=ml-1m`"
    ):
        dataset_folder("dataset", "ml-1m")
    with pytest.raises(InputError, match=r"`navigen-convert steam .* --name=steam-5core --core=5` converts it"):
        dataset_folder("dataset", "steam-5core")
    with pytest.raises(InputError, match="navigen-convert makes it out of a download"):
        dataset_folder("dataset", "zzz")


def test_a_csv_that_was_only_renamed_says_how_it_is_converted(own_folder: Path) -> None:
    (own_folder / "mine.inter").write_text(CLICKS)
    with pytest.raises(InputError, match=r"navigen-convert csv mine\.inter --user=COLUMN --item=COLUMN"):
        AtomicFile(own_folder / "mine.inter")


def test_from_a_download_to_test_metrics_in_two_commands(own_folder: Path) -> None:
    amazon2023(own_folder)
    done = run("run_convert.py", "amazon2023", "Toys.jsonl.gz", "meta_Toys.jsonl.gz", "--name=toys", "--core=3")
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1].split()
    assert last == ["python", "run_navigen.py", "--dataset=toys"]
    assert run("run_convert.py", "--check", "dataset/toys").returncode == 0
    encoder = "{SASRec: {train_rows: user, steps: 5, hidden_size: 16, inner_size: 16}}"
    small = [
        "--epochs=1",
        "--hidden_size=16",
        "--inner_size=16",
        "--codes=8",
        "--text_vocabulary=400",
        "--use_gpu=False",
    ]
    assert main([*last[2:], *small, "--show_progress=False", f"--collaborative_config={encoder}"]) == 0
    result = json.loads(next(Path("saved").glob("NaviGen-toys-*/result.json")).read_text())
    report = json.loads((own_folder / "dataset" / "toys" / "toys.report.json").read_text())
    assert 0 <= result["test_result"]["ndcg@10"] <= 1
    assert (
        result["config"]["item_text_fields"] == ["title", "brand", "categories"] and report["items_without_title"] == 0
    )

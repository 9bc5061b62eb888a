"""docs/results.md and the table of README say what the JSON files of benchmarks/results say."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import leaderboard
from harness.ranking_runs import settings_of


@pytest.fixture(scope="module")
def measured() -> list[dict[str, Any]]:
    return leaderboard.results()


def test_readme_has_the_numbers_of_the_files(measured: list[dict[str, Any]]) -> None:
    table = leaderboard.README.read_text("utf-8").partition(leaderboard.BEGIN)[2].partition(leaderboard.END)[0]
    assert table == leaderboard.readme_table(leaderboard.leaderboard(measured)), "run benchmarks/leaderboard.py"
    assert all(f"| {name} | {ranked} |" in table for name in leaderboard.SETS for ranked in ("all", "unseen"))
    # Read here once more, by hand.
    newest = json.loads((leaderboard.RESULTS / "quality-ml-100k.json").read_text())["table"]["NaviGen"]
    assert f"**{newest['NDCG@10, unseen items'].replace('0.', '.')}**" in table


def test_the_page_has_the_numbers_of_the_files(measured: list[dict[str, Any]]) -> None:
    board = leaderboard.leaderboard(measured)
    shown = leaderboard.unmarked(leaderboard.PAGE.read_text("utf-8"))
    assert shown == leaderboard.unmarked(leaderboard.page(measured, board)), "run benchmarks/leaderboard.py"
    for name, rows in board.items():
        assert {"NaviGen", "SASRec", "Pop"} <= {row.label for row in rows} <= settings_of(name).keys()


def test_the_newest_measurement_counts_and_other_settings_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    def measurement(name: str, date: str, seeds: str, mean: str) -> dict[str, Any]:
        cells = dict.fromkeys(leaderboard.METRICS, f"{mean}† [0.1, 0.9]")
        table = {"Pop": {**cells, "seeds": seeds, "training min": "1", "parameters": "1"}}
        settings = {"Pop": {"alpha": 1} if date > "2026-11-02" else {}}
        return {"name": f"quality-{name}", "date": date, "table": table, "settings": settings} | {
            "commit": "HEAD",
            "command": "python benchmarks/quality.py --data_path=...",
        }

    first = measurement("ml-100k", "2026-11-02", "5", "0.2")
    few, many = (measurement(f"ml-100k-{n}", "2026-11-03", n, f"0.{n}") for n in ("2", "3"))
    (row,) = leaderboard.leaderboard([many, first, few])["ml-100k"]
    assert row.cells["NDCG@10, all items"] == "0.3 [0.1, 0.9]" and row.age.startswith("settings")
    monkeypatch.setattr(leaderboard, "changed_since", lambda commit, paths: 0)
    assert leaderboard.leaderboard([first])["ml-100k"][0].age == ""
    assert row.command.endswith("--dataset=ml-100k --models=Pop --seeds=3 --part=pop --data_path=FOLDER")


def test_a_change_of_comments_and_types_makes_nothing_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        own = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        done = subprocess.run(["git", *own, *words], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        git("add", name)
        git("commit", "-qm", "x")
        return git("rev-parse", "HEAD")

    monkeypatch.setattr(leaderboard, "ROOT", tmp_path)
    leaderboard.changed_since.cache_clear()
    git("init", "-q")
    first = commit("a.py", "def f(x):\n    return x + 1\n")
    second = commit("b.yaml", "epochs: 3\n")
    commit("a.py", 'def f(x: int) -> int:\n    """More."""\n    return x + 1  # one\n')
    commit("b.yaml", "epochs: 3  # (int) How many.\n")
    assert leaderboard.changed_since(first, ("a.py",)) == leaderboard.changed_since(second, ("a.py", "b.yaml")) == 0
    commit("a.py", "def f(x):\n    return x + 2\n")
    leaderboard.changed_since.cache_clear()
    assert leaderboard.changed_since(first, ("a.py", "b.yaml")) == 2  # b.yaml was not there yet
    leaderboard.changed_since.cache_clear()

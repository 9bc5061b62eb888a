"""What users say of their media: never lost, read back as it was said, and joined to their preferences."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import ROOT

from recbole_navigen.cli.feedback import feedback
from recbole_navigen.errors import InputError
from recbole_navigen.generation.feedback_file import (
    add_feedback,
    add_page_feedback,
    append_lines,
    said_preferences,
)
from recbole_navigen.generation.records import InstructionRecord, write_records
from recbole_navigen.serving.preferences import Preferences
from recbole_navigen.supervision.feedback_lines import CHANGED, DISCARDED, read_feedback


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder as run_generate leaves it: an image of u1, an image and a video of u2, and one of u3 that failed."""
    records = [
        InstructionRecord("u1", "image", "a red ball", terms=("ball", "red")),
        InstructionRecord("u2", "image", "a blue cube", terms=("cube",)),
        InstructionRecord("u2", "video", "a cube turns", aim_terms=("cube", "slow")),
        InstructionRecord("u3", "image", "nothing"),
    ]
    write_records(tmp_path / "instructions.jsonl", records)
    lines = [
        {"user": one.user, "media": one.media, "status": "failed" if one.user == "u3" else "done"}
        | {"file": f"{one.user}.png", "sha256": f"{place:064d}", "instruction": one.instruction}
        for place, one in enumerate(records)
    ]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_what_was_said_is_read_back_and_the_last_word_counts(made: Path, capsys) -> None:
    assert feedback([str(made), "keep", "u1"]) == 0 and "keep: the image of user u1" in capsys.readouterr().out
    assert feedback([str(made), "discard", "u2", "--media=image"]) == 0
    assert feedback([str(made), "keep", "u2", "--media=video"]) == 0
    assert feedback([str(made), "edit", "u1", "--instruction=a green ball"]) == 0
    assert len((made / "feedback.jsonl").read_text().splitlines()) == 4
    said = read_feedback(made / "feedback.jsonl")
    assert [(one["user"], one["media"], one["verdict"]) for one in said] == [
        ("u2", "image", "discard"),
        ("u2", "video", "keep"),
        ("u1", "image", "edit"),
    ]
    assert said[2]["edited"] == "a green ball" and said[2]["instruction"] == "a red ball"
    assert said[0]["sha256"] == f"{1:064d}"
    known = ["ball", "red", "green", "cube", "slow"]
    assert said_preferences(said, known) == {
        # What an edit keeps, brings in and takes away; what was kept, and what was discarded.
        "u1": Preferences({"ball": 1.0, "green": CHANGED, "red": -CHANGED}),
        "u2": Preferences({"cube": 1.0 + DISCARDED, "slow": 1.0}),
    }
    add_feedback(made, "keep", "u1")
    add_feedback(made, "keep", "u2", media="image")
    assert said_preferences(read_feedback(made / "feedback.jsonl"), known) == {
        "u1": Preferences({"ball": 1.0, "red": 1.0}),
        "u2": Preferences({"cube": 2.0, "slow": 1.0}),
    }


def page_line(place: int, **own: object) -> str:
    """What a button of the page saves."""
    user, media = [("u1", "image"), ("u2", "image"), ("u2", "video")][place]
    return json.dumps({"time": 5.0, "user": user, "media": media, "sha256": f"{place:064d}", **own}) + "\n"


def test_what_the_page_saved_is_read_once_and_as_a_whole(made: Path, capsys) -> None:
    add_feedback(made, "discard", "u1")
    page = made / "saved from the page.jsonl"
    page.write_text(page_line(0, verdict="keep") + page_line(1, verdict="edit", edited="a green cube"))
    assert feedback([str(made), f"--page={page}"]) == 0
    assert "2 new lines" in capsys.readouterr().out
    page.write_text(page.read_text() + page_line(2, verdict="keep", time=time.time() + 60))
    assert feedback([str(made), f"--page={page}"]) == 0 and "1 new line " in capsys.readouterr().out
    said = {(one["user"], one["media"]): one for one in read_feedback(made / "feedback.jsonl")}
    assert said["u1", "image"]["verdict"] == "discard"  # said later than the page's button
    assert said["u2", "image"]["edited"] == "a green cube" and said["u2", "image"]["terms"] == ["cube"]
    assert said["u2", "video"]["verdict"] == "keep" and said["u2", "video"]["history"] == []
    before = (made / "feedback.jsonl").read_bytes()
    for line, message in (
        (page_line(0, verdict="keep", sha256="f" * 64), "'u1' has no such image"),
        (page_line(0, verdict="edit"), "edit of user 'u1' lacks its text"),
        (page_line(0, verdict="keep", edited="more"), "keep of user 'u1' has a text"),
        (page_line(0), "says nothing of verdict"),
    ):
        page.write_text(page_line(2, verdict="discard", time=7.0) + line)
        with pytest.raises(InputError, match=message):
            add_page_feedback(made, page)
    assert (made / "feedback.jsonl").read_bytes() == before
    assert feedback([str(made), "keep", "u1", f"--page={page}"]) == 2
    assert "leave verdict and user out" in capsys.readouterr().err
    assert feedback([str(made), "keep"]) == 2 and "needs a verdict and a user" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("keep", "u9"), "has no medium of user 'u9'; the nearest of 3 users is 'u"),
        (("keep", "u3"), "no medium of user 'u3'"),
        (("keep", "u2"), "has an image and a video"),
        (("like", "u1"), "verdict must be one of keep, edit, discard"),
        (("edit", "u1"), "edit needs the text that should have been"),
        (("edit", "u1", " "), "edit needs the text"),
        (("keep", "u1", "a ball"), "keep takes no instruction"),
    ],
)
def test_what_cannot_be_meant_is_refused(made: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        add_feedback(made, *arguments)
    assert not (made / "feedback.jsonl").exists()
    with pytest.raises(InputError, match=r"holds no metadata\.jsonl"):
        add_feedback(made / "elsewhere", "keep", "u1")
    with pytest.raises(InputError, match=r"cannot be read; name a feedback\.jsonl"):
        read_feedback(made / "feedback.jsonl")
    (made / "feedback.jsonl").write_text('{"user": "u1"}\n')
    with pytest.raises(InputError, match="says nothing of verdict"):
        read_feedback(made / "feedback.jsonl")


WRITER = """
import sys
from pathlib import Path
from recbole_navigen.generation.feedback_file import append_lines
number = 0
while number < int(sys.argv[3]):
    append_lines(Path(sys.argv[1]), {"writer": sys.argv[2], "number": number, "text": "x" * (number % 700)})
    number += 1
    print(number, flush=True)
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_two_writers_and_a_kill_lose_nothing(tmp_path: Path) -> None:
    """Three write at once; one of them is killed in the middle. What each said was written is there, whole."""
    path = tmp_path / "feedback.jsonl"
    writers = {"a": writer(path, "a", 150), "b": writer(path, "b", 150), "killed": writer(path, "killed", 10**6)}
    for _ in range(40):
        writers["killed"].stdout.readline()
    writers["killed"].send_signal(signal.SIGKILL)
    told = dict.fromkeys(writers, 0)
    for name, process in writers.items():
        told[name] = 40 * (name == "killed") + len(process.communicate()[0].splitlines())
    lines = [json.loads(line) for line in path.read_text().splitlines()]  # none is torn
    for name, count in told.items():
        own = [line["number"] for line in lines if line["writer"] == name]
        assert own == list(range(len(own))) and count <= len(own) <= count + 1
    assert told["a"] == told["b"] == 150


def test_a_line_that_a_full_disk_cut_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "feedback.jsonl"
    append_lines(path, {"time": time.time()})
    with path.open("a") as file:
        file.write('{"user": "u1", "ver')
    whole = {"verdict": "keep", "user": "u1", "media": "image", "sha256": "0", "terms": ["ball"], "edited": None}
    path.write_text(path.read_text().split("\n", 1)[1])
    append_lines(path, whole)
    assert read_feedback(path) == [whole]

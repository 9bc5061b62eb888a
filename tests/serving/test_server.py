"""The server: answers of the API, in batches, within limits, and to the end."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from places import ROOT
from synthetic import write_atomic
from tiny_settings import BASELINES, NAVIGEN

pytest.importorskip("fastapi")
pytest.importorskip("swagger_ui_bundle")

from fastapi.testclient import TestClient

from recbole_navigen.cli.serve import serve
from recbole_navigen.errors import InputError
from recbole_navigen.generation.feedback_file import add_feedback
from recbole_navigen.generation.records import InstructionRecord, write_records
from recbole_navigen.quick_start import Recommender, run_navigen
from recbole_navigen.quick_start.serve import FeedbackFolder
from recbole_navigen.serving.batching import Batcher, Busy
from recbole_navigen.serving.server import Limits, create_app
from recbole_navigen.supervision.feedback_lines import DISCARDED

QUIET = {"state": "ERROR", "show_progress": False, "epochs": 1, "use_gpu": False, "MAX_ITEM_LIST_LENGTH": 8}
STAGES = {"training_stages": ["align", "finetune", "write"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("served")
    write_atomic(folder / "dataset", "tiny", users=40, items=60)
    places = {"data_path": str(folder / "dataset"), "checkpoint_dir": str(folder / "saved")}
    models = {"NaviGen": {**NAVIGEN, **STAGES}, "BPR": BASELINES["BPR"]}
    return {m: run_navigen(m, "tiny", config_dict={**QUIET, **places, **own})["run_dir"] for m, own in models.items()}


@pytest.fixture(scope="module")
def recommender(runs: dict[str, str]) -> Recommender:
    return Recommender.load(runs["NaviGen"])


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder as run_generate leaves it, with an image of u3 and one of u4."""
    records = [InstructionRecord(user, "image", f"a {user}", terms=("western",)) for user in ("u3", "u4")]
    write_records(tmp_path / "instructions.jsonl", records)
    lines = [
        {"user": one.user, "media": "image", "status": "done", "sha256": one.user, "instruction": one.instruction}
        for one in records
    ]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_feedback_is_kept_and_counts_at_once(recommender: Recommender, made: Path) -> None:
    app = create_app(recommender, "the-run", Limits(), True, FeedbackFolder(made, recommender))
    plain = [each.item for each in recommender.recommend_users(["u3"], 9)[0]]
    western = [each.item for each in recommender.recommend_users(["u3"], 9, preferences="western")[0]]

    def best(**more: object) -> list[str]:
        return [item["item"] for item in client.post("/recommend", json={"user": "u3", "k": 9, **more}).json()["items"]]

    with TestClient(app) as client:
        assert best() == plain != western
        assert best(preferences="western") == western
        line = client.post("/feedback", json={"user": "u3", "verdict": "keep"}).json()
        assert (line["sha256"], line["verdict"]) == ("u3", "keep")
        assert best() == western
        # Many at once, beside a writer of another process's kind: nothing is lost.
        with ThreadPoolExecutor(8) as pool:
            asked = [{"user": "u4", "verdict": "edit", "instruction": f"text {number}"} for number in range(24)]
            codes = list(pool.map(lambda one: client.post("/feedback", json=one).status_code, asked))
        add_feedback(made, "discard", "u3")
        assert codes == [200] * 24
        lines = [json.loads(line) for line in (made / "feedback.jsonl").read_text().splitlines()]
        assert {line["edited"] for line in lines if line["edited"]} == {f"text {number}" for number in range(24)}
        less = recommender.recommend_users(["u3"], 9, preferences={"western": DISCARDED})[0]
        assert best() == [each.item for each in less] != western  # the last word counts
        written = client.post("/instruct", json={"user": "u3", "temperature": 0, "preferences": "western"}).json()
        (own,) = recommender.instruct([recommender.history_of("u3")], temperature=0, preferences="western")
        assert written["instruction"] == own.instruction
        for asked, message in (
            ({"user": "u9", "verdict": "keep"}, "has no medium of user 'u9'"),
            ({"user": "u3", "verdict": "like"}, "verdict"),
            ({"user": "u3", "verdict": "edit"}, "edit needs the text"),
        ):
            refused = client.post("/feedback", json=asked)
            assert refused.status_code == 422 and message in refused.json()["detail"]
        refused = client.post("/recommend", json={"user": "u3", "preferences": "zeppelins"})
        assert refused.status_code == 422 and "nothing in the catalogue matches 'zeppelins'" in refused.json()["detail"]
        assert client.post("/recommend", json={"user": "u" * 300}).status_code == 422


@pytest.fixture
def client(recommender: Recommender):
    limits = Limits(history=20, k=30, drafts=2, body=2000, batch=8, waiting=16)
    with TestClient(create_app(recommender, "the-run", limits, True)) as client:
        yield client


def test_answers_are_those_of_the_recommender(client: TestClient, recommender: Recommender) -> None:
    history = recommender.history_of("u3")
    asked = {"history": history, "k": 4, "exclude": ["i7"]}
    expected = recommender.recommend(history, 4, ["i7"])
    answer = client.post("/recommend", json=asked).json()
    assert [item["item"] for item in answer["items"]] == [each.item for each in expected] and answer["certified"]
    assert answer["items"][0]["probability"] == pytest.approx(expected[0].probability, rel=1e-4)
    assert answer["items"][0]["title"] == recommender.titles[expected[0].item]
    by_user = client.post("/recommend", json={"user": "u3", "k": 4, "exclude": ["i7"]}).json()
    assert [item["item"] for item in by_user["items"]] == [item["item"] for item in answer["items"]]
    hidden = client.post("/recommend", json={"user": "u3", "k": 30, "exclude_history": True}).json()
    assert not {item["item"] for item in hidden["items"]} & set(history)
    new = client.post("/recommend", json={"history": [], "k": 4}).json()  # who has done nothing gets what is popular
    assert [item["item"] for item in new["items"]] == [each.item for each in recommender.recommend([], 4)]
    written = client.post("/instruct", json={"user": "u3", "temperature": 0}).json()
    (own,) = recommender.instruct([history], temperature=0)
    assert (written["instruction"], written["aim"]["item"]) == (own.instruction, own.aim.item)
    drawn = client.post("/instruct", json={"user": "u3"}).json()
    assert drawn["instruction"] == recommender.instruct([history], drafts=2)[0].instruction  # the limit of this server
    # Requests with seeds of their own are answered together, as if each were alone.
    one, two = (recommender.instruct([history], seed=seed)[0] for seed in (1, 2))
    together = recommender.instruct([history, history], ["image", "image"], seed=[1, 2])
    assert [each.instruction for each in together] == [one.instruction, two.instruction]
    with pytest.raises(InputError, match="seed has 1 for 2 histories"):
        recommender.instruct([history, history], seed=[1])
    health = client.get("/health").json()
    assert health["status"] == "ok" and health["run"] == "the-run" and health["items"] == 60 and health["instructs"]


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        ({"history": ["i1"], "k": 31}, 422, "k: "),
        ({"history": ["i1"] * 21}, 422, "history: "),
        ({"history": ["i1"], "k": 0}, 422, "k: "),
        ({"history": ["i1"], "file": "/etc/passwd"}, 422, "file: Extra inputs are not permitted"),
        ({"history": ["i1"], "user": "u1"}, 422, "one of the two"),
        ({}, 422, "one of the two"),
        ({"history": ["I1"]}, 422, "unknown item 'I1'"),
        ({"history": ["i1"], "exclude": [True]}, 422, "exclude"),
        ({"history": [10**30]}, 422, "history"),
        ({"user": "../u1"}, 422, "unknown user '../u1'"),
        ({"user": "u" * 300}, 422, "user"),
        ({"history": ["i1"], "exclude": ["i" * 150] * 14}, 413, "2000 bytes"),
    ],
)
def test_what_is_out_of_bounds_is_refused(client: TestClient, asked: dict, status: int, message: str) -> None:
    answer = client.post("/recommend", json=asked)
    assert answer.status_code == status and message in answer.json()["detail"]


def test_bodies_without_a_length_are_bounded_too(client: TestClient) -> None:
    def parts():
        for _ in range(30):
            yield b" " * 100

    assert client.post("/recommend", content=parts()).status_code == 413
    assert client.post("/recommend", content=b"not json").status_code == 422


def test_the_page_describes_it_and_needs_no_network(client: TestClient) -> None:
    page, description = client.get("/docs").text, client.get("/openapi.json").json()
    assert not re.search(r"https?://", page)
    assert set(description["paths"]) == {"/recommend", "/instruct", "/health"}
    for name in re.findall(r'(?:src|href)="(docs/[^"]+)"', page):
        assert client.get(f"/{name}").status_code == 200
    for path in ("/docs/index.html", "/docs/..%2fserver.py", "/docs/%2e%2e/%2e%2e/etc/passwd", "/saved"):
        assert client.get(path).status_code in (404, 422)


def test_a_model_without_a_writer_has_no_instructions(runs: dict[str, str]) -> None:
    with TestClient(create_app(Recommender.load(runs["BPR"]), "bpr", Limits(), False)) as client:
        assert client.post("/instruct", json={"user": "u1"}).status_code == 404
        assert len(client.post("/recommend", json={"user": "u1", "k": 3}).json()["items"]) == 3
        answer = client.post("/recommend", json={"history": ["i1"]})
        assert answer.status_code == 422 and "reads no histories" in answer.json()["detail"]


def test_clients_at_once_get_what_they_asked_for(client: TestClient, recommender: Recommender) -> None:
    users = recommender.users[:24]
    with ThreadPoolExecutor(12) as pool:
        asked = [{"user": user, "k": 1 + number % 5} for number, user in enumerate(users)]
        answers = list(pool.map(lambda body: client.post("/recommend", json=body), asked))
    for user, body, answer in zip(users, asked, answers, strict=True):
        (expected,) = recommender.recommend_users([user], body["k"])
        assert [item["item"] for item in answer.json()["items"]] == [each.item for each in expected]


def test_batches_hold_what_came_meanwhile() -> None:
    gate, seen = threading.Event(), []

    def answers(kind: str, asked: list[int]) -> list[int]:
        gate.wait(5)
        seen.append((kind, list(asked)))
        if -1 in asked:
            raise InputError("minus one")
        return [2 * each for each in asked]

    batcher = Batcher(answers, most=4, waiting=6)
    first = batcher.ask("a", 1)
    while batcher.waiting:
        time.sleep(0.001)
    others = [batcher.ask(kind, own) for kind, own in (("a", 2), ("b", 3), ("a", -1), ("a", 4), ("b", 5), ("b", 6))]
    with pytest.raises(Busy):
        batcher.ask("a", 7)
    gate.set()
    assert first.result() == 2 and [others[place].result() for place in (0, 1, 3, 4, 5)] == [4, 6, 8, 10, 12]
    with pytest.raises(InputError, match="minus one"):
        others[2].result()
    # One at first; then four of two kinds, of which one fails and is asked again by itself; then the rest.
    assert seen == [("a", [1]), ("a", [2, -1, 4]), ("a", [2]), ("a", [-1]), ("a", [4]), ("b", [3]), ("b", [5, 6])]
    gate.clear()
    last = batcher.ask("a", 8)
    threading.Timer(0.05, gate.set).start()
    batcher.close()
    assert last.done() and last.result() == 16
    with pytest.raises(Busy):
        batcher.ask("a", 9)


def test_sigterm_lets_requests_under_way_be_answered(runs: dict[str, str]) -> None:
    command = [sys.executable, str(ROOT / "run_serve.py"), f"--run={runs['NaviGen']}", "--port=0", "--device=cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    place = re.search(r"at (http://\S+):", server.stdout.readline())[1]

    def ask(number: int) -> dict:
        body = json.dumps({"user": "u1", "seed": number, "drafts": 8}).encode()
        asked = urllib.request.Request(f"{place}/instruct", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)

    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(ask, number) for number in range(6)]
        time.sleep(0.4)
        server.send_signal(signal.SIGTERM)
        assert all(answer.result()["instruction"] for answer in answers)
    rest, _ = server.communicate(timeout=60)
    assert server.returncode == 0 and "every request that it took was answered" in rest and "Traceback" not in rest


def test_who_finds_no_time_is_counted(runs: dict[str, str]) -> None:
    command = [sys.executable, str(ROOT / "run_serve.py"), f"--run={runs['NaviGen']}", "--port=0", "--device=cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    server = subprocess.Popen(
        [*command, "--graceful_seconds=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    place = re.search(r"at (http://\S+):", server.stdout.readline())[1]

    def ask(number: int) -> bool:
        body = json.dumps({"user": "u1", "seed": number, "drafts": 16}).encode()
        asked = urllib.request.Request(f"{place}/instruct", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return answer.status == 200
        except OSError:
            return False

    with ThreadPoolExecutor(40) as pool:
        answers = [pool.submit(ask, number) for number in range(40)]
        time.sleep(0.6)
        server.send_signal(signal.SIGTERM)
        lost = sum(not answer.result() for answer in answers)
    rest, _ = server.communicate(timeout=120)
    said = re.search(r"(\d+) requests found no time", rest)
    assert lost == (int(said[1]) if said else 0)


def test_the_command_refuses_in_one_line(
    runs: dict[str, str], capsys: pytest.CaptureFixture[str], own_folder: Path
) -> None:
    for arguments, message in (
        (["--run=nowhere"], "not the folder of a finished run"),
        ([f"--run={runs['BPR']}", "--prot=80"], "the nearest is `--port`"),
        ([f"--run={runs['BPR']}", "--host=no.such.host.invalid"], "cannot be listened to"),
    ):
        assert serve(arguments) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert message in line
    assert serve([f"--run={runs['BPR']}", "--port=0", "--check"]) == 0

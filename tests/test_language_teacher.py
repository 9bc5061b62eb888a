"""Teachers by language model: the store, strict reading, repair, and an endpoint that misbehaves on purpose."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.supervision import parsing
from recbole_navigen.supervision.evolution import SearchSettings, evolve
from recbole_navigen.supervision.llm import Failure, LanguageModel, ModelTeacher, Question
from recbole_navigen.supervision.openai import OpenAIChat, OpenAISettings, retry_after
from recbole_navigen.supervision.parsing import BadAnswer
from recbole_navigen.supervision.prompts import drafts_prompt, judge_prompt
from recbole_navigen.supervision.protocol import FOUNDERS, Draft, Order, Sample, Task
from recbole_navigen.supervision.store import Answer, AnswerStore

SAMPLE = Sample("u", (("red", "boat"), ("calm", "sea")), ("blue", "harbour"))
SECRET = "sk-very-secret"


def scripted_answer(messages) -> str:
    """What a well-behaved model says to our prompts."""
    names = [line.split(":")[0] for line in messages[1]["content"].splitlines()]
    system = messages[0]["content"]
    if "You judge" in system:
        scores = {"consistency": 7, "novelty": 6.5, "aesthetic": 8, "executability": 9, "reason": "clear"}
        return json.dumps({name: scores for name in names if name.startswith("draft_")})
    drafts = [name for name in names if name[:1].isdigit() and "_" in name]
    turn = next(name for name in messages[1]["content"].split("\n") if name.startswith("Round"))[:7]
    return json.dumps(
        {name: {"prompt": f"A quiet pier at dawn, {name}, {turn}", "reasoning": "calm"} for name in drafts}
    )


class Scripted:
    """A chat that answers by a function of the messages and counts its calls."""

    identity = {"kind": "scripted"}  # noqa: RUF012 (as the protocol has it)

    def __init__(self, answer=scripted_answer):
        self.answer, self.calls = answer, 0

    def complete(self, conversations):
        for place, messages in enumerate(conversations):
            self.calls += 1
            text = self.answer(messages)
            yield place, text if isinstance(text, Failure) else Answer(text, 10, 5)


@pytest.fixture
def store(own_folder):
    with AnswerStore(own_folder / "answers.sqlite") as opened:
        yield opened


def test_a_rerun_pays_for_nothing(own_folder):
    people = [Sample(f"u{n}", ((f"item {n}",),), ("blue",)) for n in range(5)]
    outcomes, calls = [], []
    for _ in range(2):
        chat = Scripted()
        with AnswerStore(own_folder / "answers.sqlite") as store:
            teacher = ModelTeacher(LanguageModel(chat, store))
            outcomes.append(evolve(people, teacher, teacher, SearchSettings(rounds=2, patience=0)))
        calls.append(chat.calls)
    assert calls == [5 * 3 * 2, 0] and outcomes[0] == outcomes[1]
    assert outcomes[0].report["failed_samples"] == 0


def test_equal_questions_are_asked_once(store):
    chat = Scripted()
    model = LanguageModel(chat, store)
    task = Task(SAMPLE, tuple(Order(direction) for direction in FOUNDERS))
    first, *others = ModelTeacher(model).write([task] * 4)
    assert others == [first] * 3 and len(first) == 3
    assert chat.calls == model.counts["paid"] == 1 and model.counts["stored"] == 3
    assert (model.counts["prompt_tokens"], model.counts["completion_tokens"]) == (10, 5)


@pytest.mark.parametrize(("mends", "calls"), [(True, 2), (False, 2)])
def test_one_repair_and_no_more(store, mends, calls):
    def answer(messages):
        if len(messages) > 2:
            assert messages[1]["content"] == "nonsense" and "not one JSON object" in messages[2]["content"]
            return '{"x": "fine"}' if mends else "still nonsense"
        return "nonsense"

    chat = Scripted(answer)
    model = LanguageModel(chat, store)
    question = Question(({"role": "user", "content": "?"},), lambda text: parsing.read_text(text, "x"))
    for _ in range(2):  # the second time from the store, with the same outcome
        assert model.ask([question]) == ["fine" if mends else None]
    assert chat.calls == calls and model.counts["repaired"] == 2 * mends
    assert model.counts["failed: invalid answer"] == 2 * (not mends)


def test_what_got_no_answer_is_not_stored(store):
    model = LanguageModel(Scripted(lambda _: Failure("timeout")), store)
    assert model.ask([Question(({"role": "user", "content": "?"},), str)]) == [None]
    assert len(store) == 0 and model.counts["failed: timeout"] == 1


DRAFT = {"prompt": "A quiet pier at dawn in fog", "reasoning": "calm"}
SCORES = {"consistency": 7, "novelty": 6, "aesthetic": 8, "executability": 9, "reason": "clear"}


def test_answers_are_read():
    assert parsing.read_drafts("<think>a {b}</think>\n" + json.dumps({"a": DRAFT}), ["a"]) == (Draft(*DRAFT.values()),)
    assert parsing.read_judgements("```json\n" + json.dumps({"a": SCORES}) + "\n```", ["a"])[0].novelty == 6
    order = parsing.read_drafts(json.dumps({"b": DRAFT, "a": {**DRAFT, "reasoning": "x" * 500}}), ["a", "b"])
    assert len(order[0].why) == 200 and order[1].why == "calm"
    assert parsing.read_terms('{"terms": ["a", "b"]}') == ["a", "b"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("", "not one JSON object"),
        ('{"a": {"prompt": "A quiet', "not one JSON object"),
        ("[1]", "a JSON list"),
        ('Sure! {"a": 1}', "not one JSON object"),
        ('{"a": 1} {"a": 2}', "not one JSON object"),
        ('{"a": 1, "a": 2}', "repeats a key"),
        (json.dumps({"b": DRAFT}), r"keys \['b'\]"),
        (json.dumps({"a": DRAFT, "b": DRAFT}), "keys"),
        ('{"a": 3}', "a is not an object"),
        (json.dumps({"a": {**DRAFT, "prompt": 3}}), "`prompt` of a"),
        (json.dumps({"a": {**DRAFT, "prompt": "short"}}), "5 letters"),
        (json.dumps({"a": {"prompt": DRAFT["prompt"]}}), "`reasoning` of a"),
    ],
)
def test_drafts_of_another_shape_are_refused(answer, message):
    with pytest.raises(BadAnswer, match=message):
        parsing.read_drafts(answer, ["a"])


@pytest.mark.parametrize("value", [-1, 10.5, "7", True, None, float("nan")])
def test_scores_that_are_no_scores_are_refused(value):
    with pytest.raises(BadAnswer, match="novelty of a"):
        parsing.read_judgements(json.dumps({"a": {**SCORES, "novelty": value}}), ["a"])


@pytest.mark.parametrize("answer", ['{"terms": []}', '{"terms": "a"}', '{"terms": [1]}', "{}"])
def test_terms_of_another_shape_are_refused(answer):
    with pytest.raises(BadAnswer, match="terms"):
        parsing.read_terms(answer)


def test_prompts_say_whether_the_target_may_be_named():
    free = Sample("u", SAMPLE.history, SAMPLE.target, media="video", name_target=True)
    task = Task(SAMPLE, (Order("conservative"),))
    assert "Never write" in drafts_prompt(task)[0][0]["content"]
    free_task = drafts_prompt(Task(free, task.orders))[0]
    assert "may name" in free_task[0]["content"] and "movement and duration" in free_task[0]["content"]
    assert "written out" in judge_prompt(SAMPLE, [Draft("x")])[0][0]["content"]
    assert "written out" not in judge_prompt(free, [Draft("x")])[0][0]["content"]


# The store


def test_a_file_that_is_no_store_is_named(own_folder):
    (own_folder / "answers.sqlite").write_bytes(b"not a database at all, but long enough" * 10)
    with pytest.raises(DamagedArtefact, match=r"answers\.sqlite"):
        AnswerStore(own_folder / "answers.sqlite")


WRITER = """
import sys, time
from recbole_navigen.supervision.store import Answer, AnswerStore
store = AnswerStore(sys.argv[1])
for number in range(int(sys.argv[3])):
    store.put(f"{sys.argv[2]}-{number}", Answer(f"text {number}", 1, 2))
    print(number, flush=True)
time.sleep(60 * (sys.argv[2] == "killed"))
"""


def writer(path, name, count):
    root = str(Path(__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": root}
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)


def test_kill_9_loses_no_answer_that_had_arrived(own_folder):
    path = own_folder / "answers.sqlite"
    child = writer(path, "killed", 10_000)
    said = [child.stdout.readline() for _ in range(50)]
    os.kill(child.pid, signal.SIGKILL)
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    with AnswerStore(path) as store:
        assert len(store) >= 50
        found = store.get([f"killed-{number.strip()}" for number in said])
        assert found == {f"killed-{number}": Answer(f"text {number}", 1, 2) for number in range(50)}


def test_processes_share_a_store(own_folder):
    path = own_folder / "answers.sqlite"
    children = [writer(path, name, 200) for name in ("a", "b", "a")]
    for child in children:
        child.communicate()
        assert child.returncode == 0
    with AnswerStore(path) as store:
        assert len(store) == 400 and len(store.get([f"b-{number}" for number in range(1000)])) == 200


# An endpoint


class Endpoint(ThreadingHTTPServer):
    """A local OpenAI-compatible server. `script(n, messages)` says what the n-th request of a conversation gets."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, script):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.seen, self.headers, self.lock = script, Counter(), [], threading.Lock()
        self.running, self.most = 0, 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, *_):
        """Clients that gave up are part of the script."""

    def chat(self, **settings) -> OpenAIChat:
        url = f"http://127.0.0.1:{self.server_port}/v1"
        return OpenAIChat(OpenAISettings(url, "tiny", **{"backoff": 0.01, "timeout": 5.0, **settings}))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            key = body["messages"][-1]["content"]
            number = self.server.seen[key]
            self.server.seen[key] += 1
            self.server.headers.append(dict(self.headers))
            self.server.running += 1
            self.server.most = max(self.server.most, self.server.running)
        try:
            self.respond(self.server.script(number, body["messages"]))
        finally:
            with self.server.lock:
                self.server.running -= 1

    def respond(self, what):
        if what == "reset":
            # Close with a reset instead of a proper end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return
        status, extra = (what, {}) if isinstance(what, int) else (200, {})
        if isinstance(what, tuple):
            status, extra = what
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        text = json.dumps({"choices": [{"message": {"content": what}}], "usage": usage}) if status == 200 else "{}"
        text = text[:-20] if what == "cut" else text
        text = '{"choices": []}' if what == "shape" else text
        data = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **extra}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def endpoint():
    pytest.importorskip("httpx")
    servers = []

    def start(script):
        servers.append(Endpoint(script))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def talk(text):
    return ({"role": "user", "content": text},)


def slow(seconds, answer):
    time.sleep(seconds)
    return answer


@pytest.mark.parametrize(
    "trouble",
    [429, 500, 503, "reset", "cut", "shape", (429, {"Retry-After": "0.01"}), "slow"],
    ids=str,
)
def test_troubles_are_tried_again(endpoint, trouble):
    wrong = {"slow": lambda: slow(2.0, "late")}.get(trouble if isinstance(trouble, str) else "", lambda: trouble)
    server = endpoint(lambda number, _: wrong() if number < 2 else "fine")
    chat = server.chat(timeout=1.0 if trouble == "slow" else 5.0)
    assert list(chat.complete([talk("a")])) == [(0, Answer("fine", 7, 3))]
    assert chat.attempts == 3


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [(429, "http 429"), ("reset", "connection"), ("cut", "unreadable"), ("slow", "timeout"), (400, "http 400")],
)
def test_troubles_that_stay_fail_alone(endpoint, trouble, reason):
    def script(_, messages):
        if messages[0]["content"] == "good":
            return "fine"
        return slow(2.0, "late") if trouble == "slow" else trouble

    chat = endpoint(script).chat(retries=1, timeout=1.0 if trouble == "slow" else 5.0)
    replies = dict(chat.complete([talk("bad"), talk("good")]))
    assert replies[1] == Answer("fine", 7, 3) and replies[0].reason.startswith(reason)
    assert chat.attempts == (2 if trouble == 400 else 3)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_stops_everything_and_shows_no_key(endpoint, status, monkeypatch):
    monkeypatch.setenv("TEST_KEY", SECRET)
    server = endpoint(lambda *_: status)
    with pytest.raises(InputError, match=f"answered {status} for model 'tiny'") as caught:
        list(server.chat(api_key_env="TEST_KEY").complete([talk("a")]))
    assert SECRET not in str(caught.value) and server.headers[0]["Authorization"] == f"Bearer {SECRET}"


def test_the_key_is_asked_for_by_name_and_stored_nowhere(endpoint, own_folder, monkeypatch):
    server = endpoint(lambda _, messages: scripted_answer(messages))
    monkeypatch.delenv("TEST_KEY", raising=False)
    with pytest.raises(InputError, match="TEST_KEY"):
        list(server.chat(api_key_env="TEST_KEY").complete([talk("a")]))
    monkeypatch.setenv("TEST_KEY", SECRET)
    chat = server.chat(api_key_env="TEST_KEY")
    with AnswerStore(own_folder / "answers.sqlite") as store:
        teacher = ModelTeacher(LanguageModel(chat, store))
        result = evolve([SAMPLE], teacher, teacher, SearchSettings(rounds=1)).results[0]
    assert result.score.overall == pytest.approx(0.35 * 7 + 0.2 * 6.5 + 0.25 * 8 + 0.2 * 9)
    assert len(list(own_folder.glob("answers*"))) >= 1
    assert not any(SECRET.encode() in file.read_bytes() for file in own_folder.glob("answers*"))
    assert SECRET not in repr(chat.settings) + repr(chat.identity) + repr(vars(chat))


def test_no_more_questions_are_in_flight_than_allowed(endpoint):
    server = endpoint(lambda _, messages: slow(0.03, messages[0]["content"]))
    replies = dict(server.chat(concurrency=3).complete([talk(str(number)) for number in range(15)]))
    assert [replies[number].text for number in range(15)] == [str(number) for number in range(15)]
    assert 1 < server.most <= 3


def test_a_caller_may_stop_early_and_keeps_what_came(endpoint, store):
    server = endpoint(lambda *_: "fine")
    chat = server.chat(concurrency=1)
    replies = chat.complete([talk(str(number)) for number in range(3000)])
    assert next(replies)[1].text == "fine"
    replies.close()
    assert sum(server.seen.values()) < 3000
    assert not any(thread.name == "openai" for thread in threading.enumerate())


def test_waiting_as_the_server_says():
    assert retry_after("2.5") == 2.5 and retry_after("-1") == retry_after(None) == retry_after("soon") == 0
    assert 0 < retry_after(time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))) <= 30


@pytest.mark.parametrize(
    "wrong", [{"base_url": "localhost:80"}, {"model": ""}, {"concurrency": 0}, {"timeout": 0}, {"retries": -1}]
)
def test_endpoints_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(InputError, match="endpoint"):
        OpenAISettings(**{"base_url": "http://localhost/v1", "model": "m", **wrong})


def test_tokens_cost_what_the_prices_say():
    settings = OpenAISettings("http://localhost/v1", "m", price_in=2.0, price_out=8.0)
    assert settings.cost(500_000, 250_000) == pytest.approx(3.0)

"""The client of OpenAI-compatible endpoints, against a local one that misbehaves on purpose."""

import base64
import logging
import threading
import time

import pytest
from small_endpoint import scripted_answer

from recbole_navigen.errors import InputError
from recbole_navigen.supervision.chat.model_teacher import LanguageModel, ModelTeacher
from recbole_navigen.supervision.chat.openai_chat import OpenAIChat, OpenAISettings, retry_after
from recbole_navigen.supervision.chat.store import Answer, AnswerStore
from recbole_navigen.supervision.evolution import SearchSettings, evolve
from recbole_navigen.supervision.interfaces import Sample

SECRET = "sk-very-secret"

SAMPLE = Sample("u", (("red", "boat"), ("calm", "sea")), ("blue", "harbour"))


@pytest.fixture
def store(own_folder):
    with AnswerStore(own_folder / "answers.sqlite") as opened:
        yield opened


def talk(text):
    return ({"role": "user", "content": text},)


def slow(seconds, answer):
    time.sleep(seconds)
    return answer


UNREADABLE = [
    (200, {"Content-Encoding": "gzip"}),  # and it is not gzip
    b"[" * 100_000,
    b'{"choices": [{"message": {"content": "late"}}], "id": ' + b"9" * 5000 + b"}",
    b'{"choices": [{"message": {"content": "half a character: \\ud83d"}}]}',
    b'{"choices": [{"message": {"content": 3}}], "usage": 3}',
    b"[3]",
    b"\xff",
]


@pytest.mark.parametrize(
    "trouble",
    [429, 500, 503, "reset", "cut", "shape", (429, {"Retry-After": "0.01"}), "slow", *UNREADABLE],
    ids=lambda trouble: str(trouble)[:30],
)
def test_troubles_are_tried_again(endpoint, trouble):
    wrong = {"slow": lambda: slow(2.0, "late")}.get(trouble if isinstance(trouble, str) else "", lambda: trouble)
    server = endpoint(lambda number, _: wrong() if number < 2 else "fine")
    chat = server.chat(timeout=1.0 if trouble == "slow" else 60.0)
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

    chat = endpoint(script).chat(retries=1, timeout=1.0 if trouble == "slow" else 60.0)
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


def test_questions_wait_for_a_caller_who_stores_slowly(endpoint):
    server = endpoint(lambda *_: "fine")
    replies = server.chat(concurrency=2).complete([talk(str(number)) for number in range(50)])
    for taken in range(1, 6):
        next(replies)
        time.sleep(0.05)
        assert sum(server.seen.values()) <= taken + 1  # each of the two has one answer that is not stored yet
    replies.close()


def test_a_caller_may_stop_early_and_keeps_what_came(endpoint, store):
    server = endpoint(lambda *_: "fine")
    chat = server.chat(concurrency=1)
    replies = chat.complete([talk(str(number)) for number in range(3000)])
    assert next(replies)[1].text == "fine"
    replies.close()
    assert sum(server.seen.values()) < 3000
    assert not any(thread.name == "openai" for thread in threading.enumerate())


def test_tokens_of_wasted_answers_are_counted(endpoint, store):
    useless = b'{"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 20}}'
    server = endpoint(lambda number, messages: "fine" if number and messages[0]["content"] == "good" else useless)
    chat = server.chat(retries=1, price_in=1e6, price_out=1e3)
    model = LanguageModel(chat, store)
    assert [reply.text for reply in model._complete([talk("good")])] == ["fine"]
    assert model._complete([talk("bad")])[0].reason == "unreadable response"
    report = model.report()
    assert (report["model"], report["paid"], report["asked"]) == ("tiny", 1, 2)
    assert (report["prompt_tokens"], report["completion_tokens"]) == (307, 63)
    assert report["cost"] == pytest.approx(307 + 0.063)


def test_an_answer_without_text_is_paid_for_and_asked_for_once_more(endpoint, store):
    """A refusal, or a model that thought until its tokens were spent."""
    server = endpoint(lambda *_: None)
    model = LanguageModel(server.chat(), store)
    for _ in range(2):  # the second time from the store
        assert ModelTeacher(model).terms(["A lamp"]) == [None]
    assert model.chat.attempts == model.counts["paid"] == 2 and model.counts["prompt_tokens"] == 14
    assert model.counts["failed: invalid answer"] == 2 and not model.unanswered


@pytest.mark.parametrize("usage", ["1e400", "-3", "NaN", '"many"', "null", "9" * 100, "{}"])
def test_an_answer_stays_one_whatever_it_says_of_its_tokens(endpoint, usage):
    body = f'{{"choices": [{{"message": {{"content": "fine"}}}}], "usage": {{"prompt_tokens": {usage}}}}}'
    assert list(endpoint(lambda *_: body.encode()).chat().complete([talk("a")])) == [(0, Answer("fine"))]


def test_a_login_in_the_address_is_sent_and_not_logged(endpoint, caplog):
    server = endpoint(lambda _, messages: 404 if messages[0]["content"] == "refused" else "fine")
    address = f"http://me:{SECRET}%40x@127.0.0.1:{server.server_port}/v1/"
    caplog.set_level(logging.INFO)  # as RecBole sets the root logger
    chat = OpenAIChat(OpenAISettings(address, "tiny"))
    assert list(chat.complete([talk("a")])) == [(0, Answer("fine", 7, 3))]
    assert server.headers[0]["Authorization"] == "Basic " + base64.b64encode(f"me:{SECRET}@x".encode()).decode()
    with pytest.raises(InputError, match=r"http://127.0.0.1:\d+/v1/chat/completions answered 404") as caught:
        list(chat.complete([talk("refused")]))
    assert SECRET not in caplog.text + str(caught.value) and "chat/completions" not in caplog.text


@pytest.mark.parametrize(
    "address", ["http://host:notaport/v1", f"http://me:{SECRET}@host:x/v1", f"http://me:{SECRET}/3@host/v1", "http://"]
)
def test_addresses_that_are_none_are_said_in_one_sentence(address):
    pytest.importorskip("httpx")
    with pytest.raises(InputError, match="is no address of an endpoint") as caught:
        list(OpenAIChat(OpenAISettings(address, "tiny")).complete([talk("a")]))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "parts",
    [
        [{"type": "text", "text": "fi"}, {"type": "text", "text": "ne"}],
        [{"type": "thinking", "thinking": "hm"}, {"type": "output_text", "text": "fine"}],
        ["fine"],
        [{"text": {"value": "fine"}}],
    ],
)
def test_content_may_come_in_parts(endpoint, parts):
    assert list(endpoint(lambda *_: parts).chat().complete([talk("a")])) == [(0, Answer("fine", 7, 3))]


def test_a_query_in_the_address_is_sent_and_not_shown(endpoint):
    server = endpoint(lambda _, messages: 404 if messages[0]["content"] == "refused" else f"you sent {SECRET}")
    chat = OpenAIChat(OpenAISettings(f"http://127.0.0.1:{server.server_port}/v1/?api_key={SECRET}&version=3", "tiny"))
    [(_, reply)] = chat.complete([talk("a")])
    assert server.paths == {f"/v1/chat/completions?api_key={SECRET}&version=3"} and reply.text == "you sent (hidden)"
    with pytest.raises(InputError, match=r"api_key=\(hidden\)&version=\(hidden\) answered 404") as caught:
        list(chat.complete([talk("refused")]))
    assert SECRET not in str(caught.value)
    with pytest.raises(InputError, match="what files show in place of a secret"):
        OpenAISettings("http://(hidden)@host/v1", "tiny")


def test_a_key_in_place_of_its_variable_is_not_shown(endpoint):
    with pytest.raises(InputError, match=r"variable \(hidden\) \(api_key_env\) is not set"):
        list(endpoint(lambda *_: "fine").chat(api_key_env=SECRET).complete([talk("a")]))


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

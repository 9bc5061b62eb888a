"""Teachers by language model: the store, strict reading, repair, and what is counted."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT
from small_endpoint import scripted_answer

from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.supervision.chat import replies as parsing
from recbole_navigen.supervision.chat.model_teacher import Failure, LanguageModel, ModelTeacher, Question
from recbole_navigen.supervision.chat.prompts import drafts_prompt, judge_prompt
from recbole_navigen.supervision.chat.replies import BadAnswer
from recbole_navigen.supervision.chat.store import Answer, AnswerStore
from recbole_navigen.supervision.evolution import SearchSettings, evolve
from recbole_navigen.supervision.interfaces import FOUNDERS, Draft, Order, Sample, Task

SAMPLE = Sample("u", (("red", "boat"), ("calm", "sea")), ("blue", "harbour"), name_terms=False)


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
    assert len(store) == 0 and model.counts["failed: timeout"] == 1 and model.unanswered == {"timeout": 1}


def test_what_can_never_be_answered_is_not_asked_for_again(store):
    model = LanguageModel(Scripted(lambda _: Failure("prompt too long", final=True)), store)
    assert model.ask([Question(({"role": "user", "content": "?"},), str)]) == [None]
    assert model.counts["failed: prompt too long"] == 1 and not model.unanswered


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
        ('Sure! {"a": 1}', "a is not an object"),
        ('{"a": 1} {"a": 2}', "not one JSON object: it holds 2, and 0 of them fit"),
        (" ".join(json.dumps({"a": {**DRAFT, "reasoning": why}}) for why in "xy"), "it holds 2, and 2 of them fit"),
        ('<think>Perhaps {"a": 1}', "it holds none"),
        ('{"a": 1}</think>', "it holds none"),
        (json.dumps({"a": {"b": DRAFT}})[:-1], "not one JSON object"),  # cut: what is inside is not the whole
        ("[" + json.dumps({"a": DRAFT}) + "]", "a JSON list"),
        ('{"a": 1, "a": 2}', "repeats a key"),
        ('{"a": ' + "9" * 5000 + "}", "not one JSON object"),
        ("[" * 100_000, "not one JSON object"),
        (json.dumps({"a": {**DRAFT, "prompt": "A quiet pier at dawn \ud83d"}}), "surrogates not allowed"),
        ('{"a": {}, "\\udca9": {}}', "surrogates not allowed"),
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


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{}[]<`~"), max_size=20)
THOUGHTS = ["", "Hm. </think>", "<think>{}</think>", '<think>Not {"a": 1} but</think>', "so {it} is\n</think>\n"]
FENCES = [("", ""), ("```json\n", "\n```"), ("```", "```"), ("~~~ JSON5 ", "~~~"), ("````\r\n", "\r\n````")]


@given(
    st.sampled_from(THOUGHTS),
    st.sampled_from(["", "Here {it} is: ", "Sure!\n"]) | WORDS,
    st.sampled_from(FENCES),
    st.sampled_from(["", " Enjoy {it}!", ' {"note": 1}', "\n{}"]) | WORDS,
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<")),
)
def test_one_object_is_read_whatever_stands_around_it(thought, before, fence, after, why):
    why = f"{why} }}{{ ``` x"
    answer = f"{thought}{before}{fence[0]}{json.dumps({'reasoning': why})}{fence[1]}{after}"
    assert parsing.read_text(answer, "reasoning") == why.strip()


def test_an_answer_that_is_one_object_may_speak_of_thoughts():
    assert parsing.read_terms('{"terms": ["a </think> b", "<think>"]}') == ["a </think> b", "<think>"]


@pytest.mark.parametrize("value", [-1, 10.5, "7", True, None, float("nan")])
def test_scores_that_are_no_scores_are_refused(value):
    with pytest.raises(BadAnswer, match="novelty of a"):
        parsing.read_judgements(json.dumps({"a": {**SCORES, "novelty": value}}), ["a"])


@pytest.mark.parametrize("answer", ['{"terms": []}', '{"terms": "a"}', '{"terms": [1]}', "{}"])
def test_terms_of_another_shape_are_refused(answer):
    with pytest.raises(BadAnswer, match="terms"):
        parsing.read_terms(answer)


def test_prompts_say_whether_the_target_may_be_named():
    free = Sample("u", SAMPLE.history, SAMPLE.target, media="video")
    task = Task(SAMPLE, (Order("conservative"),))
    assert "Never write" in drafts_prompt(task)[0][0]["content"]
    free_task = drafts_prompt(Task(free, task.orders))[0]
    assert "may name" in free_task[0]["content"] and "movement, mood" in free_task[0]["content"]
    assert "written out" in judge_prompt(SAMPLE, [Draft("x")])[0][0]["content"]
    assert "written out" not in judge_prompt(free, [Draft("x")])[0][0]["content"]


# The store


def test_a_file_that_is_no_store_is_named(own_folder):
    (own_folder / "answers.sqlite").write_bytes(b"not a database at all, but long enough" * 10)
    with pytest.raises(DamagedArtefact, match=r"answers\.sqlite"):
        AnswerStore(own_folder / "answers.sqlite")


def test_an_answer_that_changed_on_the_disk_is_asked_for_again(own_folder, caplog):
    path = own_folder / "answers.sqlite"
    keys = [f"key {number}" for number in range(600)]
    with AnswerStore(path) as store:
        for key in keys:
            store.put(key, Answer(f"text of {key}", 1, 2))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE checked_answers SET text = 'text of key 8' WHERE key = 'key 7'")
        connection.execute("UPDATE checked_answers SET completion_tokens = 'many' WHERE key = 'key 590'")
    with AnswerStore(path) as store:
        found = store.get(keys)
        assert set(keys) - set(found) == {"key 7", "key 590"} and "answers.sqlite is damaged: 2 answers" in caplog.text
        store.put("key 7", Answer("again", 1, 2))
        assert store.get(["key 7", "key 590"]) == {"key 7": Answer("again", 1, 2)}


def test_a_store_that_breaks_while_it_is_used_is_named(own_folder):
    path = own_folder / "answers.sqlite"
    with AnswerStore(path) as store:
        for number in range(500):
            store.put(f"key {number}", Answer("text " * 50, 1, 2))
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with pytest.raises(DamagedArtefact, match=r"answers\.sqlite is not a readable store"), AnswerStore(path) as store:
        store.get(["key 3"])


def test_a_store_that_cannot_be_written_is_one_sentence(own_folder):
    class Full:
        def execute(self, *_):
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error

    with AnswerStore(own_folder / "answers.sqlite") as store:
        real, store._connection = store._connection, Full()
        with pytest.raises(InputError, match=r"answers\.sqlite.*disk is full"):
            store.put("key", Answer("text"))
        store._connection = real


WRITER = """
import sys, time
from recbole_navigen.supervision.chat.store import Answer, AnswerStore
store = AnswerStore(sys.argv[1])
for number in range(int(sys.argv[3])):
    store.put(f"{sys.argv[2]}-{number}", Answer(f"text {number}", 1, 2))
    print(number, flush=True)
time.sleep(60 * (sys.argv[2] == "killed"))
"""


def writer(path, name, count):
    root = str(ROOT)
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

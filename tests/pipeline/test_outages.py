"""Endpoints that fail in the middle of a run: nothing that was lost is kept for good, and everyone is told."""

import json
import logging
from collections import defaultdict

import pytest
from small_endpoint import answer
from small_navigen import build
from synthetic import make_config
from tiny_settings import ENDPOINT, ENDPOINT_SAMPLES, NAVIGEN

from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.identifiers.terms import extract_terms
from recbole_navigen.pipeline.supervision import supervision_of, terms_by_teacher
from recbole_navigen.supervision.dataset_facts import facts_of
from recbole_navigen.supervision.facts import catalogue_facts


class World:
    """An endpoint whose `script` may change, and settings that ask it. Equal moments are one question to it."""

    def __init__(self, endpoint):
        self.script = lambda _: 503
        self.server = endpoint(lambda _, messages: self.script(messages))
        self.settings = {
            **ENDPOINT,
            "teacher_model": {
                "base_url": f"http://127.0.0.1:{self.server.server_port}/v1",
                "model": "tiny",
                "retries": 0,
                "price_in": 1e6,
            },
        }

    def lose(self, count: int) -> None:
        """Leave the first `count` questions of each kind (drafts, terms, ...) without an answer; answer all others."""
        lost = defaultdict(set)

        def script(messages):
            kind, question = (message["content"] for message in messages[:2])
            with self.server.lock:
                if len(lost[kind]) < count:
                    lost[kind].add(question)
                return 503 if question in lost[kind] else answer(messages)

        self.script = script

    @property
    def asked(self) -> int:
        return sum(self.server.seen.values())


@pytest.fixture
def world(endpoint):
    return World(endpoint)


@pytest.fixture
def supervised(tiny, world):
    """`supervision_of` the data set tiny, whose items have words of their own."""
    config = make_config("NaviGen", tiny, **{**NAVIGEN, "supervision": world.settings})
    dataset = create_dataset(config)
    sequences = data_preparation(config, dataset)[0]._dataset.sequences
    terms = [(f"word{item}", "boat") for item in range(80)]
    users, facts = dataset.field2id_token[dataset.uid_field], facts_of(config, dataset, terms)
    return lambda own=None: supervision_of(config, sequences, terms, users, facts, own)


@pytest.fixture
def kept(tiny):
    """Entries of the cache."""
    return lambda: list((tiny / "saved" / "cache").glob("supervision-*"))


def test_an_outage_is_said_and_not_kept(world, supervised, kept):
    count = ENDPOINT_SAMPLES
    for _ in range(2):
        with pytest.raises(InputError, match=rf"no row of {count} samples: http 503 \({count}\); run again when"):
            supervised()
        assert not kept()
    assert world.asked == 2 * ENDPOINT_SAMPLES
    world.script = answer
    made, cached = supervised()
    asked = world.asked
    again, found = supervised()
    assert (len(made.rows), cached, found) == (ENDPOINT_SAMPLES, False, True) and again == made and world.asked == asked
    [entry] = kept()
    report = json.loads((entry / "report.json").read_text())
    [model] = report["models"]
    assert (model["model"], model["paid"], model["asked"]) == ("tiny", 3 * ENDPOINT_SAMPLES, 3 * ENDPOINT_SAMPLES)
    assert model["cost"] == model["prompt_tokens"] == 7 * 3 * ENDPOINT_SAMPLES and report["unanswered"] == {}


def test_what_a_partial_outage_lost_is_asked_for_the_next_time(world, supervised, kept, own_folder, caplog):
    world.lose(1)
    made, _ = supervised(own_folder / "run")
    assert len(made.rows) == ENDPOINT_SAMPLES - 1 and made.report["unanswered"] == {"http 503": 3} and not kept()
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.startswith(f"3 questions got no answer: http 503 (3). The {ENDPOINT_SAMPLES - 1} rows")
    # The run itself goes on with the rows that it began with; another one asks for what is missing and nothing else.
    world.script = answer
    asked = world.asked
    assert supervised(own_folder / "run") == (made, True) and world.asked == asked
    whole, cached = supervised()
    assert (len(whole.rows), cached) == (ENDPOINT_SAMPLES, False) and set(made.rows) < set(whole.rows)
    # Drafts of one sample, and both paragraphs for it and for the one that had lost them.
    assert world.asked - asked == whole.report["models"][0]["paid"] == 5 and len(kept()) == 1


def test_answers_that_cannot_be_used_are_no_outage(world, supervised):
    world.script = lambda _: "Sorry, no."
    count = ENDPOINT_SAMPLES
    with pytest.raises(InputError, match=rf"no row of {count} samples: invalid answer \({count}\); use another"):
        supervised()


@pytest.mark.parametrize("reading", ["strict", "released"])
def test_terms_that_a_teacher_could_not_give_are_said(tiny, world, caplog, reading):
    config = make_config("NaviGen", tiny, **{**NAVIGEN, "supervision": {**world.settings, "tid_reading": reading}})
    texts = ("A lamp", "A woven rug", "A chair", "")
    own = extract_terms(texts)
    facts = catalogue_facts({}, {}, "generic", own.terms)
    with pytest.raises(InputError, match=r"terms to none of 4 items: http 503 \(3\); run again"):
        terms_by_teacher(config, texts, own, facts)
    world.lose(1)
    report = terms_by_teacher(config, texts, own, facts).report
    assert (report["items_by_teacher"], report["items_by_text"]) == (2, 2)
    assert report["unanswered"] == {"http 503": 1} and report["models"][0]["paid"] == 2
    assert "http 503 (1). 2 of 4 items have terms of their text" in caplog.text
    world.script = answer
    assert terms_by_teacher(config, texts, own, facts).report["items_by_teacher"] == 3


def test_a_run_that_goes_on_keeps_what_it_began_with(tiny, world):
    settings = {"supervision": {**world.settings, "tid_source": "teacher"}, "task_weights": {"cid2ins": 1.0}}

    def begin(run):
        build(tiny, run, **settings)
        table = DualIdentifierTable.load(tiny / run / "identifiers")
        return table.report["terms"]["items_by_teacher"], (tiny / run / "tokenizer" / "tokenizer.json").read_text()

    world.lose(2)
    begun = begin("run")
    assert begun[0] == 78 and (tiny / "run" / "supervision").is_dir()
    world.script = answer
    assert begin("run") == begun
    assert begin("new")[0] == 80 and not (tiny / "new" / "supervision").exists()

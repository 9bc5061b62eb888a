"""Reasoning: what is rejected and why, the template reasoner, and the rows of supervision."""

import json
from collections import Counter

import numpy as np
import pytest

from recbole_navigen.data.sequences import UserSequences
from recbole_navigen.errors import DamagedArtefact, InputError
from recbole_navigen.supervision.chat.model_teacher import LanguageModel, ModelTeacher
from recbole_navigen.supervision.chat.store import Answer, AnswerStore
from recbole_navigen.supervision.evolution import SearchResult, SearchSettings, evolve
from recbole_navigen.supervision.facts import catalogue_facts
from recbole_navigen.supervision.interfaces import Draft, Sample
from recbole_navigen.supervision.planner import Planner
from recbole_navigen.supervision.reasoning import checked, problem
from recbole_navigen.supervision.rows import Supervision, samples_of, supervise
from recbole_navigen.supervision.template.judge import TemplateJudge
from recbole_navigen.supervision.template.reasoner import TemplateReasoner
from recbole_navigen.supervision.template.template_teacher import TemplateTeacher
from recbole_navigen.supervision.template.term_space import TermSpace

SAMPLE = Sample("u", (("drama", "war"), ("comedy",)), ("western", "ghost town"))
START = (
    "I keep returning to drama and war, and lately a lighter tone has crept in, so I look for open spaces and dust. "
)
FINISH = "That is why western and ghost town are what I choose now, whatever came before it in my list."
GENRES = ("western", "comedy", "horror", "romance", "sci-fi", "war", "animation", "children")
CATALOGUE = [(GENRES[i % 8], GENRES[i // 8 % 8], f"title{i}") for i in range(80)]
FACTS = catalogue_facts({"name": [f"Title {i}" for i in range(80)]}, None, "film", CATALOGUE)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (START + FINISH, None),
        ("I see it.", "too short"),
        ((START * 20) + FINISH, "too long"),
        ("In the end, " + (START + FINISH).replace("I ", "one ").replace("my ", "the "), "not in the first person"),
        (START + "- " + FINISH + "\n", "markup"),
        (START.replace("so", "after a mutation") + FINISH, "talk of the search"),
        (START.replace("so", "with the elite") + FINISH, "talk of the search"),
        (START.replace("so", "in the next generation") + FINISH, "talk of the search"),
        (START.replace("open", "unfounded") + FINISH, None),  # a word that only contains `founder`'s stem
    ],
)
def test_paragraphs_are_checked(text, reason):
    assert problem(text, SAMPLE) == reason


def test_terms_of_the_sample_itself_are_no_search_talk():
    text = START.replace("war", "generations") + FINISH
    assert problem(text, SAMPLE) == "talk of the search"
    assert problem(text, Sample("u", (("star trek", "generations"),), SAMPLE.target)) is None


def test_rejected_paragraphs_are_counted_by_reason():
    passed, reasons = checked([START + FINISH, None, "I see.", "I see."], [SAMPLE] * 4)
    assert passed == [START + FINISH, None, None, None]
    assert reasons == Counter({"no answer": 1, "too short": 2})


@pytest.fixture(scope="module")
def space():
    return TermSpace(CATALOGUE, FACTS, "film")


@pytest.fixture
def sources():
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 12, size=30)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    sequences = UserSequences(np.arange(1, 31), rng.integers(1, 81, size=offsets[-1]), offsets)
    users = ["[PAD]", *(f"raw{number}" for number in range(1, 31))]
    return sequences, samples_of(
        sequences, CATALOGUE, users, "film", "mixed", per_user=3, planner=Planner(FACTS, "film")
    )


def test_samples_are_the_last_training_moments(sources):
    sequences, made = sources
    assert Counter(source.row for source in made) == {
        row: min(3, length - 1) for row, length in enumerate(sequences.lengths.tolist())
    }
    for source in made:
        items = sequences.items[sequences.offsets[source.row] : sequences.offsets[source.row + 1]] - 1
        assert source.sample.target == CATALOGUE[items[source.target]]
        assert source.sample.history == tuple(CATALOGUE[item] for item in items[: source.target])
        assert source.sample.user == f"raw{source.row + 1}"
    assert {source.sample.media for source in made} == {"image", "video"}


def test_an_unknown_medium_is_refused(sources):
    with pytest.raises(InputError, match="media='sound'"):
        samples_of(sources[0], CATALOGUE, ["u"] * 31, "film", "sound")


def test_thoughts_of_the_template_speak_of_the_person(space, sources):
    samples = [source.sample for source in sources[1]]
    reasoner = TemplateReasoner()
    results = evolve(samples, TemplateTeacher(space), TemplateJudge(space)).results
    identifier = reasoner.identifier(samples)
    for texts in (identifier, reasoner.distilled(results, identifier)):
        assert checked(texts, samples)[0] == texts
        assert all(2 <= text.count(". ") + 1 <= 3 for text in texts)
    for text, sample in zip(identifier, samples, strict=True):
        assert sample.target[0] in text and (f"{len(sample.history)} films" in text or len(sample.history) == 1)
    assert reasoner.identifier(samples[:3]) == identifier[:3]


def test_supervision_keeps_what_succeeds_and_says_what_it_lost(space, sources, own_folder):
    class Picky(TemplateTeacher):
        def write(self, tasks):
            drafts = super().write(tasks)
            return [None if task.sample.user == "raw1" else row for task, row in zip(tasks, drafts, strict=True)]

    class Silent(TemplateReasoner):
        def distilled(self, results, identifier):
            return [None, *super().distilled(results, identifier)[1:]]

    made = sources[1]
    settings = SearchSettings(rounds=2)
    result = supervise(made, Picky(space), TemplateJudge(space), Silent(), settings, own_folder / "traces")
    lost = sum(source.sample.user == "raw1" for source in made)
    assert lost and len(result.rows) == len(made) - lost and result.report["search"]["failed_samples"] == lost
    assert result.rows[0].reasoning is None and result.report["distilled_rejected"]["no answer"] == 1
    places = {(source.row, source.target): source.sample for source in made}
    assert all(places[row.row, row.target].target == row.target_tid for row in result.rows)
    assert result.report["named_targets"] == 0
    lines = (own_folder / "traces" / "traces.jsonl").read_text().splitlines()
    best = [max(one["overall"] for one in json.loads(line)["candidates"]) for line in lines]
    assert best == [row.overall for row in result.rows]

    result.save(own_folder / "rows", {"seed": 0})
    assert Supervision.load(own_folder / "rows") == result
    damaged = own_folder / "rows" / "rows.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedArtefact, match=r"rows\.parquet"):
        Supervision.load(own_folder / "rows")


def test_a_language_model_reasons_through_the_same_checks(own_folder):
    class Thinker:
        identity = {"kind": "thinker"}  # noqa: RUF012 (as the protocol has it)
        asked = []  # noqa: RUF012

        def complete(self, conversations):
            self.asked += conversations
            for place in range(len(conversations)):
                yield place, Answer(json.dumps({"reasoning": START + FINISH if place == 0 else "I see."}))

    other = Sample("v", SAMPLE.history, SAMPLE.target[::-1])
    with AnswerStore(own_folder / "answers.sqlite") as store:
        teacher = ModelTeacher(LanguageModel(Thinker(), store))
        passed, reasons = checked(teacher.identifier([SAMPLE, other]), [SAMPLE, other])
        assert passed == [START + FINISH, None] and reasons == {"too short": 1}
        result = SearchResult(SAMPLE, Draft("A wide street at noon"), None, {})
        assert teacher.distilled([result, result], ["I keep to the sea.", None]) == [START + FINISH, "I see."]
    first, second = (asked[1]["content"] for asked in Thinker.asked[-2:])
    assert "A wide street at noon" in first
    assert "to take up in other words: <data>I keep to the sea.</data>" in first and "take up" not in second

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
from recbole_navigen.supervision.interfaces import FOUNDERS, Draft, Judgement, Sample
from recbole_navigen.supervision.reasoning import END, checked, plain_steps, problem
from recbole_navigen.supervision.rows import Supervision, samples_of, supervise
from recbole_navigen.supervision.template.judge import TemplateJudge
from recbole_navigen.supervision.template.reasoner import TemplateReasoner, cues
from recbole_navigen.supervision.template.template_teacher import TemplateTeacher
from recbole_navigen.supervision.template.term_space import TermSpace

SAMPLE = Sample("u", (("drama", "war"), ("comedy",)), ("western", "ghost town"))
START = (
    "I keep returning to drama and war, and lately a lighter tone has crept in, so I look for open spaces and dust. "
)
FINISH = "That is why western and ghost town are what I choose now, whatever came before it in my list."
GENRES = ("western", "comedy", "horror", "romance", "sci-fi", "war", "animation", "children")
CATALOGUE = [(GENRES[i % 8], GENRES[i // 8 % 8], f"title{i}") for i in range(80)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (START + FINISH, None),
        (FINISH + " " + START, "names the target early"),
        (START + "That is why this is what I choose, whatever came before it.", "does not name the target at its end"),
        (START, "too short"),
        ((START * 20) + FINISH, "too long"),
        ("In the end, " + (START + FINISH).replace("I ", "one ").replace("my ", "the "), "not in the first person"),
        (START + "- " + FINISH + "\n", "markup"),
        (START.replace("so", "after a mutation") + FINISH, "talk of the search"),
        (START.replace("so", "with the elite") + FINISH, "talk of the search"),
        (START.replace("so", "in the next generation") + FINISH, "talk of the search"),
        (START.replace("open", "unfounded") + FINISH, None),  # a word that only contains `founder`'s stem
        (START.replace("war", "westerner") + FINISH, None),
    ],
)
def test_paragraphs_are_checked(text, reason):
    assert problem(text, SAMPLE) == reason


def test_terms_of_the_sample_itself_are_no_search_talk():
    text = START.replace("war", "generations") + FINISH
    assert problem(text, SAMPLE) == "talk of the search"
    assert problem(text, Sample("u", (("star trek", "generations"),), SAMPLE.target)) is None


def test_terms_that_the_history_shares_with_the_target_may_stand_early():
    shared = Sample("u", (("western", "war"),), ("western", "ghost town"))
    assert problem(START.replace("drama", "western") + FINISH, shared) is None
    assert problem(START.replace("drama", "western") + FINISH, SAMPLE) == "names the target early"


def test_rejected_paragraphs_are_counted_by_reason():
    passed, reasons = checked([START + FINISH, None, START, START], [SAMPLE] * 4)
    assert passed == [START + FINISH, None, None, None]
    assert reasons == Counter({"no answer": 1, "too short": 2})


@pytest.fixture(scope="module")
def space():
    return TermSpace(CATALOGUE)


@pytest.fixture
def sources():
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 12, size=30)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    sequences = UserSequences(np.arange(1, 31), rng.integers(1, 81, size=offsets[-1]), offsets)
    users = ["[PAD]", *(f"raw{number}" for number in range(1, 31))]
    return sequences, samples_of(sequences, CATALOGUE, users, "film", "mixed", per_user=3)


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


def test_template_paragraphs_pass_their_own_checks(space, sources):
    samples = [source.sample for source in sources[1]]
    reasoner = TemplateReasoner(space)
    results = evolve(samples, TemplateTeacher(space), TemplateJudge(space)).results
    identifier = reasoner.identifier(samples)
    distilled = reasoner.distilled(results, identifier)
    for before, after in zip(identifier, distilled, strict=True):
        # The one takes up the other: its first sentence, and the one that settles on the target.
        first, *_, arrival = before.removesuffix(".").split(". ")
        assert after.startswith(f"{first}. ") and f". {arrival}. " in after and len(after) > len(before)
    for texts in (identifier, distilled):
        passed, _ = checked(texts, samples)
        assert passed.count(None) <= len(samples) // 10
        assert len(set(texts)) == len({(sample.user, sample.target) for sample in samples})
        # Whatever passed says what it must.
        for text, sample in zip(passed, samples, strict=True):
            assert text is None or any(term in text[int(len(text) * END) :] for term in sample.target)
    assert reasoner.identifier(samples[:3]) == reasoner.identifier(samples)[:3]


def test_what_is_said_of_a_history_is_true():
    """The commonest terms lead, also those that the target shares; only what it adds is held back."""
    history = (*[("romance", "comedy")] * 3, *[("comedy", "drama")] * 4, ("noir", "ghost towns"))
    found = cues(Sample("u", history, ("drama", "Comedy", "ghost town")))
    assert found.often == ["comedy", "drama", "romance"] and found.repeated
    assert found.kept == ["Comedy", "drama"] and found.news == ["ghost town"]
    assert found.lately == ["noir"]  # neither among `often` nor a word of the news
    once = cues(Sample("u", (("war", "noir"), ("comedy",)), ("western",)))
    assert not once.repeated and once.often == ["comedy", "war", "noir"] and not once.kept


def test_the_paragraph_names_what_the_history_is_most_about(space):
    history = (*[("comedy", "title1")] * 5, *[("war",)] * 3, ("horror",))
    for target in (("comedy", "title9"), ("horror",), ("western", "title9")):
        for number in range(12):
            sample = Sample(f"u{number}", history, target)
            text = TemplateReasoner(space).identifier([sample])[0]
            first, narrow, arrival = text.removesuffix(".").split(". ")
            assert "comedy" in first and "war" in first and problem(text, sample) is None
            assert (target[0] in narrow) == (target[0] != "western")  # what is kept leads on
            assert all(term in arrival for term in target)
            assert ("new" in arrival or "not" in arrival or "change" in arrival) or target[0] != "western"


def test_nothing_is_said_to_repeat_where_nothing_does(space):
    for number in range(12):
        sample = Sample(f"u{number}", (("comedy", "war"), ("horror",)), ("western",))
        text = TemplateReasoner(space).identifier([sample])[0]
        assert not any(claim in text for claim in ("again and again", "keep returning", "clear thread", "circle"))


def test_wordings_that_use_a_new_word_of_the_target_are_passed_over(space):
    words = ("list", "history", "past", "choices")
    for number in range(30):
        sample = Sample(f"u{number}", (("comedy",), ("comedy",)), words)
        first = TemplateReasoner(space).identifier([sample])[0].split(". ")[0]
        assert not any(word in first for word in words)


def test_a_user_without_history_gets_a_paragraph_too(space):
    sample = Sample("u", (), ("western", "dust"))
    assert problem(TemplateReasoner(space).identifier([sample])[0], sample) is None


def test_steps_tell_of_every_new_best_in_plain_words(space, sources):
    samples = [source.sample for source in sources[1]]
    for result in evolve(samples, TemplateTeacher(space), TemplateJudge(space)).results:
        steps = plain_steps(result.trace)
        assert len(steps) == len({entry["elite"] for entry in result.trace["rounds"]})
        for word in (*FOUNDERS[:1], "crossover", "mutation", "elite", "founder"):
            assert word not in " ".join(steps)


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
    result = supervise(made, Picky(space), TemplateJudge(space), Silent(space), settings, own_folder / "traces")
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
                yield place, Answer(json.dumps({"reasoning": START + FINISH if place == 0 else START}))

    other = Sample("v", SAMPLE.history, SAMPLE.target[::-1])
    with AnswerStore(own_folder / "answers.sqlite") as store:
        teacher = ModelTeacher(LanguageModel(Thinker(), store))
        passed, reasons = checked(teacher.identifier([SAMPLE, other]), [SAMPLE, other])
        assert passed == [START + FINISH, None] and reasons == {"too short": 1}
        trace = {"candidates": [{"operator": "exploratory"}], "rounds": [{"elite": 0}]}
        result = SearchResult(SAMPLE, Draft("A wide street at noon"), None, trace)
        assert teacher.distilled([result, result], ["I keep to the sea.", None]) == [START + FINISH, START.strip()]
    first, second = (asked[1]["content"] for asked in Thinker.asked[-2:])
    assert "The bold version made the best start" in first and "A wide street at noon" in first
    assert "to take up in other words: <data>I keep to the sea.</data>" in first and "take up" not in second


def test_the_search_tells_in_plain_words_what_a_model_without_genomes_wrote():
    class Plain:
        def write(self, tasks):
            return [tuple(Draft(f"A quiet view {task.round} {n}") for n in range(len(task.orders))) for task in tasks]

        def judge(self, reviews):
            return [
                tuple(Judgement(5, 5, 5, min(10, 5 + int(draft.prompt.split()[3]))) for draft in review.drafts)
                for review in reviews
            ]

    both = Plain()
    steps = plain_steps(evolve([SAMPLE], both, both, SearchSettings(rounds=2, patience=0)).results[0].trace)
    assert steps[0] == "The cautious version made the best start"
    assert steps[1:] == ["With a blended version it became clearer to make"] * 2

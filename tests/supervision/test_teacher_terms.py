"""Terms by a teacher: the released cleaning as it was released, and the stricter default."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_navigen.errors import InputError
from recbole_navigen.identifiers.terms import TermResult, extract_terms
from recbole_navigen.supervision.chat.model_teacher import Failure, LanguageModel, ModelTeacher
from recbole_navigen.supervision.chat.replies import BadAnswer
from recbole_navigen.supervision.chat.store import Answer, AnswerStore
from recbole_navigen.supervision.teacher_terms import clean_terms, released_terms, strict_terms, teacher_terms


@pytest.mark.parametrize(
    ("answer", "terms"),
    [
        ("Sure! Here are terms, nice; dress", ["nice", "dress"]),
        ('{"terms": ["Dress", "dress", " Summer  Wear,"]}', ["Dress", "Summer Wear"]),
        ('["a1", "b"]', ["a1", "b"]),
        ('Of course: {"terms": ["x", "y"]} as asked', ["x", "y"]),
        ('My list is ["x", "y"], enjoy', ["x", "y"]),
        ('{"terms": ["café", "2024", "3D", "[lamp]", "\\"rug\\"", "a & b"]}', ["3D", "lamp", "rug", "a & b"]),
        ('{"terms": ["' + '","'.join(f"term{n}" for n in range(15)) + '"]}', [f"term{n}" for n in range(10)]),
    ],
)
def test_the_released_cleaning(answer, terms):
    assert released_terms(answer, "unused text") == terms


def test_the_released_fallback_cuts_the_text():
    text = "Red lamp\uff0c2024. Good for reading\u3001" + "x" * 41 + "; red LAMP"
    assert released_terms("", text) == ["Red lamp", "Good for reading"]
    assert released_terms("2024", "\u7ea2\u8272") == []
    for answer in ("9" * 5000, "[" * 5000):  # no JSON that Python reads
        assert released_terms(answer, text) == ["Red lamp", "Good for reading"]


@given(st.lists(st.text(max_size=12) | st.integers(), max_size=20))
def test_cleaned_terms_are_few_different_and_english(terms):
    cleaned = clean_terms(terms)
    assert len(cleaned) <= 10 and len({term.lower() for term in cleaned}) == len(cleaned)
    for term in cleaned:
        assert term.isascii() and term == " ".join(term.split()) and any(letter.isalpha() for letter in term)
    assert clean_terms(cleaned) == cleaned


def test_the_strict_reading_takes_what_was_asked_for_and_nothing_else():
    assert strict_terms('{"terms": ["Summer Dress", "summer dress", "caf\u00e9"]}') == ["summer dress"]
    for answer in ("Sure! Here are terms, nice; dress", '["a", "b"]', '{"terms": ["a very long term of six words"]}'):
        with pytest.raises(BadAnswer):
            strict_terms(answer)


class Talker:
    identity = {"kind": "talker"}  # noqa: RUF012 (as the protocol has it)

    def complete(self, conversations):
        for place, messages in enumerate(conversations):
            text = messages[1]["content"]
            if "lamp" in text:
                yield place, Answer('{"terms": ["Lamp", "light"]}')
            elif "rug" in text:
                yield place, Answer("it is, well, a rug")
            else:
                yield place, Failure("timeout")


TEXTS = ["A lamp", "A woven rug", "A chair", ""]


@pytest.mark.parametrize(
    ("reading", "lamp", "rug", "by_teacher"),
    [("strict", ("lamp", "light"), None, 1), ("released", ("Lamp", "light"), ("it is", "well", "a rug"), 2)],
)
def test_items_without_a_usable_answer_keep_their_own_terms(own_folder, reading, lamp, rug, by_teacher):
    own = extract_terms(TEXTS)
    with AnswerStore(own_folder / "answers.sqlite") as store:
        result = teacher_terms(TEXTS, ModelTeacher(LanguageModel(Talker(), store)), own, reading)
    assert isinstance(result, TermResult) and all(result.terms)
    assert result.terms[0] == lamp and result.terms[1] == (rug or own.terms[1]) and result.terms[3] == own.terms[3]
    assert result.terms[2] == (own.terms[2] if reading == "strict" else ("A chair",))
    assert (result.report["items_by_teacher"], result.report["items_by_text"]) == (by_teacher, 4 - by_teacher)
    assert sum(n * count for n, count in enumerate(result.report["terms_per_item"])) == sum(map(len, result.terms))
    assert result.report["distinct_terms"] == len({term for item in result.terms for term in item})


def test_an_unknown_reading_is_refused(own_folder):
    with AnswerStore(own_folder / "answers.sqlite") as store, pytest.raises(InputError, match="reading='loose'"):
        teacher_terms(TEXTS, ModelTeacher(LanguageModel(Talker(), store)), extract_terms(TEXTS), "loose")

"""Simple writers, and the texts without titles that everybody is judged by as well."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_navigen.evaluation.instruction_scores import blanked
from recbole_navigen.evaluation.simple_writers import (
    BEST,
    KINDS,
    LAST,
    ORACLE,
    POPULAR,
    SIMPLE,
    Items,
    commonest,
    item_kinds,
    simple_answers,
)
from recbole_navigen.language.answer import parse_answer

ITEMS = Items(
    texts={"a": "Star Wars. Action Space", "b": "Big. Comedy", "c": ""},
    titles={"a": "Star Wars", "b": "Big", "c": "item c"},
    kinds={"a": ["Action", "Space"], "b": ["Comedy"], "c": []},
    terms={"a": ("war", "star"), "b": ("big",), "c": ("none",)},
)


def test_what_each_of_them_writes() -> None:
    answers = simple_answers([["a", "b"], ["c"]], ["b", "a"], [["a", "c"], ["b", "a"]], "a", ITEMS)
    read = {name: [parse_answer(answer) for answer in rows] for name, rows in answers.items()}
    texts = {name: [answer.target_ins for answer in rows] for name, rows in read.items()}
    assert tuple(texts) == SIMPLE
    assert texts[LAST] == ["Big. Comedy", "item c"] and texts[POPULAR] == [ITEMS.texts["a"]] * 2
    assert texts[KINDS] == ["Comedy, Action, Space", "none"]  # an item without kinds has its terms
    assert texts[BEST] == ["Star Wars. item c", "Big. Star Wars"]
    assert texts[ORACLE] == ["Big. Comedy", "Star Wars. Action Space"]
    assert read[ORACLE][1].target_tid == ("war", "star") and read[KINDS][0].target_tid == ("big", "war", "star")


def test_the_newest_lead_among_equals() -> None:
    assert commonest({"a": ["x", "y"], "b": ["z"], "c": ["y"]}, ["a", "b", "c"], 2) == ["y", "z"]


@pytest.mark.parametrize(
    ("fields", "kinds", "source"),
    [
        ({"title": ("A", "B"), "class": ("Action Comedy", "")}, [["Action", "Comedy"], []], "class"),
        (
            {"title": ("A", "B"), "kinds": ("Film Noir|Drama", "Film Noir")},
            [["Film Noir", "Drama"], ["Film Noir"]],
            "kinds",
        ),
        ({"title": ("A", "B"), "plot": (" ".join("abcdefghijklm"),) * 2}, [["t"], ["u"]], "terms"),
        (
            {"title": ("good cook #food # home made", "run #sport")},
            [["food", "home made"], ["sport"]],
            "hashtags of title",
        ),
        ({"title": ("A", "B")}, [["t"], ["u"]], "terms"),
    ],
)
def test_kinds_come_from_what_there_is(fields: dict, kinds: list, source: str) -> None:
    assert item_kinds(fields, [("t",), ("u",)]) == (kinds, source)


def test_titles_are_blanked_as_people_write_them() -> None:
    titles = ["Matrix, The", "Big", "Star Wars", "Three Colors: Red (1994)", "Alien"]
    assert blanked("The Matrix meets a matrix in star wars", titles) == "meets a matrix in"
    assert blanked("a big door in Big, Three Colors: Red and Aliens", titles) == "a big door in , and Aliens"
    assert blanked("nothing of it", titles) == "nothing of it"


@given(words=st.lists(st.sampled_from(["Star", "Wars", "a", "red", "star"])), titles=st.just(["Star Wars", "Star"]))
def test_no_title_is_left(words: list[str], titles: list[str]) -> None:
    left = blanked(" ".join(words), titles)
    assert "Star" not in left.split()
    assert [word for word in left.split() if word in ("a", "red")] == [word for word in words if word in ("a", "red")]

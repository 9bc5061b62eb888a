"""Facts: what each domain's names, genres and tags say, and what does not."""

import pytest

from recbole_navigen.errors import InputError
from recbole_navigen.supervision.facts import catalogue_facts, facts_report


def one(domain, roles, terms=(), **fields):
    return catalogue_facts({field: [text] for field, text in fields.items()}, roles, domain, [tuple(terms)])[0]


FILM = {"title": "name", "class": "genre", "plot": "story"}


def test_a_film_is_its_genres_and_never_words_of_its_title():
    facts = one("film", FILM, title="Horror Train, The (1995)", plot="", **{"class": "Comedy Sci-Fi"})
    assert facts.name == "The Horror Train" and facts.kinds == ("sci-fi", "comedy") and not facts.literal
    assert one("film", FILM, title="Horror Train", plot="", **{"class": ""}).source == "none"
    assert one("film", FILM, title="X", plot="A detective hunts a gangster.", **{"class": ""}).kinds[0] == "crime"


@pytest.mark.parametrize(
    ("title", "name", "kind", "machine", "literal"),
    [
        ("Call of Duty: Modern Warfare 3 Hardened Edition", "Call of Duty: Modern Warfare 3", "shooter", "", False),
        ("Assassin&rsquo;s Creed - Gold Edition - Xbox One", "Assassin\u2019s Creed", None, "Xbox One", False),
        (
            "Disney Infinity Cars Playset Pack Lightning McQueen and Holley - Wii",
            "Disney Infinity Cars Playset Pack Lightning McQueen",
            None,
            "Wii",
            False,
        ),
        ("Mario Kart Wii with Wheel", None, "racing", "Wii", False),
        ("PS2 Wireless Controller", "PS2 Wireless Controller", "controller", "PlayStation 2", True),
        ("Stereo Gaming Headset Headset for PC", "Stereo Gaming Headset", "headset", "PC", True),
        ("Nyko Power Cord for PlayStation 4, black", "Nyko Power Cord", "console gear", "PlayStation 4", True),
    ],
)
def test_a_game_is_its_series_and_machine_and_gear_is_literal(title, name, kind, machine, literal):
    facts = one("game", {"title": "name"}, title=title)
    assert facts.machine == machine and facts.literal is literal
    assert name is None or facts.name == name
    assert kind is None or facts.kinds[0] == kind


def test_a_clip_is_its_caption_and_is_called_by_a_tag_that_others_bear():
    titles = [
        "A noodle soup! # fast hand plan # Sichuan kitchen",
        "Noodles # sichuan kitchen",
        "# Sichuan kitchen # food",
    ]
    facts = catalogue_facts({"title": titles}, {"title": "name"}, "short_video", [()] * 3)
    assert [item.kinds for item in facts] == [("gourmet",)] * 3
    assert [item.name for item in facts] == ["Sichuan kitchen"] * 3  # as most spell it
    assert facts[1].topics == ("Sichuan kitchen",)
    assert one("short_video", {"title": "name"}, title="# summer strike # rare thing").name == ""


def test_terms_stand_in_and_what_is_missing_is_counted():
    fields = {"title": ["A", "B"], "class": ["", "War"]}
    facts = catalogue_facts(fields, {"title": "name", "class": "genre"}, "film", [("western",), ("x",)])
    assert [item.source for item in facts] == ["terms", "text"] and facts[0].kinds == ("western",)
    report = facts_report(facts)
    assert (report["items"], report["by_text"], report["by_terms"], report["without"]) == (2, 1, 1, 0)


def test_roles_are_checked_and_those_of_other_fields_ignored():
    with pytest.raises(InputError, match="colour"):
        one("film", {"title": "colour"}, title="A")
    facts = one("film", {"movie_title": "name"}, title="A", tags="western")
    assert facts.name == "A" and facts.kinds == ("western",)

"""Terms from item text: normalisation, collocations, order, borrowing."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_navigen.errors import InputError
from recbole_navigen.identifiers import textual
from recbole_navigen.identifiers.collaborative import nearest_items
from recbole_navigen.identifiers.textual import STOP_WORDS, extract_terms, words_of

WORDS = ["Space", "opera", "operas", "café", "the", "of", "1999", "3D", "#HomeCooking", "Sci-Fi", "don't", "children's"]
TEXTS = st.lists(
    st.lists(st.sampled_from([*WORDS, "東京", "Ünïted", ",", "."]), max_size=30).map(" ".join) | st.text(max_size=30),
    min_size=1,
    max_size=25,
)


@st.composite
def catalogues(draw):
    texts = draw(TEXTS)
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    neighbours = rng.integers(-1, len(texts), (len(texts), draw(st.integers(0, 3))))
    return texts, draw(st.sampled_from([None, neighbours])), draw(st.integers(1, 10))


@given(catalogues())
@settings(max_examples=200, deadline=None)
def test_every_item_has_a_few_clean_distinct_terms(catalogue):
    texts, neighbours, max_terms = catalogue
    result = extract_terms(texts, neighbours, max_terms)
    assert len(result.terms) == len(texts)
    for terms in result.terms:
        assert 1 <= len(terms) <= max_terms and len(set(terms)) == len(terms)
        for term in terms:
            words = term.split(" ")
            assert len(words) <= 2 and re.fullmatch(r"[a-z0-9-]+( [a-z0-9-]+)?", term)
            assert re.search("[a-z]", words[0]) and not STOP_WORDS & set(words)
    assert result.terms == extract_terms(texts, neighbours, max_terms).terms


@given(catalogues())
@settings(max_examples=200, deadline=None)
def test_the_report_counts_what_a_recount_finds(catalogue):
    texts, neighbours, max_terms = catalogue
    result = extract_terms(texts, neighbours, max_terms)
    report, held = (result.report, Counter(term for terms in result.terms for term in terms))
    wordless = sum(not any(not w.isdigit() for phrase in words_of(text) for w in phrase) for text in texts)
    assert report["items"] == sum(report["terms_per_item"]) == len(texts)
    assert report["items_without_text"] == sum(not text.strip() for text in texts)
    assert report["items_without_text"] + report["items_without_terms"] == wordless
    assert report["items_borrowed"] + report["items_last_resort"] == wordless
    assert neighbours is not None or report["items_borrowed"] == 0
    assert sum(n * count for n, count in enumerate(report["terms_per_item"])) == held.total()
    assert report["distinct_terms"] == len(held)
    assert report["shared_terms"] == sum(count > 1 for count in held.values())
    assert [count for _, count in report["commonest"]] == sorted(held.values(), reverse=True)[:10]
    assert report["items_with_equal_terms"] == sum(result.terms.count(terms) > 1 for terms in result.terms)


@given(st.lists(st.sampled_from(["Gray Owl", "blue", "Fox, red fox", "river of stone"]), min_size=2, max_size=12))
@settings(max_examples=50, deadline=None)
def test_an_items_terms_do_not_depend_on_the_order_of_the_catalogue(texts):
    backwards = extract_terms(texts[::-1]).terms[::-1]
    assert extract_terms(texts).terms == backwards


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("Usual Suspects, The", [["usual", "suspects"]]),
        ("Toy Story. Animation Children's Comedy", [["toy", "story"], ["animation", "children", "comedy"]]),
        ("Lord of the Rings", [["lord"], ["rings"]]),
        ("#HomeCooking is # fun", [["home", "cooking"], ["fun"]]),
        ("#IMAXCinema 3D x-men", [["imax", "cinema"], ["3d", "x-men"]]),
        ("Café Œuvre Straße Ångström ﬁlm", [["cafe", "oeuvre", "strasse", "angstrom", "film"]]),
        ("Don\u2019t isn't O'Brien dogs' girl`s", [["obrien", "dogs", "girl"]]),
        ("東京 Story Война и мир", [["story"]]),
        ("caf東 noir", [["noir"]]),
        ("Salt &amp; Pepper &eacute;clair <b>bold</b> https://x.io/a?b=c www.y.z 3 < 4", "any"),
        ("Halo 2 200,000 copies 123456 x", [["halo", "2"], ["copies"]]),
        ("a" * 30 + " fine", [["fine"]]),
        ("_GoldenEye_ Richard III", [["goldeneye"], ["richard"]]),
        ("!!! ... 12", [["12"]]),
        ("", []),
    ],
)
def test_words_of(text, phrases):
    found = words_of(text)
    if phrases == "any":
        words = {word for phrase in found for word in phrase}
        assert {"salt", "pepper", "eclair", "bold"} <= words and not words & {"amp", "https", "io", "www", "eacute"}
    else:
        assert found == phrases


def test_shared_words_come_first_and_the_items_own_words_are_kept():
    """Plain tf-idf puts 'zyx', held by one item of 60, before 'comedy', held by a third of them."""
    texts = [f"unique{i}x comedy" if i % 3 == 0 else f"single{i}x drama" for i in range(59)]
    assert extract_terms([*texts, "Zyx. comedy"]).terms[-1] == ("comedy", "zyx")


def test_rarer_shared_words_come_before_commoner_ones():
    texts = [f"drama thriller w{i}w" if i % 4 == 0 else f"drama w{i}w" for i in range(80)]
    assert extract_terms(texts).terms[0] == ("thriller", "drama", "w0w")


def test_repeated_and_leading_words_weigh_more():
    shared = [f"{word} filler{i}" for word in ("alpha", "beta", "gamma") for i in range(6)]
    texts = [*shared, "alpha. beta. gamma", "alpha. beta. gamma. gamma. gamma"]
    terms = extract_terms(texts).terms
    assert terms[-2] == ("alpha", "beta", "gamma")
    assert terms[-1][0] == "gamma"


def test_a_genre_survives_a_long_description():
    rng = np.random.default_rng(0)
    plot = [f"word{i}" for i in range(120)]
    texts = [
        f"Title{i}x. {'Comedy' if i % 3 else 'Drama'}. " + ". ".join(rng.choice(plot, 25, replace=False))
        for i in range(150)
    ]
    terms = extract_terms(texts).terms
    assert all(len(item) == 10 for item in terms)
    assert np.mean(["comedy" in item or "drama" in item for item in terms]) > 0.95
    assert all(f"title{i}x" in item for i, item in enumerate(terms)), "a full list keeps room for the item's own word"


def test_singular_and_plural_are_one_term_spelled_as_most_items_do():
    texts = [
        "War",
        "Star Wars",
        "Wars",
        "Comedies",
        "Comedy. comedies",
        "Comedy",
        "Comedy",
        "Children",
        "child",
        "James",
    ]
    terms = extract_terms(texts).terms
    assert terms[0] == terms[2] == ("wars",) and "wars" in terms[1]
    assert set(terms[3:7]) == {("comedy",)}
    assert terms[7] == terms[8] == ("child",)
    assert terms[9] == ("james",), "no singular in the catalogue, so it is no plural"


def test_a_collocation_replaces_its_words_and_a_chance_pair_does_not():
    texts = [
        "hong kong nights",
        "hong kong story",
        "hong kong",
        "red story",
        "red house",
        "story house",
        "night red",
    ] * 2
    result = extract_terms(texts)
    assert result.terms[2] == ("hong kong",)
    assert "hong kong" in result.terms[0] and not {"hong", "kong"} & set(result.terms[0] + result.terms[1])
    assert set(result.terms[3]) == {"red", "story"}
    assert result.report["collocations"] == 1
    # the words stand alone again where they do not stand together
    assert set(extract_terms([*texts, "kong, hong"]).terms[-1]) == {"hong", "kong"}


def test_overlapping_pairs_take_the_stronger_one():
    merged = textual._merge_pairs(
        [["game", "boy", "advance", "game", "boy"]], {("game", "boy"): 0.7, ("boy", "advance"): 0.9}
    )
    assert merged == ["game", "boy advance", "game boy"]


def test_a_number_is_kept_only_with_the_word_it_belongs_to():
    texts = [f"xbox 360 w{i}w" for i in range(5)] + [f"xbox one v{i}v" for i in range(5)] + ["1941", "12 monkeys"]
    result = extract_terms(texts + ["plain"] * 9)
    assert result.terms[0][0] == "xbox 360" and result.terms[5][0] == "xbox"
    assert not any(re.fullmatch(r"[0-9 ]+", term) for item in result.terms for term in item)
    assert result.report["items_without_terms"] == 1


def test_an_item_without_text_borrows_what_its_neighbours_agree_on():
    texts = ["horror. castle", "horror. ghost", "comedy", "", "", "東京", ""]
    neighbours = np.array([[-1, -1]] * 3 + [[0, 1], [3, -1], [2, 0], [-1, -1]])
    result = extract_terms(texts, neighbours, max_terms=4)
    assert result.terms[3][0] == "horror" and set(result.terms[3]) <= {"horror", "castle", "ghost"}
    assert len(result.terms[3]) == 2, "half of max_terms: borrowed terms are guesses"
    assert result.terms[4] == result.terms[3], "its only neighbour had to borrow first"
    assert result.terms[5][0] == "comedy", "nearest first"
    assert result.terms[6] == ("horror",), "nobody to ask: the catalogue's commonest term"
    found = {key: result.report[key] for key in ("items_without_text", "items_without_terms", "items_borrowed")}
    assert found == {"items_without_text": 3, "items_without_terms": 1, "items_borrowed": 3}
    assert result.report["items_last_resort"] == 1


def test_the_nearest_neighbour_has_the_most_to_say():
    texts = ["zebra", "apple", "apple pie", "zebra fish", ""]
    for nearest, term in ((0, "zebra"), (1, "apple")):
        neighbours = np.full((5, 2), -1)
        neighbours[4] = nearest, 1 - nearest
        assert extract_terms(texts, neighbours).terms[4][0] == term


@given(st.data(), st.integers(1, 40), st.integers(0, 45), st.integers(1, 3), st.integers(1, 50))
def test_the_nearest_items_are_those_of_a_full_sort(data, items, count, width, chunk):
    """With many ties: few different vectors, some of them zero."""
    rows = st.lists(st.integers(-1, 1), min_size=width, max_size=width)
    vectors = np.array(data.draw(st.lists(rows, min_size=items, max_size=items)), dtype=np.float32)
    kept = min(count, items - 1)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    nearest = nearest_items(vectors, count, chunk)
    assert nearest.shape == (items, kept)
    for begin in range(0, items, chunk):
        similarity = unit[begin : begin + chunk] @ unit.T
        for row, place in enumerate(range(begin, min(begin + chunk, items))):
            similarity[row, place] = -np.inf
            expected = np.argsort(-similarity[row], kind="stable")[:kept]
            assert nearest[place].tolist() == expected.tolist()


def test_a_catalogue_without_any_text_still_has_terms():
    result = extract_terms(["", "2001", "???"], np.array([[1], [2], [0]]))
    assert result.terms == ((textual.LAST_RESORT,),) * 3
    assert result.report["items_borrowed"] == 0 and result.report["items_last_resort"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": []}, "no items"),
        ({"texts": ["a"], "max_terms": 0}, "max_terms=0 must be between 1 and 10"),
        ({"texts": ["a"], "max_terms": 11}, "max_terms=11"),
        ({"texts": ["a", "b"], "neighbours": np.zeros((1, 2), int)}, "one row for each of 2 items"),
        ({"texts": ["a", "b"], "neighbours": np.zeros((2, 2))}, "integers"),
        ({"texts": ["a", "b"], "neighbours": np.array([[2], [0]])}, r"item indices 0\.\.1"),
        ({"texts": ["a", "b"], "neighbours": np.array([[-2], [0]])}, r"or -1 for none"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(arguments, message):
    with pytest.raises(InputError, match=message):
        extract_terms(**arguments)

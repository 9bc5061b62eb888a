"""Terms from item text: normalisation, collocations, order, borrowing."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import make_config, write_files

from recbole_navigen.data import create_dataset, read_item_text
from recbole_navigen.errors import InputError
from recbole_navigen.identifiers import terms as textual
from recbole_navigen.identifiers.embeddings import nearest_items
from recbole_navigen.identifiers.terms import extract_terms
from recbole_navigen.identifiers.words import merge_pairs, stop_words, words_of
from recbole_navigen.language.vocabulary import Vocabulary, train_tokenizer
from recbole_navigen.pipeline.identifiers import build_table

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
            assert len(words) <= 2 and term == " ".join(term.split()) and "," not in term
            assert not term.isascii() or re.fullmatch(r"[a-z0-9-]+( [a-z0-9-]+)?", term)
            assert any(map(str.isalpha, words[0])) and not stop_words() & set(words)
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
        ("東京 Story Война и мир", [["東京"], ["story", "война"], ["мир"]]),
        ("caf東 noir", [["caf"], ["東"], ["noir"]]),
        ("森林爵士海洋", [["森林爵士海洋"]]),
        ("千と千尋の神隠し: トトロ, らーめん", [["千"], ["千尋"], ["神隠し"], ["トトロ"], ["らーめん"]]),
        ("Йод и ёлка", [["йод"], ["ёлка"]]),
        ("हिन्दी फ़िल्म की कहानी", [["हिन्दी", "फ़िल्म"], ["कहानी"]]),
        ("ضَرَبَ الكتابُ في الجميل", [["ضرب", "الكتاب"], ["الجميل"]]),
        ("שָׁלוֹם של עולם", [["שלום"], ["עולם"]]),
        ("Ὀδυσσεύς και Πηνελόπη", [["οδυσσευς"], ["πηνελοπη"]]),
        ("사랑의 불시착 왕", [["사랑의", "불시착", "왕"]]),
        ("รักแห่งสยาม", [["รักแห่งสยาม"]]),
        ("2046年 3D电影", [["年"], ["3d"], ["电影"]]),
        ("\U0001f600\U0001f600 \u2764\ufe0f ★", []),
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
    merged = merge_pairs([["game", "boy", "advance", "game", "boy"]], {("game", "boy"): 0.7, ("boy", "advance"): 0.9})
    assert merged == ["game", "boy advance", "game boy"]


def test_a_number_is_kept_only_with_the_word_it_belongs_to():
    texts = [f"xbox 360 w{i}w" for i in range(5)] + [f"xbox one v{i}v" for i in range(5)] + ["1941", "12 monkeys"]
    result = extract_terms(texts + ["plain"] * 9)
    assert result.terms[0][0] == "xbox 360" and result.terms[5][0] == "xbox"
    assert not any(re.fullmatch(r"[0-9 ]+", term) for item in result.terms for term in item)
    assert result.report["items_without_terms"] == 1


def test_an_item_without_text_borrows_what_its_neighbours_agree_on():
    texts = ["horror. castle", "horror. ghost", "comedy", "", "", "\u2605", ""]
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


def test_words_without_blanks_are_cut_where_the_catalogue_says_so():
    words = ["森林", "爵士", "机器人", "海洋", "武士", "喜剧", "红色", "安静"]
    rng = np.random.default_rng(0)
    chosen = [rng.choice(words, 3, replace=False) for _ in range(30)]
    terms = extract_terms(["".join(own) for own in chosen]).terms
    assert [set(item) for item in terms] == [set(own) for own in chosen]
    assert extract_terms(["流浪地球", "三体"]).terms == (("流浪地球",), ("三体",)), "nobody else's: whole"


def test_a_sign_that_only_chooses_a_glyph_makes_no_other_word():
    texts = ["料\ufe0f理教室", "料理教室", "料\ufe0f理", "料理", "料\U000e0100理"]
    assert set(extract_terms(texts).terms) == {("料理", "教室"), ("料理",)}


# Marks behind the first letter and behind later ones.
scripts = st.sampled_from(
    [
        "料\ufe0f理\U000e0100教",
        *("森林海洋爱", "ひらがな", "カタカナー", "ไทยภาษา", "ພາສາລາວ", "ខ្មែរ", "မြန်မာ", "हिन्दी", "мир", "한국어"),
    ]
)


@given(st.lists(st.lists(scripts.flatmap(lambda letters: st.text(letters, min_size=1, max_size=9)), max_size=3)))
def test_pieces_come_from_their_text(titles):
    texts = [" ".join(title) for title in titles] or ["x"]
    for text, terms in zip(texts, extract_terms(texts, max_terms=10).terms, strict=True):
        plain = " ".join(word for phrase in words_of(text) for word in phrase)
        own = [word for term in terms for word in term.split(" ")]
        # A text without a word of its own takes the commonest term of the catalogue.
        assert all(word in plain for word in own) or not any(words_of(text))
        assert all(len(word) <= 24 for word in own)


@given(st.text())
def test_any_text_has_words_that_stand_a_comma_list(text):
    for term in extract_terms([text]).terms[0]:
        assert term == " ".join(term.split()) and "," not in term


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


def test_titles_of_any_script_make_a_table_that_the_tokenizer_writes(tmp_path, caplog):
    titles = ["森林爵士", "爵士海洋", "森林海洋", "Звёздные войны", "हिन्दी कहानी", "\U0001f600", "사랑의 왕", "الكتاب"]
    items = ["item_id:token\ttitle:token", *(f"i{number}\t{title}" for number, title in enumerate(titles))]
    rows = [f"u{user}\ti{item}\t{item}" for user in range(3) for item in range(8)]
    write_files(tmp_path, "any", ["user_id:token\titem_id:token\ttimestamp:float", *rows], items)
    config = make_config("NaviGen", tmp_path, "any", item_text_fields=["title"], codes=4, levels=2)
    dataset = create_dataset(config)
    vectors = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    table = build_table(config, dataset, vectors, read_item_text(config, dataset).text[1:])
    assert "the text of 1 of 8 items gives no term (the first is item i5, '\U0001f600')" in caplog.text
    assert "with text but without a word: 1" in table.describe()
    assert table.terms[:3] == (("森林", "爵士"), ("爵士", "海洋"), ("森林", "海洋"))
    table.save(tmp_path / "table", {})
    assert type(table).load(tmp_path / "table").terms == table.terms
    tokenizer = train_tokenizer([" ".join(terms) for terms in table.terms], 300)
    vocabulary = Vocabulary(tokenizer, len(tokenizer), 2, 4)
    for terms in table.terms:
        assert vocabulary.decode(vocabulary.encode_terms(terms)).split(", ") == list(terms)

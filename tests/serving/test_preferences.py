"""What is said of one's taste moves the ranking as it should, fades behind a history, and says what it cannot mean."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_recommender import GENRES, NOUNS, small_recommender

from recbole_navigen.errors import InputError
from recbole_navigen.serving.evidence import FIRST, NOISE, SHRUNK, Evidence
from recbole_navigen.serving.popularity import COUNTS, first_counts, log_popularity, training_counts
from recbole_navigen.serving.preferences import MOST, STRENGTH, TOGETHER, Preferences, preferences_of

RECOMMENDER = small_recommender()
RECOMMENDER.table.report[COUNTS] = {f"i{item}": item for item in range(40)}
HISTORIES = [["i1", "i2", "i3"], ["i7"], ["i30"] * 3]


def ranked(history=(), **more) -> dict[str, float]:
    """Item -> log-probability, of all items."""
    return {each.item: each.score for each in RECOMMENDER.recommend(history, k=40, **more)}


def test_text_is_read_as_people_write() -> None:
    said = Preferences.of("slow noir, 1950s; not horror but  no  war, -love, train:2.5, don't like a robot:2")
    assert said.weights == {
        "slow noir": 1,
        "1950s": 1,
        "horror": -2,
        "war": -2,
        "love": -2,
        "train": 2.5,
        "a robot": -2,
    }
    assert Preferences.of(str(said)) == said and Preferences.of(said) is said
    assert Preferences.of("noir") + Preferences.of({"noir": -1.0, "war": 2}) == Preferences({"noir": 0.0, "war": 2.0})
    assert Preferences.of('{"noir": 2, horror: -1}').weights == {"noir": 2, "horror": -1}
    assert Preferences.of("[noir, not war]") == Preferences.of("noir, not war")
    assert not Preferences.of(None) and not Preferences.of(" , ") and not Preferences.of("noir:0")


@settings(max_examples=25)
@given(phrases=st.lists(st.sampled_from([*GENRES, *NOUNS]), min_size=1, max_size=5, unique=True))
def test_weight_0_changes_no_bit(phrases: list[str]) -> None:
    nothing = dict.fromkeys(phrases, 0.0)
    plain = RECOMMENDER.recommend_all(HISTORIES, k=40)
    assert RECOMMENDER.recommend_all(HISTORIES, k=40, preferences=nothing) == plain
    # Beside others who state something, too.
    mixed = RECOMMENDER.recommend_all(HISTORIES, k=40, preferences=[nothing, "noir", None])
    assert [mixed[0], mixed[2]] == [plain[0], plain[2]] and mixed[1] != plain[1]
    assert mixed[1].basis == "history and preferences" and plain[1].basis == "history"


@settings(max_examples=25)
@given(
    history=st.lists(st.integers(0, 39).map("i{}".format), max_size=8),
    genre=st.sampled_from(GENRES),
    weight=st.floats(0.1, 3),
)
def test_what_is_wanted_gains_and_what_is_not_loses(history: list[str], genre: str, weight: float) -> None:
    before = ranked(history)
    places = dict(zip(RECOMMENDER.item_tokens, RECOMMENDER.table.terms, strict=True))
    for sign in (1, -1):
        after = ranked(history, preferences={genre: sign * weight})
        assert math.fsum(map(math.exp, after.values())) == pytest.approx(1, abs=1e-4)
        gains = {item: sign * (after[item] - before[item]) for item in before}
        of_genre = [gain for item, gain in gains.items() if genre in places[item]]
        others = [gain for item, gain in gains.items() if genre not in places[item]]
        assert min(of_genre) > max(others)


def test_strength_falls_as_events_come() -> None:
    space, said = RECOMMENDER.preference_space, Preferences.of("noir")
    for wish in (False, True):
        spreads = [float(np.ptp(space.shift(said, events, wish))) for events in (0, 1, 3, 10, 100)]
        assert spreads == sorted(spreads, reverse=True) and spreads[3] == pytest.approx(spreads[0] / 2)
        # Who says more says each thing less loudly.
        many, each = Preferences.of(dict.fromkeys(GENRES, 1.0)), [space.shift(Preferences.of(one), 0) for one in GENRES]
        if not wish:
            assert space.shift(many, 0) == pytest.approx(TOGETHER / len(GENRES) * np.sum(each, axis=0), abs=1e-5)
        else:
            assert space.shift(many, 0, wish).max() <= MOST / len(GENRES) * len(GENRES) * spreads[0]


@settings(max_examples=30, deadline=None)
@given(
    histories=st.lists(st.lists(st.integers(0, 4), max_size=25), max_size=12),
    match=st.lists(st.floats(0, 1), min_size=5, max_size=5),
)
def test_evidence_is_counted_as_its_page_says(histories: list[list[int]], match: list[float]) -> None:
    users = [(own[:cut], own[cut:]) for own in histories if (cut := min(FIRST, len(own) // 2))]
    found = Evidence(histories, 5).likelihood("noir", np.array(match))
    if not users:
        assert found == pytest.approx([NOISE + each * (1 - 2 * NOISE) for each in match])
        return
    tastes = [sum(match[item] for item in later) / len(later) for _, later in users]
    liked = [taste > np.mean(tastes) for taste in tastes]
    events = [sum(first.count(item) for first, _ in users) for item in range(5)]
    likers = [sum(first.count(item) for (first, _), own in zip(users, liked, strict=True) if own) for item in range(5)]
    pairs = list(zip(match, events, likers, strict=True))
    hit = (sum(m * y for m, _, y in pairs) + 1) / (sum(m * n for m, n, _ in pairs) + 2)
    false = (sum((1 - m) * y for m, _, y in pairs) + 1) / (sum((1 - m) * n for m, n, _ in pairs) + 2)
    words = [false + m * (hit - false) for m in match]
    items = [(y + SHRUNK * prior) / (n + SHRUNK) for (_, n, y), prior in zip(pairs, words, strict=True)]
    # Where a mean is hit exactly, the order of a sum decides who likes the phrase.
    if min(abs(taste - np.mean(tastes)) for taste in tastes) > 1e-9:
        assert found == pytest.approx(items)
    assert ((found > 0) & (found < 1)).all()


def test_a_statement_is_evidence_and_a_wish_where_it_is_louder() -> None:
    recommender = small_recommender()
    recommender._evidence = Evidence([[item, item + 1, 7, 9] for item in range(30)], 40)
    space = recommender.preference_space
    likely, one, two = space.likelihood("noir"), *(space.shift(Preferences({"noir": w}), 0) for w in (1.0, 2.0))
    assert one == pytest.approx(np.log(likely), abs=1e-5)
    assert two - one == pytest.approx(STRENGTH * space.match("noir"), abs=1e-5)
    assert space.shift(Preferences({"noir": -1.0}), 0) == pytest.approx(np.log(1 - likely), abs=1e-5)
    assert space.shift(Preferences({"noir": 0.5}), 0) == pytest.approx(one / 2, abs=1e-5)


def test_nobody_gets_what_is_popular_and_is_told_so() -> None:
    best = RECOMMENDER.recommend(k=3)
    assert [each.item for each in best] == ["i39", "i38", "i37"] and best.basis == "popularity"
    stated = RECOMMENDER.recommend(preferences="space opera:2", k=6, exclude=["i38"])
    assert stated.basis == "preferences" and all("space opera" in each.terms for each in stated)
    mixed = RECOMMENDER.recommend_all([[], ["i7"], []], k=40, preferences=[None, None, "noir"])
    assert [one.basis for one in mixed] == ["popularity", "history", "preferences"]
    assert mixed[1] == RECOMMENDER.recommend(["i7"], k=40) and [each.item for each in mixed[0]][:3] == [
        each.item for each in best
    ]
    assert [aim.item for aim in RECOMMENDER.aims([[]], pool=5, preferences="noir")]
    counts = training_counts([["a", "b", "a", "c", "d"], ["a", "x"]])
    assert counts == {"a": 2, "b": 1}
    assert first_counts([[*"ab" * 20], ["c", "d", "e"]]) == {"a": FIRST / 2, "b": FIRST / 2, "c": 1}
    assert log_popularity(counts, ["a", "b", "new"]).exp().tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6])


def test_years_are_those_of_titles(monkeypatch) -> None:
    titles = {item: f"Tale of 2001 ({1940 + place})" for place, item in enumerate(RECOMMENDER.item_tokens)}
    monkeypatch.setattr(type(RECOMMENDER), "titles", titles)
    monkeypatch.setattr(type(RECOMMENDER), "dates", lambda self: {})
    best = RECOMMENDER.recommend(k=10, preferences="1950s")
    assert {each.item for each in best} == {f"i{item}" for item in range(10, 20)}
    assert RECOMMENDER.recommend(k=1, preferences="from 1944:3")[0].item == "i4"
    with pytest.raises(InputError, match="nothing in the catalogue matches '1890s'"):
        RECOMMENDER.recommend(preferences="1890s")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("noir, zeppelins", "nothing in the catalogue matches 'zeppelins'; the nearest term is"),
        ("not , noir", "'not' names nothing"),
        (5, 'must be a text such as "noir, not horror", not 5'),
        ({"noir": "much"}, "'noir': 'much' is none"),
        ('{"noir": much}', "'noir': 'much' is none"),
        ("[1, 2]", "must be a list of phrases"),
        ("[noir", "is not valid yaml; quote it and close its brackets"),
        ({"noir": math.nan}, "phrases with a number each"),
        (["noir", "war"], "has 2 entries for 1 histories"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(said, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RECOMMENDER.recommend_all([["i1"]], preferences=said)
    assert preferences_of("noir", 2) == [Preferences({"noir": 1.0})] * 2


def test_words_of_hyphenated_terms_are_known() -> None:
    recommender = small_recommender()
    recommender.add_items([{"item": "n", "terms": ["film-noir", "tale"]}])
    match = recommender.preference_space.match("noir")
    assert (
        match[40] >= 0.5
        and match[40] > match[[i for i, own in enumerate(recommender.table.terms) if "noir" not in " ".join(own)]].max()
    )


def test_popularity_needs_data() -> None:
    with pytest.raises(InputError, match="a history is empty, and without the run's data set popularity is unknown"):
        small_recommender().recommend()

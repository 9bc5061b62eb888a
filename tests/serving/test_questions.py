"""Questions tell what they promise, are asked of what can be answered, and their answers move the ranking."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_recommender import small_recommender

from recbole_navigen.errors import InputError
from recbole_navigen.quick_start.interview import interview
from recbole_navigen.serving import questions
from recbole_navigen.serving.evidence import NOISE, Evidence
from recbole_navigen.serving.popularity import COUNTS
from recbole_navigen.serving.preferences import Preferences, words_of
from recbole_navigen.serving.questions import LEAST, MOST, Question, term_holders, term_questions

RECOMMENDER = small_recommender()
RECOMMENDER.table.report[COUNTS] = {f"i{item}": item for item in range(40)}
TERMS = RECOMMENDER.table.terms


@pytest.fixture(autouse=True)
def titled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small catalogue has no files to read titles from."""
    monkeypatch.setattr(type(RECOMMENDER), "titles", {item: f"Tale {item}" for item in RECOMMENDER.item_tokens})


def entropy(shares: np.ndarray) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def noisy(term: str) -> np.ndarray:
    """a of the items where nothing is counted."""
    return np.array([1 - NOISE if term in own else NOISE for own in TERMS])


def information(chances: np.ndarray, asked: list[str]) -> float:
    """Mutual information in bits of the next item and the answers to some terms, from their whole joint table."""
    joint = chances[:, None]
    for term in asked:
        yes = noisy(term)
        joint = np.concatenate([joint * yes[:, None], joint * (1 - yes)[:, None]], axis=1)
    return entropy(chances) + entropy(joint.sum(axis=0)) - entropy(joint.ravel())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), sharp=st.floats(0.1, 3))
def test_questions_tell_what_they_promise_and_no_other_tells_more(seed: int, sharp: float) -> None:
    draws = np.random.default_rng(seed)
    chances = np.exp(sharp * draws.standard_normal(len(TERMS)))
    chances /= chances.sum()
    asked = term_questions(chances, term_holders(TERMS), [], 3, noisy)
    chosen = [question.about[0] for question in asked]
    assert sum(question.information for question in asked) == pytest.approx(information(chances, chosen), abs=1e-6)
    candidates = {term for own in TERMS for term in own if sum(term in other for other in TERMS) >= 3}
    candidates = {term for term in candidates if LEAST <= chances[[term in own for own in TERMS]].sum() <= MOST}
    # Of chances so sharp that every term is all but certain, or all but excluded, nothing can be asked.
    assert bool(asked) == bool(candidates)
    if not candidates:
        return
    assert asked[0].information >= max(information(chances, [term]) for term in candidates) - 1e-6
    told = [question.information for question in asked]
    assert told == sorted(told, reverse=True) and told[-1] > 0


@settings(max_examples=20, deadline=None)
@given(
    history=st.lists(st.integers(0, 39).map("i{}".format), max_size=5),
    stated=st.dictionaries(st.sampled_from(["drama", "noir", "robot"]), st.floats(-2, 2), max_size=2),
    about=st.sampled_from(questions.KINDS),
)
def test_nothing_is_asked_twice(history: list[str], stated: dict[str, float], about: str) -> None:
    first = RECOMMENDER.ask(history, stated, 2, about)
    second = RECOMMENDER.ask(history, stated, 4, about, first)
    asked = [own for question in (*first, *second) for own in question.about]
    assert len(asked) == len(set(asked)) and first
    if about == "terms":
        spoken = set().union(*map(words_of, stated))
        assert all(words_of(term).isdisjoint(spoken) for term in asked)
    else:
        assert not {*asked} & {*history}
    for question in (*first, *second):
        assert question.text.endswith("?") and question.reason and question.information >= 0
        for said in question.answers.values():  # every answer can be told to the model
            RECOMMENDER.recommend(history, k=3, preferences=Preferences.of(stated) + said)


def test_answers_move_the_ranking_to_what_was_said() -> None:
    (question,) = RECOMMENDER.ask(n=1)
    (term,) = question.about
    held = {item for item, own in zip(RECOMMENDER.item_tokens, TERMS, strict=True) if term in own}

    def mass(preferences: Preferences) -> float:
        best = RECOMMENDER.recommend(k=40, preferences=preferences)
        return sum(each.probability for each in best if each.item in held)

    yes, nothing, no = (mass(question.preferences(answer)) for answer in ("Yes ", "skip", "n"))
    assert yes > nothing > no
    one, other = (RECOMMENDER.ask(n=1, about="items")[0].answers[side].weights for side in "ab")
    assert one == {term: -weight for term, weight in other.items()}
    assert sum(map(abs, one.values())) == pytest.approx(questions.PAIR)
    with pytest.raises(InputError, match="answer='perhaps' is none of yes, no, skip; say one of them"):
        question.preferences("perhaps")
    with pytest.raises(InputError, match="about must be one of terms, items, not 'moods'"):
        RECOMMENDER.ask(about="moods")
    with pytest.raises(InputError, match="n must be a whole number of at least 1 and at most 8"):
        RECOMMENDER.ask(n=9)


def test_an_answer_weighs_what_it_tells() -> None:
    """Users who like western take westerns; robots are taken by everybody alike. So the first answer tells more."""
    draws = np.random.default_rng(0)
    genres = {item: own[0] for item, own in zip(RECOMMENDER.item_tokens, TERMS, strict=True)}
    histories = []
    for user in range(300):
        odds = np.array([40.0 if genres[item] == "western" and user % 2 else 1.0 for item in genres])
        histories.append(draws.choice(list(genres), 8, replace=False, p=odds / odds.sum()).tolist())
    index = {item: place for place, item in enumerate(genres)}
    evidence = Evidence([[index[item] for item in history] for history in histories], 40)
    holders = term_holders(TERMS)
    matches = {term: np.isin(np.arange(40), items).astype(float) for term, items in holders.items()}
    tells = {term: np.log(hit / false) for term in holders for hit, false in [evidence.rates(term, matches[term])]}
    assert max(tells, key=tells.get) == "western" and tells["western"] > 0.5
    likes = {term: evidence.likelihood(term, matches[term]) for term in holders}
    assert all(((own > 0) & (own < 1)).all() for own in likes.values())
    (first,) = term_questions(np.full(40, 1 / 40), holders, [], 1, likes.get)
    assert first.about == ("western",)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_an_answer_does_what_its_question_promises(seed: int) -> None:
    """What is expected of the next item before a question is what is expected after it, over both of its answers."""
    draws = np.random.default_rng(seed)
    recommender = small_recommender()
    recommender.table.report[COUNTS] = RECOMMENDER.table.report[COUNTS]
    recommender._evidence = Evidence([draws.integers(0, 40, 8) for _ in range(30)], 40)
    (question,) = recommender.ask(n=1)
    before, yes, no = (recommender.probabilities((), question.preferences(said)) for said in ("skip", "yes", "no"))
    chance = before @ recommender.preference_space.likelihood(question.about[0])
    assert chance * yes + (1 - chance) * no == pytest.approx(before, abs=1e-6)
    told = entropy(before) - chance * entropy(yes) - (1 - chance) * entropy(no)
    assert question.information == pytest.approx(told, abs=1e-5)


def test_an_interview_asks_on_after_each_answer(monkeypatch, capsys) -> None:
    lines = iter(["yes", "what?", ""])

    def spoken() -> str:
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", spoken)
    seen: list[Question] = []
    ask = RECOMMENDER.ask
    monkeypatch.setattr(RECOMMENDER, "ask", lambda *given: seen.extend(found := ask(*given)) or found)
    stated = interview(RECOMMENDER, ["i3"], Preferences.of("war"), 6, "terms")
    first, skipped, _ = seen  # the third met the end of the input
    assert stated == Preferences.of("war") + first.preferences("yes")
    assert skipped.about[0] not in stated.weights
    shown = capsys.readouterr().out
    assert "say one of them" in shown and f'--preferences="{stated}"' in shown and "3. Do you like" in shown

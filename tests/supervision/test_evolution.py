"""The evolutionary search: scores, what is asked for and when, traces, failures."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_navigen.errors import InputError
from recbole_navigen.supervision.evolution import SearchSettings, evolve
from recbole_navigen.supervision.facts import catalogue_facts
from recbole_navigen.supervision.fitness import score
from recbole_navigen.supervision.interfaces import Draft, Judgement, Sample
from recbole_navigen.supervision.naming import names_target
from recbole_navigen.supervision.planner import Planner
from recbole_navigen.supervision.template.judge import TemplateJudge
from recbole_navigen.supervision.template.template_teacher import TemplateTeacher
from recbole_navigen.supervision.template.term_space import TermSpace
from recbole_navigen.supervision.trace_plot import draw_trace


class NumberTeacher:
    """Writes numbers; a child is its elite parent give or take a little. `broken`: rounds in which it gives nothing."""

    def __init__(self, broken=()):
        self.calls, self.broken, self.tasks = 0, broken, []

    def write(self, tasks):
        self.calls += 1
        self.tasks += tasks
        return [None if (task.sample.user, task.round) in self.broken else self._one(task) for task in tasks]

    def _one(self, task):
        rng = random.Random(f"{task.sample.user}/{task.round}")
        starts = [float(order.parents[0].prompt) if order.parents else 5.0 for order in task.orders]
        return tuple(Draft(f"{min(10.0, max(0.0, start + rng.uniform(-1, 1))):.6f}") for start in starts)


class NumberJudge:
    """Reads the number back and counts how often it saw each draft."""

    def __init__(self):
        self.calls, self.seen = 0, []

    def judge(self, reviews):
        self.calls += 1
        self.seen += [(review.sample.user, draft.prompt) for review in reviews for draft in review.drafts]
        for review in reviews:
            for draft, rivals in zip(review.drafts, review.rivals, strict=True):
                assert all(rival is not draft for rival in rivals)
        return [tuple(Judgement(*[float(draft.prompt)] * 4) for draft in review.drafts) for review in reviews]


def sample(user: str) -> Sample:
    return Sample(user, (("red", "boat"),), ("blue", "boat"), name_terms=False)


@pytest.mark.parametrize(
    ("dimensions", "hit", "consistency", "executability", "overall"),
    [((7, 8, 9, 6.5), True, 4.5, 4.5, 4.825), ((9, 8, 9, 9), False, 9, 9, 8.8)],
)
def test_the_released_scores(dimensions, hit, consistency, executability, overall):
    result = score(Judgement(*dimensions), hit)
    assert (result.consistency, result.executability, result.overall) == (consistency, executability, overall)


@pytest.mark.parametrize(
    ("prompt", "terms", "word", "substring"),
    [
        ("A covered bridge", ("red", "cove"), False, True),
        ("A RED bridge", ("red",), True, True),
        ("two boats at dusk", ("boat",), True, True),
        ("a space-opera poster", ("space opera",), False, False),
        ("a space  opera", ("space opera",), True, False),
        ("a b c", ("a",), False, False),
        ("sci-fi night", ("sci-fi",), True, True),
    ],
)
def test_terms_are_found_as_words(prompt, terms, word, substring):
    assert names_target(prompt, terms) is word
    if "  " not in prompt:
        assert names_target(prompt, terms, "substring") is substring


@given(
    users=st.integers(1, 6),
    population=st.integers(2, 6),
    rounds=st.integers(0, 6),
    patience=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_a_search_keeps_the_best_and_judges_each_draft_once(users, population, rounds, patience):
    chosen = SearchSettings(population=population, rounds=rounds, patience=patience)
    teacher, judge = NumberTeacher(), NumberJudge()
    outcome = evolve([sample(f"u{user}") for user in range(users)], teacher, judge, chosen)
    assert teacher.calls == judge.calls <= rounds + 1
    assert len(judge.seen) == outcome.report["drafts"] == sum(len(r.trace["candidates"]) for r in outcome.results)
    for result in outcome.results:
        candidates, history = result.trace["candidates"], result.trace["rounds"]
        assert result.score.overall == max(candidate["overall"] for candidate in candidates)
        best = [candidates[entry["elite"]]["overall"] for entry in history]
        assert best == sorted(best) and all(len(entry["population"]) == population for entry in history)
        assert patience or len(history) == rounds + 1
        for candidate in candidates:
            assert bool(candidate["parents"]) == (candidate["round"] > 0)
            elite = history[candidate["round"] - 1]["elite"] if candidate["round"] else None
            assert candidate["parents"][:1] == ([] if elite is None else [elite])
            assert len(candidate["parents"]) == {"crossover": 2, "mutation": 1}.get(candidate["operator"], 0)
        assert json.loads(json.dumps(result.trace)) == result.trace


@pytest.mark.parametrize("media", ["image", "video"])
def test_the_smallest_search_finds_something_better(media):
    """A lone child has no rival that could be near, so it is as novel as can be: the founders' novelty is no head start
    that no child could make up for.
    """
    words = (
        "robot",
        "galaxy",
        "battle",
        "romance",
        "wedding",
        "murder",
        "detective",
        "river",
        "forest",
        "music",
        "dance",
    )
    terms = [(word, words[place * 5 % len(words)]) for place, word in enumerate(words)]
    space = TermSpace(terms)
    planner = Planner(catalogue_facts({}, {}, "generic", terms), "generic")
    samples = [
        Sample(
            f"u{user}", (terms[user - 1],), own, media=media, brief=planner.training_brief([user - 1], user, media, own)
        )
        for user, own in enumerate(terms)
    ]
    teacher, judge = TemplateTeacher(space, 0), TemplateJudge(space)
    found = evolve(samples, teacher, judge, SearchSettings(population=2, rounds=6, patience=0)).results
    better = [result.score.overall > max(one["overall"] for one in result.trace["candidates"][:2]) for result in found]
    assert sum(better) > len(better) / 2
    lone = [candidate for result in found for candidate in result.trace["candidates"] if candidate["round"]]
    assert lone and all("distance 1.00" in candidate["reason"] for candidate in lone)


def test_a_result_does_not_depend_on_who_else_is_searched():
    people = [sample(f"u{user}") for user in range(7)]
    alone = [evolve([one], NumberTeacher(), NumberJudge()).results[0] for one in people]
    assert list(evolve(people[::-1], NumberTeacher(), NumberJudge()).results[::-1]) == alone


def test_a_plateau_ends_a_search_early():
    class Stuck(NumberTeacher):
        def _one(self, task):
            return tuple(Draft("5." + "0" * (place + 1 + task.round * 3)) for place in range(len(task.orders)))

    outcome = evolve([sample("u")], Stuck(), NumberJudge(), SearchSettings(rounds=50, patience=2))
    assert len(outcome.results[0].trace["rounds"]) == 3 and outcome.report["plateaus"] == 1
    assert outcome.results[0].trace["rounds"][-1]["elite"] == 0


def test_failures_are_counted_and_leave_what_was_found():
    teacher = NumberTeacher(broken={("u0", 0), ("u1", 2)})
    outcome = evolve([sample(f"u{user}") for user in range(3)], teacher, NumberJudge(), SearchSettings(patience=0))
    assert outcome.results[0] is None
    assert [len(result.trace["rounds"]) for result in outcome.results[1:]] == [2, 9]
    assert (outcome.report["failed_samples"], outcome.report["failed_rounds"]) == (1, 1)


def test_what_cannot_be_judged_ends_a_search_with_what_it_has():
    class Tired(NumberJudge):
        def judge(self, reviews):
            judged = super().judge(reviews)
            return judged if self.calls < 3 else [None] * len(judged)

    outcome = evolve([sample("u")], NumberTeacher(), Tired(), SearchSettings(patience=0))
    assert len(outcome.results[0].trace["rounds"]) == 2 and outcome.report["failed_rounds"] == 1


def test_naming_the_target_costs_unless_it_is_allowed():
    class Namer(NumberTeacher):
        def _one(self, task):
            return tuple(Draft("a blue boat") for _ in task.orders)

    class Nines(NumberJudge):
        def judge(self, reviews):
            return [tuple(Judgement(9, 9, 9, 9) for _ in review.drafts) for review in reviews]

    free = Sample("u", (), ("blue", "boat"))
    forbidden, allowed = evolve([sample("u"), free], Namer(), Nines(), SearchSettings(rounds=0)).results
    assert forbidden.score.hit and not allowed.score.hit
    assert forbidden.score.overall == pytest.approx(9 - 0.35 * 2.5 - 0.2 * 2 - 0.5) and allowed.score.overall == 9


@pytest.mark.parametrize("wrong", [{"population": 1}, {"rounds": -1}, {"match": "fuzzy"}, {"min_gain": float("nan")}])
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        SearchSettings(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"domain": "music"}, "domain 'music'"), ({"media": "sound"}, "media 'sound'"), ({"target": (" ",)}, "no terms")],
)
def test_samples_that_cannot_be_meant_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        Sample(**{"user": "u", "history": (), "target": ("boat",), **wrong})


def test_a_judge_cannot_score_outside_0_to_10():
    for value in (-0.1, 10.1, float("nan")):
        with pytest.raises(InputError, match="between 0 and 10"):
            Judgement(5, value, 5, 5)


def test_the_trace_can_be_drawn(own_folder):
    result = evolve([sample("u")], NumberTeacher(), NumberJudge(), SearchSettings(patience=0)).results[0]
    draw_trace(result.trace, own_folder / "trace.svg")
    picture = (own_folder / "trace.svg").read_text()
    assert picture.count("<use") >= len(result.trace["candidates"])

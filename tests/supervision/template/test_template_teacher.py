"""The offline teacher and judge: names what it may, is deterministic and varied; scores follow their formulas."""

import pytest

from recbole_navigen.errors import InputError
from recbole_navigen.supervision.evolution import SearchSettings, evolve
from recbole_navigen.supervision.facts import catalogue_facts
from recbole_navigen.supervision.interfaces import (
    CROSSOVER,
    DOMAINS,
    FOUNDERS,
    MUTATION,
    Draft,
    Order,
    Review,
    Sample,
    Task,
)
from recbole_navigen.supervision.naming import names_target
from recbole_navigen.supervision.planner import Planner
from recbole_navigen.supervision.plans import JOINT, PICTURE
from recbole_navigen.supervision.template.judge import TemplateJudge
from recbole_navigen.supervision.template.lexicons import SCENE
from recbole_navigen.supervision.template.template_teacher import TemplateTeacher
from recbole_navigen.supervision.template.term_space import TermSpace

GENRES = ("western", "comedy", "horror", "romance", "sci-fi", "war", "animation", "drama")
CATALOGUE = [(GENRES[i % 8], GENRES[i // 8 % 8], f"title{i}") for i in range(80)]
FACTS = {
    domain: catalogue_facts(
        {"title": [f"Title {i}" for i in range(80)], "class": [" ".join(terms[:2]) for terms in CATALOGUE]},
        {"title": "name", "class": "genre"},
        domain,
        CATALOGUE,
    )
    for domain in DOMAINS
}
HISTORY = (3, 17, 40, 41)


@pytest.fixture(scope="module")
def space():
    return TermSpace(CATALOGUE, FACTS["film"], "film")


def sample(number, target, domain="film", media="image", name_terms=True):
    brief = Planner(FACTS[domain], domain, 77, name_terms).training_brief(HISTORY, target, media, CATALOGUE[target])
    history = tuple(CATALOGUE[item] for item in HISTORY)
    return Sample(f"u{number}", history, CATALOGUE[target], domain, media, name_terms, brief)


def founders(one):
    return Task(one, tuple(Order(direction) for direction in FOUNDERS))


@pytest.mark.parametrize("media", ["image", "video"])
@pytest.mark.parametrize("domain", DOMAINS)
def test_no_draft_is_refused_and_none_names_what_it_must_not(domain, media):
    """Neither founders nor children, by the released rule for terms or without it."""
    space = TermSpace(CATALOGUE, FACTS[domain], domain)
    for name_terms in (True, False):
        samples = [sample(n, n * 5, domain, media, name_terms) for n in range(6)]
        outcome = evolve(samples, TemplateTeacher(space), TemplateJudge(space), SearchSettings(rounds=2))
        assert not outcome.report["refused"] and outcome.report["failed_samples"] == 0
        for one, result in zip(samples, outcome.results, strict=True):
            for draft in result.trace["candidates"]:
                assert name_terms or not names_target(draft["prompt"], one.target)
                assert " against " not in draft["reason"]


def test_the_target_is_named_where_that_is_allowed(space):
    tasks = [founders(sample(n, n)) for n in range(20)]
    written = TemplateTeacher(space).write(tasks)
    drafts = [draft for row in written for draft in row]
    assert sum("Title" in draft.prompt for draft in drafts) > len(drafts) / 2
    cautious = [row[0] for row in written]
    assert all(draft.genome["works"].split(JOINT)[0].startswith("Title") for draft in cautious)


def test_drafts_depend_on_seed_and_sample_alone(space):
    tasks = [founders(sample(n, n)) for n in range(20)]
    together = TemplateTeacher(space, seed=3).write(tasks)
    assert together == TemplateTeacher(space, seed=3).write(tasks)
    assert together[::-1] == [TemplateTeacher(space, seed=3).write([task])[0] for task in tasks[::-1]]
    assert together != TemplateTeacher(space, seed=4).write(tasks)


def test_users_with_one_target_get_many_pictures(space):
    prompts = [draft.prompt for n in range(60) for draft in TemplateTeacher(space).write([founders(sample(n, 5))])[0]]
    assert len(set(prompts)) > 0.95 * len(prompts)


def test_a_mutation_changes_one_aspect_and_a_crossover_only_takes_what_is_there(space):
    teacher, one = TemplateTeacher(space), sample(0, 5)
    elite, mate = teacher.write([founders(one)])[0][1:]
    for round_ in range(1, 12):
        mutant, mixed = teacher.write(
            [Task(one, (Order(MUTATION, (elite,)), Order(CROSSOVER, (elite, mate))), round_)]
        )[0]
        changed = {aspect for aspect in elite.genome if mutant.genome[aspect] != elite.genome[aspect]}
        assert len(changed) <= 1 or changed <= {"subject", *SCENE}  # another subject stands elsewhere
        before: dict[str, str] = {}
        for aspect, phrase in mixed.genome.items():  # what both parents say does not always go with what is there now
            inherited = {parent.genome[aspect] for parent in (elite, mate)}
            assert phrase in inherited or not inherited <= set(one.brief.candidates(aspect, before))
            before[aspect] = phrase
        assert mixed.genome["label"] == elite.genome["label"] and set(PICTURE) - {"motion"} <= set(mixed.genome)


def test_a_sample_without_facts_is_refused(space):
    with pytest.raises(InputError, match="no facts"):
        TemplateTeacher(space).write([founders(Sample("u", (), ("war",)))])


def judge_one(space, prompt, one=None, rivals=()):
    one = one or Sample("u", (("western",),), ("western", "war"))
    return TemplateJudge(space).judge([Review(one, (Draft(prompt),), (tuple(map(Draft, rivals)),))])[0][0]


GOOD = (
    "A stoic western: a lone rider on a tired mare on a ridge above a canyon. Grainy film still in ochre and dust, "
    "with a blazing sunset and a low-angle view."
)


def test_the_judge_prefers_what_its_formulas_say(space):
    good = judge_one(space, GOOD)
    other = GOOD.replace("western", "comedy").replace(
        "lone rider on a tired mare", "deadpan waiter with too many plates"
    )
    assert good.consistency > judge_one(space, other).consistency
    assert good.aesthetic > judge_one(space, GOOD.replace(" in ochre and dust, with a blazing sunset", "")).aesthetic
    assert good.executability == 10
    contradiction = judge_one(space, GOOD + " A full noon and a moonlit midnight.")
    assert contradiction.executability < 9 and "noon" in contradiction.reason
    assert judge_one(space, "A rider.").executability < 9
    assert judge_one(space, GOOD, Sample("u", (("western",),), ("western",), media="video")).executability == 8
    assert judge_one(space, GOOD, rivals=[GOOD]).novelty < judge_one(space, GOOD, rivals=["A bowl of soup."]).novelty


def test_nothing_written_is_still_judged(space):
    judgement = judge_one(space, "???")
    assert judgement.consistency == 0 and judgement.novelty == 0


def test_a_search_gains_over_its_founders(space):
    samples = [sample(n, n) for n in range(60)]
    results = evolve(samples, TemplateTeacher(space), TemplateJudge(space)).results
    first = [max(c["overall"] for c in result.trace["candidates"] if c["round"] == 0) for result in results]
    assert sum(result.score.overall for result in results) > sum(first) + 1
    assert all(result.score.overall >= best for result, best in zip(results, first, strict=True))


def test_a_catalogue_without_items_is_refused():
    with pytest.raises(InputError, match="no items"):
        TermSpace([], [], "film")

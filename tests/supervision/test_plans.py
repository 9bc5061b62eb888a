"""Plans: what may be said comes from facts, is said once, and fits; tokens choose among candidates only."""

import itertools
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_navigen.language.budget import clip_tokens
from recbole_navigen.language.choices import Choices
from recbole_navigen.language.tags import DOMAINS, MEDIA
from recbole_navigen.language.vocabulary import Vocabulary, train_tokenizer
from recbole_navigen.supervision.facts import ItemFacts
from recbole_navigen.supervision.planner import Planner
from recbole_navigen.supervision.plans import JOINT, NOTHING, PICTURE, THOUGHTS
from recbole_navigen.supervision.template.lexicons import SHOWN, contradict, lexicons, sides
from recbole_navigen.supervision.validity import draft_problem
from recbole_navigen.supervision.wording import realise, thought_text, with_article

NAMES = ("Fargo", "Dawn of Night", "Die Hard", "Die Hard 2", "Secrets & Lies", "", "A", "Caf\u00e9 au lait")


def catalogue(domain, size=24):
    kinds = list(lexicons().kinds[domain])
    rng = random.Random(domain)
    return [
        ItemFacts(
            NAMES[n % len(NAMES)],
            n % 5 == 0,
            tuple(rng.sample(kinds, n % 4)) if n % 4 < 3 else (),
            "Xbox" if n % 2 and domain == "game" else "",
        )
        for n in range(size)
    ]


def drawn(brief, seed, thought=True):
    rng, plan = random.Random(seed), {}
    for aspect in (*brief.aspects, *(THOUGHTS if thought else ())):
        plan[aspect] = rng.choice(brief.candidates(aspect, plan))
    return plan


BRIEFS = {
    "domain": st.sampled_from(DOMAINS),
    "media": st.sampled_from(MEDIA),
    "history": st.lists(st.integers(0, 23), max_size=30),
    "items": st.lists(st.integers(0, 23), min_size=1, max_size=12, unique=True),
    "seed": st.integers(0, 99),
}


@given(**BRIEFS, name_terms=st.booleans())
@settings(max_examples=60, deadline=None)
def test_every_plan_is_one_picture(domain, media, history, items, seed, name_terms):
    """Whatever is chosen: no contradiction, nothing twice, within the budget, and no motion in a still picture."""
    planner = Planner(catalogue(domain), domain, 77, name_terms)
    brief = planner.brief(history, items, [1 / n for n in range(1, len(items) + 1)], media, ("rain", "drama"))
    plan = drawn(brief, seed)
    text = planner.say(plan, brief)[0]
    works = [] if plan["works"] == NOTHING else plan["works"].split(JOINT)
    assert len(works) <= 3 and all(work in text for work in works[:1]) and set(works) <= set(NAMES)
    assert not contradict(plan[aspect] for aspect in PICTURE if aspect in plan) and ("motion" in plan) == (
        media == "video"
    )
    assert clip_tokens(text) <= 77 and draft_problem(text, media, 77, works) is None
    assert plan["subject"][1:] in text and plan["setting"] in text
    for aspect, phrases in lexicons().scenes[domain].get(plan["subject"], {}).items():
        assert plan[aspect] in phrases or contradict((*(plan[name] for name in PICTURE if name in plan), *phrases))
    if not name_terms:
        assert not works and not re.search(r"\b(?:rain|dramas?)\b", text)


def test_what_is_probable_is_named_and_gear_is_shown_where_a_picture_is_of_gear():
    gear = next(name for name, kind in lexicons().kinds["game"].items() if kind.literal)
    facts = [
        ItemFacts("Halo", False, ("shooter",), "Xbox"),
        ItemFacts("Doom", False, ("shooter",), "Xbox"),
        ItemFacts("Gran Turismo", False, ("racing",), "Xbox"),
        ItemFacts("Grip", True, (gear,), "Xbox"),
        *(ItemFacts(f"Strap {n}", True, (gear,), "Xbox") for n in range(3)),
    ]
    planner = Planner(facts, "game")

    def written(*weights):
        return drawn(planner.brief([], range(len(weights)), weights, "image", ()), 0)

    # What is of none of the label's kinds counts .6: as probable, it is named last; twice as probable, before.
    assert written(0.3, 0.3, 0.3, 0.1)["works"] == JOINT.join(["Halo", "Doom", "Gran Turismo"])
    assert written(0.3, 0.2, 0.4, 0.1)["works"] == JOINT.join(["Halo", "Gran Turismo", "Doom"])
    # Games are named beside games and gear beside gear, whatever is more probable.
    assert written(0.5, 0.2, 0.0, 0.3)["works"] == JOINT.join(["Halo", "Doom", "Gran Turismo"])
    shown = planner.brief([], range(7), (0.1, 0, 0, 0.6, 0.1, 0.1, 0.1), "image", ())
    assert {"a Grip", "a Strap 0"} <= {phrase for own in shown.labels.values() for phrase in own["subject"]}
    assert drawn(shown, 0)["works"] == JOINT.join(["Strap 1", "Strap 2"])
    assert not any("way" in own["wording"] for own in shown.labels.values())
    # Styles say the machine that the label says, but for one of so many words that it would be an echo.
    assert written(0.5, 0.5)["style"].startswith("Xbox ")
    facts = [ItemFacts("Advance Wars", False, ("strategy",), "Game Boy Advance")]
    plan = drawn(Planner(facts, "game").brief([], [0], [1.0], "image", ()), 0)
    assert plan["label"].startswith("Game Boy Advance ") and not plan["style"].startswith("Game Boy")


@pytest.mark.parametrize(
    ("article", "nouns"),
    {
        "a": (
            "grim shooter",
            "Grip",
            "unicorn",
            "European film",
            "NASA poster",
            "32GB card",
            "110V plug",
            "Xenon lamp",
        ),
        "an": ("open road", "Xbox One headset", "SD card", "HD display", "8GB card", "18-wheeler", "11-in-1 kit"),
        "": ("Textured Back Panels", "Thumbsticks"),
    }.items(),
)
def test_nouns_have_the_article_that_is_heard(article: str, nouns: tuple[str, ...]) -> None:
    assert [with_article(noun) for noun in nouns] == [f"{article} {noun}".strip() for noun in nouns]
    assert with_article("wide-angle lens") == "a wide-angle lens" and with_article("FM bus") == "an FM bus"


def test_labels_read_as_english():
    film, game = Planner([ItemFacts("x")], "film"), Planner([ItemFacts("x")], "game")
    assert film.label(("comedy", "romance"), "", "image") == "romantic comedy"
    assert film.label(("sci-fi",), "", "image") == "science-fiction film"
    assert film.plural("comedy") == "comedies" and film.plural("war") == "war films"
    assert game.label(("racing",), "PlayStation 2", "video") == "PlayStation 2 racing game"


def test_what_is_said_of_a_history_is_true():
    facts = [ItemFacts(f"F{n}", False, ("drama",) if n < 6 else ("war",)) for n in range(9)]
    history = [0, 1, 2, 3, 4, 6, 7, 8]
    brief = Planner(facts, "film").brief(history, [5], [1.0], "image", ())
    assert brief.trail.threads["dramas"] == (5, ("F4", "F3"))
    for seed in range(9):
        text = thought_text(drawn(brief, seed), {"mood": "eerie", "label": "drama", "works": "F5"}, brief.trail)
        assert text.endswith("So next I look for an eerie drama, somewhere near F5.") and 2 <= text.count(". ") + 1 <= 3
    lone = Planner(facts, "film").brief([0], [5], [1.0], "image", ())
    assert "only one film" in thought_text(drawn(lone, 0), "So next I look for war", lone.trail)
    new = Planner(facts, "film").brief([], [5], [1.0], "image", ())
    assert thought_text(drawn(new, 0), "So next I look for war", new.trail).startswith("There is nothing behind me so")


@given(**BRIEFS)
@settings(max_examples=60, deadline=None)
def test_a_thought_leads_where_the_plan_goes_and_names_nothing_twice(domain, media, history, items, seed):
    planner = Planner(catalogue(domain), domain)
    brief = planner.brief(history, items, [1.0] * len(items), media, ())
    plan = drawn(brief, seed)
    thought = planner.say(plan, brief)[1]
    assert ".." not in thought and thought.endswith((".", "!"))
    assert plan["thread"] != plan["lately"] or plan["thread"] == NOTHING
    if plan["thread"] != NOTHING:
        shown = thought.partition(" behind me are ")[2]
        for name in brief.trail.threads[plan["thread"]][1]:
            assert name not in plan["lately"].split(" and ") and shown.count(f" {name}") >= 1
        expected = {planner.plural(kind) for kind in planner.kinds if any(kind in f.kinds for f in planner.facts)}
        assert plan["thread"] in expected


def test_a_thread_is_of_a_kind_that_is_expected():
    facts = [ItemFacts(f"F{n}", False, ("drama",) if n < 6 else ("war",)) for n in range(9)]
    trail = Planner(facts, "film").trail([0, 1, 2, 3, 6, 7], {"war"})
    assert list(trail.threads) == ["war films"] and trail.lately("war films")[0] == "F3 and F2"
    assert list(Planner(facts, "film").trail([0, 1, 2, 6], {"war"}).threads) == ["dramas"]


def test_a_text_too_long_says_less_of_the_craft_first():
    planner = Planner(catalogue("film"), "film")
    brief = planner.brief([1], [1, 2, 3], [0.5, 0.3, 0.2], "image", ())
    plan = drawn(brief, 3)
    whole, short = realise(plan, brief, 200), realise(plan, brief, clip_tokens(realise(plan, brief, 200)) - 1)
    assert plan["composition"] in whole and plan["composition"] not in short and plan["subject"][3:] in short


def test_every_phrase_of_the_lexicon_is_usable():
    words = lexicons()
    for kinds in words.kinds.values():
        for kind, aspect in itertools.product(kinds.values(), SHOWN):
            assert kind.cues and len(kind.phrases[aspect]) >= 2
            for phrase in kind.phrases[aspect]:
                left, right = sides(phrase)
                assert not left & right and JOINT not in phrase, phrase
    for domain in DOMAINS:
        assert words.nouns[domain] and words.links[domain] and words.styles["image"][domain]


@pytest.fixture(scope="module")
def vocabulary():
    tokenizer = train_tokenizer(["a film of rain and war", *NAMES] * 3, 300)
    return Vocabulary(tokenizer, len(tokenizer), 3, 4)


@given(**BRIEFS, think=st.booleans())
@settings(max_examples=30, deadline=None)
def test_tokens_spell_plans_and_nothing_else(vocabulary, domain, media, history, items, seed, think):
    brief = Planner(catalogue(domain), domain).brief(history, items, [1.0] * len(items), media, ())
    terms = [5, 6, vocabulary.special('"], "target_ins": "')]
    plan = drawn(brief, seed)
    tokens, options = Choices(vocabulary, brief, terms, think, {}).spell(plan)
    again = Choices(vocabulary, brief, terms, think, {})
    assert again.replay(tokens) == options and again.done
    assert again.plan == {aspect: plan[aspect] for aspect in (*(THOUGHTS if think else ()), *brief.aspects)}
    assert all(token in offered for token, offered in zip(tokens, options, strict=True))
    # Any walk through the options is a plan.
    walk, rng = Choices(vocabulary, brief, terms, think, {}), random.Random(seed)
    while not walk.done:
        walk.take(rng.choice(walk.options()))
    known = brief.labels[walk.plan["label"]]
    assert all(walk.plan[aspect] in known[aspect] for aspect in brief.aspects if aspect != "label")


@pytest.mark.parametrize(
    ("prompt", "media", "problem"),
    [
        ("A lone rider on a ridge, at noon.", "image", None),
        ("Two coffee cups side by side next to two coffee cups side by side.", "image", "a phrase joined to itself"),
        ("Explosions and explosions.", "image", "a word twice in a row"),
        ("A fox. It runs for six seconds.", "image", "a duration in a still picture"),
        ("A fox for six seconds, in all about eight seconds.", "video", "two durations"),
        ("A teal palette and an amber palette.", "image", "two palettes"),
        ("Golden-hour light at midnight.", "image", "a contradiction"),
        ("A photograph, an oil painting of a cat.", "image", "a contradiction"),
        ("word " * 90, "image", "past the budget"),
        (" ", "image", "empty"),
    ],
)
def test_what_no_teacher_may_hand_in(prompt, media, problem):
    assert draft_problem(prompt, media) == problem


def test_titles_may_say_what_they_like():
    prompt = "Die Hard and Die Hard 2 meet at noon, near Dawn of Night."
    assert (
        draft_problem(prompt, "image")
        and draft_problem(prompt, "image", 77, ("Die Hard 2", "Die Hard", "Dawn of Night")) is None
    )


def test_titles_may_stand_in_one_another_and_open_a_sentence():
    prompt = "Blue Harbour Nights and Old Blue Harbour Nights in one quiet drama: a ferry by a pier."
    works = ("blue Harbour Nights", "Old Blue Harbour Nights")
    assert draft_problem(prompt, "image") == "a phrase twice"
    assert draft_problem(prompt, "image", 77, works) is draft_problem(prompt, "image", 77, works[::-1]) is None

"""The offline teacher and judge: names nothing, is deterministic, varied, on target; scores follow their formulas."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_navigen.errors import InputError
from recbole_navigen.supervision.evolution import SearchSettings, evolve
from recbole_navigen.supervision.fitness import names_target
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
from recbole_navigen.supervision.template.judge import TemplateJudge
from recbole_navigen.supervision.template.lexicons import (
    CONTENT_GENES,
    CRAFT_GENES,
    VIDEO_GENES,
    content_words,
    lexicons,
    sides,
)
from recbole_navigen.supervision.template.template_teacher import TemplateTeacher
from recbole_navigen.supervision.template.term_space import TermSpace
from recbole_navigen.supervision.template.wordings import GROUPS, MERGED, realise

GENRES = ("western", "comedy", "horror", "romance", "sci-fi", "war", "animation", "children")
CATALOGUE = [
    (GENRES[i % 8], GENRES[i // 8 % 8], f"title{i}", "cartoonish" if i % 8 == 6 else "plain") for i in range(80)
]
HISTORY = (("western", "plain"), ("comedy", "title1"))


@pytest.fixture(scope="module")
def space():
    return TermSpace(CATALOGUE)


def founders(sample):
    return Task(sample, tuple(Order(direction) for direction in FOUNDERS))


# Words of the grammar and of the lexicons, so that naming is hard to avoid.
HARD = st.sampled_from(
    ["the", "mood", "light", "camera", "western", "frame", "clip", "atmosphere", "with", "of", "palette"]
)


@given(
    target=st.lists(HARD | st.sampled_from(GENRES), min_size=1, max_size=4, unique=True),
    domain=st.sampled_from(DOMAINS),
    media=st.sampled_from(["image", "video"]),
)
@settings(max_examples=80, deadline=None)
def test_the_target_is_never_named(space, target, domain, media):
    sample = Sample("u", HISTORY, tuple(target), domain, media)
    outcome = evolve([sample], TemplateTeacher(space), TemplateJudge(space), SearchSettings(rounds=2))
    for result in outcome.results:
        if result is None:  # nothing could be written without a word such as `the`
            assert {"the", "of", "with", "frame", "clip"} & set(target)
            continue
        for candidate in result.trace["candidates"]:
            assert not names_target(candidate["prompt"], target) and len(candidate["prompt"]) > 10


def test_a_text_that_cannot_begin_without_naming_is_a_failure(space):
    # A word of every opening of an image.
    target = ("with", "standing", "whole", "picture", "brings", "midst", "show", "built", "before", "place")
    target += ("surrounds", "turns", "closer")
    free = Sample("v", HISTORY, target, name_target=True)
    drafts = TemplateTeacher(space).write([founders(Sample("u", HISTORY, target)), founders(free)])
    assert drafts[0] is None and all(draft.prompt for draft in drafts[1])


def test_an_aspect_without_a_free_phrase_is_left_out(space):
    target = tuple({word for phrase in lexicons().phrases("palette", "generic") for word in phrase.lower().split()})
    for draft in TemplateTeacher(space).write([founders(Sample("u", HISTORY, target))])[0] or ():
        assert draft.genome["palette"] is None and not names_target(draft.prompt, target)


def test_the_target_is_named_where_that_is_allowed(space):
    sample = Sample("u", HISTORY, ("gunfight", "western"), name_target=True)
    tasks = [founders(Sample(f"u{n}", HISTORY, sample.target, name_target=True)) for n in range(20)]
    drafts = [draft for row in TemplateTeacher(space).write(tasks) for draft in row]
    assert sum(names_target(draft.prompt, sample.target) for draft in drafts) > len(drafts) / 3


def test_drafts_depend_on_seed_and_sample_alone(space):
    tasks = [founders(Sample(f"u{n}", HISTORY, CATALOGUE[n])) for n in range(20)]
    together = TemplateTeacher(space, 3).write(tasks)
    assert together == TemplateTeacher(space, 3).write(tasks)
    assert together[::-1] == [TemplateTeacher(space, 3).write([task])[0] for task in tasks[::-1]]
    assert together != TemplateTeacher(space, 4).write(tasks)


def test_no_two_users_get_the_same_text_and_sentences_are_built_in_many_ways(space):
    tasks = [founders(Sample(f"u{n}", HISTORY, ("western", "war"))) for n in range(100)]
    prompts = [draft.prompt for row in TemplateTeacher(space).write(tasks) for draft in row]
    assert len(set(prompts)) == len(prompts)
    openings = {" ".join(prompt.split()[:2]) for prompt in prompts}
    assert len(openings) > 20


@pytest.mark.parametrize(("genre", "theme"), [("western", "western"), ("sci-fi", "scifi"), ("cartoonish", "children")])
def test_meaning_travels_through_themes(space, genre, theme):
    """A genre reaches its theme's phrases; `cartoonish`, in no lexicon, does so by the items it stands in."""
    tasks = [founders(Sample(f"u{n}", (), (genre,))) for n in range(40)]
    own = lexicons().themes[theme]
    cautious = [row[0].genome for row in TemplateTeacher(space).write(tasks)]
    assert sum(genome["subject"] in own["subject"] for genome in cautious) > 20
    bold = [row[2].genome for row in TemplateTeacher(space).write(tasks)]
    count = sum(genome["subject"] in own["subject"] for genome in bold)
    assert count <= sum(genome["subject"] in own["subject"] for genome in cautious)


def test_a_mutation_changes_one_aspect(space):
    teacher = TemplateTeacher(space)
    sample = Sample("u", HISTORY, ("western",))
    parent = teacher.write([founders(sample)])[0][1]
    for round_ in range(1, 12):
        child = teacher.write([Task(sample, (Order(MUTATION, (parent,)),), round_)])[0][0]
        changed = {gene for gene in child.genome if child.genome[gene] != parent.genome[gene]}
        groups = ({"details", "more_details"}, {"mood", "motif"}, {"scene"}, {"composition"}, {"camera"}, {"lighting"})
        assert changed and any(changed <= group for group in groups)


def test_a_video_moves_and_an_image_does_not(space):
    for media, has in (("video", True), ("image", False)):
        for draft in TemplateTeacher(space).write([founders(Sample("u", HISTORY, ("war",), media=media))])[0]:
            assert set(VIDEO_GENES) <= set(draft.genome) if has else not set(VIDEO_GENES) & set(draft.genome)
            assert ("second" in draft.prompt) is has


@pytest.mark.parametrize("media", ["image", "video"])
@pytest.mark.parametrize("domain", DOMAINS)
def test_no_draft_contradicts_itself(space, domain, media):
    """Neither founders nor children: the judge finds nothing."""
    teacher, judge = TemplateTeacher(space), TemplateJudge(space)
    samples = [Sample(f"u{n}", HISTORY, CATALOGUE[n], domain, media) for n in range(12)]
    for result in evolve(samples, teacher, judge, SearchSettings(rounds=3)).results:
        assert not [one for one in result.trace["candidates"] if " against " in one["reason"]]


@pytest.mark.parametrize("operator", [CROSSOVER, MUTATION])
def test_feelings_belong_together(space, operator):
    """A motif is a noun of the lexicons, and the mood is of a theme of it; also what a child gets."""
    teacher = TemplateTeacher(space)
    for n in range(20):
        sample = Sample(f"u{n}", HISTORY, CATALOGUE[n])
        drafts = teacher.write([founders(sample)])[0]
        for round_ in range(1, 5):
            drafts += teacher.write(
                [Task(sample, (Order(operator, drafts[-2:][: 1 + (operator == CROSSOVER)]),), round_)]
            )[0]
        for genome in (draft.genome for draft in drafts):
            owners = {theme for theme, lists in lexicons().themes.items() if genome["motif"][0] in lists["motif"]}
            assert owners and any(genome["mood"] in lexicons().themes[theme]["mood"] for theme in owners)


def test_what_is_said_differs_in_number_and_merging_of_sentences(space):
    """All that a picture needs is always said; the details, and how much a sentence holds, vary."""
    tasks = [founders(Sample(f"u{n}", HISTORY, ("war",))) for n in range(60)]
    drafts = [draft for row in TemplateTeacher(space).write(tasks) for draft in row]
    assert {draft.prompt.count(".") for draft in drafts} >= {3, 4, 5, 6, 7}
    for draft in drafts:
        text = draft.prompt.lower()
        assert all(draft.genome[gene].lower() in text for gene in ("subject", "scene", "mood", "medium", *CRAFT_GENES))
    assert 0 < sum(draft.genome["details"].lower() not in draft.prompt.lower() for draft in drafts) < len(drafts) / 3


def test_sentences_that_cannot_be_merged_are_said_one_by_one():
    genome = {"subject": "a fox", "scene": "a field", "medium": "digital photograph", "style": "painterly realism"}
    forbidden = re.compile(
        "|".join(re.escape(w.split("{")[0]) or "painterly realism:" for w in MERGED["image", "craft"])
    )
    for wording in range(60):
        text = realise({**genome, "motif": [], "wording": wording}, "image", forbidden)
        assert "a fox" in text.lower() and "painterly realism" in text.lower()


def test_every_wording_says_its_groups_and_is_neutral():
    needs = {"craft": {"style"}, "frame": {"camera", "composition"}, "light": {"lighting", "palette"}}
    needs |= {"detail": {"details"}, "feeling": {"mood"}, "movement": {"motion", "duration"}}
    needs |= {"image": {"subject", "scene", "a_medium"}, "video": {"subject", "scene"}}
    for groups, wordings in ({(name,): texts for name, texts in GROUPS.items()} | MERGED).items():
        for wording in wordings:
            slots = {slot.lower() for slot in re.findall(r"\{(\w+)\}", wording)}
            assert slots >= set().union(*(needs[group] for group in groups)), wording
            assert sides(re.sub(r"\{\w+\}", "", wording)) == (0, 0), wording
            # "A mood" would read "a explosive".
            assert not re.search(r"\b[Aa]n? \{", wording), wording


def test_both_articles_of_media():
    for medium, start in (("oil-on-canvas painting", "an oil"), ("35mm film photograph", "a 35mm")):
        genome = {"subject": "a fox", "scene": "a field", "medium": medium, "motif": [], "wording": 3}
        assert start in realise(genome, "image", None).lower()


def judge_one(space, prompt, sample=None, rivals=()):
    sample = sample or Sample("u", HISTORY, ("western", "war"))
    return TemplateJudge(space).judge([Review(sample, (Draft(prompt),), (tuple(map(Draft, rivals)),))])[0][0]


GOOD = (
    "A digital photograph of a lone rider on a ridge, set in a mesa country trail. Painterly realism throughout. "
    "Soft window light over muted earth tones. A low-angle wide lens with strong foreground framing. The mood is stoic."
)


def test_the_judge_prefers_what_its_formulas_say(space):
    good = judge_one(space, GOOD)
    assert (
        good.consistency > judge_one(space, GOOD.replace("lone rider on a ridge", "glossy layered dessert")).consistency
    )
    assert good.aesthetic > judge_one(space, GOOD.replace("Soft window light over muted earth tones. ", "")).aesthetic
    assert good.executability == 10
    contradiction = judge_one(space, GOOD + " Full noon sun in moonlit midnight.")
    assert contradiction.executability == pytest.approx(8.5) and "noon" in contradiction.reason
    for clash in (
        "An oil-on-canvas painting, clean photography.",
        "A shallow focus with deep staging.",
        "Golden-hour backlight at midnight.",
        "Dusk at noon.",
    ):
        assert judge_one(space, GOOD.replace("digital photograph", "picture") + " " + clash).executability < 9, clash
    assert judge_one(space, "A rider.").executability < 8
    assert judge_one(space, GOOD, Sample("u", HISTORY, ("western",), media="video")).executability == 8
    assert judge_one(space, GOOD, rivals=[GOOD]).novelty < judge_one(space, GOOD, rivals=["A bowl of soup."]).novelty


def test_nothing_written_is_still_judged(space):
    judgement = judge_one(space, "???")
    assert judgement.consistency == 0 and judgement.novelty == 0


def test_a_search_gains_over_its_founders(space):
    samples = [Sample(f"u{n}", HISTORY, CATALOGUE[n]) for n in range(60)]
    results = evolve(samples, TemplateTeacher(space), TemplateJudge(space)).results
    first = [max(c["overall"] for c in result.trace["candidates"] if c["round"] == 0) for result in results]
    assert sum(result.score.overall for result in results) > sum(first) + 1
    assert all(result.score.overall >= best for result, best in zip(results, first, strict=True))


def test_every_phrase_is_usable():
    words = lexicons()
    for theme in words.themes.values():
        assert all(len(theme[gene]) >= 3 for gene in CONTENT_GENES) and theme["cues"]
    for aspect in (*CRAFT_GENES, *VIDEO_GENES, "medium"):
        for domain in DOMAINS:
            for phrase in words.phrases(aspect, domain):
                # The judge must be able to see in a prompt what the teacher wrote into it.
                assert words.markers[aspect] & set(content_words(phrase)), phrase
                left, right = sides(phrase)
                assert not left & right, phrase
    # A medium is named with an article, so it is one thing; film and clips are for videos.
    media = {phrase for domain in DOMAINS for phrase in words.phrases("medium", domain)}
    assert {phrase.split()[-1] for phrase in media} == {
        *("photograph", "painting", "illustration", "render", "snapshot", "poster")
    }
    for theme in words.themes.values():
        # Joined by "and", and after "echoes of".
        assert not any(" and " in motif for motif in theme["motif"])


def test_a_catalogue_without_items_is_refused():
    with pytest.raises(InputError, match="no items"):
        TermSpace([])

"""From a genome to English: which sentences, in which order, and for each several wordings of its own build.

A text says up to seven things: the opening, and the GROUPS below. Their order is drawn; neighbours that MERGED knows
become one sentence half of the time; the details are left out now and then. So texts differ in number, length and
order of their sentences, while what a picture needs is always said.
"""

import random
import re
from collections.abc import Mapping, Sequence

# What a sentence is about -> wordings. A wording is usable if the genome has all of its aspects. None has a word of
# `exclusive`, a verb that agrees with one aspect alone, or a preposition that only some scenes take.
GROUPS = {
    "image": (
        "{A_medium} of {subject}, with {scene} all around",
        "{Subject}, standing out against {scene}, captured as {a_medium}",
        "Against {scene}, we find {subject}; the whole is {a_medium}",
        "Picture {scene} with {subject} at its heart, made as {a_medium}",
        "{A_medium} that brings together {subject} and {scene}",
        "{Scene} and, in the midst of it, {subject}, done as {a_medium}",
        "Show {subject} and, behind, {scene}. Finish it as {a_medium}",
        "{A_medium} built around {subject}, with {scene} beyond",
        "{A_medium}: {subject} before {scene}",
        "The place is {scene}; what matters is {subject}. Make it {a_medium}",
        "Create {a_medium} in which {scene} surrounds {subject}",
        "Everything turns on {subject}. Give it {scene} to live in, as {a_medium}",
        "Imagine {subject} before {scene}, rendered as {a_medium}",
        "First {scene}, then, closer to us, {subject}: {a_medium}",
    ),
    "video": (
        "A clip opens on {scene} and finds {subject}",
        "{Subject}, seen against {scene}",
        "Begin with {subject}, then reveal {scene}",
        "We come upon {scene} and, after a beat, discover {subject}",
        "Stay with {subject} and let {scene} breathe in the back",
        "A short sequence around {scene}, centred on {subject}",
        "Film {subject} against {scene}",
        "The place is {scene}; the clip belongs to {subject}",
        "Follow {subject} before {scene}",
        "First we see {scene}, then, closer, {subject}",
    ),
    "craft": (
        "The treatment is {style}",
        "{Style} throughout",
        "Aim for {style}",
        "Work in {style}",
        "The look: {style}",
        "Keep to {style} from corner to corner",
        "Think of {style}",
        "Everything is done in {style}",
    ),
    "frame": (
        "{Camera} and {composition}",
        "Use {camera} and {composition}",
        "Seen in {camera}, with {composition} to guide the eye",
        "{Composition}, taken in {camera}",
        "Choose {camera}, and {composition} to keep it readable",
        "Set it up as {camera}; use {composition}",
        "We get {camera}; the layout relies on {composition}",
        "Combine {camera} and {composition}",
    ),
    "light": (
        "{Lighting} over {palette}",
        "Light it with {lighting}; keep to {palette}",
        "{Palette}, shaped by {lighting}",
        "{Lighting} and {palette} belong together",
        "Let {lighting} model the forms within {palette}",
        "For colour, {palette}; for light, {lighting}",
        "Pair {lighting} with {palette}",
        "{Palette} under {lighting}",
        "There is {lighting}, and the colours stay with {palette}",
    ),
    "detail": (
        "Notice {details} and {more_details}",
        "{Details} and {more_details} reward a patient eye",
        "Small touches: {details}, {more_details}",
        "Close by, {details}; further off, {more_details}",
        "Include {details}, and somewhere {more_details}",
        "One finds {details}",
        "Leave room for {details}",
        "Almost hidden: {details}",
        "Add {details} next to {more_details}",
        "A single telling touch: {details}",
        "Somewhere there must be {details}",
    ),
    "feeling": (
        "The mood is {mood}, with hints of {motif}",
        "It should feel {mood}, in an atmosphere of {motif}",
        "{Mood} in atmosphere, carrying echoes of {motif}",
        "An overall {mood} atmosphere recalls {motif}",
        "The mood is {mood} from edge to edge",
        "Keep the atmosphere {mood}",
        "Let thoughts of {motif} set a mood that is {mood}",
        "The feeling is {mood} and calls up {motif}",
        "Viewers should think of {motif}; the mood stays {mood}",
        "Its spirit is {mood}, close to {motif}",
    ),
    "movement": (
        "For movement, {motion}; the clip lasts {duration}",
        "{Motion} over {duration}",
        "Over {duration}, {motion}",
        "Let it run {duration} with {motion}",
        "The movement is {motion}, {duration} in all",
        "Give it {duration} and {motion}",
    ),
}
# Two groups that follow one another -> wordings that say both at once.
MERGED = {
    ("image", "craft"): (
        "{A_medium} in {style}: {subject} before {scene}",
        "In {style}, {a_medium} of {subject} against {scene}",
    ),
    ("image", "light"): (
        "{A_medium} of {subject} against {scene}, with {lighting} and {palette}",
        "{Lighting} on {subject} and on {scene}: {a_medium} in {palette}",
    ),
    ("image", "feeling"): (
        "{A_medium} of {subject} before {scene}, {mood} in mood, with a breath of {motif}",
        "For a mood that is {mood} and a memory of {motif}, {a_medium} of {subject} against {scene}",
    ),
    ("video", "craft"): (
        "A clip in {style} opens on {scene} and finds {subject}",
        "In {style}, show {subject} against {scene}",
    ),
    ("video", "movement"): (
        "The clip meets {subject} before {scene} and runs {duration} with {motion}",
        "{Scene}, {subject}, and {motion} that lasts {duration}",
    ),
    ("craft", "frame"): (
        "{Style}, with {camera} and {composition}",
        "Pair {style} with {camera} and {composition}",
    ),
    ("frame", "craft"): ("{Camera} and {composition} in {style}",),
    ("craft", "light"): (
        "{Style} in {palette}, with {lighting}",
        "Combine {style} with {lighting} and {palette}",
    ),
    ("light", "craft"): ("{Lighting} and {palette} give depth to {style}",),
    ("light", "feeling"): (
        "{Lighting} and {palette} keep the mood {mood}, with a trace of {motif}",
        "Let {lighting} over {palette} make the mood {mood}",
    ),
    ("feeling", "light"): (
        "To feel {mood} and recall {motif}, the atmosphere needs {lighting} and {palette}",
        "The mood, {mood}, is carried by {lighting} and {palette}",
    ),
    ("frame", "detail"): (
        "{Camera} and {composition} take in {details} and {more_details}",
        "Use {camera} and {composition}, so that {details} can be made out",
    ),
    ("detail", "frame"): ("{Details} and {more_details} find their place in {camera}, with {composition}",),
    ("detail", "feeling"): (
        "{Details} and {more_details} keep the mood {mood} and speak of {motif}",
        "With {details}, the atmosphere turns {mood}",
    ),
    ("feeling", "detail"): ("The mood is {mood}; {details} and {more_details} tell of {motif}",),
    ("light", "detail"): (
        "{Lighting} over {palette} picks out {details}",
        "{Palette} and {lighting}, down to {details} and {more_details}",
    ),
    ("frame", "light"): ("{Camera} and {composition}, under {lighting} and in {palette}",),
}
MERGING = 0.5  # how often neighbours that can be one sentence become one
NO_DETAIL = 0.15  # how often the details are left out
_SLOT = re.compile(r"\{(\w+)\}")
_NEEDS = {
    wording: frozenset(_SLOT.findall(wording))
    for wordings in (*GROUPS.values(), *MERGED.values())
    for wording in wordings
}


def realise(genome: Mapping[str, object], media: str, forbidden: re.Pattern | None) -> str:
    """Write a genome as text.

    Args:
        genome: aspect -> phrase, `motif` -> list of words, `wording` -> seed of plan and wordings. Missing aspects are
            left out together with the wordings that need them.
        media: `image` or `video`.
        forbidden: what no sentence may contain.

    Returns:
        One paragraph; "" if the opening cannot be written.
    """
    rng = random.Random(genome["wording"])
    slots = {aspect: phrase for aspect, phrase in genome.items() if isinstance(phrase, str)}
    if motif := genome["motif"]:
        slots["motif"] = " and ".join(motif)
    if "medium" in slots:
        slots["a_medium"] = _with_article(slots["medium"])
    slots |= {aspect[0].upper() + aspect[1:]: phrase[0].upper() + phrase[1:] for aspect, phrase in slots.items()}

    sentences = []
    for groups in _plan(rng, media):
        # What cannot be said at once is said one by one.
        sentence = _sentence(rng, MERGED[groups], slots, forbidden) if len(groups) == 2 else None
        parts = [sentence] if sentence else [_sentence(rng, GROUPS[group], slots, forbidden) for group in groups]
        if not sentences and not parts[0]:
            return ""
        sentences += filter(None, parts)
    return ". ".join(sentences) + "."


def _plan(rng: random.Random, media: str) -> list[tuple[str, ...]]:
    """Groups in the order of their sentences, one or two a sentence; the opening first."""
    order = rng.sample(("craft", "frame", "light", "detail", "feeling"), 5)
    if rng.random() < NO_DETAIL:
        order.remove("detail")
    if media == "video":  # movement comes last or right after the opening
        order.insert(rng.choice((0, len(order))), "movement")
    plan: list[tuple[str, ...]] = [(media,)]
    for group in order:
        if (*plan[-1], group) in MERGED and rng.random() < MERGING:
            plan[-1] = (*plan[-1], group)
        else:
            plan.append((group,))
    return plan


def _sentence(
    rng: random.Random, wordings: Sequence[str], slots: Mapping[str, str], forbidden: re.Pattern | None
) -> str | None:
    """One of the wordings, filled in; None if none is free."""
    for wording in rng.sample(wordings, len(wordings)):
        if slots.keys() >= _NEEDS[wording]:
            sentence = wording.format_map(slots)
            if forbidden is None or not forbidden.search(sentence):
                return sentence
    return None


def _with_article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun

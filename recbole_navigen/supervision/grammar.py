"""From a genome to English: sentence plans, and for each sentence several wordings of its own build."""

import random
import re
from collections.abc import Mapping

# Group -> wordings. A wording is usable if the genome has all of its aspects.
OPENINGS = {
    "image": (
        "{A_medium} of {subject}, set in {scene}",
        "{Subject}, standing out against {scene}, captured as {a_medium}",
        "Against {scene}, we find {subject}; the whole is {a_medium}",
        "Picture {scene} with {subject} at its heart, made as {a_medium}",
        "{A_medium} that brings together {subject} and {scene}",
        "{Scene} across the whole frame and, within it, {subject}, done as {a_medium}",
        "Show {subject} and, behind, {scene}. Finish it as {a_medium}",
        "{A_medium} built around {subject}, with {scene} beyond",
    ),
    "video": (
        "A clip opens on {scene} and finds {subject}",
        "{Subject}, seen against {scene} in a single continuous take",
        "Begin with {subject}, then reveal {scene}",
        "We enter {scene} and, after a beat, discover {subject}",
        "Stay with {subject} while {scene} unfolds around",
        "A short sequence around {scene}, centred on {subject}",
    ),
}
GROUPS = {
    "craft": (
        "The treatment is {style}",
        "{Style} throughout",
        "Aim for {style} rather than a snapshot",
        "Work in {style}, with every surface believable",
    ),
    "frame": (
        "{Camera} for the viewpoint, with {composition}",
        "Use {camera} and {composition}",
        "Seen through {camera}, with {composition} to guide the eye",
        "{Composition}, taken with {camera}",
        "The viewpoint is {camera}; choose {composition} to keep it readable",
    ),
    "light": (
        "{Lighting} over {palette}",
        "Light it with {lighting}; keep to {palette}",
        "{Palette}, shaped by {lighting}",
        "{Lighting} and {palette} hold everything together",
        "Let {lighting} model the forms within {palette}",
    ),
    "detail": (
        "Notice {details} and {more_details}",
        "{Details} and {more_details} reward a second look",
        "Small touches: {details}, {more_details}",
        "Close by, {details}; further off, {more_details}",
        "Do not lose {details}, nor {more_details}",
    ),
    "feeling": (
        "The mood is {mood}, with hints of {motif}",
        "It should feel {mood}, an atmosphere of {motif}",
        "{Mood} in atmosphere, carrying echoes of {motif}",
        "An overall {mood} atmosphere recalls {motif}",
        "The mood is {mood} from edge to edge",
        "Keep the atmosphere {mood}",
    ),
    "movement": (
        "For movement, {motion}; the clip lasts {duration}",
        "{Motion} over {duration}",
        "Over {duration}, {motion}",
        "Let it run {duration} with {motion}",
    ),
}
# Orders of what follows the opening; the movement of a video comes last or right after the opening.
PLANS = (
    ("craft", "frame", "light", "detail", "feeling"),
    ("light", "detail", "feeling", "frame", "craft"),
    ("detail", "light", "frame", "craft", "feeling"),
    ("feeling", "detail", "craft", "light", "frame"),
    ("frame", "feeling", "light", "detail", "craft"),
    ("light", "frame", "detail", "feeling", "craft"),
)
_SLOT = re.compile(r"\{(\w+)\}")


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
        slots["a_medium"] = ("an " if slots["medium"][0] in "aeiou" else "a ") + slots["medium"]
    slots |= {aspect[0].upper() + aspect[1:]: phrase[0].upper() + phrase[1:] for aspect, phrase in slots.items()}
    plan = list(rng.choice(PLANS))
    if media == "video":
        plan.insert(rng.choice((0, len(plan))), "movement")
    sentences = []
    for wordings in (OPENINGS[media], *(GROUPS[group] for group in plan)):
        for wording in rng.sample(wordings, len(wordings)):
            if not slots.keys() >= set(_SLOT.findall(wording)):
                continue
            sentence = wording.format_map(slots)
            if forbidden is None or not forbidden.search(sentence):
                sentences.append(sentence)
                break
        if not sentences:
            return ""
    return ". ".join(sentences) + "."

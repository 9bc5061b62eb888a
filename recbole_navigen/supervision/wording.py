"""Plans and thoughts as sentences."""

import re
from collections.abc import Mapping, Sequence

from recbole_navigen.language.budget import CLIP_LENGTH, clip_tokens
from recbole_navigen.supervision.plans import NOTHING, Brief, Trail, listed, works_of
from recbole_navigen.supervision.template.lexicons import lexicons

# How a first sentence is built, by the number of works that it may name; what is named first weighs most.
ALONE = {"label": "{what}: {shown}", "subject": "{shown}, {what}"}
ONE = {"label": "{what} {link} {works}: {shown}", "link": "{link} {works}, {what}: {shown}"}
SEVERAL = {
    "meet": "{works} meet in {what}: {shown}",
    "way": "{first} by way of {others}, {what}: {shown}",
    "one": "{works} in one {mood} {label}: {shown}",
    "colon": "{works}: {what}, {shown}",
}
CLIPS = {name: SEVERAL[name] for name in ("one", "colon")}  # topics do not meet
# Parts of the second sentence, in the order in which a text that is too long gives them up.
KEPT = (("composition", "light", "palette"), ("light", "palette"), ("palette",), ())


def realise(plan: Mapping[str, str], brief: Brief, budget: int = CLIP_LENGTH) -> str:
    """Write a plan as one or two sentences.

    Args:
        plan: aspect -> phrase. brief: its domain and medium. budget: CLIP tokens; what is least important is left out
            until the text fits.
    """
    works = works_of(plan)
    for aspects in KEPT:
        for count in dict.fromkeys((len(works), min(len(works), 2), min(len(works), 1), 0)):
            text = _written(plan, brief, works[:count], aspects)
            if clip_tokens(text) <= budget:
                return text
            if aspects:  # rather say less of the craft than name fewer works
                break
    return text


def worded(domain: str, works: Sequence[str]) -> dict[str, str]:
    """Wordings for these works, name -> pattern."""
    if len(works) < 2:
        return ONE if works else ALONE
    patterns = CLIPS if domain == "short_video" else SEVERAL
    # One colon behind another cannot be read.
    return {name: text for name, text in patterns.items() if name != "colon" or not any(":" in one for one in works)}


def _written(plan: Mapping[str, str], brief: Brief, works: Sequence[str], aspects: Sequence[str]) -> str:
    patterns = worded(brief.domain, works)
    # A text that had to give up works is worded for those that are left.
    first = patterns.get(plan["wording"], next(iter(patterns.values()))).format(
        what=with_article(f"{plan['mood']} {plan['label']}"),
        shown=f"{plan['subject']} {plan['setting']}",
        mood=plan["mood"],
        label=plan["label"],
        link=lexicons().links[brief.domain],
        works=listed(works),
        first="".join(works[:1]),
        others=listed(works[1:]),
    )
    craft = [plan["motion"]] if brief.media == "video" else []
    craft += [plan[aspect] for aspect in ("light", "composition") if aspect in aspects]
    second = plan["style"] + (f" in {plan['palette']}" if "palette" in aspects else "")
    second += f", with {listed(craft)}" if craft else ""
    return _prose([first, second])


def thought_text(thought: Mapping[str, str], plan: Mapping[str, str] | str, trail: Trail) -> str:
    """What runs through a history, what has come lately and what follows, in two or three sentences that are true.

    Args:
        thought: each of THOUGHTS -> the phrase chosen. trail: of the history.
        plan: of the picture, or the last sentence itself.
    """
    sentences = []
    whole = f"{trail.items} {trail.noun}s" if trail.items > 1 else f"one {trail.noun}"
    if thought["thread"] in trail.threads:
        count, names = trail.threads[thought["thread"]]
        such = f", such as {listed(names)}" if names else ""
        sentences.append(
            f"{'All' if count == trail.items else count} of the {whole} behind me are {thought['thread']}{such}"
        )
    elif trail.items > 1:
        sentences.append(f"There are only {whole} behind me so far, and no two alike")
    else:
        sentences.append(f"There is {f'only {whole}' if trail.items else 'nothing'} behind me so far")
    if thought["lately"] != NOTHING:
        sentences.append(f"Lately I have turned to {thought['lately']}")
    if isinstance(plan, str):
        return _prose([*sentences, plan])
    works = works_of(plan)
    near = f", {'about' if trail.noun == 'clip' else 'somewhere near'} {works[0]}" if works else ""
    sentences.append(f"So next I look for {with_article(plan['mood'] + ' ' + plan['label'])}{near}")
    return _prose(sentences)


def _prose(sentences: Sequence[str]) -> str:
    """Sentences with their capitals and ends; a title may have brought its own ("Escape from L.A.")."""
    ended = [text if text.endswith((".", "!", "?")) else f"{text}." for text in sentences]
    return " ".join(text[0].upper() + text[1:] for text in ended)


def with_article(noun: str) -> str:
    """A noun with "a" or "an", by how its first word sounds (letters of an abbreviation are spelled out); a plural as
    it is.
    """
    words = noun.split()
    first, last = words[0], words[-1].lower()
    if last.endswith("s") and not last.endswith(("ss", "us", "is", "ens")) and not words[-1].isupper():
        return noun
    if (first.isupper() and first.isalpha() and len(first) in (2, 3)) or first.lower() == "xbox":
        vowel = first[0].upper() in "AEFHILMNORSX"
    elif first[0].isdigit():
        vowel = first.startswith("8") or re.match(r"1[18](?!\d)", first) is not None
    else:
        vowel = first[0].lower() in "aeiou" and not first.lower().startswith(("eu", "uni", "one", "use"))
    return ("an " if vowel else "a ") + noun

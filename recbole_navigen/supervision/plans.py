"""Plans of instructions: aspect by aspect what a picture shows, chosen from the facts of one user and the lexicon.

    what comes next, as a distribution over items  --facts-->  labels, named works, things to show   (candidates)
    the labels' kinds                              --lexicon-> subject, setting, mood, palette, light, style
    one candidate an aspect (`Plan`)               --realise-> one or two sentences

A single guess at the next item is mostly wrong, so what a plan may say is taken from the expectation over the POOL most
probable items, with the history's own kinds mixed in. Of kind k, with item weights p and the catalogue's share b,

    gain_k = (1 - HISTORY) sum_i p_i [i is k] + HISTORY (share of k among the RECENT last items) - LIFT b_k

Symbols: N items, C candidates of an aspect.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from re import Pattern
from typing import Any

import numpy as np

from recbole_navigen.language.budget import CLIP_LENGTH, clip_tokens
from recbole_navigen.supervision.facts import ItemFacts
from recbole_navigen.supervision.naming import term_pattern
from recbole_navigen.supervision.template.lexicons import SHOWN, content_words, contradict, lexicons

# In the order in which they are chosen; a plan of a picture has no motion.
ASPECTS = (
    "label",
    "works",
    "subject",
    "setting",
    "mood",
    "palette",
    "light",
    "style",
    "composition",
    "motion",
    "wording",
)
THOUGHTS = ("thread", "lately")  # what a thought chooses to speak of
POOL = 10
TEMPERATURE = 1.0
HISTORY = 0.4
RECENT = 10
LIFT = 0.7
MIXING = ("film", "generic")  # domains in which one item is of several kinds at once
LABELS, WORKS = 2, 3  # labels to choose from; works that are named at most
MACHINE = 0.35  # weight from which on the machine of a game is named
NEWEST = 5  # items that count as "lately"
# Parts of the second sentence, in the order in which a text that is too long gives them up.
CRAFT = (("composition", "light", "palette"), ("light", "palette"), ("palette",), ())
PICTURE = (*SHOWN, "style", "composition", "motion")  # aspects that could contradict each other
NOTHING, JOINT = "none", "; "  # no phrase for an aspect; between named works
WORDINGS = ("label", "works", "spirit")
ALONE = ("label", "subject")  # wordings of a plan that names no work


@dataclass(frozen=True, slots=True)
class Trail:
    """What is true of a history.

    Attributes:
        items: how many. noun: what one is called.
        threads: phrase of a kind, in the plural -> items of it, and names of the newest.
        lately: phrases of what the newest items are; each true.
    """

    items: int
    noun: str
    threads: Mapping[str, tuple[int, tuple[str, ...]]]
    lately: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Brief:
    """What may be said for one user at one moment.

    Attributes:
        domain, media: as in `Sample`.
        labels: how what comes next may be called, the likeliest first -> aspect -> its phrases, the likeliest first.
        trail: of the history, for the thought.
    """

    domain: str
    media: str
    labels: Mapping[str, Mapping[str, tuple[str, ...]]]
    trail: Trail

    @property
    def aspects(self) -> tuple[str, ...]:
        """The choices of a plan, in their order."""
        return tuple(aspect for aspect in ASPECTS if aspect != "motion" or self.media == "video")

    @property
    def thoughts(self) -> tuple[str, ...]:
        """The choices of a thought."""
        return THOUGHTS

    def candidates(self, aspect: str, plan: Mapping[str, str]) -> tuple[str, ...]:
        """What may be said of an aspect: without what contradicts or repeats the plan so far, if anything else is left.

        Args:
            aspect: one of ASPECTS or THOUGHTS. plan: what is chosen of the aspects before it.
        """
        if aspect == "thread":
            return tuple(self.trail.threads) or (NOTHING,)
        if aspect == "lately":
            return self.trail.lately or (NOTHING,)
        if aspect == "label":
            return tuple(self.labels)
        own = self.labels[plan["label"]][aspect]
        said = [phrase for name, phrase in plan.items() if name in PICTURE]
        free = tuple(phrase for phrase in own if not contradict((*said, phrase))) or own
        words = {word for phrase in said for word in content_words(phrase)}
        return tuple(phrase for phrase in free if words.isdisjoint(content_words(phrase))) or free


class Planner:
    """Knows the facts of a catalogue.

    Args:
        facts: by item index, N. domain: of the lexicon. budget: CLIP tokens that an instruction may have.
        name_terms: whether it may name terms and works of what comes next; the released search forbids it.
    """

    def __init__(self, facts: Sequence[ItemFacts], domain: str, budget: int = CLIP_LENGTH, name_terms: bool = True):
        self.facts, self.domain, self.budget, self.name_terms = facts, domain, budget, name_terms
        self.kinds = lexicons().kinds[domain]
        self._places = {name: place for place, name in enumerate(self.kinds)}
        self._borne = np.zeros((len(facts), len(self.kinds)))
        for item, own in enumerate(facts):
            self._borne[item, [self._places[kind] for kind in own.kinds]] = 1
        self._usual = self._borne.mean(axis=0)
        self._together = self._borne.T @ self._borne  # items of two kinds at once

    def brief(
        self,
        history: Sequence[int],
        items: Sequence[int],
        probabilities: Sequence[float],
        media: str,
        terms: Sequence[str],
    ) -> Brief:
        """What may be said of what is expected after a history.

        Args:
            history: item indices, the oldest first.
            items, probabilities: what may come next, the most probable first; they need not add up to 1.
            media: `image` or `video`. terms: of what comes next, for `name_terms: False`.
        """
        forbidden = None if self.name_terms else term_pattern(tuple(terms))
        items = np.asarray(items[:POOL], dtype=int)
        weights = np.asarray(probabilities[:POOL], dtype=float) ** (1 / TEMPERATURE)
        weights = weights / weights.sum()

        # 1. Kinds by their gain, and labels of the best ones that some item has together.
        expected = weights @ self._borne[items]
        recent = np.asarray(history[-RECENT:], dtype=int)
        if len(recent):
            expected = (1 - HISTORY) * expected + HISTORY * self._borne[recent].mean(axis=0)
        gains = np.where(expected > 0, expected - LIFT * self._usual, -np.inf).round(8)
        ranked = [list(self.kinds)[place] for place in np.argsort(-gains, kind="stable") if np.isfinite(gains[place])]
        groups = self._groups(ranked, gains)
        machine = self._machine(items, weights)
        labels = {self.label(group, machine, media): group for group in groups}
        labels = {text: group for text, group in labels.items() if forbidden is None or not forbidden.search(text)}
        if not labels:
            labels = {self.label((), machine if forbidden is None else "", media): tuple(ranked[:1])}

        # 2. For each label what it may be shown by.
        return Brief(
            self.domain,
            media,
            {text: self._shown(group, items, media, forbidden) for text, group in labels.items()},
            self.trail(history),
        )

    def _shown(
        self, group: Sequence[str], items: np.ndarray, media: str, forbidden: Pattern | None
    ) -> dict[str, tuple[str, ...]]:
        """Candidates of all aspects beside a label: works and things that are expected, and what the lexicon has."""
        # Of what is expected, that which is of the label's kinds comes first.
        of_kind = [item for item in items.tolist() if set(group) & set(self.facts[item].kinds)]
        names: dict[str, bool] = {}
        for item in of_kind or items.tolist():
            name, plain = self.facts[item].name, _plain(self.facts[item].name)
            # Of two editions of one work, one is enough.
            if plain and not any(plain.startswith(other) or other.startswith(plain) for other in map(_plain, names)):
                names[name] = self.facts[item].literal
        shown = self.domain == "product"
        works = [name for name, literal in names.items() if not (literal and self.domain == "game") and not shown]
        things = [_with_article(name) for name, literal in names.items() if literal and self.domain != "short_video"]
        if forbidden is not None:
            works = []
        joined = dict.fromkeys(JOINT.join(works[:count]) for count in (WORKS, WORKS - 1) if works[:count])
        kinds = [self.kinds[name] for name in group] or [next(iter(self.kinds.values()))]
        phrases = {
            aspect: tuple(dict.fromkeys(phrase for kind in kinds for phrase in kind.phrases[aspect]))
            for aspect in SHOWN
        }
        if things and (shown or kinds[0].literal):
            phrases["subject"] = (*things[:2], *phrases["subject"][:2])
        own = [style for kind in kinds for style in kind.style.get(media, ())]
        phrases["style"] = tuple(own) or lexicons().styles[media][self.domain]
        for aspect in ("composition", "motion"):
            phrases[aspect] = lexicons().phrases(aspect, self.domain)
        if forbidden is not None:
            free = {aspect: tuple(p for p in said if not forbidden.search(p)) for aspect, said in phrases.items()}
            phrases = {aspect: said or phrases[aspect] for aspect, said in free.items()}
        wordings = WORDINGS if joined else ALONE
        return {"works": tuple(joined) or (NOTHING,), **phrases, "wording": wordings}

    def training_brief(self, history: Sequence[int], target: int, media: str, terms: Sequence[str]) -> Brief:
        """What may be said where the next item is known: half of the expectation is the item itself, the other half the
        newest of the history, as if nothing were sure.
        """
        newest = [item for item in dict.fromkeys(reversed(history[-POOL:])) if item != target][: POOL - 1]
        weights = [0.5, *(0.5 / max(len(newest), 1) for _ in newest)]
        return self.brief(history, [target, *newest], weights, media, terms)

    def say(self, plan: Mapping[str, str], brief: Brief) -> tuple[str, str | None]:
        """Instruction and thought of a plan; no thought if it did not choose what one speaks of."""
        thought = thought_text(plan, plan, brief.trail) if THOUGHTS[0] in plan else None
        return realise(plan, brief, self.budget), thought

    def describe(self, item: int) -> str:
        """An item in words: its name, and what it is."""
        own = self.facts[item]
        return f"{own.name or 'unnamed'} ({self.label(own.kinds, own.machine, 'video')})"

    def _groups(self, ranked: Sequence[str], gains: np.ndarray) -> list[tuple[str, ...]]:
        """Kinds that a label names together: by what they gain, at most LABELS groups of one or two."""

        def gain(group: tuple[str, ...]) -> float:
            return sum(gains[self._places[name]] for name in group) / len(group) ** 0.5

        groups: list[tuple[str, ...]] = [(name,) for name in ranked[:2]]
        if self.domain in MIXING:
            pairs = combinations(ranked[:4], 2)
            groups += [pair for pair in pairs if self._together[self._places[pair[0]], self._places[pair[1]]]]
        return sorted(groups, key=lambda group: -gain(group))[:LABELS]

    def _machine(self, items: np.ndarray, weights: np.ndarray) -> str:
        """The games machine that what is expected is for, if most of it is."""
        held: Counter[str] = Counter()
        for item, weight in zip(items.tolist(), weights.tolist(), strict=True):
            if self.facts[item].machine:
                held[self.facts[item].machine] += weight
        name, weight = max(held.items(), key=lambda entry: entry[1], default=("", 0.0))
        return name if weight >= MACHINE else ""

    def label(self, kinds: Sequence[str], machine: str, media: str) -> str:
        """How kinds are called together: "science-fiction thriller", "PlayStation 2 racing game"."""
        chosen = sorted((self.kinds[name] for name in kinds), key=lambda kind: kind.place)
        nouns = [kind for kind in chosen if kind.noun]
        words = [kind.label for kind in chosen]
        if not nouns or not chosen[-1].noun:
            noun = lexicons().nouns[self.domain]
            words.append("picture" if noun == "clip" and media == "image" else noun)
        return " ".join([machine] * bool(machine) + words)

    def trail(self, history: Sequence[int]) -> Trail:
        """What is true of a history."""
        counts: Counter[str] = Counter(kind for item in history for kind in self.facts[item].kinds)
        size = len(history)
        often = [kind for kind in counts if counts[kind] > 1]
        lift = {kind: counts[kind] / size - LIFT * self._usual[self._places[kind]] for kind in often}
        threads = {}
        for kind in sorted(often, key=lambda name: -lift[name])[:3]:
            of_kind = [self.facts[item].name for item in reversed(history) if kind in self.facts[item].kinds]
            names = tuple(dict.fromkeys(name for name in of_kind if name))[:2]
            threads[self.plural(kind)] = (counts[kind], names)
        newest = list(history[-NEWEST:])
        lately = []
        recent = Counter(kind for item in newest for kind in self.facts[item].kinds)
        names = list(dict.fromkeys(self.facts[item].name for item in reversed(newest) if self.facts[item].name))
        if size > NEWEST and names:
            lately.append(listed(names[:2]))
            for kind, count in recent.most_common(2):
                if count > NEWEST / 2 and self.plural(kind) not in list(threads)[:1]:
                    lately.append(self.plural(kind))
        return Trail(size, lexicons().nouns[self.domain], threads, tuple(lately))

    def plural(self, kind: str) -> str:
        """How several items of a kind are called."""
        own = self.kinds[kind]
        words = kind if own.literal else self.label((kind,), "", "video")
        if words.endswith("y") and words[-2] not in "aeiou":
            return words[:-1] + "ies"
        return words if words.endswith(("gear", "mouse")) else words + "s"


def planner_of(settings: Mapping[str, Any], facts: Sequence[ItemFacts]) -> Planner:
    """What plans are made with.

    Args:
        settings: from `settings_of`. facts: of all items.
    """
    return Planner(facts, settings["domain"], settings["instruction_budget"], settings["name_terms"])


def realise(plan: Mapping[str, str], brief: Brief, budget: int = CLIP_LENGTH) -> str:
    """Write a plan as one or two sentences.

    Args:
        plan: aspect -> phrase. brief: its domain and medium. budget: CLIP tokens; what is least important is left out
            until the text fits.
    """
    works = [] if plan["works"] == NOTHING else plan["works"].split(JOINT)
    for kept in CRAFT:
        for count in dict.fromkeys((len(works), min(len(works), 2), min(len(works), 1), 0)):
            text = _written(plan, brief, works[:count], kept)
            if clip_tokens(text) <= budget:
                return text
            if kept:  # rather say less of the craft than name fewer works
                break
    return text


def blanked(plan: Mapping[str, str], brief: Brief, budget: int = CLIP_LENGTH) -> str:
    """The same without its named works."""
    return realise({**plan, "works": NOTHING, "wording": "label"}, brief, budget)


def _written(plan: Mapping[str, str], brief: Brief, works: Sequence[str], kept: Sequence[str]) -> str:
    what = _with_article(f"{plan['mood']} {plan['label']}")
    shown, link = f"{plan['subject']} {plan['setting']}", lexicons().links[brief.domain]
    named = f" {link} {listed(works)}" if works else ""
    wording = plan["wording"] if works or plan["wording"] in ALONE else "label"
    if wording == "works" and len(works) > 1:
        first = f"{listed(works)} meet in {what}: {shown}"
    elif wording in ("spirit", "works"):
        first = f"{link} {listed(works)}, {what}: {shown}"
    elif wording == "subject":
        first = f"{shown}, {what}{named}"
    else:
        first = f"{what}{named}: {shown}"
    craft = [plan["motion"]] if brief.media == "video" else []
    craft += [plan[aspect] for aspect in ("light", "composition") if aspect in kept]
    second = plan["style"] + (f" in {plan['palette']}" if "palette" in kept else "")
    second += f", with {listed(craft)}" if craft else ""
    return f"{_capital(first)}. {_capital(second)}."


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
    else:
        sentences.append(
            f"There are only {whole} behind me so far, and no two alike"
            if trail.items > 1
            else f"There is only {whole} behind me so far"
        )
    if thought["lately"] != NOTHING:
        sentences.append(f"Lately I have turned to {thought['lately']}")
    if isinstance(plan, str):
        return ". ".join([*sentences, plan]) + "."
    works = [] if plan["works"] == NOTHING else plan["works"].split(JOINT)
    near = f", {'about' if trail.noun == 'clip' else 'somewhere near'} {works[0]}" if works else ""
    sentences.append(f"So next I look for {_with_article(plan['mood'] + ' ' + plan['label'])}{near}")
    return ". ".join(sentences).rstrip(".") + "."


def listed(words: Sequence[str]) -> str:
    """Words as English lists them: "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _with_article(noun: str) -> str:
    vowel = noun[0].lower() in "aeiou" and not noun.lower().startswith(("eu", "uni", "one", "use"))
    return ("an " if vowel else "a ") + noun

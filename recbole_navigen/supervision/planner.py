"""Plans of instructions: aspect by aspect what a picture shows, chosen from the facts of one user and the lexicon.

    what comes next, as a distribution over items  --facts-->  labels, named works, things to show   (candidates)
    the labels' kinds                              --lexicon-> subject, setting, mood, palette, light, style
    one candidate an aspect (`Plan`)               --realise-> one or two sentences

A single guess at the next item is mostly wrong, so what a plan may say is taken from the expectation over the POOL most
probable items, with the history's own kinds mixed in. Of kind k, with item weights p and the catalogue's share b,

    gain_k = (1 - HISTORY) sum_i p_i [i is k] + HISTORY (share of k among the RECENT last items) - LIFT b_k

Topics of clips are chosen by the same gain. Symbols: N items, C candidates of an aspect.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, islice
from re import Pattern

import numpy as np

from recbole_navigen.config.teachers import SupervisionSettings
from recbole_navigen.language.budget import CLIP_LENGTH
from recbole_navigen.supervision.facts import ItemFacts
from recbole_navigen.supervision.naming import term_pattern
from recbole_navigen.supervision.plans import JOINT, NOTHING, THOUGHTS, Brief, Trail
from recbole_navigen.supervision.template.lexicons import SHOWN, content_words, lexicons
from recbole_navigen.supervision.validity import ECHO
from recbole_navigen.supervision.wording import realise, thought_text, with_article, worded

POOL = 50
TEMPERATURE = 1.0
HISTORY = 0.4
RECENT = 10
LIFT = 0.7
MIXING = ("film", "generic")  # domains in which one item is of several kinds at once
LABELS, WORKS = 1, 3  # labels to choose from; works that are named at most
FOREIGN = 0.6  # weight of a work that is of none of the label's kinds, beside one that is
MACHINE = 0.35  # weight from which on the machine of a game is named
NEWEST = 5  # items that count as "lately"


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
        for item, fact in enumerate(facts):
            self._borne[item, [self._places[kind] for kind in fact.kinds]] = 1
        self._usual = self._borne.mean(axis=0)
        self._together = self._borne.T @ self._borne  # items of two kinds at once
        self._topics = Counter(topic for fact in facts for topic in fact.topics)

    def brief(
        self,
        history: Sequence[int],
        items: Sequence[int],
        probabilities: Sequence[float],
        media: str,
        terms: Sequence[str],
    ) -> Brief:
        """Return the brief for what is expected after a history.

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
        topics = self._leading(recent, items, weights)
        return Brief(
            self.domain,
            media,
            {
                text: self._shown(text, group, machine, self._named(group, items, weights, topics), media, forbidden)
                for text, group in labels.items()
            },
            self.trail(history, {kind for group in labels.values() for kind in group}),
        )

    def _leading(self, recent: np.ndarray, items: np.ndarray, weights: np.ndarray) -> list[str]:
        """Topics by their gain, the greatest first."""
        gains: Counter[str] = Counter()
        shares = np.full(len(recent), HISTORY / max(len(recent), 1))
        for item, share in zip([*items, *recent], [*(1 - HISTORY) * weights, *shares], strict=True):
            for topic in self.facts[item].topics:
                gains[topic] += share
        for topic in gains:
            gains[topic] -= LIFT * self._topics[topic] / len(self.facts)
        return [topic for topic, _ in gains.most_common()]

    def _named(
        self, group: Sequence[str], items: np.ndarray, weights: np.ndarray, topics: Sequence[str]
    ) -> dict[str, bool]:
        """Names of what is expected beside a label's kinds, or else topics, the first one first: name -> literal."""
        # What is of the label's kinds reads better, what is more probable hits more often.
        foreign = self._borne[:, [self._places[kind] for kind in group]].sum(axis=1)[items] == 0
        order = np.argsort(-np.where(foreign, FOREIGN, 1) * weights, kind="stable")
        literal = {self.facts[item].name: self.facts[item].literal for item in items[order].tolist()}
        return {name: literal.get(name, True) for name in _works(topics or literal)}

    def _shown(
        self,
        label: str,
        group: Sequence[str],
        machine: str,
        names: Mapping[str, bool],
        media: str,
        forbidden: Pattern | None,
    ) -> dict[str, tuple[str, ...]]:
        """Candidates of all aspects beside a label: what is expected, by `_named`, and what the lexicon has."""
        kinds = [self.kinds[name] for name in group] or [next(iter(self.kinds.values()))]
        # Products, and games' gear where a picture is of gear, are what is shown; everything else is only named.
        shown = self.domain == "product" or (self.domain == "game" and kinds[0].literal)
        # A machine of many words is an echo where it stands in the label and in the thing.
        echo = machine if machine in label and len(content_words(machine)) >= ECHO else ""
        things = [name for name, literal in names.items() if literal and not (echo and echo in name)]
        things = things[:2] if shown else []
        works = [name for name in names if name not in things] if self.domain != "product" else []
        if self.domain == "game":  # games meet in games, and gear lies beside gear
            works = [name for name in works if names[name] == shown]
        if forbidden is not None:
            works = []
        phrases = {
            aspect: tuple(dict.fromkeys(phrase for kind in kinds for phrase in kind.phrases[aspect]))
            for aspect in SHOWN
        }
        if things:
            phrases["subject"] = (*map(with_article, things), *phrases["subject"][:2])
        own = [style for kind in kinds for style in kind.style.get(media, ())]
        styles = tuple(own) or lexicons().styles[media][self.domain]
        styles = tuple(style.format(self._briefly(label, group, media)) for style in styles)
        if machine and machine in label and not echo:
            styles = tuple(f"{machine} {style[0].lower()}{style[1:]}" for style in styles)
        phrases["style"] = styles
        for aspect in ("composition", "motion"):
            phrases[aspect] = lexicons().phrases(aspect, self.domain)
        if forbidden is not None:
            free = {aspect: tuple(p for p in said if not forbidden.search(p)) for aspect, said in phrases.items()}
            phrases = {aspect: said or phrases[aspect] for aspect, said in free.items()}
        works = works[:WORKS]
        # Nothing is a charger by way of a cable.
        wordings = tuple(name for name in worded(self.domain, works) if name != "way" or not shown)
        return {"works": (JOINT.join(works) or NOTHING,), **phrases, "wording": wordings}

    def _briefly(self, label: str, group: Sequence[str], media: str) -> str:
        """A label that may stand once more in the name of a style: of three words or more, the last kind alone."""
        return label if len(content_words(label)) < ECHO or not group else self.label(group[-1:], "", media)

    def training_brief(self, history: Sequence[int], target: int, media: str, terms: Sequence[str]) -> Brief:
        """Return the brief of a training row, whose next item is known: half of the expectation is that item, and the
        other half the newest items of the history, as if nothing were sure.
        """
        newest = [item for item in dict.fromkeys(reversed(history[-RECENT:])) if item != target][: RECENT - 1]
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
        shares: Counter[str] = Counter()
        for item, weight in zip(items.tolist(), weights.tolist(), strict=True):
            if self.facts[item].machine:
                shares[self.facts[item].machine] += weight
        name, weight = max(shares.items(), key=lambda entry: entry[1], default=("", 0.0))
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

    def trail(self, history: Sequence[int], expected: Collection[str] = ()) -> Trail:
        """What is true of a history.

        Args:
            history: item indices, the oldest first.
            expected: kinds of what comes next. A thread is of one of them where the history has any, so that a thought
                leads where the plan goes.
        """
        counts: Counter[str] = Counter(kind for item in history for kind in self.facts[item].kinds)
        size = len(history)
        often = [kind for kind in counts if counts[kind] > 1]
        often = [kind for kind in often if kind in expected] or often
        lift = {kind: counts[kind] / size - LIFT * self._usual[self._places[kind]] for kind in often}
        threads = {}
        for kind in sorted(often, key=lambda name: -lift[name])[:3]:
            of_kind = [self.facts[item].name for item in reversed(history) if kind in self.facts[item].kinds]
            names = tuple(islice(_works(of_kind), 2))
            threads[self.plural(kind)] = (counts[kind], names)
        if size <= NEWEST:  # all of it is new
            return Trail(size, lexicons().nouns[self.domain], threads, (), ())
        newest = history[-NEWEST:]
        names = tuple(_works(self.facts[item].name for item in reversed(newest)))
        recent = Counter(kind for item in newest for kind in self.facts[item].kinds)
        turns = tuple(self.plural(kind) for kind, count in recent.most_common(2) if count > NEWEST / 2)
        return Trail(size, lexicons().nouns[self.domain], threads, names, turns)

    def plural(self, kind: str) -> str:
        """Return the plural of a kind's name."""
        own = self.kinds[kind]
        words = kind if own.literal else self.label((kind,), "", "video")
        if words.endswith("y") and words[-2] not in "aeiou":
            return words[:-1] + "ies"
        return words if words.endswith(("gear", "mouse")) else words + "s"


def planner_of(settings: SupervisionSettings, facts: Sequence[ItemFacts]) -> Planner:
    """Return the planner of a run that knows the facts of all items."""
    return Planner(facts, settings.domain, settings.instruction_budget, settings.name_terms)


def _works(names: Iterable[str]) -> Iterator[str]:
    """The names of different works, in order: of two editions, such as "Kombat: Deception (PS2)", one is enough."""
    plains: list[str] = []
    for name in names:
        plain = "".join(letter for letter in name.casefold() if letter.isalnum())
        if plain and not any(plain.startswith(other) or other.startswith(plain) for other in plains):
            plains.append(plain)
            yield name

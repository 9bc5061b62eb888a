"""The words of pictures, read once from lexicons.yaml and checked: kinds by domain, and how a picture is made."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib.resources import files

import yaml

from recbole_navigen.identifiers.terms import stop_words

SHOWN = ("subject", "setting", "mood", "palette", "light")  # what a kind has phrases for
SCENE = ("setting", "mood", "palette", "light")  # of these, what belongs to a subject
_WORD = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a genre, a category or a tag says can be seen.

    Attributes:
        name: of the kind. label: how it is called. noun: whether a label may end with it.
        place: where it stands in a label among others.
        literal: whether what bears the kind can itself be shown, such as a controller in a catalogue of games.
        cues: words and phrases of a catalogue that speak for it.
        phrases: each of SHOWN -> phrases. style: medium -> its own, empty if the domain's will do.
    """

    name: str
    label: str
    noun: bool
    place: int
    literal: bool
    cues: tuple[str, ...]
    phrases: dict[str, tuple[str, ...]]
    style: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Lexicons:
    """All phrases and word lists.

    Attributes:
        kinds: domain -> name -> kind; the generic domain has those of films and products as well.
        nouns, links: domain -> what its items are called, and what joins named works to a picture.
        machines: name of a games machine -> how titles write it.
        campaigns: what the tags of a platform's own campaigns hold; they say nothing of a clip.
        aspects: `composition`, `motion` -> domain -> phrases; every domain also uses `generic`.
        styles: medium -> domain -> phrases.
        markers: aspect -> words that show a text speaks of it.
        exclusive: pairs of word sets; a text that uses both sides of a pair contradicts itself.
    """

    kinds: dict[str, dict[str, Kind]]
    nouns: dict[str, str]
    links: dict[str, str]
    machines: dict[str, tuple[str, ...]]
    campaigns: tuple[str, ...]
    aspects: dict[str, dict[str, tuple[str, ...]]]
    styles: dict[str, dict[str, tuple[str, ...]]]
    markers: dict[str, frozenset[str]]
    exclusive: tuple[tuple[frozenset[str], frozenset[str]], ...]

    def phrases(self, aspect: str, domain: str) -> tuple[str, ...]:
        """Phrases of `composition` or `motion` for a domain: its own first, then those for all."""
        own = self.aspects[aspect]
        return own["generic"] if domain == "generic" else own.get(domain, ()) + own["generic"]

    @cached_property
    def cues(self) -> dict[str, re.Pattern]:
        """Domain -> a pattern that finds its cues, the longest first, also with a plural ending."""
        return {
            domain: _words(cue for kind in kinds.values() for cue in kind.cues) for domain, kinds in self.kinds.items()
        }

    @cached_property
    def scenes(self) -> dict[str, dict[str, dict[str, tuple[str, ...]]]]:
        """Domain -> subject -> each of SCENE -> phrases of the kinds that have the subject."""
        by_domain: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {}
        for domain, kinds in self.kinds.items():
            by_subject = by_domain[domain] = {}
            for kind in kinds.values():
                for subject in kind.phrases["subject"]:
                    before = by_subject.get(subject, {})
                    by_subject[subject] = {aspect: (*before.get(aspect, ()), *kind.phrases[aspect]) for aspect in SCENE}
        return by_domain

    @cached_property
    def written_machines(self) -> tuple[re.Pattern, dict[str, str]]:
        """A pattern that finds machines in titles, and the name of each way of writing one."""
        names = {way: name for name, ways in self.machines.items() for way in ways}
        return _words(names), names


@cache
def lexicons() -> Lexicons:
    """Read the package's lexicons."""
    text = files("recbole_navigen.supervision.template").joinpath("lexicons.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text)
    kinds = {
        domain: {
            name: Kind(
                name,
                entry["label"],
                entry.get("noun", False),
                place,
                entry.get("literal", False),
                tuple(entry["cues"]),
                {aspect: tuple(entry[aspect]) for aspect in SHOWN},
                {medium: tuple(styles) for medium, styles in entry.get("style", {}).items()},
            )
            for place, (name, entry) in enumerate(entries.items())
        }
        for domain, entries in raw["kinds"].items()
    }
    kinds["generic"] = {**kinds["film"], **kinds["product"], **kinds["generic"]}
    frozen = {
        name: {key: tuple(phrases) for key, phrases in entry.items()}
        for name, entry in {**raw["aspects"]["style"], **raw["aspects"]}.items()
        if name != "style"
    }
    return Lexicons(
        kinds=kinds,
        nouns={domain: entry["noun"] for domain, entry in raw["domains"].items()},
        links={domain: entry["link"] for domain, entry in raw["domains"].items()},
        machines={name: tuple(ways) for name, ways in raw["machines"].items()},
        campaigns=tuple(raw["campaigns"]),
        aspects={name: frozen[name] for name in ("composition", "motion")},
        styles={medium: frozen[medium] for medium in ("image", "video")},
        markers={aspect: _set(words) for aspect, words in raw["markers"].items()},
        exclusive=tuple((_set(left), _set(right)) for left, right in raw["exclusive"]),
    )


def _set(words: Iterable[str]) -> frozenset[str]:
    return frozenset(content_words(" ".join(map(str, words))))


def _words(phrases: Iterable[str]) -> re.Pattern:
    longest_first = sorted({phrase.lower() for phrase in phrases}, key=lambda phrase: (-len(phrase), phrase))
    return re.compile(rf"(?<!\w)({'|'.join(map(re.escape, longest_first))})(?:e?s)?(?!\w)", re.IGNORECASE)


@lru_cache(maxsize=65_536)
def sides(text: str) -> tuple[int, int]:
    """Which pairs of `exclusive` a text uses the left side of, and which the right side; bit i stands for pair i."""
    words = phrase_words(text)
    pairs = lexicons().exclusive
    left, right = (sum(bool(pair[side] & words) << place for place, pair in enumerate(pairs)) for side in (0, 1))
    return left, right


def contradict(texts: Iterable[str]) -> bool:
    """Whether some texts together use both sides of a pair of `exclusive`."""
    left = right = 0
    for text in texts:
        one, other = sides(text)
        left, right = left | one, right | other
    return bool(left & right)


@lru_cache(maxsize=65_536)
def phrase_words(text: str) -> frozenset[str]:
    """`content_words` of a phrase, each once."""
    return frozenset(content_words(text))


def content_words(text: str) -> list[str]:
    """Lower-case words of a text without stop words, plural endings cut; hyphenated words stay whole."""
    return [_singular(word) for word in _WORD.findall(text.lower()) if len(word) > 1 and word not in stop_words()]


def _singular(word: str) -> str:
    plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word

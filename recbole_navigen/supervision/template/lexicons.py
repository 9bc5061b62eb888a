"""The template teacher's words, read once from lexicons.yaml and checked."""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

import yaml

from recbole_navigen.identifiers.terms import STOP_WORDS

CONTENT_GENES = ("subject", "scene", "details", "mood", "motif")  # chosen by theme
CRAFT_GENES = ("style", "composition", "camera", "lighting", "palette")  # chosen by domain; an image also has a medium
VIDEO_GENES = ("motion", "duration")
_WORD = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, eq=False)
class Lexicons:
    """All phrases and word lists.

    Attributes:
        themes: theme -> `cues` and each of CONTENT_GENES -> phrases.
        aspects: each of CRAFT_GENES, VIDEO_GENES and `medium` -> domain -> phrases; every domain also uses `generic`.
        markers: aspect -> words that show a text speaks of it.
        exclusive: pairs of word sets; a text that uses both sides of a pair contradicts itself.
    """

    themes: dict[str, dict[str, tuple[str, ...]]]
    aspects: dict[str, dict[str, tuple[str, ...]]]
    markers: dict[str, frozenset[str]]
    exclusive: tuple[tuple[frozenset[str], frozenset[str]], ...]

    def phrases(self, aspect: str, domain: str) -> tuple[str, ...]:
        """Phrases of a craft aspect for a domain: its own first, then those for all."""
        own = self.aspects[aspect]
        return own["generic"] if domain == "generic" else own.get(domain, ()) + own["generic"]


@cache
def lexicons() -> Lexicons:
    """Read the package's lexicons."""
    text = files("recbole_navigen.supervision.template").joinpath("lexicons.yaml").read_text(encoding="utf-8")
    raw = yaml.safe_load(text)

    def words_of_list(words: list) -> frozenset[str]:
        return frozenset(content_words(" ".join(map(str, words))))

    def frozen(entries: dict[str, dict[str, list]]) -> dict[str, dict[str, tuple[str, ...]]]:
        return {
            name: {key: tuple(str(phrase) for phrase in phrases) for key, phrases in entry.items()}
            for name, entry in entries.items()
        }

    return Lexicons(
        themes=frozen(raw["themes"]),
        aspects=frozen(raw["aspects"]),
        markers={aspect: words_of_list(words) for aspect, words in raw["markers"].items()},
        exclusive=tuple((words_of_list(left), words_of_list(right)) for left, right in raw["exclusive"]),
    )


@lru_cache(maxsize=65_536)
def sides(text: str) -> tuple[int, int]:
    """Which pairs of `exclusive` a text uses the left side of, and which the right side; bit i stands for pair i."""
    words = set(content_words(text))
    pairs = lexicons().exclusive
    left, right = (sum(bool(pair[side] & words) << place for place, pair in enumerate(pairs)) for side in (0, 1))
    return left, right


def content_words(text: str) -> list[str]:
    """Lower-case words of a text without stop words, plural endings cut; hyphenated words stay whole."""
    return [_singular(word) for word in _WORD.findall(text.lower()) if len(word) > 1 and word not in STOP_WORDS]


def _singular(word: str) -> str:
    plural = len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if plural else word

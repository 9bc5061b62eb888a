"""What a person says of their taste, beside a history or in place of one: "slow noir, 1950s, not horror".

Each phrase p has a weight w_p, below 0 for what is not wanted, and a match m_p(i) from 0 to 1 with each item i. They
shift the log-probabilities of the model, less and less as events come. What is said is evidence up to a weight of 1,
and a wish as far as it is said louder, w_p = l_p + w'_p with |l_p| <= 1:

    log p'(i | h) = log p(i | h) + s(n) (c sum_p e_p(i) + STRENGTH d sum_p w'_p m_p(i)) - log Z
    e_p(i)        = l_p log a_p(i) where l_p > 0, else |l_p| log(1 - a_p(i))
    s(n)          = 1 / (1 + n / FADED)
    c             = TOGETHER / max(TOGETHER, sum_p |l_p|),    d = MOST / max(MOST, sum_p |w'_p|)

a_p(i) is the probability that who takes item i likes p, as training users did (see `Evidence`): what somebody will take
follows from what is liked no further than that. Statements of one person say partly the same, so more than TOGETHER of
them count less each. What is made for somebody (`instruct`) shows what was asked for: there all weight is a wish.

n is the number of events of the history. Without any, p is how often the items are among the first events of training
users. TOGETHER, and SHRUNK of `Evidence`, were chosen on training users of ml-100k held out in turn
(`benchmarks/cold_start/choices.py`).

Symbols: B users, N items, P phrases.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from recbole_navigen.config.reading import nearest, parse_value
from recbole_navigen.encoders.sentences import SentenceSpace
from recbole_navigen.errors import InputError
from recbole_navigen.serving.evidence import Evidence
from recbole_navigen.supervision.template.lexicons import content_words
from recbole_navigen.supervision.template.term_space import TermSpace

STRENGTH = 4.0  # of a wish: nats between an item that matches a phrase and one that does not, by weight
FADED = 10  # events after which statements weigh half
MOST = 6.0  # of wishes: what all weights add up to at most: who wishes for more wishes each thing less loudly
REFUSED = -2.0  # weight of "not horror": a list that shows what somebody refused is wrong, even if they would take it
TOGETHER = 2.0  # phrases of equal weight that count in full as evidence
LEAST_COSINE = 0.25  # of text embeddings, below which a phrase matches nothing
_SPLIT = re.compile(r"[,;\n]|\bbut\b", re.IGNORECASE)
_NOT = re.compile(
    r"(?:-\s*|(?:i\s+)?(?:not|no|never|without|except|avoid|hate|dislike|nothing|less|don['\u2019]?t\s+like|do\s+not\s+like)\b)",
    re.IGNORECASE,
)
_WEIGHT = re.compile(r":\s*([-+]?\d+(?:\.\d+)?)\s*$")
_YEARS = re.compile(r"\b(1[89]\d|20\d)(\d)(s?)\b")


@dataclass(frozen=True)
class Preferences:
    """Phrases with weights.

    Attributes:
        weights: phrase -> weight; below 0: not wanted.
    """

    weights: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, value: "Preferences | str | Mapping[str, float] | None") -> "Preferences":
        """Preferences as they are given: text, or phrases with their weights.

        Phrases of a text end at commas, semicolons and "but". "noir" has the weight 1, "noir:2" the weight 2; "not
        horror", "no horror" and "-horror" have the weight REFUSED, and "not horror:1" has -1. A text in braces or
        brackets is read by yaml's rules: '{noir: 2, horror: -1}', '[noir, not horror]'.
        """
        if value is None or isinstance(value, Preferences):
            return value or cls()
        if isinstance(value, Mapping):
            weights = {}
            for phrase, weight in value.items():
                number = isinstance(weight, int | float) and not isinstance(weight, bool) and np.isfinite(weight)
                if not isinstance(phrase, str) or not phrase.strip() or not number:
                    raise InputError(f"preferences must be phrases with a number each; {phrase!r}: {weight!r} is none.")
                weights[" ".join(phrase.split())] = float(weight)
            return cls(weights)
        if not isinstance(value, str):
            raise InputError(f'preferences must be a text such as "noir, not horror", not {value!r}.')
        if value.strip()[:1] in ("{", "["):
            read = parse_value("preferences", value.strip())
            if isinstance(read, list):
                if not all(isinstance(one, str) for one in read):
                    raise InputError(f"preferences={value} must be a list of phrases, such as [noir, not horror].")
                read = ", ".join(read)
            return cls.of(read)
        weights = {}
        for part in filter(None, (" ".join(part.split()) for part in _SPLIT.split(value))):
            loud = _WEIGHT.search(part)
            phrase = _WEIGHT.sub("", part).strip()
            unwanted = _NOT.match(phrase)
            if unwanted:
                phrase = phrase[unwanted.end() :].strip()
            once, said = (-1.0, REFUSED) if unwanted else (1.0, 1.0)
            weight = once * float(loud[1]) if loud else said
            if not phrase:
                raise InputError(f"preferences={value!r}: {part!r} names nothing; say what is meant, or leave it out.")
            weights[phrase] = weight
        return cls(weights)

    def __add__(self, other: "Preferences") -> "Preferences":
        """Both; weights of the same phrase are added."""
        phrases = dict.fromkeys((*self.weights, *other.weights))
        return Preferences({one: self.weights.get(one, 0.0) + other.weights.get(one, 0.0) for one in phrases})

    def once(self) -> "Preferences":
        """The same, with nothing said louder than once: evidence without a wish."""
        return Preferences({phrase: max(-1.0, min(1.0, weight)) for phrase, weight in self.weights.items()})

    def __bool__(self) -> bool:
        """Whether they change anything."""
        return any(self.weights.values())

    def __str__(self) -> str:
        return ", ".join(f"{phrase}:{weight:g}" for phrase, weight in self.weights.items())


def preferences_of(value: object, count: int) -> list[Preferences]:
    """Preferences of `count` users: one for all, or a list with one for each."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != count:
            raise InputError(f"preferences has {len(value)} entries for {count} histories; give one for each, or one.")
        return [Preferences.of(one) for one in value]
    return [Preferences.of(value)] * count


class PreferenceSpace:
    """How phrases match the items of a catalogue.

    Args:
        terms: TIDs by item index, N lists. space: of the catalogue's terms. vectors: the items in it, (N, any).
        sentences: text embeddings of the items, (N, any), or None. encoder: what made them, see `SentenceSpace`.
        titles: gives a title and what is known of the year of each item, N, asked for only where a phrase names years.
        evidence: gives what training histories say, asked for only where a statement is evidence.
    """

    def __init__(
        self,
        terms: Sequence[Sequence[str]],
        space: TermSpace,
        vectors: np.ndarray,
        sentences: np.ndarray | None,
        encoder: str,
        titles: Callable[[], Iterable[str]],
        evidence: Callable[[], Evidence],
    ):
        self._space, self._vectors, self._titles, self._encoder = space, vectors, titles, encoder
        self._sentences = None
        if sentences is not None:
            self._sentences = sentences / np.maximum(np.linalg.norm(sentences, axis=1, keepdims=True), 1e-9)
        self._words = [words_of(" ".join(own)) for own in terms]
        self._every = sorted(set().union(*self._words))
        self._known: dict[str, np.ndarray] = {}
        self._evidence = evidence
        self._likely: dict[str, np.ndarray] = {}

    def shift(self, preferences: Preferences, events: int, wish: bool = False) -> np.ndarray:
        """What is added to each item's log-probability, before it is normalised. (N,), float32.

        events: of the history. wish: whether all that is said is a wish, see above.
        """
        shift = np.zeros(len(self._words))
        said = {phrase: 0.0 if wish else max(-1.0, min(1.0, own)) for phrase, own in preferences.weights.items()}
        count = max(TOGETHER, sum(map(abs, said.values())))
        for phrase, weight in said.items():
            if weight:
                likes = self.likelihood(phrase)
                shift += TOGETHER / count * abs(weight) * np.log(likes if weight > 0 else 1 - likes)
        loud = {phrase: own - said[phrase] for phrase, own in preferences.weights.items()}
        count = max(MOST, sum(map(abs, loud.values())))
        for phrase, weight in loud.items():
            if weight:
                shift += STRENGTH * MOST / count * weight * self.match(phrase)
        return (shift / (1 + events / FADED)).astype(np.float32)

    def likelihood(self, phrase: str) -> np.ndarray:
        """The probability that who takes each item likes a phrase, a_p. (N,)."""
        if phrase not in self._likely:
            self._likely[phrase] = self._evidence().likelihood(phrase, self.match(phrase))
        return self._likely[phrase]

    def matched(self, preferences: Preferences) -> Preferences:
        """Those of some phrases that an item matches."""
        weights = {}
        for phrase, weight in preferences.weights.items():
            with contextlib.suppress(InputError):
                self.match(phrase)
                weights[phrase] = weight
        return Preferences(weights)

    def match(self, phrase: str) -> np.ndarray:
        """How well each item matches a phrase, from 0 to 1: the mean of the share of its known words that an item's
        terms hold, and of its cosine relative to the best item's; or whether its year is named. (N,).

        Raises:
            InputError: no item matches.
        """
        if phrase not in self._known:
            parts = [self._years(phrase)] if _YEARS.search(phrase) else []
            if words := words_of(_YEARS.sub(" ", phrase)):
                known = max(1, len(words.intersection(self._every)))  # a word that no item has tells none apart
                held = np.array([len(words & own) for own in self._words]) / known
                near = self._cosines(phrase)
                if held.any() or near.any():
                    parts += [held, near] if held.any() and near.any() else [held + near]
            if not parts or not np.any(parts):
                close = f"; the nearest term is {nearest(' '.join(words), self._every)!r}" if words else ""
                raise InputError(f"preferences: nothing in the catalogue matches {phrase!r}{close}.")
            self._known[phrase] = np.mean(parts, axis=0)
        return self._known[phrase]

    def _cosines(self, phrase: str) -> np.ndarray:
        """Cosine with each item in the space of terms or, if there is one, of text embeddings; the best is 1. (N,)."""
        if self._sentences is None:
            found, least = self._vectors @ self._space.encode([phrase])[0], 1e-6
        else:
            found, least = self._sentences @ SentenceSpace(self._encoder)([phrase])[0], LEAST_COSINE
        return np.maximum(found, 0) / found.max() if found.max() > least else np.zeros(len(found))

    def _years(self, phrase: str) -> np.ndarray:
        """Whether the last year in an item's title is one that a phrase names, such as 1957 or the 1950s. (N,)."""
        wanted: set[int] = set()
        for decade, year, plural in _YEARS.findall(phrase):
            wanted |= set(range(int(decade) * 10, int(decade) * 10 + 10)) if plural else {int(decade + year)}
        years = [[int(decade + year) for decade, year, _ in _YEARS.findall(title)] for title in self._titles()]
        return np.array([float(bool(own) and own[-1] in wanted) for own in years])


def words_of(text: str) -> set[str]:
    """Words of a text; "noir" stands in "film-noir"."""
    return set(content_words(text.replace("-", " ")))

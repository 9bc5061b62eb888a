"""What can be seen of an item, by its own text and the roles that its data set declares (`item_text_roles`).

A title says different things in different catalogues. A product's is literal: its noun phrase can be shown. A film's or
a game's is not: nobody shoots gold eyes for *GoldenEye*; its genres, kind and story can be shown, and its title may be
named. A clip's title and hashtags are its topic; it is called by a hashtag. So kinds (`lexicons.yaml`) are looked for

    in genres, kinds and tags      in every domain
    in stories                     in every domain, behind those
    in names                       of products, games (series and gear) and clips; never of films

An item without any takes the kinds that its terms (TID) name. `run_generate.py --facts=20` prints some.
"""

import html
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recbole_navigen.errors import InputError
from recbole_navigen.supervision.template.lexicons import content_words, lexicons

ROLES = ("name", "genre", "story", "brand", "kind", "tag")
LITERAL = ("product", "short_video")  # domains whose names show what there is to see
NAMING = (*LITERAL, "game")  # domains whose names tell kinds
MOST_KINDS = {"film": 3, "generic": 3}  # of an item; two elsewhere
LONGEST_NAME = 8  # words
SHARED = 3  # clips that must bear a tag before one of them is called by it
_BRACKETS = re.compile(r"\s*[\[(][^\[\]()]*[\])]")
_EDITION = re.compile(
    r"[\s:,-]+(?:\w+'s|standard|limited|special|deluxe|gold|premium|ultimate|complete|launch|platinum|digital|hardened|"
    r"game of the year|day one|greatest hits|jewel case|gaming|japan import|bulk packaging)?\s*"
    r"(?:edition|version|bundle|jewel case|greatest hits|japan import|bulk packaging|online game code|download)\b.*$",
    re.IGNORECASE,
)
_HANGING = frozenset("a an and at by for from in of on or the to with & + -".split())  # no end of a name that was cut
_ARTICLE = re.compile(r"^(.*), (The|A|An|Il|La|Le|Les|El|Das|Der|Die|L')$")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9'&.+-]*")


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """The facts about one item that instructions may use.

    Attributes:
        name: how it may be called in a sentence; "" if it has no usable name.
        literal: whether the name says what can be seen.
        kinds: names of kinds of its domain, the surest first.
        machine: the games machine it is for, or "".
        source: where the kinds come from: `text`, `terms` or `none`.
        topics: of a clip, the hashtags that other clips bear, too; the first of them is its name.
    """

    name: str
    literal: bool = False
    kinds: tuple[str, ...] = ()
    machine: str = ""
    source: str = "none"
    topics: tuple[str, ...] = ()

    def row(self) -> list[Any]:
        """Return the facts as JSON values, in the order of the attributes."""
        return [self.name, self.literal, list(self.kinds), self.machine, self.source, list(self.topics)]

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> "ItemFacts":
        """Read what `row` returned."""
        name, literal, kinds, machine, source, *topics = row  # writers of an earlier version know no topics
        return cls(name, literal, tuple(kinds), machine, source, *map(tuple, topics))


def catalogue_facts(
    fields: Mapping[str, Sequence[str]],
    roles: Mapping[str, str] | None,
    domain: str,
    terms: Sequence[Sequence[str]],
) -> tuple[ItemFacts, ...]:
    """Facts of all items.

    Args:
        fields: text field -> its text by item index, N each; may be empty.
        roles: field -> one of ROLES; of fields without one the first is the name and the others are kinds. Roles of
            fields that are not read count for nothing.
        domain: decides the lexicon and what is literal. terms: TIDs by item index, N lists.

    Raises:
        InputError: a role that is unknown.
    """
    for field, role in (roles or {}).items():
        if role not in ROLES:
            raise InputError(f"item_text_roles: {field} has the unknown role {role!r}; use {', '.join(ROLES)}.")
    # A field that is read but has no role says the kind, or the name if it comes first.
    roles = {field: (roles or {}).get(field, "kind" if place else "name") for place, field in enumerate(fields)}
    of_role = {role: [field for field, each in roles.items() if each == role] for role in ROLES}

    def text(item: int, *roles_of_text: str) -> str:
        return ". ".join(
            fields[field][item] for role in roles_of_text for field in of_role[role] if fields[field][item]
        )

    # A clip is called by tags of its own that other clips bear, too; its caption is no name.
    tags = [_tags(html.unescape(text(item, "name"))) if domain == "short_video" else [] for item in range(len(terms))]
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    for each in tags:
        for tag in {tag.casefold(): tag for tag in each}.values():
            spellings[tag.casefold()][tag] += 1
    topic = {key: count.most_common(1)[0][0] for key, count in spellings.items() if count.total() >= SHARED}
    facts = []
    for item, each in enumerate(terms):
        title = html.unescape(text(item, "name"))
        machine = _machine(title) if domain == "game" else ""
        sure = text(item, "genre", "kind", "tag")
        likely = [title] * (domain in NAMING) + [text(item, "story")]
        kinds = _kinds(sure, domain) or _kinds(". ".join(likely), domain)
        source = "text" if kinds else "terms"
        kinds = kinds or _kinds(", ".join(each), domain)
        gear = bool(kinds) and lexicons().kinds[domain][kinds[0]].literal
        topics = tuple(dict.fromkeys(topic[tag.casefold()] for tag in tags[item] if tag.casefold() in topic))
        name = _name(title, domain, gear) if domain != "short_video" else topics[0] if topics else ""
        source = source if kinds else "none"
        facts.append(ItemFacts(name, domain in LITERAL or gear, kinds, machine, source, topics))
    return tuple(facts)


def facts_report(facts: Sequence[ItemFacts]) -> dict[str, Any]:
    """Counts: `items`, `by_text`, `by_terms`, `without` (no kind) and `nameless`; and `kinds`, items of each."""
    sources = Counter(item.source for item in facts)
    return {
        "items": len(facts),
        "by_text": sources["text"],
        "by_terms": sources["terms"],
        "without": sources["none"],
        "nameless": sum(not item.name for item in facts),
        "kinds": dict(Counter(kind for item in facts for kind in item.kinds).most_common()),
    }


def _kinds(text: str, domain: str) -> tuple[str, ...]:
    """Kinds whose cues stand in a text, those with the most and the longest cues first."""
    holders = lexicons().kinds[domain]
    if not text:
        return ()
    cues = Counter(match[1].lower() for match in lexicons().cues[domain].finditer(text))
    if not cues:
        return ()
    scores = {
        name: sum(count * len(cue.split()) for cue, count in cues.items() if cue in kind.cues)
        for name, kind in holders.items()
    }
    gear = [name for name, score in scores.items() if score and holders[name].literal]
    if gear:  # a controller for a racing game is no racing game
        scores = {name: score if name in gear else 0 for name, score in scores.items()}
    ranked = sorted((name for name, score in scores.items() if score), key=lambda name: -scores[name])
    return tuple(ranked[: MOST_KINDS.get(domain, 2)])


def _machine(title: str) -> str:
    pattern, names = lexicons().written_machines
    match = pattern.search(title)
    return names[match[1].lower()] if match else ""


def _tags(title: str) -> list[str]:
    """Hashtags of a title that name something: of one to three words, none of a campaign, and no mere kind."""
    plain = {word for kind in lexicons().kinds["short_video"].values() for word in content_words(kind.label)}
    tags = []
    for tag in re.split(r"\s*#\s*", title)[1:]:
        words = tag.split()
        known = any(word in tag.lower() for word in lexicons().campaigns) or set(content_words(tag)) <= plain
        if not known and 1 <= len(words) <= 3 and tag.isascii() and all(len(w) > 2 and w.isalpha() for w in words):
            tags.append(tag.strip())
    return tags


def _name(title: str, domain: str, gear: bool) -> str:
    """A title as a sentence may hold it."""
    name = _BRACKETS.sub("", title).strip()
    if domain == "game":
        machines = lexicons().written_machines[0]
        if gear:
            name = re.split(r"\s+-\s+|,|\s+with\s+|\s+for\s+|\s+compatible\s+", name)[0]
        else:
            name = re.split(r"\s+-\s+|\s+for\s+(?=(?:the\s+)?(?:Play|Xbox|Wii|Nintendo|PS|PC))", name)[0]
            name = _EDITION.sub("", name)
            for match in reversed(list(machines.finditer(name))):
                if match.start() and match.end() == len(name.rstrip()):
                    name = name[: match.start()].rstrip(" -:,/")
    elif domain == "product":
        name = re.split(r"\s+-\s+|,", name)[0].lower()
    if match := _ARTICLE.match(name):
        name = f"{match[2]} {match[1]}"
    words = name.split()
    if gear or domain == "product":  # "Stereo Headset Headset" is a slip; "Liar Liar" is a title
        words = [word for word, before in zip(words, ["", *words], strict=False) if word.lower() != before.lower()]
    if len(words) > LONGEST_NAME:
        words = words[:LONGEST_NAME]
        while words and words[-1].lower() in _HANGING:  # "Lightning McQueen and"
            words.pop()
    name = " ".join(words).strip(" -:,;/&()[]")
    return name if _PLAIN.search(name) and name.isprintable() else ""

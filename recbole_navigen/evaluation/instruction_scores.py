"""How good written instructions are, user by user, and whether they are personal.

Everything is computed from the raw text of an answer. An answer that the strict parser refuses counts 0 everywhere.

    valid                 the parser accepts it
    tid_precision/recall/f1   its terms against those of the true next item, as sets, whatever their case
    target_similarity     cosine of the instruction and the text of the true next item
    blanked_similarity    the same with the titles of works left out of the instruction, so that naming one is no help
    reference_similarity  cosine of the instruction and the instruction searched for the true next item
    specificity           share of the visual aspects (lighting, palette, camera, ...) that the instruction speaks of
    copy_rate             share of its own terms that stand literally in its instruction

The control scores the same answers against the targets of other users, of the same medium where media differ. An
instruction is personal by the gap: own target minus others' targets. One instruction for everyone (or for everyone's
videos) has a gap of 0, however well it fits on average.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recbole_navigen.encoders.sentences import TextSpace, cosines
from recbole_navigen.errors import InputError
from recbole_navigen.language.answer import Answer, InvalidAnswer, parse_answer
from recbole_navigen.supervision.naming import names_target
from recbole_navigen.supervision.template.lexicons import content_words, lexicons

PERSONAL = (
    *("tid_precision", "tid_recall", "tid_f1"),
    *("target_similarity", "blanked_similarity", "reference_similarity"),
)
OTHERS = 20  # other users against whose targets the control scores each answer
_ORDERS = 4  # longest n-gram of self-BLEU
_ARTICLE = re.compile(r"(.+), (The|An?|Les?|La|Das|Der|Die|Il|El)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InstructionScores:
    """Scores of B answers.

    Attributes:
        values: name -> one value a user, (B,).
        control: for those of the names in PERSONAL, the mean value against other users' targets, (B,).
        diversity: of all valid instructions, see `diversity`.
        refused: reason -> answers that the parser refused.
    """

    values: dict[str, np.ndarray]
    control: dict[str, np.ndarray]
    diversity: dict[str, float]
    refused: dict[str, int]

    def gap(self, name: str) -> np.ndarray:
        """Own target minus others' targets, (B,)."""
        return self.values[name] - self.control[name]


def score_instructions(
    answers: Sequence[str],
    terms: Sequence[Sequence[str]],
    texts: Sequence[str],
    references: Sequence[str] | None,
    space: TextSpace,
    media: Sequence[str] | None = None,
    seed: int = 0,
    titles: Sequence[Sequence[str]] | None = None,
) -> InstructionScores:
    """Score the answers for B users.

    Args:
        answers: raw text, as `Vocabulary.raw_answer` writes it.
        terms, texts: of each user's true next item.
        references: the instruction searched for it; None: there is no `reference_similarity`.
        space: turns texts into vectors. seed: of the order in which other users are taken.
        media: what each instruction is for, B; others are taken from the same, since what all prompts for videos share
            says nothing about a person. None: all alike.
        titles: of the works that each instruction may name; None: there is no `blanked_similarity`.
    """
    users = len(answers)
    sides = {"terms": terms, "texts": texts, "references": references, "titles": titles}
    counts = {name: len(side) for name, side in sides.items() if side is not None}
    if users < 2 or set(counts.values()) != {users}:
        listed = " and ".join(", ".join(f"{count} {name}" for name, count in counts.items()).rsplit(", ", 1))
        raise InputError(f"{users} answers came with {listed}; give as many of each, for at least two users.")
    media = [""] * users if media is None else list(media)
    fewest = min(Counter(media).values())
    if len(media) != users or fewest < 2:
        raise InputError(
            f"{len(media)} media, the rarest {fewest} times, came with {users} answers; give one each, and each medium "
            "to at least two users."
        )
    # 1. What the parser makes of them.
    parsed: list[Answer | None] = []
    refused: Counter[str] = Counter()
    for answer in answers:
        try:
            parsed.append(parse_answer(answer))
        except InvalidAnswer as error:
            parsed.append(None)
            refused[str(error)] += 1
    valid = np.array([answer is not None for answer in parsed])
    written = ["" if answer is None else answer.target_ins for answer in parsed]

    # 2. Against one's own target, and against those of others.
    vectors, target = space(written), space(texts)
    pairs = {"target_similarity": (vectors, target)}
    if titles is not None:
        pairs["blanked_similarity"] = space([blanked(*pair) for pair in zip(written, titles, strict=True)]), target
    if references is not None:
        pairs["reference_similarity"] = vectors, space(references)
    own_terms = [_folded(answer.target_tid) if answer else frozenset() for answer in parsed]
    target_terms = [_folded(entry) for entry in terms]

    def against(other: np.ndarray) -> dict[str, np.ndarray]:
        overlap = np.array([len(own & target_terms[place]) for own, place in zip(own_terms, other, strict=True)])
        precision = overlap / np.array([max(len(own), 1) for own in own_terms])
        recall = overlap / np.array([len(target_terms[place]) for place in other])
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        near = {name: valid * cosines(left, right[other]) for name, (left, right) in pairs.items()}
        return {"tid_precision": precision, "tid_recall": recall, "tid_f1": f1, **near}

    control: dict[str, np.ndarray] = {}
    others = mismatched(media, seed)
    for other in others:
        for name, value in against(other).items():
            control[name] = control.get(name, 0.0) + value / len(others)

    # 3. What the text itself shows.
    values = {"valid": valid.astype(np.float64), **against(np.arange(users))}
    values["specificity"] = np.array([_aspects(text) for text in written])
    values["copy_rate"] = np.array(
        [
            np.mean([names_target(answer.target_ins, (term,)) for term in answer.target_tid]) if answer else 0.0
            for answer in parsed
        ]
    )
    kept = [content.lower().split() for content, holds in zip(written, valid, strict=True) if holds]
    return InstructionScores(values, control, diversity(kept), dict(refused))


def raw_answer(terms: Sequence[str], instruction: str) -> str:
    """An answer in the form that `parse_answer` reads, without a thought."""
    return json.dumps({"target_tid": list(terms), "target_ins": instruction}, ensure_ascii=False)


def blanked(text: str, titles: Sequence[str]) -> str:
    """A text without the titles of works, whole ones only, longer ones first.

    "Matrix, The" is also found as "The Matrix" and "Matrix", and a title without what stands in brackets behind it. A
    title of one word must stand as it is written, capitals included: "Big" is a work, "big" is none.
    """
    forms = set()
    for title in titles:
        for form in (title, re.sub(r"\s*\([^()]*\)\s*$", "", title)):
            forms.add(form.strip())
            if match := _ARTICLE.fullmatch(form.strip()):
                forms |= {f"{match[2]} {match[1]}", match[1]}
    written = text.casefold()  # most titles are not in it, and a pattern for each would take its time
    for form in sorted((form for form in forms if len(form) > 1 and form.casefold() in written), key=len, reverse=True):
        flags = re.IGNORECASE if " " in form else 0
        text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", " ", text, flags=flags)
    return " ".join(text.split())


def mismatched(media: Sequence[str], seed: int = 0) -> list[np.ndarray]:
    """Other users of the same medium: at most OTHERS times one for each of B users, none of them twice. Each (B,)."""
    order = np.random.default_rng(seed).permutation(len(media))
    groups = [order[np.array(media)[order] == medium] for medium in sorted(set(media))]
    others = []
    for shift in range(1, min(OTHERS, min(map(len, groups)) - 1) + 1):
        other = np.empty(len(media), dtype=np.int64)
        for group in groups:
            other[group] = np.roll(group, shift)
        others.append(other)
    return others


def _folded(terms: Sequence[str]) -> frozenset[str]:
    return frozenset(term.strip().casefold() for term in terms)


def _aspects(text: str) -> float:
    words = set(content_words(text))
    markers = lexicons().markers.values()
    return sum(not words.isdisjoint(group) for group in markers) / len(markers)


def diversity(texts: Sequence[Sequence[str]]) -> dict[str, float]:
    """How different texts are from each other.

    Args:
        texts: their words.

    Returns:
        `distinct_1`, `distinct_2` and `distinct_4`, different n-grams over all n-grams; `openings`, how many different
        first two words there are; and `self_bleu`, the mean BLEU-4 of each text with all others as references (Zhu et
        al., 2018), 1 if all are the same. 0 for fewer than two texts.
    """
    if len(texts) < 2:
        return dict.fromkeys(("distinct_1", "distinct_2", "distinct_4", "openings", "self_bleu"), 0.0)
    logs = np.zeros(len(texts))
    distinct = {}
    for size in range(1, _ORDERS + 1):
        counted = [Counter(zip(*(text[start:] for start in range(size)), strict=False)) for text in texts]
        total: Counter = Counter()
        for counts in counted:
            total.update(counts)
        distinct[size] = len(total) / max(sum(total.values()), 1)
        # The most that any other text holds of an n-gram: the largest count, or the second for the text that has it.
        largest: dict[tuple, tuple[int, int, int]] = {}
        for place, counts in enumerate(counted):
            for gram, count in counts.items():
                first, owner, second = largest.get(gram, (0, -1, 0))
                if count > first:
                    largest[gram] = (count, place, first)
                elif count > second:
                    largest[gram] = (first, owner, count)
        for place, counts in enumerate(counted):
            clipped = 0
            for gram, count in counts.items():
                first, owner, second = largest[gram]
                clipped += min(count, second if owner == place else first)
            # Without a match an order counts as half a match (smoothing of Lin and Och, 2004), not as log 0.
            logs[place] += math.log(max(clipped, 0.5) / max(sum(counts.values()), 1)) / _ORDERS
    lengths = np.array([len(text) for text in texts])
    penalty = [_brevity(length, np.delete(lengths, place)) for place, length in enumerate(lengths)]
    return {
        "distinct_1": distinct[1],
        "distinct_2": distinct[2],
        "distinct_4": distinct[4],
        "openings": float(len({tuple(text[:2]) for text in texts})),
        "self_bleu": float(np.mean(np.minimum(np.exp(logs) * penalty, 1.0))),
    }


def _brevity(length: int, others: np.ndarray) -> float:
    nearest = others[np.abs(others - length).argmin()]
    return 1.0 if length >= nearest else math.exp(1 - nearest / max(length, 1))

"""The template judge: four scores by formula, for prompts of any writer. Offline and deterministic.

    consistency    = 10 min(1, s / .75),        s = .8 cos(prompt, target) + .2 cos(prompt, history)
    novelty        = 10 (.5 d + .5 b),          d = share of the prompt's content words that its nearest rival lacks,
                                                    over .1 and at most 1; 1 without a rival
                                                b = entropy of the prompt's kinds over ln 10, at most 1
    aesthetic      = 10 (.6 c + .2 v + .2 r),       c = share of the visual aspects that the prompt speaks of, by marker
                                                    words (for video, motion as well)
                                                v = different words / words, from .5 to .9
                                                r = different content words over 30, at most 1
    executability  = 10 - 1.5 (contradictions) - length - sentences - 2 (video without motion), at least 0

`length` is 1 for each 10 words outside 20..60 and `sentences` 0.2 for each word of the mean sentence above 24, each at
most 4. A contradiction is a pair of exclusive words (`noon`, `moonlit`). The cosines are those of `TermSpace`.
"""

import math
from collections.abc import Sequence

import numpy as np

from recbole_navigen.supervision.interfaces import Judgement, Review
from recbole_navigen.supervision.template.lexicons import content_words, lexicons
from recbole_navigen.supervision.template.template_teacher import focus_vectors
from recbole_navigen.supervision.template.term_space import TermSpace

FULL_SIMILARITY = 0.75
FULL_DISTANCE = 0.1
RICH = 30
LENGTH = (20, 60)
LONG_SENTENCE = 24


class TemplateJudge:
    """Implements `Judge`."""

    def __init__(self, space: TermSpace):
        self.space, self.lexicons = space, lexicons()

    def judge(self, reviews: Sequence[Review]) -> list[tuple[Judgement, ...] | None]:
        """See `Judge`; never None."""
        # 1. All texts of all reviews at once.
        sizes = np.array([len(review.drafts) for review in reviews], dtype=int)
        words = [content_words(draft.prompt) for review in reviews for draft in review.drafts]
        prompts = self.space.encode_words(words)
        rows = np.repeat(np.arange(len(reviews)), sizes)
        targets, histories = (side[rows] for side in focus_vectors(self.space, [review.sample for review in reviews]))
        similarity = 0.8 * (prompts * targets).sum(axis=1) + 0.2 * (prompts * histories).sum(axis=1)
        kinds = self.space.kind_mass(prompts)
        logs = np.log(np.where(kinds > 0, kinds, 1))
        breadth = np.minimum(-(kinds * logs).sum(axis=1) / math.log(10), 1)

        # 2. What is asked of each text alone.
        judged, known = [], {}
        begins = np.cumsum(sizes) - sizes
        for review, begin in zip(reviews, begins.tolist(), strict=True):
            words_of = {draft.prompt: set(words[begin + place]) for place, draft in enumerate(review.drafts)}
            known |= words_of
            row = []
            for place, draft in enumerate(review.drafts):
                at = begin + place
                distances = []
                for rival in review.rivals[place]:
                    other = known.get(rival.prompt)
                    if other is None:
                        other = known[rival.prompt] = set(content_words(rival.prompt))
                    distances.append(len(words_of[draft.prompt] - other) / max(len(words_of[draft.prompt]), 1))
                alone = FULL_DISTANCE if words_of[draft.prompt] else 0.0
                distance = min(1.0, min(distances, default=alone) / FULL_DISTANCE)
                video = review.sample.media == "video"
                missing, aesthetic = self._aesthetic(words[at], video)
                problems, executability = self._executability(
                    draft.prompt, set(words[at]), video and "motion" in missing
                )
                consistency = 10 * min(1.0, max(0.0, float(similarity[at])) / FULL_SIMILARITY)
                novelty = 10 * (0.5 * distance + 0.5 * float(breadth[at]))
                parts = [f"similarity {similarity[at]:.2f}", f"distance {distance:.2f}"]
                parts += [f"no {', '.join(missing)}"] * bool(missing) + problems
                values = (round(value, 4) for value in (consistency, novelty, aesthetic, executability))
                row.append(Judgement(*values, "; ".join(parts)))
            judged.append(tuple(row))
        return judged

    def _aesthetic(self, words: list[str], video: bool) -> tuple[list[str], float]:
        """The aspects a text is silent about, and the score."""
        different = set(words)
        aspects = {name: marks for name, marks in self.lexicons.markers.items() if video or name != "motion"}
        missing = [name for name, marks in aspects.items() if not marks & different]
        variety = min(1.0, max(0.0, (len(different) / max(len(words), 1) - 0.5) / 0.4))
        richness = min(1.0, len(different) / RICH)
        return missing, 10 * (0.6 * (1 - len(missing) / len(aspects)) + 0.2 * variety + 0.2 * richness)

    def _executability(self, prompt: str, words: set[str], motionless: bool) -> tuple[list[str], float]:
        """What stands in the way of a text, in words, and the score."""
        problems, lost = [], 2.0 * motionless
        for left, right in self.lexicons.exclusive:
            if left & words and right & words:
                problems.append(f"{min(left & words)} against {min(right & words)}")
                lost += 1.5
        count = len(prompt.split())
        if outside := max(LENGTH[0] - count, count - LENGTH[1], 0):
            problems.append(f"{count} words")
            lost += min(outside / 10, 4.0)
        sentences = max(1, sum(prompt.count(mark) for mark in ".!?"))
        lost += min(0.2 * max(0.0, count / sentences - LONG_SENTENCE), 4.0)
        return problems, max(0.0, 10 - lost)

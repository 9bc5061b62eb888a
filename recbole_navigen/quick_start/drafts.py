"""Which of several drafts of an instruction is handed out.

A small model's draws differ in quality, and the search that made its supervision knows what is good. So drafts are
scored as in that search, with the offline judge and the terms of the item they are for; nothing is looked up that a
served model would not have. A draft whose thought would not have been learned comes behind all others.
"""

from collections.abc import Sequence

import numpy as np

from recbole_navigen.language.parsing import Answer
from recbole_navigen.supervision.protocol import Draft, Review, Sample
from recbole_navigen.supervision.rationale import problem
from recbole_navigen.supervision.scoring import names_target, score
from recbole_navigen.supervision.space import TermSpace
from recbole_navigen.supervision.template_judge import TemplateJudge

PENALTY = 20.0  # above every difference of two scores


def draft_scores(space: TermSpace, samples: Sequence[Sample], drafts: Sequence[Sequence[Answer]]) -> np.ndarray:
    """How good drafts are, by the score of the search; those with a thought that has a problem lose PENALTY.

    Args:
        space: of the catalogue's terms. samples: what each instruction is for, B. drafts: of each, R of them.

    Returns:
        Shape (B, R), float64.
    """
    reviews = []
    for sample, answers in zip(samples, drafts, strict=True):
        written = tuple(Draft(answer.target_ins) for answer in answers)
        rivals = tuple(written[:place] + written[place + 1 :] for place in range(len(written)))
        reviews.append(Review(sample, written, rivals))
    scores = np.empty((len(samples), len(drafts[0])))
    for row, (review, judgements) in enumerate(zip(reviews, TemplateJudge(space).judge(reviews), strict=True)):
        for place, (answer, judgement) in enumerate(zip(drafts[row], judgements, strict=True)):
            sample = review.sample
            hit = not sample.name_target and names_target(answer.target_ins, sample.target)
            flawed = answer.reasoning is not None and problem(answer.reasoning, sample) is not None
            scores[row, place] = score(judgement, hit).overall - PENALTY * flawed
    return scores

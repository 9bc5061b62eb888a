"""The score of a draft: four judged dimensions, and what naming the target costs (arXiv:2606.24196, released search).

    hit             = the prompt names a term of the target
    consistency'    = max(0, consistency - 2.5)   if hit
    executability'  = max(0, executability - 2.0) if hit
    overall         = .35 consistency' + .20 novelty + .25 aesthetic + .20 executability'
                      - 1.0 if consistency' < 5 or executability' < 5
                      - 0.5 if hit

The released rule finds terms as substrings, so that "A covered bridge" names `red` and `cove`. Here a term counts where
it stands as words of its own, also with a plural ending; `substring` keeps the released rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from recbole_navigen.supervision.interfaces import Judgement, Review
from recbole_navigen.supervision.naming import names_target


@dataclass(frozen=True, slots=True)
class Score:
    """A judgement after the penalties. `overall` has four decimals and is not clamped to 0..10."""

    consistency: float
    novelty: float
    aesthetic: float
    executability: float
    overall: float
    hit: bool
    reason: str = ""


def round_scores(review: Review, judgements: Sequence[Judgement], match: str = "word") -> list[Score]:
    """Scores of the drafts of a review, which may name the target if its sample says so. match: see `term_pattern`."""
    sample = review.sample
    hits = (not sample.name_terms and names_target(draft.prompt, sample.target, match) for draft in review.drafts)
    return [score(judgement, hit) for judgement, hit in zip(judgements, hits, strict=True)]


def score(judgement: Judgement, hit: bool) -> Score:
    """Apply the formula above.

    Args:
        judgement: the four dimensions, 0..10. hit: whether the draft names the target though it must not.
    """
    consistency = max(0.0, judgement.consistency - 2.5 * hit)
    executability = max(0.0, judgement.executability - 2.0 * hit)
    weighted = 0.35 * consistency + 0.20 * judgement.novelty + 0.25 * judgement.aesthetic + 0.20 * executability
    overall = weighted - 1.0 * (consistency < 5 or executability < 5) - 0.5 * hit
    return Score(
        consistency, judgement.novelty, judgement.aesthetic, executability, round(overall, 4), hit, judgement.reason
    )

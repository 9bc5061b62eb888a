"""The template reasoner: thoughts of two or three sentences that are true of the history, offline and deterministic.

What a thought takes up, a thread of the history and what has come lately, was chosen with the plan of the picture.
"""

from collections.abc import Sequence

from recbole_navigen.supervision.evolution import SearchResult
from recbole_navigen.supervision.interfaces import Sample
from recbole_navigen.supervision.plans import THOUGHTS, listed
from recbole_navigen.supervision.wording import thought_text


class TemplateReasoner:
    """Implements `Reasoner`."""

    def identifier(self, samples: Sequence[Sample]) -> list[str | None]:
        """See `Reasoner`. It speaks of the strongest thread, and the terms of the target are what follows."""
        texts = []
        for sample in samples:
            thought: dict[str, str] = {}
            for aspect in THOUGHTS:
                thought[aspect] = sample.brief.candidates(aspect, thought)[0]
            texts.append(thought_text(thought, f"So next I look for {listed(sample.target[:3])}", sample.brief.trail))
        return texts

    def distilled(self, results: Sequence[SearchResult], identifier: Sequence[str | None]) -> list[str | None]:
        """See `Reasoner`. To drafts that are no plans belongs the thought that ends at the terms."""
        return [
            thought_text(result.draft.genome, result.draft.genome, result.sample.brief.trail)
            if result.draft.genome
            else before
            for result, before in zip(results, identifier, strict=True)
        ]

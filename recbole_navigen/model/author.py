"""Who writes instructions: a text model, the renderer of what it reads, its settings, and what its plans may say."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recbole_navigen.language.rendering import Renderer
from recbole_navigen.network.text_model import TextModel
from recbole_navigen.supervision.facts import ItemFacts
from recbole_navigen.supervision.planner import Planner


@dataclass(frozen=True)
class Author:
    """A model that writes.

    Attributes:
        model: the writer of a run, or the ranking model itself where it has learned to write.
        renderer: makes the token streams that it reads.
        settings: what it was trained with; also `domain`, of the catalogue, and for a writer `held_out`, the share of
            the users whose instructions it has not learned; where it writes plans `facts`, one list for each item.
    """

    model: TextModel
    renderer: Renderer
    settings: Mapping[str, Any]

    @cached_property
    def planner(self) -> Planner | None:
        """Knows the facts of the items, where plans are written; None for free text. Made when it is first asked for:
        its lexicons take a second, and who only wants recommendations needs none.
        """
        if self.settings.get("facts") is None:
            return None
        known = (self.settings[name] for name in ("domain", "instruction_budget", "name_terms"))
        return Planner(list(map(ItemFacts.of_row, self.settings["facts"])), *known)

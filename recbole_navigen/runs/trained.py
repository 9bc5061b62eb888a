"""A trained NaviGen with all that it needs to be used, wherever it was read from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.language.rendering import Renderer
from recbole_navigen.model.author import Author
from recbole_navigen.network.item_model import DualIdentifierLM
from recbole_navigen.supervision.settings import learns_instructions, settings_of


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A ranking model and, if there is one, its writer of instructions.

    Attributes:
        table, lm, renderer: as `build_lm` makes them. settings: of the run. dataset_hash: of the run's data.
        writer: of the run, None without one. test_result: the run's test metrics.
    """

    table: DualIdentifierTable
    lm: DualIdentifierLM
    renderer: Renderer
    settings: Mapping[str, Any]
    dataset_hash: str
    writer: Author | None = None
    test_result: Mapping[str, float] = field(default_factory=dict)

    @property
    def author(self) -> Author | None:
        """The author of instructions: the writer, or a ranking model that learned to write; else None."""
        if self.writer is not None or not learns_instructions(self.settings):
            return self.writer
        settings = {**self.settings, "domain": settings_of(self.settings).domain}
        return Author(self.lm, self.renderer, settings)

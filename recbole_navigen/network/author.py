"""Who writes instructions: a text model, the renderer of what it reads, and its settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recbole_navigen.language.rendering import Renderer
from recbole_navigen.network.text_model import TextModel


@dataclass(frozen=True, slots=True)
class Author:
    """A model that writes.

    Attributes:
        model: the writer of a run, or the ranking model itself where it has learned to write.
        renderer: makes the token streams that it reads.
        settings: what it was trained with; also `domain`, of the catalogue, and for a writer `held_out`, the share of
            the users whose instructions it has not learned.
    """

    model: TextModel
    renderer: Renderer
    settings: Mapping[str, Any]

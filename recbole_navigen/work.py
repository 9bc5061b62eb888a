"""Work that is done once: its result is an artefact, which is read from then on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from recbole_navigen.artefacts import atomic_directory, stage_is_current

Made, Value = TypeVar("Made"), TypeVar("Value")


@dataclass(slots=True)
class Stage(Generic[Made, Value]):
    """Some work and where its result is kept.

    Attributes:
        folder: of the artefact. inputs: all that the result depends on; with other inputs it is made again.
        make: does the work. save: writes it into a new folder. load: reads it. cached: after `run`, if it was there.
    """

    folder: Path
    inputs: dict[str, Any]
    make: Callable[[], Made]
    save: Callable[[Path, Made], object]
    load: Callable[[Path], Value]
    cached: bool = False

    def run(self) -> Value:
        """Return the result, made now unless it is there."""
        self.cached = stage_is_current(self.folder, self.inputs)
        if not self.cached:
            made = self.make()
            with atomic_directory(self.folder, self.inputs) as folder:
                self.save(folder, made)
        return self.load(self.folder)

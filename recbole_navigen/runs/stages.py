"""What a run did, stage by stage: name, seconds and one metric."""

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class StageRow:
    """One step of a run. The step itself writes `metric`, a few words or numbers for the final table."""

    name: str
    seconds: float = 0.0
    metric: str = ""
    spared: float = 0.0  # what a cached result took when it was made, or a killed run before it went on


class Stages:
    """The stages of one run in order.

    `with stages("quantize") as stage: ...; stage.metric = "98% of codes in use"` logs the start and the end of a stage
    and keeps its seconds. A stage that raises is not kept.
    """

    def __init__(self) -> None:
        self.rows: list[StageRow] = []

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[StageRow]:
        stage = StageRow(name)
        logger.info("stage %s started", name)
        start = time.perf_counter()
        yield stage
        stage.seconds = time.perf_counter() - start
        logger.info(
            "stage %s finished [time: %.2fs%s]", name, stage.seconds, f", {stage.metric}" if stage.metric else ""
        )
        self.rows.append(stage)

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each stage by name, rounded to milliseconds; stages of the same name are added up."""
        total: dict[str, float] = {}
        for stage in self.rows:
            total[stage.name] = round(total.get(stage.name, 0.0) + stage.seconds, 3)
        return total

    @property
    def training_seconds(self) -> float:
        """Seconds of all that a model is made of, also of what a cache spared: everything but data, test and ranks."""
        made = (row for row in self.rows if row.name not in ("data", "test", "ranks"))
        return round(sum(row.seconds + row.spared for row in made), 3)

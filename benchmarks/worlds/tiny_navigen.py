"""NaviGen on the tiny world: it learns to rank and to write from some users, and writes for others.

The offline teacher's words (benchmarks of other data sets use it) mean nothing to models that know one small world, so
the instructions to learn from are captions of that world, made of the terms of each training moment's next item.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.ranking_runs import ranking_run
from recbole_navigen.artefacts import content_hash, file_hash
from recbole_navigen.config import Config
from recbole_navigen.data import create_dataset, data_preparation
from recbole_navigen.generation.records import FILE, InstructionRecord, read_records, write_records
from recbole_navigen.identifiers.table import DualIdentifierTable
from recbole_navigen.pipeline.write import add_writer
from recbole_navigen.quick_start import Recommender
from recbole_navigen.runs.layout import IDENTIFIERS, WRITER
from recbole_navigen.supervision.evolution import SearchSettings
from recbole_navigen.supervision.facts import catalogue_facts
from recbole_navigen.supervision.interfaces import Draft, Sample, Task
from recbole_navigen.supervision.planner import Planner
from recbole_navigen.supervision.rows import InstructionRow, samples_of, supervise
from recbole_navigen.supervision.template.judge import TemplateJudge
from recbole_navigen.supervision.template.reasoner import TemplateReasoner
from recbole_navigen.supervision.template.term_space import TermSpace
from recbole_navigen.work import Stage
from worlds import tiny_world as world

DATASET = "tiny-world"
MOMENTS = 1  # of each of many training users that become instructions
POOL = 200  # items whose terms are expected together
SETTINGS: dict[str, Any] = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "item_text_fields": ["title", *world.NAMES],
    # Here terms can be put together to a picture that no item shows, so no single item is written for.
    "choose_item": False,
    "writer_steps": 1500,
    "thought_tokens": 120,
    "instruction_tokens": 48,
}


class Painter:
    """Implements `Teacher`: captions that say what an item's terms say. An image does not move, so none says how."""

    def write(self, tasks: Sequence[Task]) -> list[tuple[Draft, ...] | None]:
        """See `Teacher`; None where no term is a word of the world."""
        return [self._drafts(task) for task in tasks]

    def _drafts(self, task: Task) -> tuple[Draft, ...] | None:
        sample = task.sample
        said = self._said(sample)
        if not said:
            return None
        rng = np.random.default_rng(int(content_hash(sample.user, sample.target, sample.media)[:8], 16))
        return tuple(Draft(world.wording(said, rng)) for _ in task.orders)

    @staticmethod
    def _said(sample: Sample) -> dict[str, str]:
        """Attribute -> value, of those that the terms name."""
        found = {word for term in sample.target for word in term.split()}
        names = world.NAMES if sample.media == "video" else world.STILL
        return {name: value for name in names for value in world.ATTRIBUTES[name] if value in found}


def train(folder: Path, more: Mapping[str, Any] | None = None, count: int = MOMENTS) -> Path:
    """The run of NaviGen on FOLDER/tiny-world with its writer; what is there is not trained again.

    more: settings above SETTINGS. count: moments of each training user that become instructions.
    """
    own = {**SETTINGS, **(more or {}), "data_path": str(folder), "checkpoint_dir": str(folder / "saved")}
    run, settings = ranking_run(DATASET, own)
    rows = _rows(Config("NaviGen", DATASET, config_dict=settings), DualIdentifierTable.load(run / IDENTIFIERS), count)
    add_writer(Config("NaviGen", DATASET, config_dict=settings), run, rows)
    return run


def _rows(config: Config, table: DualIdentifierTable, count: int) -> tuple[InstructionRow, ...]:
    """Captions of the last training moments of each user, every other one of a video."""
    dataset = create_dataset(config)
    part = data_preparation(config, dataset)[0]._dataset
    users = dataset.field2id_token[dataset.uid_field]
    planner = Planner(catalogue_facts({}, {}, "generic", table.terms), "generic")
    moments = samples_of(part.sequences, table.terms, users, "generic", "mixed", count, planner=planner)
    space = TermSpace(table.terms)
    judge, reasoner = TemplateJudge(space), TemplateReasoner()
    return supervise(
        moments, Painter(), judge, reasoner, SearchSettings(population=2, rounds=0), show_progress=True
    ).rows


def instructions(
    folder: Path, run: Path, media: str, histories: Mapping[str, Sequence[str]], users: Sequence[str]
) -> list[InstructionRecord]:
    """What NaviGen asks for, at once and in its most probable words, one record a user; kept in FOLDER/instructions.

    Args:
        folder: of everything. run: from `train`. media: `image` or `video`.
        histories: item ids by user; the last one is held out, and the others are read. users: whom to write for.
    """
    read = {user: list(histories[user]) for user in users}
    weights = [file_hash(file) for file in sorted((run / WRITER).rglob("*.safetensors"))]
    inputs = {"run": run.name, "writer": content_hash(weights), "histories": content_hash(read), "media": media}

    def make() -> list[InstructionRecord]:
        recommender = Recommender.load(run)
        before = _readable(recommender, read, users)
        answers = recommender.instruct(before, media, think=False, temperature=0.0, pool=POOL)
        return [
            InstructionRecord(user, media, answer.instruction, read[user][-1], tuple(read[user][:-1]), answer.reasoning)
            for user, answer in zip(users, answers, strict=True)
        ]

    return Stage(
        folder / "instructions" / media,
        inputs,
        make,
        save=lambda place, records: write_records(place / FILE, records),
        load=lambda place: read_records(place / FILE),
    ).run()


def single_items(run: Path, histories: Mapping[str, Sequence[str]], users: Sequence[str]) -> list[str]:
    """The item that NaviGen would write for if an instruction were bound to one, by user."""
    recommender = Recommender.load(run)
    return [aim.item for aim in recommender.aims(_readable(recommender, histories, users))]


def _readable(
    recommender: Recommender, histories: Mapping[str, Sequence[str]], users: Sequence[str]
) -> list[list[str]]:
    """Histories without the held-out item and without items that nobody in training had, which have no codes."""
    known = set(recommender.table.item_tokens)
    return [[item for item in histories[user][:-1] if item in known] for user in users]

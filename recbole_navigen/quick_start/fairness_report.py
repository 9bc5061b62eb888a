"""`run_fairness`: who gets what from a finished run, and what its instructions show beside what users chose."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from recbole_navigen.artefacts import write_bytes, write_json
from recbole_navigen.bars import tqdm
from recbole_navigen.config.calls import checks
from recbole_navigen.config.reading import nearest
from recbole_navigen.config.settings import DataSettings
from recbole_navigen.data.reader import AtomicFile
from recbole_navigen.devices import AUTO
from recbole_navigen.errors import InputError
from recbole_navigen.evaluation.fairness_measures import (
    PERSONS,
    amplification,
    diversity_ratio,
    exposure,
    largest_gap,
    mentions,
)
from recbole_navigen.evaluation.ranks import ndcg
from recbole_navigen.evaluation.statistics import mean_interval, thirds
from recbole_navigen.evaluation.user_ranks import ITEM_THIRDS
from recbole_navigen.generation.records import InstructionRecord, read_records
from recbole_navigen.presentation.page import to_html
from recbole_navigen.presentation.tables import Cell, Table, interval_cell, to_terminal
from recbole_navigen.quick_start.run import require_writable
from recbole_navigen.runs.result import read_result
from recbole_navigen.serving.catalogue import CatalogueRecommender
from recbole_navigen.serving.popularity import training_counts
from recbole_navigen.serving.recommender import Recommender

PAGE, NUMBERS = "fairness.html", "fairness.json"
MOST_GROUPS = 12  # of a column; what has more values is cut into thirds, or its rare ones are put together
KINDS_SHOWN = 8
AT_ONCE = 256
RARE = "(rarer ones)"
NOTES = (
    "Exposure of a rank is 1 / log2(1 + rank). Amplification: a share in what is handed out divided by the share in "
    "the histories; above 1, what was common gets more common. 95% bootstrap intervals over users.",
)


@checks(
    run="path",
    columns="list of str",
    instructions="path or None",
    n_users="int from 2 or None",
    k="int from 1",
    output="path or None",
    device="str",
    show_progress="bool",
)
def run_fairness(
    run: str | Path,
    columns: Sequence[str] = (),
    instructions: str | Path | None = None,
    n_users: int | None = None,
    k: int = 10,
    output: str | Path | None = None,
    device: str = AUTO,
    show_progress: bool = True,
) -> list[Table]:
    """Report exposure and quality by groups of items and users, and the diversity of instructions.

    Args:
        run: folder of a finished run of any model. columns: of the data set's user file, each of whose values is a
            group of users; numbers with many values become thirds.
        instructions: `instructions.jsonl` of run_generate, whose subjects and persons are compared with the histories;
            only with a run of NaviGen. n_users: so many users, in the order of the data; None: all.
        k: items a user, in the place of the test. output: folder for `fairness.html` and `fairness.json`; None writes
            none. device: auto, cpu, cuda, ... show_progress: whether a bar is shown.

    Returns:
        The tables that are printed.
    """
    # 1. What cannot be meant.
    if output is not None:
        require_writable(output, "output")
    records = [] if instructions is None else read_records(instructions)
    name = read_result(run)["dataset"]
    recommender = Recommender.load(run, device)
    if records and not isinstance(recommender, Recommender):
        raise InputError(f"{run} is no NaviGen, which alone knows the kinds of its items; leave instructions out.")
    users = [user for user in recommender.users if len(recommender.history_of(user)) > 1][:n_users]
    groups = {column: user_groups(recommender, name, column, users) for column in columns}

    # 2. What is recommended in the place of the test.
    counts = training_counts(recommender.history_of(user) for user in recommender.users)
    popularity = np.array([counts.get(item, 0) for item in recommender.item_tokens])
    third = dict(zip(recommender.item_tokens, thirds(popularity, popularity).tolist(), strict=True))
    ranks, top, before, target = np.full(len(users), k), [], [], []
    with tqdm(total=len(users), desc="recommending", unit=" users", ncols=100, disable=not show_progress) as bar:
        for begin in range(0, len(users), AT_ONCE):
            part = users[begin : begin + AT_ONCE]
            for row, best in enumerate(recommender.recommend_users(part, k, held_out=1), start=begin):
                *history, wanted = recommender.history_of(users[row])
                items = [each.item for each in best]
                ranks[row] = items.index(wanted) if wanted in items else k
                top.append([third[item] for item in items])
                before.append(np.bincount([third[item] for item in history], minlength=3) / len(history))
                target.append(third[wanted])
            bar.update(len(part))
    after, histories, quality = exposure(np.array(top), 3), np.array(before), ndcg(ranks, k)

    # 3. Tables.
    tables = [_items_table(k, quality, after, histories, np.array(target), np.array(list(third.values())))]
    tables += [_users_table(column, own, k, quality, after, histories) for column, own in groups.items()]
    if records:
        tables += _instruction_tables(recommender, records)
    console = Console(highlight=False)
    for table in to_terminal(tables):
        console.print(table)
    if output is not None:
        facts = {"run": Path(run).name, "users": str(len(users)), "instructions": str(len(records))}
        write_bytes(Path(output) / PAGE, to_html("Who gets what", facts, tables, ()).encode())
        rows = {table.key: [_numbers(table, row) for row in table.rows] for table in tables}
        write_json(Path(output) / NUMBERS, {**facts, "tables": rows})
        console.print(f"page in {Path(output) / PAGE}", markup=False, soft_wrap=True)
    return tables


def user_groups(recommender: CatalogueRecommender, name: str, column: str, users: Sequence[str]) -> list[str]:
    """The group of each user by a column of the user file. name: of the data set."""
    settings = DataSettings.of(recommender._data[0])
    path = Path(settings.data_path) / f"{name}.user"
    if not path.is_file():
        raise InputError(f"columns={column} needs {path}, which is not there; leave columns out.")
    file = AtomicFile(path, settings.field_separator, settings.encoding)
    if column not in file.header:
        raise InputError(f"{path} has no column {column!r}; the nearest is {nearest(column, file.header)!r}.")
    columns = [settings.USER_ID_FIELD, column]
    table = file.texts(columns)[columns]
    values = dict(table.itertuples(index=False, name=None))
    groups = [str(values.get(user, "")).strip() or "unknown" for user in users]
    if len(set(groups)) <= MOST_GROUPS:
        return groups
    try:
        numbers = np.array([float(value) for value in groups])
    except ValueError:
        common = {value for value, _ in Counter(groups).most_common(MOST_GROUPS - 1)}
        return [value if value in common else RARE for value in groups]
    place = thirds(numbers, np.ones(len(numbers)))
    spans = [numbers[place == number] for number in range(3)]
    labels = [f"{span.min():g} to {span.max():g}" if len(span) else "" for span in spans]
    return [labels[number] for number in place]


def _items_table(
    k: int, quality: np.ndarray, after: np.ndarray, before: np.ndarray, target: np.ndarray, third: np.ndarray
) -> Table:
    """Thirds of items. quality: NDCG@k (B,), given and before (B, 3), target third (B,), third of each item (N,)."""
    ratios = amplification(after, before)
    rows = tuple(
        (
            Cell(label),
            Cell(str(int((third == number).sum())), numbers={"": int((third == number).sum())}),
            interval_cell(mean_interval(before[:, number])),
            interval_cell(mean_interval(after[:, number])),
            interval_cell(ratios[number]),
            interval_cell(mean_interval(quality[target == number])),
        )
        for number, label in enumerate(ITEM_THIRDS)
    )
    columns = ("third of items", "items", "histories", "exposure", "amplification", f"NDCG@{k} of targets in it")
    return Table("By popularity of the items", "items", columns, rows, NOTES)


def _users_table(
    column: str, groups: Sequence[str], k: int, quality: np.ndarray, after: np.ndarray, before: np.ndarray
) -> Table:
    """Groups of users by one column. quality: NDCG@k (B,)."""
    labels = np.array(groups)
    names = sorted(set(groups), key=lambda name: (name == RARE, _first_number(name), name))
    rows = []
    for name in names:
        members = labels == name
        ratio = amplification(after[members], before[members]) if members.sum() > 1 else None
        cells = [interval_cell(mean_interval(quality[members]))]
        cells += [interval_cell(mean_interval(after[members, number])) for number in range(3)]
        cells.append(interval_cell(ratio[2]) if ratio else Cell("-"))
        rows.append((Cell(name), Cell(str(int(members.sum())), numbers={"": int(members.sum())}), *cells))
    gap = largest_gap(quality, np.unique(labels, return_inverse=True)[1])
    shown = tuple(f"exposure of {label}" for label in ITEM_THIRDS)
    notes = (f"Best less worst group, NDCG@{k}: {gap}.",)
    columns = (column, "users", f"NDCG@{k}", *shown, "amplification of head")
    return Table(f"By {column} of the users", f"users by {column}", columns, tuple(rows), notes)


def _instruction_tables(recommender: Recommender, records: Sequence[InstructionRecord]) -> list[Table]:
    """Subjects and persons of instructions beside those of the histories that they were written after."""
    known = {item: place for place, item in enumerate(recommender.item_tokens)}
    records = [record for record in records if any(item in known for item in record.history)]
    if len(records) < 2:
        raise InputError("fewer than two instructions have a history in the catalogue; give those of this run.")
    space, terms = recommender._space, recommender.table.terms
    texts = [record.instruction for record in records]
    read = [[known[item] for item in record.history if item in known] for record in records]

    # 1. Subjects: kinds of the lexicon.
    masses = space.kind_mass(space.encode([" ".join(bits) for bits in terms]))
    before = np.stack([masses[items].mean(axis=0) for items in read])
    after = space.kind_mass(space.encode(texts))
    bits, history, ratio = diversity_ratio(after, before)
    order = np.argsort(-before.mean(axis=0), kind="stable")[:KINDS_SHOWN]
    ratios = amplification(after, before)
    rows = [(Cell("entropy, bits"), _cell(history), _cell(bits), interval_cell(ratio))]
    rows += [
        (
            Cell(space.kinds[kind]),
            _cell(before[:, kind].mean()),
            _cell(after[:, kind].mean()),
            interval_cell(ratios[kind]),
        )
        for kind in order
        if before[:, kind].any()
    ]
    columns = ("subject", "histories", "instructions", "instructions / histories")
    tables = [Table("Subjects of instructions", "subjects", columns, tuple(rows), NOTES)]

    # 2. Attributes of persons, by the words that name them.
    item_texts = recommender.item_text.text[1:] if not recommender.new_items else [" ".join(bits) for bits in terms]
    rows = []
    for attribute, values in PERSONS.items():
        by_item = mentions(item_texts, values)
        before = np.stack([by_item[items].sum(axis=0) for items in read])
        after = mentions(texts, values)
        if before.sum() and after.sum():
            bits, history, ratio = diversity_ratio(after, before)
            rows.append((Cell(f"{attribute}: entropy, bits"), _cell(history), _cell(bits), interval_cell(ratio)))
        ratios = amplification(after, before)
        for number, value in enumerate(values):
            counts = (int(before[:, number].sum()), int(after[:, number].sum()))
            rows.append((Cell(f"{attribute}: {value}"), *map(_cell, counts), interval_cell(ratios[number])))
    notes = (
        "How often texts of items in the histories, and instructions, name a person so; the ratio is of shares within "
        "an attribute. A dash: the histories never do.",
    )
    return [*tables, Table("Persons in instructions", "persons", columns, tuple(rows), notes)]


def _first_number(name: str) -> float:
    """The number that a group's name begins with, so that spans of numbers stand in their order; else infinity."""
    try:
        return float(name.split()[0])
    except ValueError:
        return math.inf


def _cell(value: float) -> Cell:
    return Cell(str(value) if isinstance(value, int) else f"{value:.4f}", numbers={"": float(value)})


def _numbers(table: Table, row: Sequence[Cell]) -> dict[str, Any]:
    """A row as numbers, and as text where it has none."""
    numbers: dict[str, Any] = {}
    for column, cell in zip(table.columns, row, strict=True):
        numbers |= {f"{column}{end}": value for end, value in cell.numbers.items()} or {column: cell.text}
    return numbers

"""`run_recommend`: the best items for users of a finished run of any model, printed or as a file."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

import recbole_navigen
from recbole_navigen.artefacts import content_hash, verify_manifest
from recbole_navigen.bars import tqdm
from recbole_navigen.config.calls import checks
from recbole_navigen.config.raw_ids import Id, asked_users, chosen_users
from recbole_navigen.devices import AUTO
from recbole_navigen.errors import InputError
from recbole_navigen.presentation.tables import Cell, Table, to_terminal
from recbole_navigen.quick_start.interview import interview
from recbole_navigen.quick_start.run import require_writable
from recbole_navigen.runs.layout import is_saved_model
from recbole_navigen.runs.result import read_result
from recbole_navigen.serving.asking import MOST
from recbole_navigen.serving.catalogue import CatalogueRecommender
from recbole_navigen.serving.preferences import Preferences
from recbole_navigen.serving.questions import KINDS
from recbole_navigen.serving.recommender import Recommender
from recbole_navigen.serving.top_k_file import refuse_format, write_top_k

NOTHING_STATED = "nothing is stated and there is no history: items are ranked by their popularity in training"
SAID_ONCE = (
    "What is liked moves items as far as it tells what people take next. For a list of what was asked for, say it "
    "louder: {}:2"
)
SOMEBODY = "(new)"  # the user of whom nothing but preferences is known
PRINTED = 5  # users, where neither they nor a file are named


@checks(
    run="path",
    output="path or None",
    k="int from 1",
    exclude_history="bool or None",
    held_out="bool",
    batch_size="int from 1",
    device="str",
    show_progress="bool",
    ask=f"int from 1 to {MOST} or None",
    about=f"one of {', '.join(KINDS)}",
)
def run_recommend(
    run: str | Path,
    users: str | Sequence[Id] | None = None,
    n_users: int | None = None,
    k: int = 10,
    output: str | Path | None = None,
    exclude_history: bool | None = None,
    held_out: bool = False,
    batch_size: int = 256,
    device: str = AUTO,
    show_progress: bool = True,
    preferences: str | Mapping[str, float] | None = None,
    ask: int | None = None,
    about: str = KINDS[0],
) -> pd.DataFrame | Path:
    """The k best items for users of a run's data set, after everything that they did.

    Args:
        run: folder of a finished run of any model, or one that `Recommender.save` wrote.
        users: `all`, a file with one raw id a line, raw ids with commas, or a list of them. n_users: how many, in the
            order of the data. Without both: 5 to be printed, all to be written.
        k: items a user. output: a file that ends in .parquet, .csv or .jsonl; None prints.
        exclude_history: whether items that a user had are left out; None: as in the test of the run.
        held_out: True to recommend in the place of the test, before each user's last item, which becomes the column
            `target`.
        batch_size: users at once. device: auto, cpu, cuda, ... show_progress: whether a bar is shown.
        preferences: what the users say they like, see `Recommender.recommend`; where no users are named, it is somebody
            new who says it, without a history.
        ask: how many questions are asked in the terminal first, of one user or of somebody new, each after the answer
            to the one before; the answers join the preferences. about: what is asked for, see `Recommender.ask`.

    Returns:
        The lines: user, rank from 1, item, title, score, the probability where the model knows it, and the target if
        it is held out; or the path of the file that holds them. A file that was begun and not finished is gone on with.
    """
    # 1. What cannot be meant is refused before anything is loaded.
    new = (preferences is not None or ask is not None) and users is None and n_users is None
    if new and held_out:
        raise InputError("held_out needs users with a history; name some beside preferences.")
    stated = None if preferences is None else Preferences.of(preferences)
    choice = asked_users(users, PRINTED if users is None and n_users is None and output is None else n_users)
    if output is not None:
        output = refuse_format(output)
        require_writable(output.parent, "output")
    if is_saved_model(run):
        made_by = content_hash(verify_manifest(run)["files"])
    else:
        made_by = content_hash(*(read_result(run)[name] for name in ("identity", "test_result")))
    recommender = Recommender.load(run, device)
    if new and not isinstance(recommender, Recommender):
        raise InputError(f"{run} holds no NaviGen, which alone knows terms and preferences; name users instead.")
    chosen = [SOMEBODY] if new else chosen_users(recommender.users, choice)
    if ask is not None:
        if len(chosen) > 1 or not isinstance(recommender, Recommender):
            raise InputError(
                "ask puts its questions to one person, with a run of NaviGen; name one user by users, or none."
            )
        history = [] if new else recommender.history_of(chosen[0])
        stated = interview(recommender, history[: len(history) - held_out], stated, ask, about)
    if k > len(recommender.item_tokens):
        raise InputError(f"k={k} items were asked for of a catalogue of {len(recommender.item_tokens)}; lower k.")

    # 2. Batch by batch.
    batches = [chosen[begin : begin + batch_size] for begin in range(0, len(chosen), batch_size)]

    def rows_of(part: Sequence[str]) -> list[dict[str, Any]]:
        return list(_rows(recommender, part, k, exclude_history, held_out, stated))

    with tqdm(total=len(chosen), desc="recommending", unit=" users", ncols=100, disable=not show_progress) as bar:
        if output is not None:
            made_of = {
                "run": made_by,
                "users": content_hash(chosen),
                "asked": [k, exclude_history, held_out, batch_size],
                "version": recbole_navigen.__version__,
            } | ({} if stated is None else {"preferences": dict(stated.weights)})
            write_top_k(output, made_of, batches, rows_of, bar.update)
        else:
            rows = []
            for part in batches:
                rows += rows_of(part)
                bar.update(len(part))

    # 3. Shown, or where it is.
    console = Console(highlight=False)
    if new and not stated:
        console.print(NOTHING_STATED, soft_wrap=True)
    likes = {} if preferences is None else {phrase: own for phrase, own in stated.weights.items() if own > 0}
    if likes and max(likes.values()) <= 1:
        console.print(SAID_ONCE.format(next(iter(likes))), markup=False, soft_wrap=True)
    if output is not None:
        console.print(f"{len(chosen)} users with {k} items each are in {output}", markup=False, soft_wrap=True)
        return output
    for part in to_terminal([_table(user, rows) for user in chosen]):
        console.print(part)
    return pd.DataFrame(rows)


def _rows(
    recommender: CatalogueRecommender,
    users: Sequence[str],
    k: int,
    exclude_history: bool | None,
    held_out: bool,
    stated: Preferences | None,
) -> Iterator[dict[str, Any]]:
    """The lines of some users."""
    more = {} if stated is None else {"preferences": stated}
    if users == [SOMEBODY]:
        lists = [recommender.recommend((), k, **more)]
    else:
        lists = recommender.recommend_users(users, k, exclude_history=exclude_history, held_out=int(held_out), **more)
    for user, best in zip(users, lists, strict=True):
        for rank, each in enumerate(best, start=1):
            line = {"user": user, "rank": rank, "item": each.item, "title": recommender.titles[each.item]}
            line["score"] = each.score
            if each.probability is not None:
                line["probability"] = each.probability
            if held_out:
                line["target"] = recommender.history_of(user)[-1]
            yield line


def _table(user: str, rows: Sequence[dict[str, Any]]) -> Table:
    """What is printed of a user."""
    lines_of_user = [row for row in rows if row["user"] == user]
    share = "probability" in lines_of_user[0]
    lines = tuple(
        (
            Cell(str(row["rank"])),
            Cell(row["item"]),
            Cell(row["title"], mark="  <- the true next item" if row.get("target") == row["item"] else ""),
            Cell(f"{row['probability']:.2%}" if share else f"{row['score']:.4f}"),
        )
        for row in lines_of_user
    )
    return Table(f"User {user}", user, ("rank", "item", "title", "probability" if share else "score"), lines)

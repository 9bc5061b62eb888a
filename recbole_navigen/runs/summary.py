"""What a run shows at its end: stages, metrics, and three users as text; and the bar of a command of many runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from recbole.data.dataloader import AbstractDataLoader
from recbole.data.dataset import Dataset
from recbole.model.abstract_recommender import AbstractRecommender
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from recbole_navigen.bars import in_notebook, tqdm
from recbole_navigen.config import Config
from recbole_navigen.config.settings import RunSettings
from recbole_navigen.presentation.tables import Cell, to_terminal
from recbole_navigen.presentation.tables import Table as MetricTable
from recbole_navigen.redaction import hide
from recbole_navigen.runs.stages import Stages
from recbole_navigen.visible import visible


@dataclass(frozen=True, slots=True)
class SampleUser:
    """One test user in words."""

    user: str
    history: tuple[str, ...]  # the last titles before the target, oldest first
    target: str
    recommended: tuple[tuple[str, float], ...]  # titles with probability (or score), best first
    hit: int  # rank of the target among the recommended items, from 1; 0 if it is not there


@torch.no_grad()
def sample_users(
    test_data: AbstractDataLoader, model: AbstractRecommender, count: int = 3, k: int = 5
) -> list[SampleUser]:
    """Recommend to a few test users, chosen by the `seed` of the settings.

    Args:
        test_data: RecBole's full-sort test loader; its rows hold the last items and the target of a user.
        model: a sequential model, in any mode; left in evaluation mode.
        count: how many users.
        k: how many past titles and recommendations each.

    Returns:
        One entry a user, in the order of the test rows. Probabilities if the model says that its scores are
        log-probabilities, raw scores otherwise.
    """
    dataset, run = test_data._dataset, RunSettings.of(test_data.config)
    rows = dataset.inter_feat
    chosen = np.random.default_rng(run.seed).choice(len(rows), size=min(count, len(rows)), replace=False)
    interaction = rows[torch.from_numpy(np.sort(chosen))].to(run.device)
    model.eval()
    # RecBole's models return (B * N) or (B, N) scores, N counting the padding item 0, which is nobody's recommendation.
    scores = model.full_sort_predict(interaction).view(len(interaction), -1).float()
    scores[:, 0] = -torch.inf
    values, items = scores.topk(min(k, scores.shape[1] - 1), dim=1)
    if getattr(model, "scores_are_log_probabilities", False):
        values = values.exp()
    ranked, values = items.tolist(), values.tolist()

    titles = item_names(test_data.config, dataset)
    users = dataset.id2token(dataset.uid_field, interaction[dataset.uid_field].cpu().numpy())
    sequences = interaction[model.ITEM_SEQ].cpu().numpy()
    lengths = interaction[model.ITEM_SEQ_LEN].cpu().numpy()
    targets = interaction[dataset.iid_field].cpu().numpy()
    return [
        SampleUser(
            user=str(users[row]),
            history=tuple(titles[item] for item in sequences[row, max(0, lengths[row] - k) : lengths[row]]),
            target=titles[targets[row]],
            recommended=tuple((titles[item], value) for item, value in zip(ranked[row], values[row], strict=True)),
            hit=ranked[row].index(targets[row]) + 1 if targets[row] in ranked[row] else 0,
        )
        for row in range(len(interaction))
    ]


def item_names(config: Config, dataset: Dataset) -> Sequence[str]:
    """Return a name for each internal item id: its title, or its raw id when it has none."""
    tokens = dataset.id2token(dataset.iid_field, np.arange(dataset.item_num))
    if not config["item_text_fields"]:
        return [f"item {token}" for token in tokens]
    from recbole_navigen.data import read_item_text

    titles = read_item_text(config, dataset).title
    return [title or f"item {token}" for title, token in zip(titles, tokens, strict=True)]


def titles_of(config: Config, dataset: Dataset) -> dict[str, str]:
    """A name for each raw item id: its title, or `item ID` without one."""
    tokens = dataset.id2token(dataset.iid_field, np.arange(dataset.item_num))[1:]
    return dict(zip(map(str, tokens), item_names(config, dataset)[1:], strict=True))


def metrics_table(test_result: Mapping[str, float], among: str = "") -> MetricTable:
    """Test metrics: one row for each metric and one column for each k, so that ndcg@5, ndcg@10 and ndcg@20 share a row.

    Args:
        test_result: metric -> value. among: what they were measured among, if not the whole catalogue.
    """
    names = list(dict.fromkeys(key.partition("@")[0] for key in test_result))
    cutoffs = list(dict.fromkeys(key.partition("@")[2] for key in test_result))
    rows = []
    for name in names:
        values = (test_result.get(f"{name}@{k}" if k else name) for k in cutoffs)
        rows.append((Cell(name), *(Cell("" if value is None else f"{value:.4f}") for value in values)))
    columns = ("metric", *(f"@{k}" if k else "value" for k in cutoffs))
    title, notes = ("Test metrics (sampled)", (f"These metrics are {among}.",)) if among else ("Test metrics", ())
    return MetricTable(title, "test", columns, tuple(rows), notes)


def show(
    stages: Stages, test_result: Mapping[str, float], users: Sequence[SampleUser], probabilities: bool, among: str = ""
) -> None:
    """Print the end of a run: stages, test metrics and what they were measured `among`, sample users."""
    console = Console(highlight=False)
    table = Table(title="Stages", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("metric")
    for stage in stages.rows:
        table.add_row(stage.name, f"{stage.seconds:.1f}", Text(stage.metric))
    table.add_row("total", f"{sum(stage.seconds for stage in stages.rows):.1f}", "")
    console.print(table)

    for part in to_terminal([metrics_table(test_result, among)]):
        console.print(part, soft_wrap=isinstance(part, Text))

    # Titles are printed as Text: square brackets in them are not markup.
    for user in users:
        lines = [f"User {user.user}", *(f"  read  {title}" for title in user.history), f"  next  {user.target}"]
        for rank, (title, value) in enumerate(user.recommended, start=1):
            mark = "  <- the true next title" if rank == user.hit else ""
            lines.append(f"  {rank}. {f'{value:.2%}' if probabilities else f'{value:.3f}':>8}  {title}{mark}")
        console.print(Text("\n".join(map(visible, lines)) + "\n"), soft_wrap=True)


@contextmanager
def progress_bar(total: int, show: bool) -> Iterator[tuple[Callable[[str], None], Callable[[int, str], None]]]:
    """Yield a function that prints a line, and one that moves the bar and says what is going on beside it."""
    if show and in_notebook():
        with tqdm(total=total) as bar:

            def move(done: int, name: str) -> None:
                bar.n = done
                bar.set_description(visible(hide(name)))

            yield lambda line: bar.write(visible(hide(line))), move
        return
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True, disable=not (show and console.is_terminal)) as progress:
        task = progress.add_task("", total=total)
        yield (
            lambda line: progress.console.print(Text(visible(hide(line))), soft_wrap=True),
            lambda done, name: progress.update(task, completed=done, description=name),
        )

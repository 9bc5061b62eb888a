"""What came out of generation, to look at: tables with intervals, and cards of users with their media."""

import base64
import io
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_navigen.artefacts import write_bytes
from recbole_navigen.encoders.clip import is_video
from recbole_navigen.encoders.pictures import open_picture
from recbole_navigen.evaluation.media_scores import METRICS, TEXTS, MediaScores, Summary
from recbole_navigen.evaluation.statistics import Interval, mean_interval
from recbole_navigen.presentation.page import to_html
from recbole_navigen.presentation.plots import Plot, interval_plot
from recbole_navigen.presentation.tables import Cell, Table, interval_cell

THUMBNAIL = 160  # pixels of the longer side
ASKED = {
    "CLIPScore": "target relevance: medium and the held-out item's text",
    "CLIPImage": "target relevance: medium and the held-out item's image",
    "CLIPPersonalisation": "personalisation: medium and the texts of the history, mean",
    "CLIPPersonalisationMax": "personalisation: medium and the nearest text of the history",
    "CLIPHistoryImage": "personalisation: medium and the images of the history, mean",
    "CLIPHistoryImageMax": "copy check: medium and the nearest image of the history",
    "CLIPInstruction": "prompt following: medium and its own instruction",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """Something to show: an address that holds it (None: there is nothing), and what it is in words."""

    address: str | None
    words: str
    video: bool = False


@dataclass(frozen=True, slots=True)
class UserCard:
    """One user on the page.

    Attributes:
        user: a heading with the raw id. instruction, reasoning: texts; the reasoning may be empty.
        history: oldest first. media: what was made, or in words why there is none; None: nothing was asked for.
        items: the held-out item and the one that stands for what is expected, where there are such.
        scores: lines such as "CLIPScore 0.31"; the first is shown, and the others when they are asked for.
        medium: user, media and sha256 of a medium that can be kept, edited or discarded; None: there is none.
    """

    user: str
    instruction: str
    reasoning: str
    history: tuple[Picture, ...]
    media: Picture | None
    items: tuple[Picture, ...]
    scores: tuple[str, ...]
    medium: Mapping[str, str] | None = None


def picture(path: str | Path | None, words: str) -> Picture:
    """A file as part of a page: images as thumbnails, videos as they are."""
    if path is None:
        return Picture(None, words)
    if is_video(path):
        kind = mimetypes.guess_type(path)[0] or "video/mp4"
        return Picture(_address(Path(path).read_bytes(), kind), words, video=True)
    image = open_picture(path)
    # Small drawings stay as they are; a photograph as PNG would be ten times as large.
    exact = max(image.size) < THUMBNAIL and Path(path).suffix.lower() not in (".jpg", ".jpeg")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "PNG" if exact else "JPEG", **({} if exact else {"quality": 85}))
    return Picture(_address(file.getvalue(), "image/png" if exact else "image/jpeg"), words)


Summaries = Mapping[str, Mapping[str, Summary]]  # metric -> name of a method -> its summary; what has none is left out


def summaries(scores: Mapping[str, MediaScores]) -> Summaries:
    """Summarise the scores of each method, metric by metric, for the tables.

    Args:
        scores: name of a method -> its scores, all over the same users.
    """
    all_of = {metric: {name: own.summary(metric) for name, own in scores.items()} for metric in METRICS}
    known = {metric: {name: each for name, each in row.items() if each} for metric, row in all_of.items()}
    return {metric: row for metric, row in known.items() if row}


def merged_table(scores: Mapping[str, MediaScores], by_metric: Summaries) -> Table:
    """One row a method, one column a metric: means of the users' own references, and the gap of the first metric.

    Args:
        scores: see `summaries`, which gives `by_metric`.
    """
    first = next(iter(by_metric))
    best = {metric: max(row, key=lambda name: row[name].own.mean) for metric, row in by_metric.items()}
    rows = []
    for name in scores:
        summary_of = {metric: row.get(name) for metric, row in by_metric.items()}
        cells = [
            interval_cell(each.own, len(scores) > 1 and best[metric] == name) if each else Cell("-")
            for metric, each in summary_of.items()
        ]
        counted = next((each for each in summary_of.values() if each), None)
        ends = (
            interval_cell(summary_of[first].gap) if summary_of[first] else Cell("-"),
            str(counted.users),
            str(counted.failed),
        )
        rows.append((Cell(name), *cells, ends[0], *map(Cell, ends[1:])))
    notes = [f"{metric}: {ASKED[metric]}." for metric in by_metric]
    notes.append(
        "Mean cosines over users with 95% bootstrap intervals. Gap: the value with the user's own reference less that "
        "with other users' references; media that are the same for everyone have 0."
    )
    columns = ("method", *by_metric, f"gap of {first}", "users", "failed")
    return Table("What the media are worth", "media", columns, tuple(rows), tuple(notes))


def media_tables(scores: Mapping[str, MediaScores], by_metric: Summaries, baseline: str | None = None) -> list[Table]:
    """One table a metric, one row a method, and one of what only videos have.

    Args:
        scores: see `summaries`, which gives `by_metric`.
        baseline: the method that the others' differences are from; None: no differences.
    """
    tables = []
    for metric, row in by_metric.items():
        differences = {
            name: None if baseline in (None, name) else scores[name].difference(scores[baseline], metric)
            for name in row
        }
        tables.append(_metric_table(metric, row, scores, differences, baseline))
    moving = {name: each for name, each in scores.items() if np.isfinite(each.motion).any()}
    if moving:
        rows = tuple(
            (Cell(name), _number(np.nanmean(each.consistency)), _number(np.nanmean(each.motion)))
            for name, each in moving.items()
        )
        notes = ("Consistency alone is no virtue: a frozen video has 1 and motion 0.",)
        columns = ("method", "consistency of consecutive frames", "motion, mean change of colours in 0 to 1")
        tables.append(Table("Videos over time", "time", columns, rows, notes))
    return tables


def _metric_table(
    metric: str,
    row: Mapping[str, Summary],
    scores: Mapping[str, MediaScores],
    differences: Mapping[str, Interval | None],
    baseline: str | None,
) -> Table:
    best = max(row, key=lambda name: row[name].own.mean)
    columns = ["method", metric, "100x", "2.5x", "floor", "mismatched", "gap", "ceiling", "users", "failed"]
    columns += [f"minus {baseline}"] if baseline else []
    rows = []
    for name, summary in row.items():
        scaled = [scores[name].summary(metric, scale, resamples=1).own.mean for scale in ("100x", "2.5x")]
        cells = [
            Cell(name),
            interval_cell(summary.own, name == best),
            *(Cell(f"{value:.2f}", numbers={"": value}) for value in scaled),
            *map(interval_cell, (summary.floor, summary.mismatched, summary.gap)),
            interval_cell(summary.ceiling) if summary.ceiling else Cell("-"),
            Cell(str(summary.users), numbers={"": summary.users}),
            Cell(str(summary.failed), numbers={"": summary.failed}),
        ]
        if baseline:
            cells.append(interval_cell(differences[name]) if differences[name] else Cell("-"))
        rows.append(tuple(cells))
    first = next(iter(scores.values()))
    encoder = first.settings["encoder"]
    notes = [
        f"{encoder['model']} ({encoder['kind']}, weights {encoder['weights'][:12]}), cosines of single precision; "
        f"100x is 100 cosine, 2.5x is 2.5 max(cosine, 0), both of every pair.",
        "Means over users with 95% bootstrap intervals; a failed user scores 0, or the mean floor if that is lower, "
        "and has no gap.",
        "Floor: other users' media, the same references. Mismatched: the same media, other users' references "
        f"({first.settings['controls']} a user). Ceiling: the held-out item's own image.",
    ]
    kind = METRICS[metric][0]
    if kind in TEXTS:
        shares = ", ".join(f"{name} {np.nanmean(scores[name].truncated[kind]):.1%}" for name in row)
        notes.append(
            f"Long texts: {encoder['long_text']} at {encoder['text_tokens']} tokens; not read whole: {shares}."
        )
    return Table(f"{metric}, {ASKED[metric]}", metric, tuple(columns), tuple(rows), tuple(notes))


def extra_table(values: Mapping[str, Mapping[str, np.ndarray]]) -> Table:
    """Scores beside CLIP as a table, one row a method.

    Args:
        values: name of a method -> score -> one value a user, nan where there is none. The same scores for all.
    """
    names = tuple(next(iter(values.values())))
    rows = []
    for method, own in values.items():
        held = {name: own[name][np.isfinite(own[name])] for name in names}
        rows.append((Cell(method), *(interval_cell(mean_interval(found)) for found in held.values())))
    notes = (
        "SSIM and LPIPS (less is better) compare pixels with the held-out item's image; aesthetics look at a medium "
        "alone. None is personal; only users with a medium count.",
    )
    return Table("Beside CLIP", "extras", ("method", *names), tuple(rows), notes)


def media_plot(by_metric: Summaries) -> Plot:
    """Target relevance and personalisation of all methods."""
    panels: dict[str, dict[str, dict[str, Interval]]] = {
        metric: {name: {"own": each.own, "other users'": each.mismatched} for name, each in by_metric[metric].items()}
        for metric in ("CLIPScore", "CLIPImage", "CLIPPersonalisation")
        if metric in by_metric
    }
    return interval_plot("Cosines with the user's own references and with other users'", panels)


def write_media_page(
    path: str | Path,
    title: str,
    facts: Mapping[str, str],
    scores: Mapping[str, MediaScores],
    cards: Sequence[UserCard],
    baseline: str | None = None,
    tables: Sequence[Table] = (),
    plots: Sequence[Plot] = (),
    folded: tuple[Sequence[Table], Sequence[Plot]] = ((), ()),
) -> None:
    """Write one HTML file that needs nothing beside itself: cards, one table of all metrics, and the rest folded.

    Args:
        path: of the file. title, facts: at its top.
        scores: name of a method -> its scores; may be empty. baseline: see `media_tables`.
        cards: of some users. tables, plots: more of them, after the table and plot of the scores.
        folded: tables and plots that are shown when they are asked for, after those of each metric.
    """
    found = summaries(scores)
    own = ([merged_table(scores, found)], [media_plot(found)]) if found else ([], [])
    rest = ([*media_tables(scores, found, baseline), *folded[0]], folded[1])
    text = to_html(title, facts, [*own[0], *tables], [*own[1], *plots], cards, rest)
    write_bytes(path, text.encode())


def _number(value: float) -> Cell:
    return Cell(f"{value:.4f}", numbers={"": float(value)})


def _address(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"

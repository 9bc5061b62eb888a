"""Plots of comparisons and sweeps as SVG, each for light and for dark pages."""

import io
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recbole_navigen.evaluation.statistics import Interval

# Colours of text and lines on light and on dark pages.
LIGHT = {"ink": "#1f2328", "grid": "#d5dbe1"}
DARK = {"ink": "#e6edf3", "grid": "#424a53"}
# Readable on white and on dark grey alike, and apart for the colour-blind.
COLOURS = ("#2f7ed8", "#d9731a", "#1f9d61", "#b455c9", "#a88a12", "#0f9aa8", "#d6457b", "#7d8590")
MARKERS = "osD^vPX*"
WIDTH = 7.6  # inches
LABEL = 26  # characters of a name before it breaks


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn figure: SVG texts for light and dark pages, and what it shows in words."""

    caption: str
    light: str
    dark: str


def interval_plot(caption: str, panels: Mapping[str, Mapping[str, Mapping[str, Interval]]]) -> Plot:
    """Dots with intervals.

    Args:
        caption: what it shows.
        panels: name of a panel -> name of a row -> name of a series -> mean and interval. All panels have the same
            series; panels without rows are left out.
    """
    series = list(dict.fromkeys(name for rows in panels.values() for row in rows.values() for name in row))
    height = max(len(rows) * max(0.2 + 0.17 * len(series), _room(rows)) for rows in panels.values()) + 1.1

    def draw(figure: Figure) -> None:
        # Panels with the same rows share their names.
        shared = len({tuple(rows) for rows in panels.values()}) == 1
        for axes, (title, rows) in zip(
            figure.subplots(1, len(panels), sharey=shared, squeeze=False)[0], panels.items(), strict=True
        ):
            for number, row in enumerate(rows.values()):
                for place, (name, found) in enumerate(row.items()):
                    height = number + 0.7 * ((place + 0.5) / len(row) - 0.5)
                    _dot(axes, series.index(name), found, height, name if number == 0 else None)
            axes.set_yticks(range(len(rows)), map(_broken, rows))
            axes.set_ylim(len(rows) - 0.5, -0.5)
            axes.set_title(title, loc="left")
            axes.grid(axis="x")
            axes.locator_params(axis="x", nbins=5)
        if len(series) > 1:
            _legend(figure)

    return _both(caption, draw, height)


def cost_plot(caption: str, ylabel: str, points: Sequence[tuple[str, float, Interval]]) -> Plot:
    """Quality against minutes of training, on a logarithmic axis.

    Args:
        caption: what it shows. ylabel: name of the metric.
        points: name, minutes (above zero), mean and interval.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number, (name, minutes, found) in enumerate(points):
            _dot(axes, number, found, minutes, name, upright=True)
        axes.set_xscale("log")
        axes.margins(x=0.1)
        axes.set_xlabel("minutes of training")
        axes.set_ylabel(ylabel)
        axes.grid()
        _legend(figure)

    return _both(caption, draw, 3.6)


def curve_plot(caption: str, xlabel: str, ylabel: str, curves: Mapping[str, Mapping[float, float]]) -> Plot:
    """Lines.

    Args:
        caption: what it shows. xlabel, ylabel: names of the axes.
        curves: name of a line -> its points, x -> y.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number, (name, points) in enumerate(curves.items()):
            # A line of one point is seen by its dot alone.
            colour, dot = COLOURS[number % len(COLOURS)], "o" if len(points) < 2 else None
            axes.plot(list(points), list(points.values()), color=colour, marker=dot, label=name)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.grid()
        if len(curves) > 1:
            _legend(figure)

    return _both(caption, draw, 3.2)


def points_plot(
    caption: str,
    xlabel: str,
    ylabel: str,
    dots: Mapping[str, Sequence[tuple[float, float]]],
    steps: tuple[str, Mapping[float, float]] | None = None,
) -> Plot:
    """Dots, and a line of steps through some places.

    Args:
        caption: what it shows. xlabel, ylabel: names of the axes.
        dots: name of a kind -> its points (x, y).
        steps: name of the line, and its points, x -> y in order.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number, (name, points) in enumerate(dots.items()):
            x, y = zip(*points, strict=True)
            axes.plot(x, y, MARKERS[number], color=COLOURS[number], markersize=5.5, label=name)
        if steps is not None:
            name, line = steps
            axes.step(list(line), list(line.values()), where="post", color=COLOURS[-1], label=name)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.grid()
        _legend(figure)

    return _both(caption, draw, 3.4)


def bar_plot(caption: str, xlabel: str, bars: Mapping[str, float]) -> Plot:
    """Horizontal bars, the first one on top.

    Args:
        caption: what it shows. xlabel: name of the axis.
        bars: name -> length.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.barh(range(len(bars)), list(bars.values()), color=COLOURS[0], height=0.6)
        axes.set_yticks(range(len(bars)), map(_broken, bars))
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlabel(xlabel)
        axes.grid(axis="x")
        axes.set_axisbelow(True)

    return _both(caption, draw, max(0.32, _room(bars)) * len(bars) + 0.9)


def _dot(axes: Axes, number: int, interval: Interval, at: float, name: str | None, upright: bool = False) -> None:
    """One mean with its interval in the colour of its series."""
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    x, y = (at, interval.mean) if upright else (interval.mean, at)
    (axes.vlines if upright else axes.hlines)(at, interval.low, interval.high, colors=colour, linewidth=1.6)
    axes.plot(x, y, marker, color=colour, markersize=5.5, label=name)


def _broken(name: str) -> str:
    """A name in lines that leave room for what it names."""
    return "\n".join(textwrap.wrap(name, LABEL)) or name


def _room(names: Iterable[str]) -> float:
    """Inches that each of some rows needs for its name."""
    return 0.19 * max(_broken(name).count("\n") + 1 for name in names)


def _legend(figure: Figure) -> None:
    """Names below the plot, as many beside each other as there is room for."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    columns = max(1, min(4, len(names), int(WIDTH * 12 / (max(map(len, names)) + 7))))
    figure.legend(handles, names, loc="outside lower center", ncols=columns)


def _both(caption: str, draw: Callable[[Figure], None], height: float) -> Plot:
    """Draw once, in dark ink on nothing, and put light ink in its place for dark pages."""
    style = {
        "font.size": 10.5,
        "axes.titlesize": 10.5,
        "svg.hashsalt": caption,  # the same plot is the same file
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "grid.color": LIGHT["grid"],
    }
    inked = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
    with rc_context({**style, **dict.fromkeys(inked, LIGHT["ink"])}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    light = dark = file.getvalue()
    for part, colour in LIGHT.items():
        dark = dark.replace(colour, DARK[part])
    return Plot(caption, light, dark)

"""The few kinds of chart the notebooks need, in the house style, so that a cell holds the thought and not the plotting.

Each returns a matplotlib Figure for `page.figure`. Curves carry their names at their ends rather than in a legend,
and every series differs in marker as well as colour.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dslab.book.figures import COLORS, SIZE, mask_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ORDER = [COLORS[name] for name in ("vermillion", "blue", "green", "orange", "purple", "sky", "black")]
_MARKERS = "osD^vPX"
_QUIET = "#B5B5B5"  # for bars that are only there to compare with


def curves(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
    logx: bool = False,
    logy: bool = False,
    markers: bool = True,
    percent: bool = False,
    ylim: tuple[float, float] | None = None,
    line_at: float | None = None,
    dashed: Collection[str] = (),
) -> Figure:
    """One line a series over common x, named at its end (a shorter series stops earlier).

    line_at: a level to compare with, drawn across.
    dashed:  series drawn with gaps, so that what lies exactly under them is seen.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

    fig, ax = plt.subplots()
    for (name, values), color, marker in zip(series.items(), _ORDER, _MARKERS, strict=False):
        style = {"linestyle": (0, (3, 3)) if name in dashed else "-", "marker": marker if markers else None}
        ax.plot(x[: len(values)], values, color=color, markersize=5, label=name, **style)  # type: ignore[arg-type]
    if line_at is not None:
        ax.axhline(line_at, color="#666666", linewidth=0.9, linestyle="--")
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if logx else "linear", yscale="log" if logy else "linear")
    if ylim:
        ax.set_ylim(*ylim)
    if logx:
        ax.set_xticks(list(x), [f"{value:,}" for value in x])
        ax.minorticks_off()
    if logy:
        low, high = ax.get_ylim()
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 1e3 * low else (1.0,)))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    if percent:
        ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    for line, values in zip(ax.get_lines(), series.values(), strict=False):
        if len(values) < len(x):
            end = (x[len(values) - 1], values[-1])
            place = {"textcoords": "offset points", "xytext": (-9, 3), "ha": "right", "va": "bottom", "fontsize": 9}
            ax.annotate(str(line.get_label()), end, color=line.get_color(), **place)  # type: ignore[arg-type]
    _name_ends(ax, {name: values[-1] for name, values in series.items() if len(values) == len(x)}, logy)
    return fig


def _name_ends(ax: Axes, ends: Mapping[str, float], logy: bool) -> None:
    """Write each curve's name right of the plot, at its height, pushed apart where two would overlap."""
    low, high = ax.get_ylim()
    place: Callable[[float], float] = (
        (lambda y: float(np.log(y / low) / np.log(high / low))) if logy else (lambda y: (y - low) / (high - low))
    )
    colors = {line.get_label(): line.get_color() for line in ax.get_lines()}
    free = -1.0
    for name, y in sorted(ends.items(), key=lambda item: item[1]):
        free = max(place(y), free + 0.075)
        ax.annotate(name, (1.015, free), xycoords="axes fraction", va="center", fontsize=9, color=colors[name])


def bars(
    values: Mapping[str, float],
    *,
    xlabel: str,
    highlight: str | None = None,
    show: str = "{:.0%}",
    ax: Axes | None = None,
    limit: float | None = None,
) -> Figure:
    """Horizontal bars with the number beside each; `highlight` names the one the sentence below is about."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(SIZE[0], 0.8 + 0.42 * len(values)))
    ax.barh(list(values), list(values.values()), color=[_ORDER[0] if name == highlight else _QUIET for name in values])
    top = limit or max(values.values())
    for row, value in enumerate(values.values()):
        ax.text(value + 0.01 * top, row, show.format(value), va="center", fontsize=9)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set(xlim=(0, 1.14 * top), xlabel=xlabel, ylabel=" ")
    return ax.figure  # type: ignore[return-value]


def heat(matrix: Any, *, xlabel: str, ylabel: str, label: str, limits: tuple[float, float] = (0.0, 1.0)) -> Figure:
    """A matrix (rows, columns) as colours, with a bar that says what they mean."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(SIZE[0], 2.6))
    image = ax.imshow(np.asarray(matrix), vmin=limits[0], vmax=limits[1], aspect="auto", interpolation="nearest")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(visible=False)
    fig.colorbar(image, ax=ax, label=label)
    return fig


def classes(matrix: Any, names: Sequence[str], *, extent: float, label: str = "position") -> Figure:
    """A square of small whole numbers, one shade a class; the bar names them. extent: positions along each side."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import ListedColormap

    fig, ax = plt.subplots(figsize=(5.2, 4.0))
    shades = ["#FFFFFF", COLORS["sky"], COLORS["blue"], COLORS["orange"]][: len(names)]
    image = ax.imshow(
        np.asarray(matrix), cmap=ListedColormap(shades), vmin=-0.5, vmax=len(names) - 0.5, extent=(0, extent, extent, 0)
    )
    ticks = np.linspace(0, extent, 5).astype(int)
    ax.set(xlabel=f"key {label}", ylabel=f"query {label}", xticks=ticks, yticks=ticks)
    ax.grid(visible=False)
    bar = fig.colorbar(image, ax=ax, ticks=range(len(names)), shrink=0.6)
    bar.ax.set_yticklabels(list(names))
    return fig


def masks(grids: Mapping[str, Any], columns: int = 3) -> Figure:
    """Small multiples of masks, (Lq, Lk) bool each, under their names."""
    import matplotlib.pyplot as plt

    rows = -(-len(grids) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(SIZE[0], 2.65 * rows), squeeze=False)
    for ax in axes.flat[len(grids) :]:
        ax.set_axis_off()
    for ax, (name, grid) in zip(axes.flat, grids.items(), strict=False):
        mask_grid(ax, grid, title=name)
    for ax in axes.flat:
        ax.set(xlabel="", ylabel="")
    fig.supxlabel("key position", fontsize=10)
    fig.supylabel("query position", fontsize=10)
    return fig


def columns(
    heights: Mapping[int, float], *, xlabel: str, ylabel: str, notes: Mapping[int, tuple[str, float, float]]
) -> Figure:
    """Upright bars over whole numbers. notes: x -> (words, where they stand); a line leads to the bar at x."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    ax.bar(list(heights), list(heights.values()), color=COLORS["blue"])
    line = {"arrowstyle": "-", "color": "#666666"}
    for x, (words, right, up) in notes.items():
        ax.annotate(words, (x, heights[x] + 0.1), (right, up), ha="center", fontsize=9, arrowprops=line)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    return fig


def laws(
    x: Any,
    series: Mapping[str, tuple[Sequence[float], Sequence[tuple[float, float]]]],
    *,
    xlabel: str,
    ylabel: str,
    line_at: float,
) -> Figure:
    """What a formula says, as curves over x, and what was measured, as points (x, y) upon them.

    series: name -> (the curve's values, points). line_at: an x to compare at.
    """
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    for (name, (values, points)), color, marker in zip(series.items(), _ORDER, _MARKERS, strict=False):
        ax.plot(x, values, color=color)
        ax.plot(*zip(*points, strict=True), marker, color=color, label=name)
    ax.axvline(line_at, color="#666666", linewidth=0.9, linestyle="--")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(loc="upper left")
    return fig

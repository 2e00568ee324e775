"""One metric of a sweep over one parameter, as a small SVG: dots for points, a line for the mean, a band over seeds."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dslab.book.figures import COLORS
from dslab.runner import sweep_numbers as numbers
from dslab.runner.report import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

SIZE = (5.2, 3.2)  # inches
LIMIT = 60_000  # bytes; above that the same figure as pixels
MOST_LINES = 5  # of a second parameter
MOST_TICKS = 9
DECADES = 1.5  # from here on an axis is logarithmic
LINES = [COLORS[name] for name in ("blue", "vermillion", "green", "purple", "orange")]
BANDS = {"t": "band: 95 % t-interval over {n} seeds", "range": "band: range of two seeds", "": "one seed, no band"}


@dataclass(frozen=True)
class Picture:
    """A figure ready for a page: its bytes, their type, what they show, and in the caption how the band was made."""

    data: bytes
    mime: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Axis:
    """Where the values of a parameter lie: numbers (maybe on a logarithmic scale), or positions in order."""

    values: list[Any]
    scale: str  # linear, log, or positions

    def at(self, value: Any) -> float:
        """The place of a value."""
        return float(self.values.index(value)) if self.scale == "positions" else float(value)


def axis_for(values: Sequence[Any], order: Sequence[Any] = ()) -> Axis:
    """The axis of these values. order: the study's own, which categories keep.

    >>> axis_for([1, 2, 4, 8]).scale, axis_for([1, 2, 3]).scale, axis_for([1e-4, 1e-2]).scale, axis_for([0, 100]).scale
    ('log', 'linear', 'log', 'linear')
    >>> axis_for(["b", "a"]).scale, axis_for([False, True]).scale
    ('positions', 'positions')
    """
    distinct = list(dict.fromkeys(values))
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct):
        return Axis(sorted(distinct, key=lambda v: (order.index(v) if v in order else len(order), str(v))), "positions")
    ordered = sorted(distinct)
    return Axis(ordered, "log" if _is_logarithmic(ordered) else "linear")


def _is_logarithmic(ordered: list[Any]) -> bool:
    if len(ordered) < 2 or ordered[0] <= 0:
        return False
    if math.log10(ordered[-1] / ordered[0]) > DECADES:
        return True
    ratios = [high / low for low, high in itertools.pairwise(ordered)]
    return len(ordered) > 2 and max(ratios) / min(ratios) < 1 + 1e-6


def name_of(column: str) -> str:
    """What people call a column of numbers."""
    return {"seconds": "time", "peak_bytes": "peak memory"}.get(column, column.removeprefix("metric."))


def draw(
    frame: DataFrame, column: str, unit: str, parameter: str, *, order: Sequence[Any] = (), second: str | None = None,
    drawn: bool = False,
) -> Picture:  # fmt: skip
    """`column` of the table over `parameter`. frame: of `numbers.usable`, not empty.

    order: the parameter's values as the study has them. second: another swept parameter with few values, a line each.
    drawn: the values were drawn at random, so that there are dots and no line.
    """
    import matplotlib as mpl

    from dslab.book import figures

    frame = frame.assign(_x=frame[f"param.{parameter}"].tolist())
    axis = axis_for(frame["_x"].tolist(), order)
    label = name_of(column)
    if unit == "bytes" and frame["value"].max() >= 1e6:
        frame, unit = frame.assign(value=frame["value"] / 1e6), "MB"
    groups = numbers.by_value(frame, second) if second else [(None, frame)]
    curves = [
        (
            value,
            rows,
            sorted(numbers.curve(_outermost(rows) if drawn else rows, parameter), key=lambda s: axis.at(s[0])),
        )
        for value, rows in groups
    ]
    with mpl.rc_context():
        figures.style()
        mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "dslab", "figure.figsize": SIZE})
        data, mime = _rendered(axis, curves, parameter, second, f"{label} [{unit}]" if unit else label, drawn)
    caption = f"over {parameter}" + (f", a line for each {second}" if second and not drawn else "")
    spreads = [spread for *_, steps in curves for _, spread in steps]
    widest = max(spreads, key=lambda spread: spread.count)
    band = "" if drawn else f"; {BANDS[widest.kind].format(n=widest.count)}"
    return Picture(data, mime, _alt(label, unit, parameter, second, curves), caption + band)


def _rendered(axis: Axis, curves: list[Any], parameter: str, second: str | None, ylabel: str, drawn: bool) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(fig)
    ax = fig.add_subplot()
    ends = []
    for color, (value, rows, steps) in zip(LINES, curves, strict=False):
        places = [axis.at(x) for x, _ in steps]
        dots = rows.groupby([name for name in rows if name.startswith("param.") and name != "param.seed"], dropna=False)
        means = dots.agg({"_x": "first", "value": "mean"})
        ax.plot(
            [axis.at(x) for x in means["_x"]], means["value"], "o", color=color, markersize=3.5 if drawn else 3,
            alpha=0.8 if drawn else 0.28, markeredgewidth=0, rasterized=len(means) > 400,
            label=None if value is None else f"{second} {number(value)}",
        )  # fmt: skip
        if drawn:
            continue
        ax.plot(places, [s.mean for _, s in steps], color=color, marker="o", markersize=4.5)
        lows, highs = [s.low for _, s in steps], [s.high for _, s in steps]
        if len(steps) > 1 and axis.scale != "positions":
            ax.fill_between(places, lows, highs, color=color, alpha=0.16, linewidth=0)
        ax.vlines(places, lows, highs, color=color, linewidth=1, alpha=0.6)
        ends.append((steps[-1][1].mean, f"{second} {number(value)}", color))
    _scale(ax, axis, parameter)
    ax.set_ylabel(ylabel)
    if second and drawn:
        ax.legend()
    elif second:
        _label_ends(ax, ends)
    buffer = io.BytesIO()
    fig.savefig(buffer, format="svg", metadata={"Date": None})
    if buffer.tell() <= LIMIT:
        return buffer.getvalue(), "image/svg+xml"
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=80, metadata={"Software": None}, facecolor="white")
    return buffer.getvalue(), "image/png"


def _scale(ax: Axes, axis: Axis, parameter: str) -> None:
    from matplotlib.ticker import NullLocator

    ax.set_xlabel(f"{parameter} (log scale)" if axis.scale == "log" else parameter)
    if axis.scale == "log":
        ax.set_xscale("log")
    if axis.scale == "positions" or len(axis.values) <= MOST_TICKS:
        words = [_short(number(value)) for value in axis.values]
        many = sum(map(len, words)) > 50
        ax.set_xticks([axis.at(value) for value in axis.values], words, rotation=30 if many else 0,
                      ha="right" if many else "center")  # fmt: skip
        ax.xaxis.set_minor_locator(NullLocator())
    if axis.scale == "positions":
        ax.set_xlim(-0.4, len(axis.values) - 0.6)


def _short(text: str) -> str:
    return text if len(text) <= 18 else text[:17] + "…"


def _label_ends(ax: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Name each line at its right end, moved apart where they would touch."""
    low, high = ax.get_ylim()
    gap, last = (high - low) * 0.075, -math.inf
    for y, words, color in sorted(ends):
        last = max(y, last + gap)
        ax.annotate(
            _short(words), (1.01, last), xycoords=("axes fraction", "data"), color=color, fontsize=8.5, va="center",
            annotation_clip=False,
        )  # fmt: skip


def _outermost(rows: DataFrame) -> DataFrame:
    """The points that a sentence about a cloud of dots needs: its two ends and its top."""
    top = rows["_x"][rows["value"].idxmax()]
    return rows[rows["_x"].isin([rows["_x"].min(), top, rows["_x"].max()])]


def _alt(label: str, unit: str, parameter: str, second: str | None, curves: list[Any]) -> str:
    parts = []
    for value, _, steps in curves:
        (first, at_first), (end, at_end) = steps[0], steps[-1]
        best = max(steps, key=lambda step: step[1].mean)
        text = f"{number(at_first.mean)} at {parameter} {number(first)}"
        if len(steps) > 1:
            text += f", {number(at_end.mean)} at {number(end)}"
        if best[0] not in (first, end):
            text += f", most at {number(best[0])} with {number(best[1].mean)}"
        parts.append((f"{second} {number(value)}: " if second else "") + text)
    return f"Mean {label}{f' in {unit}' if unit else ''} over {parameter}. {'; '.join(parts)}."

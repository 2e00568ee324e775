"""What a study's notebook needs: a saved sweep's table, means over seeds with intervals, and two figures of them.

frame = studied.load("lora")
for (rank, lr), seen in studied.means(frame, ["rank", "lr"], ["held-out accuracy"]).items(): ...
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from dslab import paths, results
from dslab.book.figures import COLORS
from dslab.runner.sweep_numbers import Spread, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

_LOOKS = tuple(zip(("blue", "vermillion", "green", "purple", "orange", "black"), "osD^vP", strict=True))


def load(name: str) -> DataFrame:
    """The table of data/studies/<name>, as `dslab.results.load` gives it. FileNotFoundError where there is none."""
    return results.load(paths.data_dir() / "studies" / name)


def means(frame: DataFrame, by: Sequence[str], columns: Sequence[str]) -> dict[tuple[Any, ...], dict[str, Spread]]:
    """For each combination of the parameters `by`: each column's mean over seeds and its 95 % t-interval.

    What else was swept is averaged within a seed first, so that the interval is one over seeds.
    Raises ValueError where a point did not pass: a mean over what happened to end well would not be one.
    """
    if not (frame["status"] == "passed").all():
        bad = frame.loc[frame["status"] != "passed", "point"].tolist()
        raise ValueError(f"expected a sweep whose every point passed; these did not: {', '.join(bad)}")
    found = {}
    for values, rows in frame.groupby(list(by), sort=True):
        by_seed = rows.groupby("seed")[list(columns)].mean()
        found[values] = {column: spread(by_seed[column].tolist()) for column in columns}
    return found


def difference(frame: DataFrame, parameter: str, a: Any, b: Any, column: str) -> Spread:
    """`column` at parameter = b minus that at a, within each seed: what is common to a seed's points cancels.

    What else was swept is averaged within a seed. Raises ValueError where a seed lacks one of the two values.
    """
    by_seed = frame.groupby(["seed", parameter])[column].mean().unstack()
    if {a, b} - set(by_seed.columns) or by_seed[[a, b]].isna().any(axis=None):
        raise ValueError(f"expected {parameter} = {a!r} and {b!r} for every seed; there is {list(by_seed.columns)}")
    return spread((by_seed[b] - by_seed[a]).tolist())


def lines(
    series: Mapping[str, Mapping[float, Spread]], *, xlabel: str, ylabel: str, logx: bool = True, logy: bool = False,
    line_at: float | None = None,
) -> Figure:  # fmt: skip
    """One line a series over a parameter, with a bar for each interval; beside each other where they would cover."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    middle = (len(series) - 1) / 2
    for number, ((name, curve), (color, marker)) in enumerate(zip(series.items(), cycle(_LOOKS), strict=False)):
        shift = 1 + 0.025 * (number - middle) if logx else 1.0
        at, held = [x * shift for x in curve], list(curve.values())
        ax.errorbar(
            at, [s.mean for s in held], yerr=_around(held), color=COLORS[color], marker=marker, markersize=5, capsize=3,
            label=name,
        )  # fmt: skip
    if line_at is not None:
        ax.axhline(line_at, color="#666666", linewidth=0.9, linestyle="--")
    ticks = sorted({x for curve in series.values() for x in curve})
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if logx else "linear", yscale="log" if logy else "linear")
    _ticks(ax, ticks)
    if logy:
        _plain_log(ax)
    ax.legend(frameon=False, fontsize=9)
    return fig


def frontier(
    points: Mapping[str, tuple[Spread, Spread]], *, xlabel: str, ylabel: str, line_at: float | None = None,
    logx: bool = False, logy: bool = False,
) -> Figure:  # fmt: skip
    """Each configuration as a dot with an interval in both directions, its name beside it; `line_at` on the x axis."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(7, 4.2))
    at = _in_unit_square([(x.mean, y.mean) for x, y in points.values()], logx, logy)
    for number, ((name, (x, y)), (color, marker)) in enumerate(zip(points.items(), cycle(_LOOKS), strict=False)):
        # Write on the other side than the nearest dot is: of two at one height, the left one's name goes below.
        here = at[number]
        _, near = min(((math.dist(dot, here), dot) for dot in at if dot != here), default=(0.0, here))
        below = here[0] < near[0] if abs(near[1] - here[1]) < 0.02 else here[1] < near[1]
        place = (6, -13 if below else 5)
        ax.errorbar(
            [x.mean], [y.mean], xerr=_around([x]), yerr=_around([y]), color=COLORS[color], marker=marker, markersize=6,
            linewidth=1, alpha=0.9,
        )  # fmt: skip
        ax.annotate(name, (x.mean, y.mean), xytext=place, textcoords="offset points", fontsize=8.5, color=COLORS[color])
    if line_at is not None:
        ax.axvline(line_at, color="#666666", linewidth=0.9, linestyle="--")
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if logx else "linear", yscale="log" if logy else "linear")
    if logy:
        _plain_log(ax)
    return fig


def _in_unit_square(dots: Sequence[tuple[float, float]], logx: bool, logy: bool) -> list[tuple[float, float]]:
    """Where dots lie on the page, from 0 to 1 in each direction."""
    placed = []
    for values, log in zip(zip(*dots, strict=True), (logx, logy), strict=True):
        scaled = [math.log(value) for value in values] if log else list(values)
        low, high = min(scaled), max(scaled)
        placed.append([(value - low) / ((high - low) or 1.0) for value in scaled])
    return list(zip(*placed, strict=True))


def _around(held: Sequence[Spread]) -> list[list[float]]:
    return [[s.mean - s.low for s in held], [s.high - s.mean for s in held]]


def _ticks(ax: Axes, ticks: Sequence[float]) -> None:
    ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
    ax.minorticks_off()


def _plain_log(ax: Axes) -> None:
    """1, 2, 5 as people write them, not powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())

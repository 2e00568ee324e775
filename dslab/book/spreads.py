"""Charts of how numbers are spread: rulers of number formats, histograms by power of two, dots for repeated runs.

Each returns a matplotlib Figure for `page.figure`, in the house style; meaning is never told by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dslab.book.figures import COLORS, SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What becomes of a number, from the left of a histogram to its right: colour and hatching.
FATES = {
    "becomes zero": (COLORS["vermillion"], "////"),
    "loses digits": (COLORS["sky"], ""),
    "kept": (COLORS["blue"], ""),
    "too large": (COLORS["black"], "xxxx"),
}


def binades(
    shares: Mapping[int, float],
    *,
    zero_below: float,
    normal_from: float,
    infinite_from: float,
    xlabel: str,
    window: tuple[int, int] = (-44, 24),
    ax: Axes | None = None,
) -> Figure:
    """Bars over powers of two (exponent -> share of the numbers), coloured by what a format makes of them.

    A binade e holds 2^e up to 2^(e+1). zero_below, normal_from, infinite_from: exponents where one fate ends and the
    next begins; window: exponents drawn (what lies outside is stacked into the outermost bars, in its own colour).
    """
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    if ax is None:
        _, ax = plt.subplots()
    low, high = window
    gathered: dict[str, dict[int, float]] = {fate: {} for fate in FATES}
    for exponent, share in shares.items():
        mine, place = gathered[_fate(exponent, zero_below, normal_from, infinite_from)], min(max(exponent, low), high)
        mine[place] = mine.get(place, 0.0) + share
    height: dict[int, float] = {}
    for fate, (color, hatch) in FATES.items():
        mine = gathered[fate]
        ax.bar(
            list(mine), list(mine.values()), bottom=[height.get(place, 0.0) for place in mine],
            width=0.86, color=color, hatch=hatch, edgecolor="white", linewidth=0.3,
        )  # fmt: skip
        height |= {place: height.get(place, 0.0) + share for place, share in mine.items()}
    for edge in (zero_below, infinite_from):
        ax.axvline(edge - 0.5, color="#666666", linewidth=0.9, linestyle="--")
    ticks = range(-40, 21, 10)
    ax.set_xticks(list(ticks), [f"$2^{{{tick}}}$" for tick in ticks])
    ax.set(xlim=(low - 1, high + 1), xlabel=xlabel, ylabel="share of entries")
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    keys = [Patch(facecolor=color, hatch=hatch, edgecolor="white") for color, hatch in FATES.values()]
    words = [f"{fate}: {sum(mine.values()):.1%}" for fate, mine in gathered.items()]
    ax.figure.legend(keys, words, loc="outside lower center", ncols=2)  # below: bars may stand anywhere
    return ax.figure  # type: ignore[return-value]


def _fate(exponent: float, zero_below: float, normal_from: float, infinite_from: float) -> str:
    names = list(FATES)
    return names[sum(exponent >= edge for edge in (zero_below, normal_from, infinite_from))]


def dots(
    groups: Mapping[str, Sequence[float]], *, xlabel: str, line_at: float, band: tuple[float, float] | None = None,
    show: str = "{:+.1%}", intervals: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:  # fmt: skip
    """One row a group: a dot a repetition, a tick at their mean, the mean written beside it.

    line_at: the value to compare with; band: a range shaded around it; intervals: of a group's mean, a grey bar.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import PercentFormatter

    fig, ax = plt.subplots(figsize=(SIZE[0], 1.0 + 0.42 * len(groups)))
    if band:
        ax.axvspan(*band, color="#DDDDDD", zorder=0)
    ax.axvline(line_at, color="#666666", linewidth=0.9, linestyle="--")
    for y, (name, values) in enumerate(groups.items()):
        mean = float(np.mean(values))
        if intervals:
            ax.plot(intervals[name], [y, y], color="#BBBBBB", linewidth=7, solid_capstyle="butt", zorder=1)
        ax.plot(list(values), [y] * len(values), "o", color=COLORS["blue"], markersize=6, alpha=0.75)
        ax.plot([mean], [y], "|", color=COLORS["vermillion"], markersize=18, markeredgewidth=2.2)
        ax.annotate(show.format(mean), (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    ax.set_yticks(range(len(groups)), list(groups))
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set(xlabel=xlabel, ylabel=" ")
    return fig


def pairs(groups: Mapping[str, tuple[float, float]], *, names: tuple[str, str], xlabel: str) -> Figure:
    """One row a group: its two values as a filled and an open mark, a line between them; shares of 1."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import PercentFormatter

    fig, ax = plt.subplots(figsize=(SIZE[0], 1.0 + 0.42 * len(groups)))
    for y, (first, second) in enumerate(groups.values()):
        ax.plot([first, second], [y, y], color="#B5B5B5", linewidth=3, zorder=1)
        ax.plot([first], [y], "o", color=COLORS["blue"], markersize=8, label=names[0] if y == 0 else None)
        ax.plot(
            [second], [y], "D", color=COLORS["vermillion"], markersize=7, markerfacecolor="white", markeredgewidth=2,
            label=names[1] if y == 0 else None,
        )  # fmt: skip
        ax.annotate(f"{second:.1%}", (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    ax.set_yticks(range(len(groups)), list(groups))
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set(xlabel=xlabel, ylabel=" ")
    fig.legend(loc="outside upper right", ncols=2)
    return fig


def candidates(groups: Mapping[str, Sequence[float]], *, xlabel: str, first: str) -> Figure:
    """One row a group: all values as small ticks, the first of each as a large mark, its rank beside it."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(SIZE[0], 1.0 + 0.55 * len(groups)))
    for y, values in enumerate(groups.values()):
        rank = 1 + sum(value > values[0] for value in values[1:])
        ax.plot(list(values[1:]), [y] * (len(values) - 1), "|", color="#999999", markersize=12, label=None)
        ax.plot([values[0]], [y], "D", color=COLORS["vermillion"], markersize=9, label=first if y == 0 else None)
        words = f"rank {rank} of {len(values)}"
        ax.annotate(words, (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    ax.set_yticks(range(len(groups)), list(groups))
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    ax.set(xlabel=xlabel, ylabel=" ")
    fig.legend(loc="outside upper right")
    return fig


def trace(ax: Axes, values: Sequence[float], events: Sequence[int], **style: Any) -> None:
    """A step curve of one value a step, with a cross wherever an event fell."""
    ax.step(range(len(values)), list(values), where="post", **style)
    at = [values[step] for step in events]
    ax.plot(list(events), at, "X", color=COLORS["vermillion"], markersize=8, linestyle="")


def rulers(formats: Mapping[str, tuple[float, float, float, float]], *, marks: Mapping[str, float]) -> Figure:
    """How finely each number format divides its range: relative distance to the next number, over the number.

    formats: name -> (smallest, smallest normal, largest, epsilon). Flat where all digits are there, rising to 1 where
    they run out, ended where the format ends. marks: name -> number at which a dashed line stands.
    """
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    palette = [color for name, color in COLORS.items() if name not in ("yellow", "black")]
    for (name, (smallest, normal, largest, epsilon)), color in zip(formats.items(), palette, strict=False):
        ax.plot([smallest, normal, largest], [1.0, epsilon, epsilon], color=color, linewidth=2.4)
        ax.plot([smallest, largest], [1.0, epsilon], linestyle="", marker="|", markersize=11, color=color)
        near = [other for *_, other in formats.values() if other != epsilon and 1 / 3 < other / epsilon < 3]
        lift = 6 * sum(1 if epsilon > other else -1 for other in near)  # points; labels of close lines part
        place = {"textcoords": "offset points", "xytext": (7, lift), "va": "center", "fontsize": 10}
        ax.annotate(name, (largest, epsilon), color=color, **place)  # type: ignore[arg-type]
    for name, at in marks.items():
        ax.axvline(at, color="#666666", linewidth=0.9, linestyle="--")
        ax.annotate(name, (at, 1.6), fontsize=9, ha="center", va="bottom", annotation_clip=False)
    ax.set(xscale="log", yscale="log", xlim=(1e-46, 1e45), ylim=(3e-8, 1.4))
    ax.set_xticks([10.0**e for e in range(-40, 41, 10)])
    gaps = [10.0**e for e in range(-7, 1)]
    ax.set_yticks(gaps, [f"{100 * gap:.5f}".rstrip("0").rstrip(".") + "%" for gap in gaps])
    ax.minorticks_off()
    ax.set(xlabel="absolute value", ylabel="gap to the next number, relative")
    return fig

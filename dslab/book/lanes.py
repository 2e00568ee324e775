"""Charts of who holds what, and when: blocks of memory coloured by their owners, and lanes of work along steps.

Both name what they colour in the picture itself; colours repeat after seven owners, names do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dslab.book.figures import COLORS, SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ORDER = [COLORS[name] for name in ("blue", "orange", "green", "purple", "sky", "vermillion", "yellow")]
_FREE = "#FFFFFF"
_SHARED = "#B5B5B5"


def blocks(moments: Mapping[str, Sequence[Sequence[str]]], *, columns: int = 16, fill: float | None = None) -> Figure:
    """Memory in blocks, a row of squares a moment: in each square the names of those who hold it.

    moments: title -> for each block its owners; none = free, several = shared (grey).
    fill:    tokens a block has room for; said below the picture.
    """
    import matplotlib.pyplot as plt

    rows = {title: -(-len(states) // columns) for title, states in moments.items()}
    names = sorted({name for states in moments.values() for owners in states for name in owners})
    colors = {name: _ORDER[place % len(_ORDER)] for place, name in enumerate(names)}
    fig, axes = plt.subplots(
        len(moments),
        1,
        figsize=(SIZE[0], sum(0.5 + 0.42 * n for n in rows.values()) + 0.4),
        height_ratios=[0.5 + n for n in rows.values()],
        squeeze=False,
        layout="constrained",
    )
    for ax, (title, states) in zip(axes[:, 0], moments.items(), strict=True):
        for place, owners in enumerate(states):
            _block(ax, place % columns, place // columns, owners, colors)
        ax.set(xlim=(-0.05, columns + 0.05), ylim=(rows[title] + 0.05, -0.05), aspect="equal", title=title)
        ax.set_axis_off()
    if fill:
        fig.supxlabel(f"a square is a block of {fill:g} tokens; grey ones have several owners", fontsize=9)
    return fig


def _block(ax: Axes, column: int, row: int, owners: Sequence[str], colors: Mapping[str, str]) -> None:
    """One square with its owners' names."""
    import matplotlib.pyplot as plt

    face = _FREE if not owners else colors[owners[0]] if len(owners) == 1 else _SHARED
    ax.add_patch(plt.Rectangle((column + 0.04, row + 0.04), 0.92, 0.92, facecolor=face, edgecolor="#666666", lw=0.7))
    if owners:
        words = "".join(owners) if len(owners) <= 3 else f"{len(owners)}×"
        light = face in (COLORS["blue"], COLORS["green"], COLORS["vermillion"], COLORS["purple"])
        ax.text(column + 0.5, row + 0.52, words, ha="center", va="center", fontsize=8, color="w" if light else "k")


def lanes(
    work: Mapping[str, Sequence[tuple[float, float, str]]],
    *,
    xlabel: str,
    kinds: Mapping[str, str],
    ylabel: str = "request",
    until: float | None = None,
    ax: Axes | None = None,
) -> Figure:
    """One lane a name; in it pieces (start, length, kind). kinds: kind -> its words in the legend."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(SIZE[0], 1.1 + 0.24 * len(work)))
    colors = dict(zip(kinds, (COLORS["orange"], COLORS["blue"], "#D5D5D5", COLORS["green"]), strict=False))
    hatch = {kind: "////" if place == 2 else "" for place, kind in enumerate(kinds)}
    for row, pieces in enumerate(work.values()):
        for start, length, kind in pieces:
            ax.barh(row, length, left=start, height=0.8, color=colors[kind], hatch=hatch[kind], edgecolor="w", lw=0.3)
    for kind, words in kinds.items():
        ax.barh(0, 0, color=colors[kind], hatch=hatch[kind], edgecolor="w", label=words)
    ax.set_yticks(range(len(work)), list(work), fontsize=8)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if until is not None:
        ax.set_xlim(0, until)
    below = (0.5, -0.28 if len(work) < 10 else -0.16)
    ax.legend(loc="upper center", bbox_to_anchor=below, ncols=len(kinds), fontsize=8)
    return ax.figure  # type: ignore[return-value]

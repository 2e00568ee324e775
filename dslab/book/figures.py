"""One look for every figure: Okabe-Ito colours, 7 x 3.5 inches, 110 dpi, and the checks a figure must pass."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from dslab.book import text
from dslab.book.errors import PageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
SIZE = (7.0, 3.5)  # inches
SHORTEST_ALT = 40  # characters; less than that cannot say what the eye should conclude

# Okabe and Ito's palette, told apart with every common form of colour blindness.
COLORS = {
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "black": "#000000",
    "yellow": "#F0E442",
}


def style() -> None:
    """Make the house style matplotlib's default in this process."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(
        {
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.prop_cycle": cycler(color=list(COLORS.values())),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 10,
            "figure.constrained_layout.use": True,
            "figure.dpi": DPI,
            "figure.facecolor": "white",  # not transparent: text stays readable where the page is dark
            "figure.figsize": SIZE,
            "font.size": 10,
            "grid.alpha": 0.25,
            "grid.linewidth": 0.6,
            "image.cmap": "cividis",
            "legend.fontsize": 9,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "savefig.dpi": DPI,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
        }
    )


def mask_grid(
    ax: Axes,
    allowed: Any,
    *,
    color: str = COLORS["blue"],
    diagonal: bool = True,
    title: str | None = None,
) -> None:
    """Draw which key (column) each query (row) may see: allowed cells filled, the diagonal marked.

    allowed: (Lq, Lk) bool, or a number in [0, 1] a cell where only part of a block is allowed.
    The queries are the last Lq positions of the keys, so with Lq < Lk the diagonal starts at column Lk - Lq.
    Raises ValueError for another number of dimensions.
    """
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator

    cells = np.asarray(allowed, dtype=float)
    if cells.ndim != 2:
        raise ValueError(f"mask_grid draws one (Lq, Lk) mask; got shape {cells.shape}")
    rows, columns = cells.shape
    ax.imshow(
        cells, cmap=LinearSegmentedColormap.from_list("mask", ["#FFFFFF", color]), vmin=0, vmax=1,
        extent=(-0.5, columns - 0.5, rows - 0.5, -0.5), interpolation="nearest",
    )  # fmt: skip
    if max(rows, columns) <= 48:  # beyond that the lines would hide the cells
        ax.set_xticks(np.arange(-0.5, columns), minor=True)
        ax.set_yticks(np.arange(-0.5, rows), minor=True)
        ax.grid(which="minor", color="#BBBBBB", linewidth=0.4, alpha=1)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.grid(visible=False, which="major")
    ax.tick_params(which="minor", length=0)
    if diagonal:
        first = columns - rows
        ax.plot([first - 0.5, columns - 0.5], [-0.5, rows - 0.5], color=COLORS["vermillion"], linewidth=0.9)
    for side in ("top", "right"):
        ax.spines[side].set_visible(True)
    ax.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5), xlabel="key position", ylabel="query position")
    if title:
        ax.set_title(title)


def check(fig: Figure, name: str, alt: str, takeaway: str) -> None:
    """Refuse a figure that a reader could not use: no alternative text, no takeaway, unlabelled axes."""
    check_alt(name, alt)
    if not takeaway.strip().endswith((".", "?", "!", "。")):
        raise PageError(text.TAKEAWAY.format(name=name, takeaway=takeaway))
    for ax in fig.axes:
        if missing := _unlabelled(fig, ax):
            raise PageError(text.NO_LABEL.format(name=name, what=missing))


def check_alt(name: str, alt: str) -> None:
    """Refuse missing or empty-handed alternative text."""
    if len(alt.strip()) < SHORTEST_ALT:
        raise PageError(text.ALT.format(name=name, alt=alt, least=SHORTEST_ALT))


def _unlabelled(fig: Figure, ax: Axes) -> str:
    """Which axis of this plot carries ticks but no label ('' where none). Shared axes may be labelled on a sibling."""
    if not ax.has_data() or not ax.axison or not ax.get_visible() or ax.get_label() == "<colorbar>":
        return ""
    sides: list[tuple[str, Any, Any, Any]] = [
        ("x", ax.get_shared_x_axes(), ax.xaxis, fig.get_supxlabel()),
        ("y", ax.get_shared_y_axes(), ax.yaxis, fig.get_supylabel()),
    ]
    for side, shared, axis, common in sides:
        own = any(getattr(sibling, f"get_{side}label")() for sibling in shared.get_siblings(ax))
        if not own and not common and len(axis.get_majorticklocs()):
            return f"a label on its {side} axis"
    return ""


def to_png(fig: Figure, dpi: int = DPI) -> bytes:
    """The figure as PNG bytes, without the software's name, so that a second build gives the same bytes."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None}, facecolor="white")
    return buffer.getvalue()


def close(fig: Figure) -> None:
    """Forget the figure, so that the notebook does not show it a second time."""
    import matplotlib.pyplot as plt

    plt.close(fig)

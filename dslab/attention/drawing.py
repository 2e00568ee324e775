"""A mask as a square: queries down, keys across, allowed cells filled, the diagonal outlined."""

from __future__ import annotations

from typing import Any

from dslab.attention.masks import Mask

ALLOWED, DIAGONAL = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermilion: told apart by every kind of sight


def draw(mask: Mask, Lq: int, Lk: int, q_offset: int = 0, ax: Any = None) -> Any:
    """Draw the mask on matplotlib Axes (new ones where none are given) and return them."""
    from matplotlib import pyplot
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Rectangle

    if ax is None:
        _, ax = pyplot.subplots(figsize=(3.5, 3.5), dpi=110, layout="constrained")
    allowed = mask.dense(Lq, Lk, q_offset).numpy()
    ax.imshow(allowed, cmap=ListedColormap(["white", ALLOWED]), vmin=0, vmax=1, interpolation="nearest")
    for row in range(max(0, -q_offset), min(Lq, Lk - q_offset)):
        corner = (row + q_offset - 0.5, row - 0.5)
        ax.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=DIAGONAL, linewidth=0.8))
    ax.set_xlabel("key position")
    ax.set_ylabel("query")
    return ax

"""How likely banding is to bring two documents together, and which bands suit a threshold.

A signature of b * r values is cut into b bands of r rows. Two documents of similarity s agree in one row with
probability s, in a whole band with s^r, and in at least one band with

    p(s) = 1 - (1 - s^r)^b          the S-curve; it crosses 1/2 near (1/b)^(1/r)

(Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4.) A band that agrees is a reason to look, not a
proof: at 16 bands of 8 rows it brings together four of five pairs of similarity 0.75.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def s_curve(similarity: ArrayLike, bands: int, rows: int) -> NDArray[np.float64]:
    """Probability that two documents of this Jaccard similarity agree in at least one band; shape of `similarity`.

    Raises ValueError for a similarity outside 0..1, or bands or rows below 1.

    >>> s_curve([0.5, 0.8], bands=16, rows=8).round(3).tolist()
    [0.061, 0.947]
    """
    s = np.asarray(similarity, np.float64)
    if not ((s >= 0) & (s <= 1)).all():
        raise ValueError(f"a Jaccard similarity lies in 0..1; got {similarity!r}")
    check_bands(bands, rows)
    return 1 - (1 - s**rows) ** bands


def choose_bands(
    threshold: float, permutations: int = 128, false_positive_weight: float = 0.5, false_negative_weight: float = 0.5
) -> tuple[int, int]:
    """The bands and rows, at most `permutations` in all, whose S-curve is nearest to a step at the threshold.

    Minimises  w_fp * integral of p(s) from 0 to threshold  +  w_fn * integral of 1 - p(s) from threshold to 1,
    as datasketch does. Where candidates are verified, a false positive costs time and a false negative is lost: give
    the latter more weight. Raises ValueError for a threshold outside 0..1, permutations < 1, or negative weights.

    >>> choose_bands(0.8, 128), choose_bands(0.8, 128, false_positive_weight=0.1, false_negative_weight=0.9)
    ((9, 13), (14, 9))
    """
    if not 0 <= threshold <= 1 or permutations < 1 or min(false_positive_weight, false_negative_weight) < 0:
        raise ValueError(
            "choose_bands takes 0 <= threshold <= 1, permutations >= 1 and weights >= 0; "
            f"got {threshold=}, {permutations=}, {false_positive_weight=}, {false_negative_weight=}"
        )
    # p is a polynomial of degree b * r <= permutations: Gauss-Legendre with half as many nodes integrates it exactly.
    node, weight = np.polynomial.legendre.leggauss(permutations // 2 + 1)
    below, above = threshold * (node + 1) / 2, threshold + (1 - threshold) * (node + 1) / 2
    best, least = (1, 1), float("inf")
    for bands in range(1, permutations + 1):
        for rows in range(1, permutations // bands + 1):
            false_positive = threshold / 2 * (weight @ s_curve(below, bands, rows))
            false_negative = (1 - threshold) / 2 * (weight @ (1 - s_curve(above, bands, rows)))
            error = float(false_positive_weight * false_positive + false_negative_weight * false_negative)
            if error < least - 1e-12:  # rounding must not decide between equals: fewer bands win
                best, least = (bands, rows), error
    return best


def check_bands(bands: int, rows: int) -> None:
    """Raises ValueError unless both are at least 1."""
    if bands < 1 or rows < 1:
        raise ValueError(f"expected bands >= 1 and rows >= 1; got {bands=}, {rows=}")

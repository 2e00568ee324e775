"""A sweep's table in numbers: which columns are numbers, a mean with its interval over seeds, curves, a summary.

Only points that passed count: a notebook that failed may have shown a metric before it did.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dslab.runner.report import number

if TYPE_CHECKING:
    from pandas import DataFrame

CONFIDENCE = 0.95
FEWEST = 3  # seeds for a t-interval; between two there is only a range
COSTS = {"seconds": "s", "peak_bytes": "bytes"}


@dataclass(frozen=True)
class Spread:
    """A mean over seeds with what lies around it. kind: "t" for a t-interval at 95 %, "range", or "" for one seed."""

    mean: float
    low: float
    high: float
    kind: str
    count: int

    def __str__(self) -> str:
        """As a table shows it: 0.812 ± 0.021, or 0.812 (0.80 to 0.82), or 0.812."""
        if self.kind == "range":
            return f"{number(self.mean)} ({number(self.low)} to {number(self.high)})"
        if self.kind == "t":
            return plus_minus(self.mean, self.high - self.mean)
        return number(self.mean)


def spread(values: Sequence[float]) -> Spread:
    """The mean of one number a seed, with a t-interval at 95 % from three seeds on, and the range of two.

    >>> s = spread([1.0, 2.0, 3.0]); round(s.mean, 3), round(s.high - s.mean, 3), s.kind
    (2.0, 2.484, 't')
    >>> spread([1.0, 3.0]).kind, spread([1.0]).kind
    ('range', '')
    """
    count, mean = len(values), float(np.mean(values))
    if count < FEWEST:
        return Spread(mean, float(min(values)), float(max(values)), "range" if count > 1 else "", count)
    from scipy.special import stdtrit  # Student's t; scipy.stats takes a second to import

    half = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * float(np.std(values, ddof=1)) / math.sqrt(count)
    return Spread(mean, mean - half, mean + half, "t", count)


def plus_minus(mean: float, half: float) -> str:
    """A mean with its half-width to two significant digits of the latter.

    >>> plus_minus(0.81234, 0.0213), plus_minus(1234.5, 20.4), plus_minus(3.0, 0.0), plus_minus(1.5e-6, 2e-8)
    ('0.812 ± 0.021', '1,234 ± 20', '3 ± 0', '1.5e-6 ± 2e-8')
    """
    if half == 0 or not 1e-3 <= abs(mean) < 1e9 or not 1e-6 <= half < 1e9:
        return f"{number(mean)} ± {number(float(f'{half:.2g}'))}"
    decimals = max(0, 1 - math.floor(math.log10(half)))
    return f"{mean:,.{decimals}f} ± {half:,.{decimals}f}"


def passed(frame: DataFrame) -> DataFrame:
    """The points that ran to their end."""
    return frame[frame["status"] == "passed"] if len(frame) and "status" in frame else frame.iloc[:0]


def numeric(frame: DataFrame) -> list[str]:
    """The `metric.` columns in which every value that is there is a number, and then what a point costs."""
    good = passed(frame)
    metrics = [name for name in good if name.startswith("metric.")]
    return [name for name in [*metrics, *COSTS] if name in good and _is_numeric(good[name].dropna())]


def _is_numeric(values: Any) -> bool:
    return len(values) > 0 and all(_is_number(value) for value in values) and any(map(math.isfinite, values))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)


def usable(frame: DataFrame, column: str) -> DataFrame:
    """The points that passed and have a finite number in `column`, with `value` that number."""
    good = passed(frame)
    values = good[column].map(lambda value: float(value) if _is_number(value) else math.nan).astype(float)
    return good.assign(value=values)[np.isfinite(values)]


def over_seeds(frame: DataFrame) -> Spread:
    """One mean a seed over all the points of `frame` (column `value`), then the spread of those means."""
    seeds = frame["seed"].fillna(-1).to_numpy() if "seed" in frame else np.zeros(len(frame))
    values = frame["value"].to_numpy()
    return spread([float(values[seeds == seed].mean()) for seed in np.unique(seeds)])


def curve(frame: DataFrame, parameter: str) -> list[tuple[Any, Spread]]:
    """The spread over seeds at each value of a parameter; the other parameters' points are averaged within a seed.

    frame: of `usable`.
    """
    return [(value, over_seeds(rows)) for value, rows in by_value(frame, parameter)]


def by_value(frame: DataFrame, parameter: str) -> list[tuple[Any, DataFrame]]:
    """The points of each value of a parameter, as Python's own types, in order."""
    groups = frame.groupby(f"param.{parameter}", sort=True)
    return [(value.item() if hasattr(value, "item") else value, rows) for value, rows in groups]


def configurations(frame: DataFrame, swept: Sequence[str]) -> list[tuple[tuple[Any, ...], DataFrame]]:
    """The points of each combination of the swept parameters, seeds together, in the order of the sweep."""
    columns = [f"param.{name}" for name in swept]
    if not columns or frame.empty:
        return [((), frame)] if len(frame) else []
    return list(frame.groupby(columns, sort=False, dropna=False))


def differing(frame: DataFrame, columns: Sequence[str]) -> list[tuple[str, list[tuple[str, int]]]]:
    """Each of these columns with its values, the most common first, and how many points have each."""
    found = []
    for column in columns:
        if column in frame and frame[column].notna().any():
            counts = frame[column].dropna().map(_word).value_counts()
            found.append((column, [(str(value), int(count)) for value, count in counts.items()]))
    return found


def _word(value: Any) -> str:
    return {"True": "yes", "False": "no"}.get(str(value), str(value))

"""The named masks. Each is a rule on positions and the same rule on whole rectangles of positions.

Conventions. Window: |q - k| < w, so w = 1 is the token itself. Global tokens are key columns that every query sees;
`rows=True` also lets those queries see every key. No pattern is causal by itself: write `causal() & ...`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from dslab.attention.masks import Mask, three_valued

FEW_RUNS = 64  # runs of neighbouring global tokens that are compared one by one


@dataclass(frozen=True, repr=False)
class Causal(Mask):
    def allowed(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        return k_pos <= q_pos

    def classify(self, q_first: Tensor, q_last: Tensor, k_first: Tensor, k_last: Tensor) -> Tensor:
        return three_valued(k_first <= q_last, k_last <= q_first)

    def __repr__(self) -> str:
        return "causal()"


@dataclass(frozen=True, repr=False)
class LocalWindow(Mask):
    window: int

    def allowed(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        return (q_pos - k_pos).abs() < self.window

    def classify(self, q_first: Tensor, q_last: Tensor, k_first: Tensor, k_last: Tensor) -> Tensor:
        nearest_past, nearest_future = q_first - k_last, k_first - q_last
        farthest_past, farthest_future = q_last - k_first, k_last - q_first
        return three_valued(
            (nearest_past < self.window) & (nearest_future < self.window),
            (farthest_past < self.window) & (farthest_future < self.window),
        )

    def __repr__(self) -> str:
        return f"local_window({self.window})"


@dataclass(frozen=True, repr=False)
class Strided(Mask):
    stride: int

    def allowed(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        return (q_pos - k_pos) % self.stride == 0

    def classify(self, q_first: Tensor, q_last: Tensor, k_first: Tensor, k_last: Tensor) -> Tensor:
        lowest, highest = q_first - k_last, q_last - k_first
        some = torch.div(highest, self.stride, rounding_mode="floor") * self.stride >= lowest
        return three_valued(some, (lowest == highest) | (self.stride == 1))

    def __repr__(self) -> str:
        return f"strided({self.stride})"


@dataclass(frozen=True, repr=False)
class GlobalTokens(Mask):
    indices: tuple[int, ...]
    rows: bool = False
    strict: bool = True

    def allowed(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        columns = self._names(k_pos)
        if not self.rows:
            return columns & torch.ones_like(q_pos, dtype=torch.bool)
        return columns | self._names(q_pos)

    def classify(self, q_first: Tensor, q_last: Tensor, k_first: Tensor, k_last: Tensor) -> Tensor:
        columns = self._states(k_first, k_last)
        rows = self._states(q_first, q_last) if self.rows else torch.zeros_like(q_first, dtype=torch.int8)
        return torch.maximum(columns, rows)

    def check(self, Lq: int, Lk: int, q_offset: int = 0) -> None:
        if self.strict and self.indices and self.indices[-1] >= Lk:
            raise ValueError(
                f"{self!r} names token {self.indices[-1]}, but there are only Lk={Lk} keys (0..{Lk - 1}); "
                "use sinks(n) or mask.lenient() where keys may not exist yet"
            )

    def lenient(self) -> Mask:
        return GlobalTokens(self.indices, self.rows, strict=False)

    def _names(self, position: Tensor) -> Tensor:
        """Whether each position is one of the named tokens. Comparisons, where a few runs hold all of them:
        FlexAttention compiles these into its kernel, and cannot compile a search."""
        last = len(self.indices) - 1
        starts = [t for i, t in enumerate(self.indices) if i == 0 or self.indices[i - 1] != t - 1]
        if len(starts) > FEW_RUNS:
            return self._count(position, position) > 0
        ends = [t for i, t in enumerate(self.indices) if i == last or self.indices[i + 1] != t + 1]
        named = torch.zeros_like(position, dtype=torch.bool)
        for start, end in zip(starts, ends, strict=True):
            named = named | ((position >= start) & (position <= end))
        return named

    def _count(self, first: Tensor, last: Tensor) -> Tensor:
        """How many of the named tokens lie in [first, last]."""
        named = torch.tensor(self.indices, dtype=torch.int64, device=first.device)
        until_last = torch.searchsorted(named, last.contiguous(), right=True)
        return until_last - torch.searchsorted(named, first.contiguous())

    def _states(self, first: Tensor, last: Tensor) -> Tensor:
        count = self._count(first, last)
        return three_valued(count > 0, count == last - first + 1)

    def __repr__(self) -> str:
        first, count = (self.indices[0], len(self.indices)) if self.indices else (0, 0)
        is_run = count > 2 and self.indices == tuple(range(first, first + count))
        start = f"{first}, " if first else ""
        named = f"range({start}{first + count})" if is_run else str(list(self.indices))
        return f"global_tokens({named}{', rows=True' if self.rows else ''})"


@dataclass(frozen=True, repr=False)
class Sinks(Mask):
    count: int

    def allowed(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        # Positions counted from a row's first real token are negative in its left padding: not sinks.
        return (k_pos >= 0) & (k_pos < self.count) & torch.ones_like(q_pos, dtype=torch.bool)

    def classify(self, q_first: Tensor, q_last: Tensor, k_first: Tensor, k_last: Tensor) -> Tensor:
        some = three_valued((k_last >= 0) & (k_first < self.count), (k_first >= 0) & (k_last < self.count))
        return some + torch.zeros_like(q_first, dtype=torch.int8)

    def __repr__(self) -> str:
        return f"sinks({self.count})"


def causal() -> Mask:
    """A query sees itself and what stands before it: k <= q."""
    return Causal()


def local_window(window: int) -> Mask:
    """A query sees keys nearer than `window` on both sides: |q - k| < window, itself included.

    >>> local_window(2).dense(4).int().tolist()
    [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    """
    return LocalWindow(_whole("window", window, least=1))


def strided(stride: int) -> Mask:
    """A query sees every `stride`-th key counted from itself: (q - k) mod stride = 0 (Child et al. 2019, §4.3)."""
    return Strided(_whole("stride", stride, least=1))


def global_tokens(indices: Iterable[int] | int, rows: bool = False) -> Mask:
    """Key columns that every query sees; `rows=True` also lets these queries see every key (BigBird, Longformer).

    indices: token positions (any iterable), or an int n for the first n. A position >= Lk is refused when used.

    >>> causal() & (local_window(256) | global_tokens([0, 1]))
    causal() & (local_window(256) | global_tokens([0, 1]))
    """
    positions = range(_whole("number of global tokens", indices)) if isinstance(indices, int) else indices
    return GlobalTokens(tuple(sorted({_whole("global token", i) for i in positions})), bool(rows))


def sinks(count: int) -> Mask:
    """The first `count` keys, or as many as there are: attention sinks (Xiao et al. 2023)."""
    return Sinks(_whole("number of sinks", count))


def _whole(name: str, value: object, least: int = 0) -> int:
    """An integer >= least, from anything that is exactly one (numpy and torch integers too)."""
    try:
        number = value.__index__()  # type: ignore[attr-defined]
    except (AttributeError, TypeError):
        raise ValueError(f"{name} must be an integer >= {least}; got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be >= {least}; got {number}")
    return int(number)

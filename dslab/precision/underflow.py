"""Where gradients lie among the powers of two, and what a format would lose of them.

A *binade* is one factor of two: the numbers from 2^e up to, not including, 2^(e+1). A histogram of binades is 256
integers, however many numbers it counts, and answers every later question about loss scales: multiplying all numbers
by 2^s moves the whole histogram by s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dslab.precision.rounding import Format, format_of

_FIELDS = 256  # exponent fields of fp32: 0 zero and subnormal, 1..254 the binades -126..127, 255 inf and NaN
_LOWEST = -126


@dataclass
class Binades:
    """Counts of |x| by binade. What lies below 2^-126 (fp32's subnormals) is one class, taken for binade -127.

    counts: (256,) int64 by fp32's exponent field: zeros and subnormals first, inf and NaN last. zeros: exact zeros.

    >>> seen = Binades.of(torch.tensor([0.0, 1.0, -1.5, 2.0**-26]))
    >>> seen.total, seen.zeros, seen.lost("fp16"), seen.lost("fp16", scale=2.0)
    (4, 1, 0.3333333333333333, 0.0)
    """

    counts: Tensor = field(default_factory=lambda: torch.zeros(_FIELDS, dtype=torch.int64))
    zeros: int = 0

    @classmethod
    def of(cls, x: Tensor) -> Binades:
        """The binades of one tensor."""
        return cls().add(x)

    def add(self, x: Tensor) -> Binades:
        """Count one more floating tensor, any shape; returns self. Of a sparse one, the values it stores.

        Narrow formats are widened to fp32, exactly; fp64 is rounded to fp32 first.
        """
        x = x.detach()
        flat = (x.coalesce().values() if x.is_sparse else x).float().flatten()
        fields = flat.view(torch.int32).bitwise_and(0x7FFFFFFF).bitwise_right_shift(23)
        self.counts += torch.bincount(fields, minlength=_FIELDS).cpu()
        self.zeros += int((flat == 0).sum())
        return self

    def __add__(self, other: Binades) -> Binades:
        return Binades(self.counts + other.counts, self.zeros + other.zeros)

    @property
    def total(self) -> int:
        """All numbers counted, zeros and non-finite ones included."""
        return int(self.counts.sum())

    @property
    def nonzero(self) -> int:
        """Numbers that are not zero."""
        return self.total - self.zeros

    def shares(self) -> dict[int, float]:
        """Binade e -> share of the non-zero numbers that lie in it, for the binades that are not empty, ascending.

        fp32's subnormals, inf and NaN lie in none: where there are any, the shares add up to less than 1.
        """
        found = self.counts[1:-1].nonzero().flatten().tolist()
        return {e + _LOWEST: int(self.counts[e + 1]) / self.nonzero for e in found}

    def lost(self, dtype: str | torch.dtype | Format, scale: float = 1.0) -> float:
        """Share of the non-zero numbers that become zero when multiplied by `scale` and stored in `dtype`.

        scale: a power of two. Rounding to nearest sends everything up to half the smallest number to zero, and that
        half is a power of two (fp16: 2^-25): all binades below it are lost, all others kept. The share is exact but for
        numbers that lie at that half itself, which ties to even send to zero and which count as kept here, and for
        fp32's subnormals, which are lost or kept as if they lay in binade -127. Inf and NaN are not lost.
        NaN where nothing was counted. Raises ValueError for another scale.
        """
        to, shift = format_of(dtype), _exponent(scale)
        edge = int(math.log2(to.smallest)) - 1  # half the smallest number is 2^edge
        first_kept = min(max(edge - shift - _LOWEST + 1, 0), _FIELDS - 1)
        below = int(self.counts[:first_kept].sum()) - (self.zeros if first_kept else 0)
        return below / self.nonzero if self.nonzero else math.nan

    def overflowed(self, dtype: str | torch.dtype | Format, scale: float = 1.0) -> float:
        """Share of the non-zero numbers that, scaled, lie in binades beyond the largest number of `dtype`.

        scale: a power of two. A lower bound: what overflows within the largest number's own binade (fp16: 65520 up to
        65536) is not counted. Inf and NaN are. NaN where nothing was counted. Raises ValueError for another scale.
        """
        to, shift = format_of(dtype), _exponent(scale)
        first = min(max(to.highest_exponent + 1 - shift - _LOWEST + 1, 0), _FIELDS - 1)
        above = int(self.counts[first:].sum()) - (0 if first else self.zeros)
        return above / self.nonzero if self.nonzero else math.nan

    def highest(self) -> int | None:
        """The binade of the largest finite number; None where all are zero."""
        found = self.counts[1:-1].nonzero().flatten()
        return int(found[-1]) + _LOWEST if len(found) else None


def _exponent(scale: float) -> int:
    fraction, exponent = math.frexp(scale)
    if fraction != 0.5:
        raise ValueError(f"a histogram of binades can only be moved by powers of two; got scale {scale!r}")
    return exponent - 1


@dataclass(frozen=True)
class UnderflowReport:
    """What `underflow_report` found.

    rows: one dict a parameter, most endangered first: "parameter", "entries" (of a sparse gradient, those it stores),
    "zero" (share of the entries), "lost" and "overflowed" (shares of its non-zero entries, see `Binades`).
    largest: the largest |gradient| of all.
    """

    format: Format
    scale: float
    rows: list[dict[str, Any]]
    binades: Binades
    largest: float

    @property
    def lost(self) -> float:
        """Share of all non-zero gradient entries that this format would turn into zero."""
        return self.binades.lost(self.format, self.scale)

    @property
    def largest_safe_scale(self) -> float:
        """The largest power of two that lets no gradient overflow; inf where all gradients are zero."""
        if self.largest == 0:
            return math.inf
        fraction, exponent = math.frexp(self.largest)
        digits = round(math.ldexp(fraction, self.format.mantissa_bits + 1))  # ties to even, as the format rounds
        shift = self.format.highest_exponent + 1 - exponent  # takes the largest gradient to the highest binade
        top = math.ldexp(digits, self.format.highest_exponent - self.format.mantissa_bits)
        return math.ldexp(1.0, shift if top <= self.format.largest else shift - 1)

    def __str__(self) -> str:
        return (
            f"{self.lost:.1%} of the non-zero gradient entries become zero in {self.format.name} "
            f"at scale {self.scale:g}; nothing overflows up to scale {self.largest_safe_scale:g}"
        )


def underflow_report(
    model: nn.Module, dtype: str | torch.dtype | Format = "fp16", scale: float = 1.0
) -> UnderflowReport:
    """What storing the gradients that `model` holds now, times `scale`, in `dtype` would lose.

    Call it after `backward()` of an unscaled fp32 loss, before the optimizer's step.
    scale: a power of two.
    Raises ValueError where no parameter has a gradient, or where one is not finite (an overflow, not an underflow).
    """
    to, everything, largest, rows = format_of(dtype), Binades(), 0.0, list[dict[str, Any]]()
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        if gradient is None:
            continue
        gradient = gradient.detach().coalesce().values() if gradient.is_sparse else gradient.detach()
        seen = Binades.of(gradient)
        if int(seen.counts[-1]):
            raise ValueError(f"the gradient of {name} holds inf or NaN; find that first (is the loss finite?)")
        everything = everything + seen
        largest = max(largest, float(gradient.abs().max()) if gradient.numel() else 0.0)
        rows.append(
            {
                "parameter": name,
                "entries": seen.total,
                "zero": seen.zeros / max(seen.total, 1),
                "lost": seen.lost(to, scale),
                "overflowed": seen.overflowed(to, scale),
            }
        )
    if not rows:
        raise ValueError("no parameter of this model has a gradient; call backward() on its loss first")
    rows.sort(key=lambda row: -1.0 if math.isnan(row["lost"]) else row["lost"], reverse=True)
    return UnderflowReport(to, scale, rows, everything, largest)

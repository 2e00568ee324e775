"""Number formats as exponent and mantissa bits, and rounding to them without leaving fp32.

A binary float is  (-1)^s  2^e  1.m.  The exponent bits decide how large and how small a number may be, the mantissa
bits how far the next one is away. `round_to(x, "fp16")` gives the fp16 numbers nearest to x, ties to even, still stored
in x's own dtype: arithmetic on them then runs at fp32 speed, on any machine, with fp16's losses.

Sources: IEEE 754-2019; FP8 formats: Micikevicius et al. 2022 (arXiv 2209.05433), table 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Format:
    """A binary floating-point format. Where `has_inf`, the highest exponent is kept for inf and NaN, as IEEE 754 does;
    without it (e4m3) that exponent holds numbers too, and only its last code is NaN.

    >>> FORMATS["fp16"].largest, FORMATS["e4m3"].largest, FORMATS["bf16"].epsilon
    (65504.0, 448.0, 0.0078125)
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    has_inf: bool = True

    @property
    def bias(self) -> int:
        """What is subtracted from the stored exponent."""
        return 2 ** (self.exponent_bits - 1) - 1

    @property
    def highest_exponent(self) -> int:
        """Exponent of the largest numbers."""
        return self.bias if self.has_inf else self.bias + 1

    @property
    def lowest_exponent(self) -> int:
        """Exponent of the smallest normal number; below it, precision is lost bit by bit."""
        return 1 - self.bias

    @property
    def largest(self) -> float:
        """The largest finite number."""
        steps = 2.0**-self.mantissa_bits if self.has_inf else 2.0 ** (1 - self.mantissa_bits)  # e4m3: last code is NaN
        return (2.0 - steps) * 2.0**self.highest_exponent

    @property
    def smallest_normal(self) -> float:
        """The smallest number with all its mantissa bits."""
        return 2.0**self.lowest_exponent

    @property
    def smallest(self) -> float:
        """The smallest positive number at all, a subnormal. Half of it, and less, is rounded to zero."""
        return 2.0 ** (self.lowest_exponent - self.mantissa_bits)

    @property
    def epsilon(self) -> float:
        """From 1 to the next number: the relative spacing."""
        return 2.0**-self.mantissa_bits


FORMATS = {
    "fp32": Format("fp32", 8, 23),
    "fp16": Format("fp16", 5, 10),
    "bf16": Format("bf16", 8, 7),
    "e4m3": Format("e4m3", 4, 3, has_inf=False),
    "e5m2": Format("e5m2", 5, 2),
}
DTYPES = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "e4m3": torch.float8_e4m3fn,
    "e5m2": torch.float8_e5m2,
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def format_of(dtype: str | torch.dtype | Format) -> Format:
    """The format of a torch dtype, of a name in FORMATS, or of any split such as "e3m4" (with inf, as IEEE 754 does).

    Raises ValueError for anything else, and for splits that fp64 cannot hold (more than 10 exponent or 51 mantissa
    bits) or that are none (fewer than 2 exponent bits, 0 mantissa bits).

    >>> format_of("e3m4").largest
    15.5
    """
    if isinstance(dtype, Format):
        return dtype
    name = _NAMES.get(dtype) if isinstance(dtype, torch.dtype) else dtype
    if name in FORMATS:
        return FORMATS[name]
    split = re.fullmatch(r"e(\d+)m(\d+)", name) if isinstance(name, str) else None
    if split and 2 <= int(split[1]) <= 10 and 1 <= int(split[2]) <= 51:
        return Format(str(name), int(split[1]), int(split[2]))
    raise ValueError(
        f"expected one of {', '.join(FORMATS)}, a torch dtype of these, or a split such as 'e3m4' "
        f"(2 to 10 exponent bits, 1 to 51 mantissa bits); got {dtype!r}"
    )


def round_to(x: Tensor, dtype: str | torch.dtype | Format, grad_dtype: Any = "same") -> Tensor:
    """The numbers of `dtype` nearest to x, ties to even, in x's own dtype; in the backward pass the gradient likewise.

    x:          floating tensor of any shape.
    dtype:      see `format_of`.
    grad_dtype: format of the gradient; "same" as dtype, or None to let it pass unrounded (straight-through).
    Beyond the largest number: inf where the format has it; without (e4m3), finite numbers stop at the largest and
    inf becomes NaN. (A bare `.to(torch.float8_e4m3fn)` of torch 2.13 turns inf into 448.)
    Raises ValueError for an unknown format, TypeError for a tensor of integers and for what is no tensor.

    >>> round_to(torch.tensor([1.0009, 1e-8, 70000.0]), "fp16")
    tensor([1.0010, 0.0000,    inf])
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"round_to needs a floating-point tensor; got a {type(x).__name__}: pass torch.tensor(...)")
    if not x.is_floating_point():
        raise TypeError(f"round_to needs a floating-point tensor; got {x.dtype}")
    forward = format_of(dtype)
    backward = None if grad_dtype is None else forward if grad_dtype == "same" else format_of(grad_dtype)
    return _Round.apply(x, forward, backward)  # type: ignore[no-any-return]


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: Format, backward: Format | None) -> Tensor:
        ctx.backward_format = backward
        return nearest(x, forward)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return gradient if ctx.backward_format is None else nearest(gradient, ctx.backward_format), None, None


def nearest(x: Tensor, to: Format) -> Tensor:
    """Round without autograd; where torch has the format, by its own cast, which is right for all but fp64.

    torch 2.13 casts fp64 to 16 and 8 bits by way of fp32: rounded twice, 1 + 2^-11 + 2^-40 becomes 1.0 in fp16.
    """
    if not to.has_inf:
        x = x.masked_fill(x.isinf(), torch.nan).clamp(-to.largest, to.largest)
    dtype = DTYPES.get(to.name)
    if dtype is not None and to == FORMATS[to.name] and x.dtype != torch.float64:
        return x.to(dtype).to(x.dtype)
    return nearest_by_definition(x, to)


def nearest_by_definition(x: Tensor, to: Format) -> Tensor:
    """The same for any split: count in steps of the spacing around x, 2^(max(e, lowest) - m), and round the count.

    In fp64, where all of this is exact for x in fp32 or less.
    """
    wide = x.double()
    exponent = torch.frexp(wide).exponent - 1  # frexp's mantissa lies in [1/2, 1)
    step = torch.ldexp(torch.ones_like(wide), exponent.clamp(min=to.lowest_exponent) - to.mantissa_bits)
    rounded = (wide / step).round() * step  # .round() takes ties to even
    rounded = torch.where(wide.isfinite(), rounded, wide if to.has_inf else torch.nan)
    limit = torch.inf if to.has_inf else to.largest
    over = torch.copysign(torch.full_like(wide, limit), wide)
    return torch.where(rounded.abs() > to.largest, over, rounded).to(x.dtype)

"""Autocast, emulated: matrix products whose inputs, results and gradients are rounded to a narrow format.

Under autocast a linear layer casts its input and its weight to fp16, multiplies with fp32 sums, and hands out fp16; in
the backward pass the gradients of all three are fp16 numbers. Here the same numbers are rounded to the same format and
kept in fp32. That runs on any CPU at about fp32 speed, where real fp16 products take five to forty times as long, and
each gradient lost on the way can be counted.

    with emulate("fp16") as seen:
        loss = model(x)
    loss.backward()
    seen.lost  # share of non-zero gradients that became zero

Softmax, norms, losses and sums stay in fp32, as CUDA's autocast has them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dslab.precision.rounding import Format, format_of, nearest

# What autocast runs in the narrow format: products, here with every tensor argument rounded.
_PRODUCTS = {
    F.linear, F.bilinear, F.conv1d, F.conv2d, F.conv3d, F.scaled_dot_product_attention,
    torch.matmul, torch.mm, torch.bmm, torch.mv, torch.addmm, torch.baddbmm,
    Tensor.matmul, Tensor.mm, Tensor.bmm, Tensor.mv, Tensor.__matmul__, Tensor.__rmatmul__,
}  # fmt: skip


class emulate(TorchFunctionMode):  # lower case, like torch.autocast
    """Context in which every matrix product takes and gives numbers of `dtype`, forward and backward.

    dtype: a torch dtype, a name ("fp16", "bf16", "e4m3", "e5m2") or any split such as "e3m4".
    Counts, over all backward passes of graphs built inside: `nonzero` gradient entries that arrived, `flushed` to zero
    by the rounding, `overflowed` from finite to inf. Counting costs about as much as rounding; `count=False` skips it.
    Raises ValueError for an unknown format.
    """

    def __init__(self, dtype: str | torch.dtype | Format, *, count: bool = True) -> None:
        super().__init__()
        self.format = format_of(dtype)
        self.count = count
        self.nonzero = self.flushed = self.overflowed = 0

    @property
    def lost(self) -> float:
        """Share of the non-zero gradient entries that were flushed to zero; NaN before any backward pass."""
        return self.flushed / self.nonzero if self.nonzero else float("nan")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in _PRODUCTS:
            return func(*args, **(kwargs or {}))
        narrow = [self._round(value) for value in args]
        named = {name: self._round(value) for name, value in (kwargs or {}).items()}
        return self._round(func(*narrow, **named))

    def _round(self, value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            return _Narrow.apply(value, self)
        return value


class _Narrow(torch.autograd.Function):
    """Round forward; round backward and count what that loses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mode: emulate) -> Tensor:
        ctx.mode = mode
        return nearest(x, mode.format)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        mode: emulate = ctx.mode
        narrow = nearest(gradient, mode.format)
        if mode.count:
            before = int(torch.count_nonzero(gradient))
            mode.nonzero += before
            mode.flushed += before - int(torch.count_nonzero(narrow))
            mode.overflowed += int((narrow.isinf() & gradient.isfinite()).sum())
        return narrow, None

"""Autocast, emulated: matrix products whose inputs, results and gradients are rounded to a narrow format.

Under autocast a linear layer casts its input and its weight to fp16, multiplies with fp32 sums, and hands out fp16; in
the backward pass the gradients of all three are fp16 numbers. Here the same numbers are rounded to the same format and
kept in fp32. That runs on any CPU at about fp32 speed, where real fp16 products take five to forty times as long, and
each gradient lost on the way can be counted.

    with emulate("fp16") as seen:
        loss = model(x)
    loss.backward()
    seen.lost  # share of non-zero gradients that became zero

What is a product is decided by CUDA's autocast; softmax, norms, losses, sums, `torch.dot` and `torch.tensordot` stay in
fp32 as they do there. Also as there, in-place products and those with `out=` are left as they are.

Source: PyTorch, "Automatic Mixed Precision: op reference", the lists for CUDA.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dslab.precision.rounding import Format, format_of, nearest, round_to

# What CUDA's autocast runs in the narrow format, as functions and as methods (a @ b is Tensor.matmul).
_NAMES = ("matmul", "mm", "bmm", "mv", "addmm", "addmv", "addr", "addbmm", "baddbmm")
_PRODUCTS = {
    *(getattr(owner, name) for owner in (torch, Tensor) for name in _NAMES),
    Tensor.__matmul__, Tensor.__rmatmul__,
    torch.einsum, torch.chain_matmul, torch.linalg.matmul, torch.linalg.multi_dot, torch.linalg.vecdot,
    F.linear, F.conv1d, F.conv2d, F.conv3d, F.conv_tbc, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d,
    F.scaled_dot_product_attention,
}  # fmt: skip
# Several products in one call: what passes between them cannot be reached from here.
_SEALED = {
    F.multi_head_attention_forward, torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu,
    torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell, torch.rnn_relu_cell,
}  # fmt: skip


class emulate(TorchFunctionMode):  # lower case, like torch.autocast
    """Context in which every matrix product takes and gives numbers of `dtype`, forward and backward.

    dtype: a torch dtype, a name ("fp16", "bf16", "e4m3", "e5m2") or any split such as "e3m4".
    Every floating tensor argument is rounded, a bias or an additive mask too, and so is the result; between, the sums
    run in the tensors' own dtype. Of several factors in one call (einsum, multi_dot) and inside
    scaled_dot_product_attention, what passes between the products is not rounded.
    Counts, over all backward passes of graphs built inside, also those run after leaving: gradient entries that
    arrived at a rounding and were not zero (`nonzero`), were `flushed` to zero by it, `overflowed` from finite to inf
    (never in e4m3, which stops at its largest instead). A product rounds the gradient of its result and that of each
    argument. Counting costs about as much as rounding; `count=False` skips it.
    Of nested emulations the inner one alone acts, as with autocast: `emulate("fp32")` makes an island. Code that
    switches autocast off for itself (transformers' rotary angles do) is rounded all the same. What activation
    checkpointing recomputes is not rounded: do without it.
    Raises ValueError for an unknown format; inside, NotImplementedError for nn.MultiheadAttention, nn.LSTM, nn.GRU,
    nn.RNN and their cells, whose products cannot be reached.

    >>> weight = torch.tensor([[1.0, 2.0**-14]], requires_grad=True)
    >>> with emulate("fp16") as seen:
    ...     y = torch.tensor([1.0, 1.0]) @ weight.T
    >>> y.item(), (y * 2.0**-26).sum().backward(), seen.flushed, seen.nonzero
    (1.0, None, 1, 1)
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
        kwargs = kwargs or {}
        if func in _SEALED:
            raise NotImplementedError(
                f"emulate cannot reach the products inside {func.__name__}; "
                "write them with F.linear and F.scaled_dot_product_attention"
            )
        if func not in _PRODUCTS or kwargs.get("out") is not None:
            return func(*args, **kwargs)
        narrow = [self._round(value) for value in args]
        named = {name: self._round(value) for name, value in kwargs.items()}
        with torch._C.DisableTorchFunction():  # an emulation around this one would round again
            return self._round(func(*narrow, **named))

    def _round(self, value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_floating_point():
            return _Narrow.apply(value, self)
        if isinstance(value, list | tuple):  # einsum's and multi_dot's factors
            return [self._round(item) for item in value]
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
        narrow = round_to(gradient, mode.format)  # itself differentiable: gradients of gradients are rounded too
        if mode.count:
            before = int(torch.count_nonzero(gradient))
            mode.nonzero += before
            mode.flushed += before - int(torch.count_nonzero(narrow))
            mode.overflowed += int((narrow.isinf() & gradient.isfinite()).sum())
        return narrow, None

"""Frozen weights in four bits, for LoRA beside them: the idea of QLoRA (Dettmers et al. 2023), for study on a CPU.

A trained weight matrix looks like noise from a normal distribution. NF4 spends its sixteen codes where such noise
lies: at quantiles, so that each code is used about equally often. A block of 64 numbers is divided by its largest
magnitude and each number becomes the nearest code; the magnitudes are quantised in turn ("double quantisation").

Every product unpacks its whole weight first, which saves memory and costs time. A GPU kernel does that in passing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dslab.lora.targets import Targets, resolve

#: The sixteen values as published (QLoRA, appendix E).
NF4_CODE = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
OFFSET = 0.9677083  # 1 - (1/32 + 1/30) / 2: how far into the tail the outermost quantile lies
BLOCK, OUTER = 64, 256


def code_by_definition() -> Tensor:
    """(16,) fp64: quantiles of the normal distribution, eight above zero, seven below, and zero itself; largest 1.

    QLoRA, section 3: an even number of codes has no middle, so the two halves are cut unequally to get an exact zero.
    """
    above = torch.special.ndtri(torch.linspace(OFFSET, 0.5, 9, dtype=torch.float64))[:-1]
    below = -torch.special.ndtri(torch.linspace(OFFSET, 0.5, 8, dtype=torch.float64))[:-1]
    code = torch.cat([below, torch.zeros(1, dtype=torch.float64), above]).sort().values
    return code / code.max()


@dataclass(frozen=True)
class NF4:
    """A quantised tensor.

    codes:  (ceil(n / 2),) uint8, two codes a byte, the first in the high half.
    absmax: (blocks,) the largest magnitude of each block: fp32, or uint8 where it is quantised itself.
    outer:  (ceil(blocks / 256), 2) fp32, lowest value and step of 256 such magnitudes; None for fp32 magnitudes.
    """

    codes: Tensor
    absmax: Tensor
    outer: Tensor | None
    shape: torch.Size
    block: int = BLOCK

    @property
    def nbytes(self) -> int:
        """Bytes of everything that must be kept."""
        parts = [self.codes, self.absmax, *([] if self.outer is None else [self.outer])]
        return sum(part.numel() * part.element_size() for part in parts)

    def magnitudes(self) -> Tensor:
        """(blocks,) fp32."""
        if self.outer is None:
            return self.absmax
        low, step = self.outer.repeat_interleave(OUTER, 0)[: self.absmax.numel()].unbind(1)
        return low + step * self.absmax

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The tensor again, each number replaced by its code times the magnitude of its block."""
        code = torch.tensor(NF4_CODE, device=self.codes.device)
        count = self.shape.numel()
        pairs = torch.stack([code.repeat_interleave(16), code.repeat(16)], 1)  # what each byte says
        values = pairs.view(torch.int64).view(-1).index_select(0, self.codes.int()).view(torch.float32)  # both at once
        values = F.pad(values, (0, self.absmax.numel() * self.block - values.numel()))
        values = values.view(-1, self.block).mul_(self.magnitudes()[:, None])
        return values.view(-1)[:count].view(self.shape).to(dtype)


@torch.no_grad()
def quantize(weight: Tensor, block: int = BLOCK, double: bool = True) -> NF4:
    """A float tensor in NF4: about 4.13 bits a number (4.5 without `double`) at 64 numbers a block.

    double: quantise the blocks' magnitudes to 8 bits as well, in groups of 256 between the smallest and the largest.
    Raises  TypeError for what is not floating point, ValueError for an odd block, or for inf and NaN.
    """
    if not weight.is_floating_point():
        raise TypeError(f"expected a tensor of floats, got {weight.dtype}")
    if block < 2 or block % 2:
        raise ValueError(f"block must be even and at least 2 (two codes fill a byte), got {block}")
    flat = weight.detach().float().reshape(-1)
    if not torch.isfinite(flat).all():
        raise ValueError("the tensor holds inf or NaN, for which there is no code; find out where they come from")
    blocks = F.pad(flat, (0, -flat.numel() % block)).view(-1, block)
    absmax = blocks.abs().amax(1)
    kept, outer = _eight_bits(absmax) if double else (absmax, None)
    whole = NF4(torch.empty(0), kept, outer, weight.shape, block)
    scaled = blocks / whole.magnitudes().clamp(min=torch.finfo(torch.float32).tiny)[:, None]
    code = torch.tensor(NF4_CODE, device=flat.device)
    nearest = torch.bucketize(scaled, (code[1:] + code[:-1]) / 2).view(-1)[: flat.numel() + flat.numel() % 2]
    packed = (nearest[0::2] * 16 + nearest[1::2]).to(torch.uint8)
    return NF4(packed, kept, outer, weight.shape, block)


def _eight_bits(absmax: Tensor) -> tuple[Tensor, Tensor]:
    """Magnitudes as whole steps between the lowest and the highest of each 256."""
    padded = F.pad(absmax[None, None], (0, -absmax.numel() % OUTER), mode="replicate")[0, 0].view(-1, OUTER)
    low, high = padded.amin(1), padded.amax(1)
    step = ((high - low) / 255).clamp(min=torch.finfo(torch.float32).tiny)
    steps = ((padded - low[:, None]) / step[:, None]).round().clamp(0, 255).to(torch.uint8)
    return steps.view(-1)[: absmax.numel()].contiguous(), torch.stack([low, step], 1)


class _Product(torch.autograd.Function):
    """x W^T with W unpacked in both directions and never kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: NF4Linear) -> Tensor:
        ctx.layer = layer
        return F.linear(x, layer.dequantize().to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return gradient @ ctx.layer.dequantize().to(gradient.dtype), None


class NF4Linear(nn.Module):
    """A frozen linear layer whose weight is kept in NF4. x (..., in) to (..., out), in x's dtype.

    The gradient goes to x only. `LoRALinear` takes it as its base.
    """

    def __init__(self, base: nn.Linear, block: int = BLOCK, double: bool = True) -> None:
        super().__init__()
        packed = quantize(base.weight, block, double)
        self.in_features, self.out_features, self.block = base.in_features, base.out_features, block
        self.dtype = base.weight.dtype
        self.register_buffer("codes", packed.codes)
        self.register_buffer("absmax", packed.absmax)
        self.register_buffer("outer", packed.outer)
        self.bias = None if base.bias is None else nn.Parameter(base.bias.detach(), requires_grad=False)

    @property
    def packed(self) -> NF4:
        """The weight as it is kept."""
        codes: Any = self.codes
        absmax: Any = self.absmax
        outer: Any = self.outer
        return NF4(codes, absmax, outer, torch.Size((self.out_features, self.in_features)), self.block)

    @property
    def nbytes(self) -> int:
        """Bytes of the weight."""
        return self.packed.nbytes

    def dequantize(self) -> Tensor:
        """(out, in) in the dtype that the weight had."""
        return self.packed.dequantize(self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        y = _Product.apply(x, self)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        bits = 8 * self.nbytes / (self.in_features * self.out_features)
        return f"in_features={self.in_features}, out_features={self.out_features}, {bits:.2f} bits"


def quantize_model(
    model: nn.Module, targets: Targets = "all-linear", block: int = BLOCK, double: bool = True
) -> list[str]:
    """Replace the linear layers that `targets` mean by NF4 ones, in place; their names. Head and embedding stay.

    Raises ValueError where a target matches nothing, or means something else than a plain linear layer: adapters are
    put on after quantising, not before.
    """
    names = resolve(model, targets)
    modules = dict(model.named_modules())
    wrong = [name for name in names if type(modules.get(name)) is not nn.Linear]
    if wrong:
        kind = type(modules[wrong[0]]).__name__ if wrong[0] in modules else "a parameter without a module"
        raise ValueError(f"expected plain linear layers, but {wrong[0]} is {kind}; quantise before adapters are put on")
    for name in names:
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, NF4Linear(modules[name], block, double))
    return names

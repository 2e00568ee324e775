"""A linear layer's weights as fp32, bf16, int8 or int4 numbers, each with the product that is fastest on a CPU."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

KINDS = ("fp32", "bf16", "int8", "int4")


class Weight(ABC):
    """`weight(x)`: (rows, K) to (rows, N), in x's dtype."""

    bias: Tensor | None = None

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def dense(self) -> Tensor:
        """The (N, K) fp32 matrix that the stored numbers mean."""

    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that one product with a single row reads."""


class Float(Weight):
    """fp32 or bf16 numbers."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def dense(self) -> Tensor:
        return self.weight.float()

    def nbytes(self) -> int:
        return self.weight.nbytes


class Int8(Weight):
    """One signed byte a number and one scale per row of the matrix: error at most half of (row's maximum / 127)."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        weight = weight.float()
        self.scales = (weight.abs().amax(1) / 127).clamp(min=1e-12).bfloat16()
        self.codes = (weight / self.scales.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
        self.bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        y = torch.ops.aten._weight_int8pack_mm(x, self.codes, self.scales)
        return y if self.bias is None else y + self.bias

    def dense(self) -> Tensor:
        return self.codes.float() * self.scales.float()[:, None]

    def nbytes(self) -> int:
        return self.codes.nbytes + self.scales.nbytes


GROUP = 32


class Int4(Weight):
    """Four bits a number; each 32 neighbours share a step and an offset (bf16): the grid of GGUF's Q4_1."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        groups = weight.float().unflatten(1, (-1, GROUP))
        low, high = groups.amin(-1), groups.amax(-1)
        step = ((high - low) / 15).clamp(min=1e-12)
        codes = ((groups - low[..., None]) / step[..., None]).round().clamp(0, 15).to(torch.int32).flatten(1)
        middle = low + 8 * step  # the kernel means (code - 8) * step + middle
        self.packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
        self.grid = torch.stack([step.T, middle.T], -1).bfloat16().contiguous()
        self.shape, self.bias = weight.shape, bias

    def __call__(self, x: Tensor) -> Tensor:
        y = torch.ops.aten._weight_int4pack_mm_for_cpu(x, self.packed, GROUP, self.grid)
        return y if self.bias is None else y + self.bias

    def dense(self) -> Tensor:
        return self(torch.eye(self.shape[1], dtype=torch.bfloat16)).T.float()

    def nbytes(self) -> int:
        return self.packed.nbytes + self.grid.nbytes


def weight_of(weight: Tensor, kind: str, bias: Tensor | None = None) -> Weight:
    """weight: (N, K) floating; kind: one of KINDS. ValueError for another kind, or columns not in groups of 32 (int4)."""
    if kind not in KINDS:
        raise ValueError(f"weights must be one of {', '.join(KINDS)}; got {kind!r}")
    if kind == "fp32":
        return Float(weight.float().contiguous(), None if bias is None else bias.float())
    bias = None if bias is None else bias.bfloat16()
    if kind == "bf16":
        return Float(weight.bfloat16().contiguous(), bias)
    return Int8(weight, bias) if kind == "int8" else Int4(weight, bias)

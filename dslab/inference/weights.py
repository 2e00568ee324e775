"""A linear layer's weights as fp32, bf16, int8 or int4 numbers, each with the products that are fastest on a CPU.

Which product is fastest depends on the rows: one row (decoding) waits for memory, many rows (prompts, batches) for
arithmetic. Each class below says where it changes from one to the other; `dslab bench inference` has the figures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

KINDS = ("fp32", "bf16", "int8", "int4")
GROUP = 32  # int4: neighbours that share a step and an offset


class Weight(ABC):
    """`weight(x)`: (rows, K) to (rows, N), fp32 or bf16, whatever the product gives."""

    bias: Tensor | None = None
    shape: torch.Size  # (N, K)

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def dense(self) -> Tensor:
        """The (N, K) fp32 matrix that the stored numbers mean."""

    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that a product with one row reads."""


class Float32(Weight):
    """fp32 numbers. across: stored as (K, N), with which one row's product is some 15 % faster here."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None, across: bool = True) -> None:
        weight = weight.float()
        self.weight = weight.t().contiguous().t() if across else weight.contiguous()
        self.shape, self.bias = weight.shape, None if bias is None else bias.float()

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def dense(self) -> Tensor:
        return self.weight

    def nbytes(self) -> int:
        return self.weight.nbytes


class BFloat16(Weight):
    """bf16 numbers. Where the CPU computes in fp32 anyway, products of many rows widen the matrix first."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight = weight.bfloat16().contiguous()
        self.shape, self.bias = weight.shape, None if bias is None else bias.bfloat16()
        self._wide = 32 if _widens(str(weight.device)) else 1 << 62

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) < self._wide:
            return F.linear(x.bfloat16(), self.weight, self.bias)
        return F.linear(x.float(), self.weight.float(), None if self.bias is None else self.bias.float())

    def dense(self) -> Tensor:
        return self.weight.float()

    def nbytes(self) -> int:
        return self.weight.nbytes


class Int8(Weight):
    """A signed byte a number and one scale per row of the matrix: off by at most half of (the row's maximum / 127).

    Where the CPU multiplies bytes, six rows and more are written as two bytes a number and both multiplied at once:
    one byte alone costs 2.5 % of perplexity (SmolLM2), for a few numbers of a row are far larger than the rest.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        weight = weight.float()
        self.scales = (weight.abs().amax(1) / 127).clamp(min=1e-12).bfloat16()
        self._scales = self.scales.float()
        self.codes = (weight / self._scales[:, None]).round_().clamp_(-127, 127).to(torch.int8)
        self.shape, self.bias = weight.shape, None if bias is None else bias.float()
        self._bytes, self._dense = (6, 256) if _multiplies_bytes() else (32, 32)

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) < self._bytes:
            y = torch.ops.aten._weight_int8pack_mm(x.bfloat16(), self.codes, self.scales)
        elif len(x) < self._dense:
            y = self._by_bytes(x.float())
        else:
            y = F.linear(x.float(), self.codes.float()).mul_(self._scales)
        return y if self.bias is None else y + self.bias

    def _by_bytes(self, x: Tensor) -> Tensor:
        step = torch.linalg.vector_norm(x, torch.inf, -1, True).div_(127).clamp_(min=1e-12)
        x = x / step
        first = x.round()
        both = torch.cat([first, x.sub_(first).mul_(254).round_()]).to(torch.int8)
        high, low = torch._int_mm(both, self.codes.t()).float().chunk(2)
        return high.add_(low, alpha=1 / 254).mul_(self._scales).mul_(step)

    def dense(self) -> Tensor:
        return self.codes * self._scales[:, None]

    def nbytes(self) -> int:
        return self.codes.nbytes + self.scales.nbytes


class Int4(Weight):
    """Four bits a number; each 32 neighbours share a step and an offset (bf16): the grid of GGUF's Q4_1.

    A matrix that lies on such a grid already is kept as it is, up to the rounding of step and offset. Multiplying
    columns by a norm's gains would take it off its grid.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        if weight.shape[1] % GROUP:
            raise ValueError(f"int4 needs columns in groups of {GROUP}; got {weight.shape[1]}: use int8")
        groups = weight.float().unflatten(1, (-1, GROUP))
        low, high = groups.amin(-1), groups.amax(-1)
        step = ((high - low) / 15).clamp(min=1e-12)
        codes = ((groups - low[..., None]) / step[..., None]).round().clamp(0, 15).to(torch.int32).flatten(1)
        middle = low + 8 * step  # the kernel means (code - 8) * step + middle
        self.packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
        self.grid = torch.stack([step.T, middle.T], -1).bfloat16().contiguous()
        self.shape = weight.shape
        self.bias = None if bias is None else bias.bfloat16()

    def __call__(self, x: Tensor) -> Tensor:
        y = self._by_codes(x) if len(x) < 256 else x.float() @ self._across()
        return y if self.bias is None else y + self.bias

    def _by_codes(self, x: Tensor) -> Tensor:
        return torch.ops.aten._weight_int4pack_mm_for_cpu(x.bfloat16(), self.packed, GROUP, self.grid)

    def _across(self) -> Tensor:
        """(K, N) fp32."""
        N, K = self.shape
        if N % 64 or not _knows_packing():
            return self._by_codes(torch.eye(K)).float()
        step, middle = self.grid.permute(2, 0, 1).float().contiguous()
        codes = _unpack(self.packed, N, K)
        codes.view(K // GROUP, GROUP, N).sub_(8).mul_(step[:, None]).add_(middle[:, None])
        return codes

    def dense(self) -> Tensor:
        return self._across().T

    def nbytes(self) -> int:
        return self.packed.nbytes + self.grid.nbytes


def weight_of(weight: Tensor, kind: str, bias: Tensor | None = None) -> Weight:
    """weight: (N, K) floating; kind: one of KINDS. ValueError for another kind, or for int4 with K % 32."""
    kinds = {"fp32": Float32, "bf16": BFloat16, "int8": Int8, "int4": Int4}
    if kind not in kinds:
        raise ValueError(f"weights must be one of {', '.join(KINDS)}; got {kind!r}")
    return kinds[kind](weight, bias)


@cache
def _widens(device: str) -> bool:
    """Whether fp32 products of many rows beat bf16 ones."""
    from dslab.models.loading import auto_dtype

    return auto_dtype(device) == torch.float32


@cache
def _multiplies_bytes() -> bool:
    """Whether the CPU has instructions for products of bytes, without which torch's are slower than fp32."""
    return bool(getattr(torch.cpu, "_is_vnni_supported", lambda: False)())


def _unpack(packed: Tensor, N: int, K: int) -> Tensor:
    """(K, N) fp32 codes of int4: 64 rows of the matrix lie together, the latter 32 in the bytes' upper halves."""
    halves = packed.view(N // 64, K, 32).transpose(0, 1)
    return torch.stack([halves & 15, halves >> 4], 2).view(K, N).float()


@cache
def _knows_packing() -> bool:
    """Whether this CPU's packing, which torch does not document, is the one that `_unpack` reads."""
    codes = torch.arange(128 * 32).view(128, 32) * 7 % 16
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.int(), 1)
    return packed.numel() == 128 * 16 and torch.equal(_unpack(packed, 128, 32), codes.T.float())

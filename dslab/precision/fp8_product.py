"""Multiplying FP8 matrices: codes are multiplied and summed, scales are applied where the sums leave the accumulator.

    out[m, n] = sum over tiles t of K:  scale_a[m, t] * scale_b[n, t] * sum over k in t: code_a[m, k] * code_b[n, k]

The inner sum runs in a tensor core. Its accumulator keeps fewer bits than fp32 on Hopper, about 14, so long sums lose
their small terms; DeepSeek-V3 therefore moves partial sums to fp32 registers after every 128 products, where the
scales are due anyway (report, section 3.3.2). `accumulator_bits=14` plays that through in a toy model.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dslab.precision.fp8 import BLOCKS, Quantized

INSTRUCTION = 32  # products that the toy tensor core sums before it adds them to its accumulator
FP64_MANTISSA = 52


def _check(a: Quantized, b: Quantized) -> int | None:
    """The width of a scale's tile along K, None for all of K; raises where a and b do not fit."""
    if not (isinstance(a, Quantized) and isinstance(b, Quantized)):
        came = f"a {type(a).__name__} and a {type(b).__name__}"
        raise TypeError(f"fp8_matmul takes two Quantized, made by quantize(x, scheme); got {came}")
    shapes = f"a is {a.scheme!r} {tuple(a.shape)}, b is {b.scheme!r} {tuple(b.shape)}"
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"fp8_matmul takes a (M, K) and b (N, K), both quantized along K; {shapes}")
    width = BLOCKS[a.scheme][1]
    if BLOCKS[b.scheme][1] != width:
        fits = [name for name, (_, columns) in BLOCKS.items() if columns == width]
        raise ValueError(
            f"scales must change at the same places of K, for each is applied to a whole partial sum; {shapes}. "
            f"Beside {a.scheme!r} fits {' or '.join(map(repr, fits))}"
        )
    return width


def check_accumulator(width: int | None, promote_every: int | None, accumulator_bits: int | None) -> None:
    """Raises ValueError for what no accumulator can do whose scales change after `width` products (None: never)."""
    if promote_every is not None and not (_is_whole(promote_every, INSTRUCTION) and promote_every % INSTRUCTION == 0):
        raise ValueError(f"promote_every must be None or a multiple of {INSTRUCTION}; got {promote_every!r}")
    if width == 128 and (promote_every is None or width % promote_every):
        raise ValueError(
            "'1x128' and '128x128' have a new scale after every 128 products, so their sums leave the accumulator "
            f"there: promote_every must be 32, 64 or 128; got {promote_every}. Longer sums need scales that hold for "
            "all of K: 'row' or 'tensor'"
        )
    if accumulator_bits is not None and not (_is_whole(accumulator_bits, 2) and accumulator_bits <= FP64_MANTISSA):
        raise ValueError(f"accumulator_bits must be None or 2..{FP64_MANTISSA}, whole; got {accumulator_bits!r}")


def _is_whole(x: object, least: int) -> bool:
    return isinstance(x, int) and x >= least


def truncate(x: Tensor, bits: int) -> Tensor:
    """x (fp64) with its first `bits` significant bits, the rest cut off: rounded toward zero.

    >>> truncate(torch.tensor([5.75, -5.75, 1024.0], dtype=torch.float64), 3).tolist()
    [5.0, -5.0, 1024.0]
    """
    # The leading bit is not stored, so bits - 1 of the 52 stored ones stay.
    return (x.view(torch.int64) & (-1 << (FP64_MANTISSA + 1 - bits))).view(torch.float64)


def _scale_of_tile(q: Quantized, tile: int) -> Tensor:
    """Scales of one tile along K, for each row of q: (R, 1), or (1, 1) where all rows share it; fp64."""
    scales, rows = q.scales.double(), BLOCKS[q.scheme][0]
    if rows is None:
        return scales.view(1, 1)
    return scales[:, tile : tile + 1].repeat_interleave(rows, 0)[: q.shape[0]]


@torch.no_grad()
def fp8_matmul(
    a: Quantized,
    b: Quantized,
    *,
    promote_every: int | None = 128,
    accumulator_bits: int | None = None,
    out_dtype: torch.dtype = torch.float32,
) -> Tensor:
    """a (M, K) times b (N, K) transposed -> (M, N): each entry a sum of code products, scaled tile by tile of K.

    Schemes fit where their scales change at the same places of K: "tensor" and "row"; "1x128" and "128x128"; "mx32".

    promote_every:    products after which a partial sum leaves the accumulator, is scaled and added to an fp32 total;
                      a multiple of 32, or None for never. "1x128" and "128x128" need at most 128, where their scales
                      change. "mx32" scales each sum of 32 before it is accumulated, as Blackwell's tensor cores do.
    accumulator_bits: None: partial sums in fp32. 14: a toy model of Hopper's tensor core, which after every 32 products
                      keeps 14 significant bits of its sum and cuts off the rest. It shows how the error grows and why
                      promotion helps; it was not measured on hardware, whose rounding inside an instruction differs.
    Raises ValueError naming both operands and what would fit, TypeError where they are not quantized.

    >>> from dslab.precision.fp8 import quantize
    >>> a = quantize(torch.ones(1, 4096), "tensor", amax_floor=448.0)
    >>> fp8_matmul(a, a).item()
    4096.0
    """
    width = _check(a, b)
    check_accumulator(width, promote_every, accumulator_bits)
    K = a.shape[1]
    work = torch.float32 if accumulator_bits is None else torch.float64  # fp64 holds every sum of 32 e4m3 products
    x, y = a.codes.to(work), b.codes.to(work).T
    period = max(1, min(promote_every or K, K))
    is_scaled_inside = width == INSTRUCTION
    step = INSTRUCTION if is_scaled_inside or accumulator_bits is not None else period
    total = torch.zeros(a.shape[0], b.shape[0], device=x.device)
    partial = torch.zeros_like(total, dtype=work)
    for start in range(0, K, step):
        end = min(start + step, K)
        with torch.autocast(x.device.type, enabled=False):  # which would round the sums to 16 bits
            products = x[:, start:end] @ y[start:end]
        tile = start // width if width else 0
        scale = _scale_of_tile(a, tile) * _scale_of_tile(b, tile).T  # in fp64: in fp32 the product may leave the range
        partial += (products * scale).to(work) if is_scaled_inside else products
        if accumulator_bits is not None:
            partial = truncate(partial, accumulator_bits)
        if end % period == 0 or end == K:
            total += (partial if is_scaled_inside else partial * scale).float()
            partial = torch.zeros_like(partial)
    return total.to(out_dtype)

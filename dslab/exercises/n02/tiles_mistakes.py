"""Exercise `tiles`: the right codes and scales, and those that come of the usual mistakes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

LARGEST = 448.0
E4M3 = torch.float8_e4m3fn
Answer = tuple[Tensor, Tensor]  # codes as fp64, scales as fp64


def largest(x: Tensor, tile: int, key: Callable[[Tensor], Tensor] = torch.abs) -> Tensor:
    """(rows, groups) fp64: the largest of every group, after `key`."""
    return torch.cat([key(part).amax(dim=1, keepdim=True) for part in x.double().split(tile, dim=1)], dim=1)


def spread(scales: Tensor, x: Tensor, tile: int) -> Tensor:
    return scales.repeat_interleave(tile, dim=1)[:, : x.shape[1]]


def _cast(x: Tensor) -> Tensor:
    """To the nearest code, fp64 again; torch up to 2.12 makes NaN of what is above 448."""
    return x.float().clamp(-LARGEST, LARGEST).to(E4M3).double()


def definition(x: Tensor, tile: int) -> Answer:
    """(codes, scales) in fp64; the scale of a group of zeros is 1."""
    scales = largest(x, tile) / LARGEST
    scales = torch.where(scales == 0, 1.0, scales)
    return _cast(x.double() / spread(scales, x, tile)), scales


def _with_scales(scales_of: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Answer]:
    """Codes by other scales."""

    def quantize(x: Tensor, tile: int) -> Answer:
        scales = scales_of(x, tile) / LARGEST
        scales = torch.where(scales == 0, 1.0, scales)
        return _cast(x.double() / spread(scales, x, tile)), scales

    return quantize


def _with_codes(codes_of: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, int], Answer]:
    """Right scales, other codes: codes_of(x, spread scales)."""

    def quantize(x: Tensor, tile: int) -> Answer:
        scales = definition(x, tile)[1]
        return _cast(codes_of(x.double(), spread(scales, x, tile))), scales

    return quantize


def _overlapping(x: Tensor, tile: int) -> Tensor:
    """The last group takes the last `tile` columns, whosever they are."""
    return torch.cat([largest(x, tile)[:, :-1], x.double()[:, -tile:].abs().amax(dim=1, keepdim=True)], dim=1)


def _merged(x: Tensor, tile: int, both: bool = False) -> Tensor:
    """The rest of a row has the scale of the group before it, or of both."""
    amax = largest(x, tile)
    if x.shape[1] % tile and amax.shape[1] > 1:
        amax[:, -2:] = amax[:, -2:].amax(dim=1, keepdim=True) if both else amax[:, -2:-1]
    return amax


def _everywhere(x: Tensor, tile: int, dim: tuple[int, ...]) -> Tensor:
    return largest(x, tile).amax(dim=dim, keepdim=True).expand(len(x), math.ceil(x.shape[1] / tile))


MISTAKES: tuple[tuple[str, Callable[[Tensor, int], Answer]], ...] = (
    ("per_tensor", _with_scales(lambda x, tile: _everywhere(x, tile, (0, 1)))),
    ("per_row", _with_scales(lambda x, tile: _everywhere(x, tile, (1,)))),
    ("block", _with_scales(lambda x, tile: _everywhere(x, tile, (0,)))),
    ("no_abs", _with_scales(lambda x, tile: largest(x, tile, torch.clone))),
    ("no_abs", _with_scales(lambda x, tile: largest(x, tile, torch.clone).abs())),
    ("range", _with_scales(lambda x, tile: largest(x, tile, torch.clone) + largest(x, tile, torch.neg))),
    ("remainder", _with_scales(_overlapping)),
    ("remainder", _with_scales(_merged)),
    ("remainder", _with_scales(functools.partial(_merged, both=True))),
    ("rounded", _with_codes(lambda x, spread: (x / spread).round())),
    ("rounded", _with_codes(lambda x, spread: (x / spread).trunc())),
    ("multiplied", _with_codes(lambda x, spread: x * spread)),
    ("not_divided", _with_codes(lambda x, spread: x)),
    ("cast_first", _with_codes(lambda x, spread: _cast(x) / spread)),
)

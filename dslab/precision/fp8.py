"""Eight-bit floating point: a code a number, and a scale for every tile of them.

    x[i] ~ codes[i] * scales[tile of i],    scale = max |x| over the tile / largest code

A code has four significant bits (e4m3fn: up to 448) or three (e5m2: up to 57344). The scale moves each tile's largest
element onto the largest code, so that what a code can hold, 2^-9 to 448, lies where the tile's values are. Schemes:

    "tensor"   one scale for everything
    "row"      one a row (a token)
    "1x128"    one for 128 neighbours in a row: activations and gradients of DeepSeek-V3   (report, section 3.3.2)
    "128x128"  one for a square block: weights of DeepSeek-V3
    "mx32"     one power of two for 32 neighbours: MXFP8   (OCP Microscaling Formats v1.0, section 6.3)

The cast of "1x128" and "128x128" equals DeepGEMM's (per_token_cast_to_fp8, per_block_cast_to_fp8) bit by bit. fp64 is
rounded to fp32 first. Nothing here is differentiable: see `fp8_linear`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Rows and columns of a tile; None: all of them.
BLOCKS: dict[str, tuple[int | None, int | None]] = {
    "tensor": (None, None),
    "row": (1, None),
    "1x128": (1, 128),
    "128x128": (128, 128),
    "mx32": (1, 32),
}
LARGEST_EXPONENT = {torch.float8_e4m3fn: 8, torch.float8_e5m2: 15}  # of a code: 448 = 1.75 * 2^8, 57344 = 1.75 * 2^15
DEEPSEEK_FLOOR = 1e-4
TINY_FLOOR = 2.0**-149  # the smallest positive fp32: a floor that changes nothing but a tile of zeros
SMALLEST_SCALE = 2.0**-126  # the smallest normal fp32: below it a scale has few bits, and its inverse overflows
SMALLEST_POWER = 2.0**-127  # the smallest E8M0 scale
EXPONENT_BITS = 0x7F800000  # of an fp32


@dataclass(frozen=True, eq=False)
class Quantized:
    """FP8 codes and their scales; x ~ codes * scales, each scale spread over its tile.

    codes:  float8, the shape of x, (..., R, C).
    scales: fp32, of shape () for "tensor", (..., R, 1) for "row", (..., R, ceil(C/128)) for "1x128",
            (..., ceil(R/128), ceil(C/128)) for "128x128", (..., R, ceil(C/32)) for "mx32".
    """

    codes: Tensor
    scales: Tensor
    scheme: str

    @property
    def shape(self) -> torch.Size:
        return self.codes.shape

    @property
    def nbytes(self) -> int:
        """Bytes that the format takes: one a code, four a scale, or one where the scale is a power of two ("mx32")."""
        return self.codes.numel() + self.scales.numel() * (1 if self.scheme == "mx32" else 4)

    def spread_scales(self) -> Tensor:
        """The scale of every element, fp32 in the shape of codes (of shape () for "tensor")."""
        rows, columns = BLOCKS[self.scheme]
        scales = self.scales
        if columns is not None:
            scales = scales.repeat_interleave(columns, -1)[..., : self.shape[-1]]
        if rows is not None and rows > 1:
            scales = scales.repeat_interleave(rows, -2)[..., : self.shape[-2], :]
        return scales if rows is None else scales.expand(self.shape)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """codes * scales, multiplied in fp32 (fp64 for fp64, which is exact) and rounded once to dtype."""
        wide = torch.promote_types(dtype, torch.float32)
        return (self.codes.to(wide) * self.spread_scales().to(wide)).to(dtype)


def _check(x: Tensor, scheme: str, dtype: torch.dtype, nonfinite: str, amax_floor: float | None) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a tensor; got a {type(x).__name__}: pass torch.tensor(...) of floats")
    if scheme not in BLOCKS:
        raise ValueError(f"scheme must be one of {', '.join(map(repr, BLOCKS))}; got {scheme!r}")
    if dtype not in LARGEST_EXPONENT:
        raise ValueError(f"dtype must be torch.float8_e4m3fn or torch.float8_e5m2; got {dtype}")
    if nonfinite not in ("raise", "propagate"):
        raise ValueError(f"nonfinite must be 'raise' or 'propagate'; got {nonfinite!r}")
    if amax_floor is not None and not 0 <= amax_floor < math.inf:
        raise ValueError(f"amax_floor must be a finite number >= 0; got {amax_floor}")
    if x.dtype not in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        raise ValueError(f"x must be float32, bfloat16, float16 or float64; got {x.dtype}")
    if x.ndim < 2 and scheme != "tensor":
        raise ValueError(f"scheme {scheme!r} takes x (..., rows, columns); got shape {tuple(x.shape)}")


def _finite(x: Tensor, original: Tensor, nonfinite: str) -> Tensor | None:
    """Where x is finite, or None if it is everywhere. Raises ValueError unless told to propagate."""
    finite = x.isfinite()
    if bool(finite.all()):
        return None
    if nonfinite == "raise":
        at = tuple((~finite).nonzero()[0].tolist())
        raise ValueError(
            f"{int((~finite).sum())} of {x.numel()} values are not finite in fp32, the first at {at}: "
            f"{original[at].item()}. FP8 would hide them (torch casts inf to 448 in e4m3fn): skip this step, "
            "or pass nonfinite='propagate'"
        )
    return finite


def _tiles(x: Tensor, scheme: str) -> Tensor:
    """(..., R, C) -> (..., R/r, r, C/c, c) for tiles of r x c, padded with zeros: a view where nothing is padded."""
    if scheme == "tensor":
        return x.reshape(1, 1, 1, -1)
    rows, columns = (block or max(size, 1) for block, size in zip(BLOCKS[scheme], x.shape[-2:], strict=True))
    below, right = -x.shape[-2] % rows, -x.shape[-1] % columns
    if below or right:
        x = F.pad(x, (0, right, 0, below))
    return x.unflatten(-1, (x.shape[-1] // columns, columns)).unflatten(-3, (x.shape[-2] // rows, rows))


def _scale(amax: Tensor, scheme: str, dtype: torch.dtype) -> Tensor:
    """The scale of tiles whose largest magnitude is amax (fp32)."""
    if scheme != "mx32":
        return (amax / torch.finfo(dtype).max).clamp(min=SMALLEST_SCALE)
    # 2^(floor(log2 amax) - largest exponent of a code). The exponent bits alone are 2^floor(log2 amax), exactly; a
    # subnormal amax gives 0 and so the smallest scale. Elements up to 2 - 1/8 times larger than a code can be saturate.
    power = (amax.view(torch.int32) & EXPONENT_BITS).view(torch.float32)
    return (power * 2.0 ** -LARGEST_EXPONENT[dtype]).clamp(min=SMALLEST_POWER)


@torch.no_grad()
def quantize(
    x: Tensor,
    scheme: str = "1x128",
    dtype: torch.dtype = torch.float8_e4m3fn,
    *,
    nonfinite: str = "raise",
    amax_floor: float | None = None,
) -> Quantized:
    """Cast x to FP8, tile by tile.

        amax = max(max |x| over the tile, amax_floor),   scale = amax / max(dtype),   codes = cast(x * (1 / scale))

    in fp32, rounding to nearest even; "mx32" takes scale = 2^(floor(log2 amax) - largest exponent of a code) instead,
    and its elements saturate. Where tiles do not divide x, the last ones are smaller; codes always have x's shape.

    x:          (..., R, C) of fp32, bf16, fp16 or fp64; any shape for "tensor". Leading dimensions are batches.
    dtype:      torch.float8_e4m3fn or torch.float8_e5m2.
    nonfinite:  "raise", or "propagate": NaN stays NaN, inf becomes NaN in e4m3fn (which has no inf) and stays inf in
                e5m2; the scale is taken from the finite elements, so that the others of the tile survive.
    amax_floor: 1e-4 for "1x128" and "128x128", as in DeepGEMM; next to nothing for the others. A tile below the floor
                gets the floor's scale: with 1e-4 in e4m3fn, elements below 3.5e-9 lose bits and those below 2.2e-10
                become 0, however equal the tile's elements are. Activations are hardly ever so small; gradients of a
                mean over many tokens are, and want a floor of their own.
    Returns Quantized. Raises ValueError for values that are not finite in fp32 (how many, and where the first is), and
    TypeError where x is no tensor.

    >>> quantize(torch.tensor([[0.5, -3.5], [1.0, 0.0]]), "row").dequantize().tolist()
    [[0.5, -3.5], [1.0, 0.0]]
    """
    _check(x, scheme, dtype, nonfinite, amax_floor)
    if amax_floor is None:
        amax_floor = DEEPSEEK_FLOOR if scheme in ("1x128", "128x128") else TINY_FLOOR
    limit = torch.finfo(dtype).max
    values = x.to(torch.float32)
    finite = _finite(values, x, nonfinite)
    tiles = _tiles(values if finite is None else values.where(finite, 0.0), scheme)
    if tiles.numel():
        amax = tiles.abs().amax((-3, -1), keepdim=True)
    else:  # no rows, as for an expert that got no token
        amax = tiles.new_zeros(*tiles.shape[:-3], 1, tiles.shape[-2], 1)
    scales = _scale(amax.clamp(min=amax_floor), scheme, dtype)
    # 448 * (1 / scale * scale) may end one rounding above 448, and MX saturates on purpose: clamp, then cast, since
    # what a cast does to a number out of range differs between formats, devices and releases of torch.
    scaled = (tiles * (1.0 / scales)).clamp(-limit, limit).flatten(-2).flatten(-3, -2)
    scaled = scaled.reshape(x.shape) if scheme == "tensor" else scaled[..., : x.shape[-2], : x.shape[-1]]
    if finite is not None:
        has_inf = dtype == torch.float8_e5m2
        scaled = torch.where(finite, scaled, values if has_inf else torch.nan)
    scales = scales.reshape(()) if scheme == "tensor" else scales[..., 0, :, 0]
    return Quantized(scaled.to(dtype).contiguous(), scales.contiguous(), scheme)


def calc_diff(x: Tensor, y: Tensor) -> float:
    """How far two tensors are apart, as DeepGEMM measures it: 0 for equal ones, 1 for orthogonal, 2 for opposite.

        1 - 2 sum(x y) / sum(x^2 + y^2)  =  sum((x - y)^2) / sum(x^2 + y^2)

    in fp64: half the squared relative error, when that is small. DeepGEMM's bar for an FP8 product is 1e-3, a relative
    error of 4.5 %. Two tensors of zeros differ by 0; NaN or inf give NaN. Raises ValueError if the shapes differ.

    >>> calc_diff(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.9])) < 1e-2
    True
    """
    if x.shape != y.shape:
        raise ValueError(f"calc_diff takes two tensors of one shape; got {tuple(x.shape)} and {tuple(y.shape)}")
    x, y = x.detach().double(), y.detach().double()
    energy = (x * x + y * y).sum()
    return 0.0 if float(energy) == 0 else float(1 - 2 * (x * y).sum() / energy)

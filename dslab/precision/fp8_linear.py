"""A linear layer whose three matrix products run in FP8, as DeepSeek-V3 trains (report, section 3.3, figure 6).

    forward   y  = x W^T      tiles of x and W along the input features
    dgrad     dx = dy W       tiles of dy and W along the output features
    wgrad     dW = dy^T x     tiles of dy and x along the tokens

A scale must hold for all the products that are summed before it is applied, so tiles lie along what each product sums
over: x and dy are quantized twice, once for each of their products. DeepSeek-V3 tiles W in squares, which lie along
both directions, so W is quantized once. What is not a product stays in fp32: master weights, bias, optimizer.

The products are emulated: codes and scales are multiplied out and the matrices multiplied in fp32, which is
`fp8_matmul` with fp32 partial sums up to the rounding of fp32.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.parametrize import is_parametrized

from dslab.precision.fp8 import BLOCKS, LARGEST_EXPONENT, TINY_FLOOR, Quantized, quantize
from dslab.precision.fp8_product import check_accumulator, fp8_matmul

WEIGHT_SCHEME = {"tensor": "tensor", "row": "row", "1x128": "128x128", "mx32": "mx32"}
SQUARE = ("tensor", "128x128")  # schemes whose codes serve a matrix and its transpose alike


@dataclass(frozen=True)
class Recipe:
    """How the three products of a layer are computed.

    scheme:           of activations and gradients; weights follow: "1x128" with weights in 128x128, "tensor", "row" and
                      "mx32" with weights in the same.
    dtype:            codes of activations and weights.
    grad_dtype:       codes of gradients; torch.float8_e5m2 has more range and one bit less.
    grad_amax_floor:  smallest amax of a tile of gradients. Next to nothing by default: the 1e-4 that suits activations
                      would flush gradients below 2.2e-10, and a mean over 10^5 tokens or more makes many of them.
    accumulator_bits, promote_every: of `fp8_matmul`, to train with a short accumulator; None: fp32, which is faster.
    """

    scheme: str = "1x128"
    dtype: torch.dtype = torch.float8_e4m3fn
    grad_dtype: torch.dtype = torch.float8_e4m3fn
    grad_amax_floor: float = TINY_FLOOR
    accumulator_bits: int | None = None
    promote_every: int | None = 128

    def __post_init__(self) -> None:
        if self.scheme not in WEIGHT_SCHEME:
            raise ValueError(f"scheme must be one of {', '.join(map(repr, WEIGHT_SCHEME))}; got {self.scheme!r}")
        for dtype in (self.dtype, self.grad_dtype):
            if dtype not in LARGEST_EXPONENT:
                raise ValueError(f"dtypes must be torch.float8_e4m3fn or torch.float8_e5m2; got {dtype}")
        if not 0 <= self.grad_amax_floor < math.inf:
            raise ValueError(f"grad_amax_floor must be a finite number >= 0; got {self.grad_amax_floor}")
        check_accumulator(BLOCKS[self.scheme][1], self.promote_every, self.accumulator_bits)

    @classmethod
    def of(cls, options: dict[str, Any]) -> Recipe:
        """From keywords; TypeError for one that there is not."""
        known = [field.name for field in fields(cls)]
        if unknown := set(options) - set(known):
            raise TypeError(f"Fp8Linear has no option {', '.join(sorted(unknown))}; it has {', '.join(known)}")
        return cls(**options)

    # NaN and inf are passed on, as nn.Linear would: a loss scaler looks for them.
    def activation(self, x: Tensor) -> Quantized:
        return quantize(x, self.scheme, self.dtype, nonfinite="propagate")

    def weight(self, w: Tensor) -> Quantized:
        return quantize(w, WEIGHT_SCHEME[self.scheme], self.dtype, nonfinite="propagate")

    def gradient(self, g: Tensor) -> Quantized:
        return quantize(g, self.scheme, self.grad_dtype, nonfinite="propagate", amax_floor=self.grad_amax_floor)

    def product(self, a: Quantized, b: Quantized) -> Tensor:
        """a (M, K) times b (N, K) transposed -> (M, N) fp32."""
        if self.accumulator_bits is not None:
            return fp8_matmul(a, b, promote_every=self.promote_every, accumulator_bits=self.accumulator_bits)
        with torch.autocast(a.codes.device.type, enabled=False):
            return a.dequantize() @ b.dequantize().T


def _turned(q: Quantized) -> Quantized:
    """The transpose of a square-tiled matrix: same codes, same scales."""
    return Quantized(q.codes.T.contiguous(), q.scales.T.contiguous() if q.scales.ndim else q.scales, q.scheme)


class _Fp8Product(torch.autograd.Function):
    """x (T, in), weight (out, in) -> (T, out) fp32. Keeps one byte an element of x and of weight, and the scales."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, recipe: Recipe) -> Tensor:
        w = recipe.weight(weight)
        saved: list[Tensor | None] = [None] * 4
        if ctx.needs_input_grad[0]:  # for dgrad: W with its tiles along the output features
            turned = _turned(w) if w.scheme in SQUARE else recipe.weight(weight.T)
            saved[:2] = turned.codes, turned.scales
        if ctx.needs_input_grad[1]:  # for wgrad: x with its tiles along the tokens
            along_tokens = recipe.activation(x.T)
            saved[2:] = along_tokens.codes, along_tokens.scales
        ctx.save_for_backward(*saved)
        ctx.recipe = recipe
        return recipe.product(recipe.activation(x), w)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        recipe, dx, dw = ctx.recipe, None, None
        w_codes, w_scales, x_codes, x_scales = ctx.saved_tensors
        if ctx.needs_input_grad[0]:
            turned = Quantized(w_codes, w_scales, WEIGHT_SCHEME[recipe.scheme])
            dx = recipe.product(recipe.gradient(dy), turned)  # autograd casts it to x's dtype
        if ctx.needs_input_grad[1]:
            dw = recipe.product(recipe.gradient(dy.T), Quantized(x_codes, x_scales, recipe.scheme))
        return dx, dw, None


class Fp8Linear(nn.Linear):
    """nn.Linear with fp32 parameters and FP8 products; a drop-in, with the same parameters and state_dict.

    Input (..., in_features) of fp32, bf16 or fp16; the output has its dtype, or autocast's, as with nn.Linear. Options
    are those of `Recipe`. Parameters cast to another format (`model.half()`) are refused by the next forward. Unlike
    DeepSeek-V3, which keeps the forward's codes of x and requantizes them for wgrad, x is rounded once for each of its
    products.

    >>> layer = Fp8Linear(256, 128, scheme="1x128", grad_dtype=torch.float8_e5m2)
    >>> layer(torch.zeros(2, 10, 256)).shape
    torch.Size([2, 10, 128])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        scheme: str = "1x128",
        device: torch.device | str | None = None,
        **options: Any,
    ) -> None:
        recipe = Recipe.of({"scheme": scheme, **options})
        super().__init__(in_features, out_features, bias, device=device, dtype=torch.float32)
        self.recipe = recipe

    @classmethod
    def from_linear(cls, linear: nn.Linear, **options: Any) -> Fp8Linear:
        """An Fp8Linear with the very parameters of `linear`, so that optimizers and tied weights still hold them.

        Its hooks, buffers and training flag come along (a handle removes the hook of `linear` only). Raises ValueError
        unless weight and bias are fp32 parameters, and `forward` is the class's.
        """
        recipe = Recipe.of(options)
        if why := _why_not(linear):
            raise ValueError(f"{type(linear).__name__}: {why}")
        layer = cls.__new__(cls)
        own = {key: copy.copy(v) if isinstance(v, dict | set) else v for key, v in vars(linear).items()}
        vars(layer).update(own)
        layer.recipe = recipe
        return layer

    def forward(self, input: Tensor) -> Tensor:
        if self.weight.dtype != torch.float32:
            raise ValueError(f"{NOT_FP32.format(self.weight.dtype)}. For 16-bit outputs use autocast or 16-bit inputs")
        if input.shape[-1] != self.in_features:
            raise ValueError(f"expected input (..., {self.in_features}); got {tuple(input.shape)}")
        device = input.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else input.dtype
        x = input.reshape(-1, self.in_features)
        if torch.is_grad_enabled():
            out = _Fp8Product.apply(x, self.weight, self.recipe)
        else:  # nothing to keep for a backward
            out = self.recipe.product(self.recipe.activation(x), self.recipe.weight(self.weight))
        if self.bias is not None:
            out = out + self.bias
        return out.view(*input.shape[:-1], self.out_features).to(dtype)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scheme={self.recipe.scheme!r}"


NOT_FP32 = "the master weights of Fp8Linear must be fp32, got {}, where small updates are lost: call model.float()"


def _why_not(linear: nn.Linear) -> str | None:
    """Why this layer cannot become an Fp8Linear; None if it can."""
    if not {"weight", "bias"} <= linear._parameters.keys():
        return "its weight or bias is no parameter but computed (parametrization, weight norm, pruning): remove that"
    if "forward" in vars(linear):
        return "its forward has been replaced by another one, which would go on to be called: restore it"
    dtypes = {p.dtype for p in (linear.weight, linear.bias) if p is not None}
    return NOT_FP32.format(*map(str, dtypes - {torch.float32})) if dtypes != {torch.float32} else None


def _is_linear(module: nn.Module) -> bool:
    """Whether it is an nn.Linear and no subclass, but for the class that torch makes when it parametrizes one."""
    return type(module) is nn.Linear or (type(module).__base__ is nn.Linear and is_parametrized(module))


def convert(model: nn.Module, skip: tuple[str, ...] = ("lm_head",), **options: Any) -> list[str]:
    """Turn the nn.Linear layers of model into Fp8Linear, in place; returns their names.

    Each stays the object it was and only changes its class, so that hooks and their handles, buffers, the training flag
    and whoever holds the layer go on as before.

    skip: names to leave alone, as whole parts of a dotted name: "lm_head", "mlp.down_proj", "layers.0". DeepSeek-V3
    keeps embedding, output head, router, norms and attention itself in higher precision. Subclasses of nn.Linear are
    left alone, for their owners may not call them (nn.MultiheadAttention reads the weight of its out_proj directly).
    A layer with several names is left alone if one of them is to be.
    Raises ValueError, before anything is changed, if no layer is left to convert, or one has no fp32 parameters
    (parametrized and pruned layers compute theirs) or a forward of its own.

    >>> convert(nn.ModuleDict({"up": nn.Linear(8, 32), "lm_head": nn.Linear(32, 8)}))
    ['up']
    """
    if isinstance(skip, str):
        raise ValueError(f"skip must be a tuple of names; got the string {skip!r}")
    recipe = Recipe.of(options)
    linears = {name: m for name, m in model.named_modules(remove_duplicate=False) if name and _is_linear(m)}
    left_alone = {m for name, m in linears.items() if any(f".{part}." in f".{name}." for part in skip)}
    chosen = {name: m for name, m in linears.items() if m not in left_alone}
    if not chosen:
        raise ValueError(
            f"nothing to convert: of the nn.Linear layers inside the model ({', '.join(linears) or 'none'}), "
            f"skip={skip} leaves none. A model that is itself an nn.Linear takes Fp8Linear.from_linear"
        )
    for name, linear in chosen.items():
        if why := _why_not(linear):
            raise ValueError(f"{name}: {why}, or pass its name in skip")
    for linear in chosen.values():
        linear.__class__, linear.recipe = Fp8Linear, recipe
    return list(chosen)

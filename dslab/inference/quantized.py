"""Keys and values in 8, 4 or 2 bits.

    QuantizedCache(bits=8)                     # a scale for each token and head: next to nothing is lost
    QuantizedCache(bits=4)                     # the same in 4 bits: this breaks models, and is here to show it
    QuantizedCache(bits=4, scheme="kivi")      # keys by channel, values by token

Why the last holds where the one before breaks: a few channels of the keys are large for every token, and a scale
shared by a token's whole key is set by them; a scale for each channel is not (KIVI, Liu et al., arXiv 2402.02750).
What this saves is memory: attention reads what was dequantised for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from dslab.inference.base import Cache, CacheError

SMALLEST = 2.0**-24  # above zero in fp16: a scale that is never divided by zero


class Growing:
    """(B, H, n, D) that grows along n, in a buffer that doubles when full: a token is moved once on average."""

    def __init__(self) -> None:
        self._buffer: Tensor | None = None
        self.n = 0

    def append(self, x: Tensor) -> None:
        end = self.n + x.shape[2]
        if self._buffer is None or end > self._buffer.shape[2]:
            with torch.inference_mode(False):  # else nobody outside inference mode could write to it
                B, H, _, D = x.shape
                new = torch.empty(B, H, max(end, 2 * self.n, 64), D, dtype=x.dtype, device=x.device)
                if self._buffer is not None:
                    new[:, :, : self.n] = self.used
            self._buffer = new
        self._buffer[:, :, self.n : end] = x
        self.n = end

    @property
    def used(self) -> Tensor:
        assert self._buffer is not None
        return self._buffer[:, :, : self.n]

    def cut(self, n: int) -> None:
        self.n = min(n, self.n)  # what lies behind is written over

    def after(self, change: Callable[[Tensor], Tensor]) -> Growing:
        """A new one that holds `change` of what is held here."""
        new = Growing()
        if self._buffer is not None:
            new.append(change(self.used))
        return new

    def nbytes(self) -> int:
        return 0 if self._buffer is None else self.used.numel() * self._buffer.element_size()


def pack(codes: Tensor, bits: int) -> Tensor:
    """(..., D) int8 or uint8 codes of `bits` bits, 8 // bits of them into each byte: (..., ceil(D * bits / 8)).

    A byte holds numbers from different parts of the D, not neighbours: unpacked, each part is in one piece.

    >>> pack(torch.tensor([[1, 2, 3, 15]], dtype=torch.uint8), bits=4)
    tensor([[ 49, 242]], dtype=torch.uint8)
    """
    per = 8 // bits
    if per == 1:
        return codes
    first, *rest = (F.pad(codes, (0, -codes.shape[-1] % per)) & (2**bits - 1)).chunk(per, -1)
    packed = first.clone()
    for i, part in enumerate(rest, 1):
        packed |= part << (bits * i)
    return packed


def unpack(packed: Tensor, bits: int, width: int) -> Tensor:
    """What `pack` was given, (..., width): shifting back from the top of the byte brings an int8's sign along."""
    if bits == 8:
        return packed
    parts = [(packed << (8 - bits * (i + 1))) >> (8 - bits) for i in range(8 // bits)]
    return torch.cat(parts, -1)[..., :width]


@dataclass
class _Layer:
    """What one layer holds: packed codes and what turns them back, and the tokens that are still exact."""

    k: Growing = field(default_factory=Growing)
    k_scale: Growing = field(default_factory=Growing)
    k_low: Growing = field(default_factory=Growing)
    v: Growing = field(default_factory=Growing)
    v_scale: Growing = field(default_factory=Growing)
    v_low: Growing = field(default_factory=Growing)
    exact_k: Growing = field(default_factory=Growing)
    exact_v: Growing = field(default_factory=Growing)

    def parts(self) -> list[Growing]:
        return [getattr(self, f.name) for f in fields(self)]


class QuantizedCache(Cache):
    """Keys and values as whole numbers of few bits, with fp16 scales.

    bits      8, 4 or 2.
    scheme    "token": each token's key and value of each head has a scale of its own, and zero is in the middle.
              "kivi": keys in groups of `group` tokens of one channel, values in groups of `group` channels of one
              token; each group has a scale and a lowest value. Tokens stay exact until `group` of them are older than
              the last `residual`, and the ones of the last pass always do: groups are closed when the next pass begins.
    truncate  "token": any n. "kivi": not into a closed group, nor to where it would still be open; CacheError then.
    """

    def __init__(self, bits: int = 8, scheme: str = "token", group: int = 64, residual: int = 32) -> None:
        super().__init__()
        if bits not in (8, 4, 2):
            raise ValueError(f"expected bits=8, 4 or 2; came {bits}")
        if scheme not in ("token", "kivi"):
            raise ValueError(f"expected scheme='token' or 'kivi'; came {scheme!r}")
        if group < 1 or residual < 0:
            raise ValueError(f"expected group of at least 1 and residual of at least 0; came {group} and {residual}")
        self.bits, self.scheme, self.group, self.residual = bits, scheme, group, residual
        self._layers: dict[int, _Layer] = {}

    def compact(self) -> None:
        """Close the groups that the next pass would close first: for measuring, or before keeping it unused."""
        for layer in self._layers:
            self._close(layer, self._held[layer])

    def _write(self, layer: int, k: Tensor, v: Tensor, start: int) -> None:
        held = self._layers.setdefault(layer, _Layer())
        if self.scheme == "kivi":
            self._close(layer, start)
            held.exact_k.append(k)
            held.exact_v.append(v)
            return
        for x, codes, scales in ((k, held.k, held.k_scale), (v, held.v, held.v_scale)):
            top = 2 ** (self.bits - 1) - 1
            scale = (x.float().abs().amax(-1, keepdim=True) / top).clamp(min=SMALLEST).half()
            whole = (x.float() / scale.float()).round().clamp(-top, top)
            codes.append(pack(whole.to(torch.int8), self.bits))
            scales.append(scale)

    def _closed(self, n: int) -> int:
        """How many of n tokens are in closed groups once a pass has begun after them."""
        return max(0, n - self.residual) // self.group * self.group

    def _close(self, layer: int, n: int) -> None:
        held = self._layers[layer]
        due = self._closed(n) - held.k.n
        if self.scheme != "kivi" or due <= 0:
            return
        k, v = held.exact_k.used[:, :, :due], held.exact_v.used[:, :, :due]
        B, H, _, D = k.shape
        codes, scale, low = self._codes(k.reshape(B, H, -1, self.group, D), 3)
        held.k.append(pack(codes.view(B, H, due, D), self.bits))
        held.k_scale.append(scale.squeeze(3))
        held.k_low.append(low.squeeze(3))
        codes, scale, low = self._codes(v.unflatten(-1, (-1, math.gcd(self.group, v.shape[3]))), 4)
        held.v.append(pack(codes.flatten(3), self.bits))
        held.v_scale.append(scale.squeeze(4))
        held.v_low.append(low.squeeze(4))
        held.exact_k = held.exact_k.after(lambda x: x[:, :, due:])
        held.exact_v = held.exact_v.after(lambda x: x[:, :, due:])

    def _codes(self, x: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
        """Codes from 0, and the fp16 scale and lowest value of each group along `dim`."""
        x, top = x.float(), 2**self.bits - 1
        low = x.amin(dim, keepdim=True).half()
        scale = ((x.amax(dim, keepdim=True) - low.float()) / top).clamp(min=SMALLEST).half()
        return ((x - low.float()) / scale.float()).round().clamp(0, top).to(torch.uint8), scale, low

    def view(self, layer: int) -> tuple[Tensor, Tensor]:
        held, (k, v, dtype, _) = self._layers[layer], self._shapes(layer)
        if self.scheme == "token":
            keys = unpack(held.k.used, self.bits, k).to(dtype).mul_(held.k_scale.used.to(dtype))
            return keys, unpack(held.v.used, self.bits, v).to(dtype).mul_(held.v_scale.used.to(dtype))
        if not held.k.n:
            return held.exact_k.used, held.exact_v.used
        keys = unpack(held.k.used, self.bits, k).to(dtype).unflatten(2, (-1, self.group))
        keys.mul_(held.k_scale.used.to(dtype)[:, :, :, None]).add_(held.k_low.used.to(dtype)[:, :, :, None])
        values = unpack(held.v.used, self.bits, v).to(dtype).unflatten(3, (-1, math.gcd(self.group, v)))
        values.mul_(held.v_scale.used.to(dtype)[..., None]).add_(held.v_low.used.to(dtype)[..., None])
        return (
            torch.cat([keys.flatten(2, 3), held.exact_k.used], 2),
            torch.cat([values.flatten(3), held.exact_v.used], 2),
        )

    def _shapes(self, layer: int) -> tuple[int, int, torch.dtype, torch.device]:
        k, v, dtype, device = self._made[layer]
        return k[2], v[2], dtype, device

    def _cut(self, n: int) -> None:
        if self.scheme == "token":
            for held in self._layers.values():
                for part in held.parts():
                    part.cut(n)
            return
        closed = max(held.k.n for held in self._layers.values())
        if self._closed(n) < closed:
            raise CacheError(
                f"tokens before {closed} are in closed groups, and after {n} tokens they would still be exact: "
                f"expected n of at least {closed + self.residual}; came {n}. truncate(0) empties it"
            )
        for held in self._layers.values():  # a pass that stopped part way left groups open in some
            held.exact_k.cut(n - held.k.n)
            held.exact_v.cut(n - held.k.n)

    def _pick(self, index: Tensor) -> None:
        self._change(lambda x: x[index])

    def _own(self) -> None:
        self._layers = dict(self._layers)
        self._change(lambda x: x)

    def _change(self, change: Callable[[Tensor], Tensor]) -> None:
        for number, held in self._layers.items():
            self._layers[number] = _Layer(*(part.after(change) for part in held.parts()))

    def _drop(self) -> None:
        self._layers.clear()

    def nbytes(self) -> int:
        return sum(part.nbytes() for held in self._layers.values() for part in held.parts())

"""Random queries, keys and values, the caches under test, and caches fed in pieces."""

from __future__ import annotations

import torch

from dslab.inference.cache import ContiguousCache, DictCache
from dslab.inference.quantized import QuantizedCache
from dslab.inference.rope import Rope
from dslab.inference.sliding import SinkCache

LAYERS, ROPE = 2, Rope(1 / 10 ** torch.linspace(0, 3, 4))
EXACT = {"dict": DictCache, "contiguous": lambda: ContiguousCache(220)}
ANYWHERE = {
    **EXACT,
    "int8": lambda: QuantizedCache(8),
    "int4": lambda: QuantizedCache(4),
}  # truncated to any length
KINDS = {
    **ANYWHERE,
    "kivi4": lambda: QuantizedCache(4, "kivi", group=4, residual=4),
    "kivi2": lambda: QuantizedCache(2, "kivi", group=8, residual=0),
    "window": lambda: SinkCache(12),
    "sinks": lambda: SinkCache(12, 3, ROPE),
}


def data(tokens: int = 150, rows: int = 1, heads: int = 4, kv_heads: int = 2, seed: int = 0):
    """q (B, H, T, 8), k (B, Hkv, T, 8), v (B, Hkv, T, 6), as seen by layer 0; other layers see multiples."""
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(rows, heads, tokens, 8, generator=generator)
    k = torch.randn(rows, kv_heads, tokens, 8, generator=generator)
    return q, k, torch.randn(rows, kv_heads, tokens, 6, generator=generator)


def feed(cache, qkv, start: int, T: int, layers: int = LAYERS):
    """One pass of tokens start .. start + T: what each layer's attention gives, (layers, B, H, T, Dv)."""
    part = [x[:, :, start : start + T] for x in qkv]
    return torch.stack([cache.attend(layer, *(x * (1 + layer) for x in part)) for layer in range(layers)])


def views(cache, layers: int = LAYERS):
    return [x.clone() for layer in range(layers) for x in cache.view(layer)] if len(cache) else []


def same(a, b) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))

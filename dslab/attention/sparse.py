"""`sparse_attention`: one function over every way to compute masked attention, and the choice between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dslab.attention.block_sparse import block_sparse_attention
from dslab.attention.masks import Mask
from dslab.attention.nonfinite import bad_keys, mark, without
from dslab.attention.patterns import causal
from dslab.attention.plan import BLOCK, make_plan
from dslab.attention.reference import reference_attention

BACKENDS = ("auto", "sparse", "dense", "flex", "reference")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
SHORT = 1024  # below this many keys dense attention costs less than the bookkeeping of blocks
CROWDED = 0.5  # above this share of computed blocks there is too little to save


@dataclass(frozen=True)
class Choice:
    """What `backend="auto"` takes for these inputs, and why."""

    backend: str
    reason: str


def choose_backend(q: Tensor, k: Tensor, mask: Mask) -> Choice:
    """The backend that `sparse_attention(q, k, v, mask)` takes.

    q: (B, H, Lq, D), k: (B, Hkv, Lk, D).

    >>> from dslab.attention import causal, local_window
    >>> q = torch.zeros(1, 1, 4096, 8)
    >>> choose_backend(q, q, causal() & local_window(64)).backend
    'sparse'
    >>> choose_backend(q, q, causal())
    Choice(backend='dense', reason='51% of the blocks hold allowed pairs (more than 50%)')
    """
    Lq, Lk = q.shape[2], k.shape[2]
    if q.device.type == "cuda":
        return Choice("flex", "compiled FlexAttention is the fastest on CUDA")
    if Lk < SHORT:
        return Choice("dense", f"{Lk} keys are fewer than {SHORT}")
    if Lq < BLOCK:
        return Choice("dense", f"{Lq} queries fill less than one block of {BLOCK}")
    share = make_plan(mask, Lq, Lk, Lk - Lq).block_density
    words = f"{share:.0%} of the blocks hold allowed pairs"
    if share > CROWDED:
        return Choice("dense", f"{words} (more than {CROWDED:.0%})")
    return Choice("sparse", words)


def sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Mask,
    *,
    scale: float | None = None,
    key_padding: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """softmax(scale · q kᵀ, over the keys that the mask allows) v, computing only blocks that hold allowed pairs.

    q: (B, H, Lq, D); k: (B, Hkv, Lk, D); v: (B, Hkv, Lk, Dv); H a multiple of Hkv (GQA, MQA). One floating dtype.
    mask: query i stands at position Lk - Lq + i, as in decoding with a cache.
    scale: 1/sqrt(D) where not given. key_padding: (B, Lk) bool, True for a real token.
    backend: one of {auto, sparse, dense, flex, reference}; what auto takes is told by `choose_backend`.
    Returns (B, H, Lq, Dv). A query that sees no key gives zeros, and zero gradients.
    Raises ValueError naming the shapes and the rule they break.
    """
    _check_inputs(q, k, v, mask, key_padding, backend)
    mask.check(q.shape[2], k.shape[2], k.shape[2] - q.shape[2])
    if key_padding is not None and bool(key_padding.all()):
        key_padding = None
    chosen = choose_backend(q, k, mask).backend if backend == "auto" else backend
    bad = bad_keys(k, v)
    if bad is not None:
        k, v = without(k, bad), without(v, bad)
    out = _BACKENDS[chosen](q, k, v, mask, scale=scale, key_padding=key_padding)
    return out if bad is None else mark(out, bad, mask, key_padding)


def _sparse(q: Tensor, k: Tensor, v: Tensor, mask: Mask, *, scale: float | None, key_padding: Tensor | None) -> Tensor:
    Lq, Lk = q.shape[2], k.shape[2]
    plan = make_plan(mask, Lq, Lk, Lk - Lq, device=q.device)
    return block_sparse_attention(q, k, v, plan, scale=scale, key_padding=key_padding)


def _dense(q: Tensor, k: Tensor, v: Tensor, mask: Mask, *, scale: float | None, key_padding: Tensor | None) -> Tensor:
    """PyTorch's own attention with the mask in full; a few queries read only the keys that some of them may see."""
    Lq, Lk = q.shape[2], k.shape[2]
    is_grouped = q.shape[1] != k.shape[1]
    if mask == causal() and Lq == Lk and key_padding is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=is_grouped)
    allowed = mask.dense(Lq, Lk, Lk - Lq, q.device)
    if Lq < BLOCK:
        seen = allowed.any(0).nonzero()[:, 0]
        if 0 < seen.numel() <= Lk // 2:
            allowed, k, v = allowed[:, seen], k[:, :, seen], v[:, :, seen]
            key_padding = None if key_padding is None else key_padding[:, seen]
    allowed = allowed[None, None]
    if key_padding is not None:
        allowed = allowed & key_padding[:, None, None, :]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, scale=scale, enable_gqa=is_grouped)


def _flex(q: Tensor, k: Tensor, v: Tensor, mask: Mask, *, scale: float | None, key_padding: Tensor | None) -> Tensor:
    from dslab.attention.flex import flex_sparse_attention  # importing FlexAttention takes a second

    return flex_sparse_attention(q, k, v, mask, scale=scale, key_padding=key_padding)


_BACKENDS: dict[str, Callable[..., Tensor]] = {
    "sparse": _sparse,
    "dense": _dense,
    "flex": _flex,
    "reference": reference_attention,
}


def _check_inputs(q: Tensor, k: Tensor, v: Tensor, mask: Mask, key_padding: Tensor | None, backend: str) -> None:
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}"
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}; got {backend!r}")
    if not isinstance(mask, Mask):
        raise ValueError(f"mask must be a dslab.attention Mask such as causal(); got {type(mask).__name__}")
    if not q.ndim == k.ndim == v.ndim == 4:
        raise ValueError(f"q, k and v must be (B, H, L, D); got {shapes}")
    if not (q.dtype == k.dtype == v.dtype and q.dtype in DTYPES):
        raise ValueError(
            f"q, k and v must have one dtype of fp32, fp64, bf16, fp16; got {q.dtype}, {k.dtype}, {v.dtype}"
        )
    if not q.device == k.device == v.device:
        raise ValueError(f"q, k and v must be on one device; got {q.device}, {k.device}, {v.device}")
    if not q.shape[0] == k.shape[0] == v.shape[0]:
        raise ValueError(f"batch sizes must be equal; got {shapes}")
    if k.shape[1:3] != v.shape[1:3]:
        raise ValueError(f"k and v must have the same heads and length; got {shapes}")
    if q.shape[3] != k.shape[3]:
        raise ValueError(f"q and k must have the same width; got {shapes}")
    if k.shape[1] == 0 or q.shape[1] % k.shape[1]:
        raise ValueError(f"query heads must be a multiple of key heads; got {q.shape[1]} and {k.shape[1]} ({shapes})")
    if 0 in (*q.shape, *k.shape, *v.shape):
        raise ValueError(f"every size must be at least 1; got {shapes}")
    if key_padding is not None and (key_padding.dtype != torch.bool or key_padding.shape != (k.shape[0], k.shape[2])):
        raise ValueError(
            f"key_padding must be bool of shape (B, Lk) = {(k.shape[0], k.shape[2])}, True for a real token; "
            f"got {key_padding.dtype} of shape {tuple(key_padding.shape)}"
        )

"""Masked attention as it is defined, written to be read: slow, O(Lq·Lk) memory, and what every test compares with.

    out_i = Σ_j p_ij v_j,   p_ij = exp(s_ij) / Σ_j' exp(s_ij')   over the allowed keys j,   s_ij = scale · q_i · k_j

A query that may see nothing gives zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dslab.attention.masks import Mask


def reference_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Mask,
    *,
    scale: float | None = None,
    key_padding: Tensor | None = None,
) -> Tensor:
    """Attention over allowed keys only; the same arguments as `sparse_attention`.

    q: (B, H, Lq, D); k: (B, Hkv, Lk, D); v: (B, Hkv, Lk, Dv), H a multiple of Hkv. Query i stands at Lk - Lq + i.
    Returns (B, H, Lq, Dv).
    """
    B, H, Lq, D = q.shape
    Hkv, Lk = k.shape[1:3]
    k = k.repeat_interleave(H // Hkv, dim=1)
    v = v.repeat_interleave(H // Hkv, dim=1)
    allowed = mask.dense(Lq, Lk, Lk - Lq, q.device).expand(B, H, Lq, Lk)
    if key_padding is not None:
        allowed = allowed & key_padding[:, None, None, :]
    scores = (q @ k.transpose(-1, -2)) * (D**-0.5 if scale is None else scale)
    # A finite stand-in first: -inf in a whole row would make 0/0, and its gradient NaN.
    weights = torch.softmax(scores.masked_fill(~allowed, torch.finfo(scores.dtype).min), dim=-1)
    return weights.masked_fill(~allowed, 0.0) @ v

"""Keys that hold NaN or inf: what a mask hides must not be felt, and what it shows must be.

Inside a block a masked key has weight 0, and 0 · NaN is NaN. So such keys are set to zero before the computation, and
the rows that really may see one of them are marked afterwards. Ordinary inputs pay one sum over k and v.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dslab.attention.masks import Mask

CELLS_AT_ONCE = 1 << 22


def bad_keys(k: Tensor, v: Tensor) -> Tensor | None:
    """(B, Hkv, Lk) True for keys whose k or v holds NaN or inf; None where all are finite."""
    wide = torch.promote_types(k.dtype, torch.float32)
    # A sum is finite only if every term is: one pass, no temporary. Overflow only costs the careful look below.
    if all(bool(x.detach().sum(dtype=wide).isfinite()) for x in (k, v)):
        return None
    bad = ~(k.detach().isfinite().all(-1) & v.detach().isfinite().all(-1))
    return bad if bool(bad.any()) else None


def without(x: Tensor, bad: Tensor) -> Tensor:
    """x (B, Hkv, Lk, D) with zeros in place of bad keys, and zero gradients there."""
    return x.masked_fill(bad[..., None], 0.0)


def mark(out: Tensor, bad: Tensor, mask: Mask, key_padding: Tensor | None) -> Tensor:
    """out (B, H, Lq, Dv) with NaN in the rows whose query may see a bad key."""
    H, Lq = out.shape[1:3]
    Hkv, Lk = bad.shape[1:]
    if key_padding is not None:
        bad = bad & key_padding[:, None]
    keys = bad.any(0).any(0).nonzero()[:, 0]
    if keys.numel() == 0:
        return out
    q_pos = torch.arange(Lk - Lq, Lk, device=out.device)
    is_bad = bad[..., keys].float()
    seen = [
        (is_bad @ mask.allowed(part[:, None], keys).float().T) > 0
        for part in q_pos.split(max(1, CELLS_AT_ONCE // keys.numel()))
    ]
    return out.masked_fill(torch.cat(seen, -1).repeat_interleave(H // Hkv, 1)[..., None], float("nan"))

"""The cache of multi-head latent attention (DeepSeek-V2, arXiv 2405.04434), and attention that reads it as it is.

All heads' keys and values of a token are products of one latent of r numbers (512 in V2 and V3) and one rotated key of
dr numbers (64) that the heads share. Only these are cached: r + dr numbers a token and layer, however many heads.

A head's key is W_UK times the latent, so its score with a query is (W_UK' q) times the latent: the product with W_UK is
made once for the query instead of once for each cached token, and W_UV likewise once for the result. This is called
absorbing the projections; `dslab.inference.absorb` does it to a model.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dslab.inference.cache import ContiguousCache


class LatentCache(ContiguousCache):
    """Latents (B, 1, T, r) and rotated keys (B, 1, T, dr) in one buffer each, as a cache of one head."""

    def __init__(self, max_tokens: int = 4096) -> None:
        super().__init__(max_tokens)

    def append(self, layer: int, k: Tensor, v: Tensor) -> None:
        """k: latents (B, 1, T, r); v: rotated keys (B, 1, T, dr)."""
        if k.dim() == 4 and k.shape[1] != 1:
            raise ValueError(
                f"expected latents (B, 1, T, r) and rotated keys (B, 1, T, dr), which all heads share; came "
                f"{k.shape[1]} heads: keys and values of heads go into another cache"
            )
        super().append(layer, k, v)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
        """Append, then attention in the space of latents: q (B, H, T, r + dr), W_UK absorbed, to (B, H, T, r)."""
        if scale is None:
            raise ValueError("expected scale: that of the heads, (dn + dr) ** -0.5, does not follow from r and dr")
        if q.dim() != 4 or q.shape[3] != k.shape[3] + v.shape[3]:
            raise ValueError(f"expected q (B, H, T, {k.shape[3]} + {v.shape[3]}), absorbed; came {tuple(q.shape)}")
        self.append(layer, k, v)
        latents, rotated = self.view(layer)
        T, S = q.shape[2], latents.shape[2]
        mask = None if T == 1 else torch.ones(T, S, dtype=torch.bool, device=q.device).tril(S - T)
        own, own_rotated = q.split([k.shape[3], v.shape[3]], 3)
        return over_latents(own, own_rotated, latents, rotated, scale, mask)


def over_latents(
    q: Tensor, q_rotated: Tensor, latents: Tensor, rotated: Tensor, scale: float, mask: Tensor | None = None
) -> Tensor:
    """Weighted latents for each head, (B, H, T, r). The queries of all heads are rows of one product: one key head.

    q          (B, H, T, r), absorbed; q_rotated (B, H, T, dr)
    latents    (B, 1, S, r); rotated (B, 1, S, dr)
    mask       (B or 1, 1, T, S): True where a query sees, or numbers to add. A query that sees nothing (padding) gets
               some finite number.
    """
    B, H, T, r = q.shape
    keys = latents[:, 0].transpose(1, 2)
    scores = torch.bmm(q.reshape(B, H * T, r) * scale, keys)
    scores.baddbmm_(q_rotated.reshape(B, H * T, -1) * scale, rotated[:, 0].transpose(1, 2))
    if mask is not None:
        scores = scores.view(B, H, T, -1)
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if mask.dtype == torch.bool else scores + mask
    weights = scores.view(B, H * T, -1).softmax(-1, torch.float32).to(q.dtype)
    return torch.bmm(weights, latents[:, 0]).view(B, H, T, r)

"""The one place that touches PyTorch's private CPU flash-attention operators, and what stands in where they are gone.

Both ways take small batches of dense attention, (N, n, M, D) queries against (N, n, S, D) keys with an additive bias
that broadcasts to (N, n, M, S). They give the output and the log-sum-exp of each row, which the backward pass needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_FORWARD: Callable[..., Any] | None = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
_BACKWARD: Callable[..., Any] | None = getattr(
    torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu_backward", None
)


def is_flash_available() -> bool:
    """Whether this PyTorch still has the two private operators."""
    return _FORWARD is not None and _BACKWARD is not None


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
    """softmax(scale · q kᵀ + bias) v and the log-sum-exp (N, n, M) of its rows. A row of -inf gives zeros."""
    if _FORWARD is not None and is_flash_available() and q.device.type == "cpu":
        out, lse = _FORWARD(q, k, v, 0.0, False, attn_mask=_spread(bias, q), scale=scale)
        lse = lse.reshape(q.shape[:-1])
        # The operator says 0 for a row that sees nothing; -inf is what gives such a part no weight in a merge.
        return out, lse if bias is None else lse.masked_fill(bias.amax(-1) == float("-inf"), float("-inf"))
    scores = _scores(q, k, bias, scale)
    highest = scores.amax(-1, keepdim=True).clamp_min(torch.finfo(scores.dtype).min)
    weights = (scores - highest).exp()
    total = weights.sum(-1, keepdim=True)
    lse = (highest + total.log()).squeeze(-1)
    return (weights / total.clamp_min(torch.finfo(total.dtype).tiny)).to(v.dtype) @ v, lse


def attend_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, bias: Tensor | None, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `attend` with respect to q, k and v.

    dv = pᵀ g,   ds = p ∘ (g vᵀ - Σ g∘out),   dq = scale · ds k,   dk = scale · dsᵀ q,   p = exp(scores - lse)

    `out` and `lse` may come from more keys than these; lse must be finite (0 for a row that sees nothing).
    """
    if _BACKWARD is not None and is_flash_available() and q.device.type == "cpu":
        return _BACKWARD(grad, q, k, v, out, lse, 0.0, False, attn_mask=_spread(bias, q), scale=scale)
    weights = (_scores(q, k, bias, scale) - lse[..., None]).exp()
    inner = (grad * out).to(weights.dtype).sum(-1, keepdim=True)
    d_scores = weights * ((grad @ v.transpose(-1, -2)).to(weights.dtype) - inner) * scale
    d_scores = d_scores.to(q.dtype)
    return d_scores @ k, d_scores.transpose(-1, -2) @ q, weights.to(grad.dtype).transpose(-1, -2) @ grad


def _scores(q: Tensor, k: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    wide = torch.promote_types(q.dtype, torch.float32)
    scores = (q @ k.transpose(-1, -2)).to(wide) * scale
    return scores if bias is None else scores + bias


def _spread(bias: Tensor | None, q: Tensor) -> Tensor | None:
    """The bias with the sizes of q, as a view: the operator does not broadcast by itself."""
    return None if bias is None else bias.expand(*q.shape[:3], -1)

"""Attention over a few chosen keys per query, the second half of DeepSeek's sparse attention (DSA).

    o[t] = softmax over s in S[t] of (q[t] . k[s] * scale)  @  v[S[t]]      (DeepSeek-V3.2-Exp report, eq. 2)

`topk_attention` gathers the chosen keys and touches no others: its work is Lq x k, not Lq x Lk. `scatter_attention`
is what transformers 5.23 does on a CPU: it writes the choice into a dense Lq x Lk mask and runs full attention.
Both give the same output; the second is the yardstick of the first, in the tests and in the bench.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

GATHER = 2**22  # gathered elements (keys x width) at a time: 16 MB fp32, so that a chunk's keys stay near the core


def count_once(indices: Tensor, n_keys: int) -> Tensor:
    """Where an index is to be used: not -1, and not seen before in its row. (..., k) int64 -> (..., k) bool.

    >>> count_once(torch.tensor([[3, 0, 3, -1]]), 4).tolist()
    [[False, True, True, False]]
    """
    rows = indices.reshape(-1, indices.shape[-1])
    # Each entry writes its own column number into a slot of its key, and stays if its number is the one that remained.
    # Slots that nobody wrote are never read, so the scratch is reused uncleared; sentinels share one extra slot.
    chunk = max(1, GATHER // (n_keys + 1))
    column = torch.arange(rows.shape[-1], dtype=torch.int32, device=indices.device)
    slot = torch.empty(min(chunk, len(rows)), n_keys + 1, dtype=torch.int32, device=indices.device)
    keep = torch.empty_like(rows, dtype=torch.bool)
    for part, out in zip(rows.split(chunk), keep.split(chunk), strict=True):
        key = part.masked_fill(part < 0, n_keys)
        mine = column.expand_as(part)
        torch.eq(slot[: len(part)].scatter_(1, key, mine).gather(1, key), mine, out=out).logical_and_(part >= 0)
    return keep.view_as(indices)


def _weights(q: Tensor, k: Tensor, index: Tensor, keep: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Softmax weights (n, G, k) of queries q (n, G, D) over their own gathered keys, which come back as (n, k, D)."""
    keys = k.index_select(0, index.flatten()).view(*index.shape, -1)
    scores = torch.bmm(q, keys.transpose(1, 2)).mul_(scale).masked_fill_(~keep[:, None], float("-inf"))
    return torch.softmax(scores, dim=-1, dtype=torch.promote_types(q.dtype, torch.float32)).to(q.dtype), keys


class _Gathered(torch.autograd.Function):
    """Queries (N, G, D), tables of keys (M, D) and values (M, Dv), index and keep (N, k) -> output (N, G, Dv).

    Autograd would keep every gathered key and value, N x k x (D + Dv); here the backward gathers them again.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, index: Tensor, keep: Tensor, scale: float, chunk: int
    ) -> Tensor:
        out = q.new_empty(*q.shape[:2], v.shape[-1])
        for s in range(0, len(q), chunk):
            part = slice(s, s + chunk)
            weights, _ = _weights(q[part], k, index[part], keep[part], scale)
            out[part] = torch.bmm(weights, v.index_select(0, index[part].flatten()).view(*weights.shape[::2], -1))
        ctx.save_for_backward(q, k, v, index, keep, out)
        ctx.scale, ctx.chunk = scale, chunk
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, index, keep, out = ctx.saved_tensors
        dq, wide = torch.empty_like(q), torch.promote_types(q.dtype, torch.float32)
        dk, dv = (torch.zeros_like(table, dtype=wide) for table in (k, v))  # many queries add into one key
        for s in range(0, len(q), ctx.chunk):
            part = slice(s, s + ctx.chunk)
            weights, keys = _weights(q[part], k, index[part], keep[part], ctx.scale)
            flat, d_part = index[part].flatten(), d_out[part]
            values = v.index_select(0, flat).view(*weights.shape[::2], -1)
            dv.index_add_(0, flat, torch.bmm(weights.transpose(1, 2), d_part).flatten(0, 1).to(wide))
            # d softmax: dS = P * (dP - rowsum(dO * O)), the second term being the part common to a row
            common = (d_part * out[part]).sum(-1, keepdim=True)
            d_scores = torch.bmm(d_part, values.transpose(1, 2)).sub_(common).mul_(weights).mul_(ctx.scale)
            d_scores = d_scores.masked_fill_(~keep[part, None], 0.0)
            dq[part] = torch.bmm(d_scores, keys)
            dk.index_add_(0, flat, torch.bmm(d_scores.transpose(1, 2), q[part]).flatten(0, 1).to(wide))
        return dq, dk.to(k.dtype), dv.to(v.dtype), None, None, None, None


def _check(q: Tensor, k: Tensor, v: Tensor, indices: Tensor) -> None:
    shapes = f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}, indices {tuple(indices.shape)}"
    if not (
        q.ndim == k.ndim == v.ndim == 4
        and k.shape[:3] == v.shape[:3]
        and q.shape[0] == k.shape[0]
        and q.shape[3] == k.shape[3]
        and q.shape[1] % k.shape[1] == 0
    ):
        raise ValueError(
            "top-k attention takes q (B, H, Lq, D), k (B, Hkv, Lk, D) and v (B, Hkv, Lk, Dv), Hkv dividing H; "
            f"got {shapes}"
        )
    if not (q.dtype == k.dtype == v.dtype):
        raise ValueError(f"q, k and v must have one dtype; got {q.dtype}, {k.dtype}, {v.dtype}")
    rows, heads = (q.shape[0], q.shape[2]), (q.shape[0], k.shape[1], q.shape[2])
    if indices.shape[:-1] not in (rows, heads) or indices.is_floating_point() or indices.dtype == torch.bool:
        raise ValueError(
            f"indices must be integers {(*rows, 'k')}, or {(*heads, 'k')} for a choice per key head; "
            f"got {indices.dtype} with {shapes}"
        )
    if indices.numel() and not -1 <= int(indices.min()) <= int(indices.max()) < k.shape[2]:
        raise ValueError(
            f"indices must lie in 0..{k.shape[2] - 1} (the keys), or be -1 for 'no key'; "
            f"got {int(indices.min())}..{int(indices.max())} with {shapes}"
        )


def _one_head(q: Tensor, k: Tensor, v: Tensor, index: Tensor, scale: float) -> Tensor:
    """One sequence and one key head: q (Lq, G, D), k (Lk, D), v (Lk, Dv), index (Lq, k) -> (Lq, G, Dv)."""
    keep = count_once(index, len(k))
    # A sentinel gathers its row's first real key, masked: a key that nobody chose is not even read (it may hold NaN).
    index = torch.where(index < 0, index.gather(1, keep.int().argmax(-1, keepdim=True)), index)
    chunk = max(1, GATHER // (index.shape[1] * max(k.shape[1], v.shape[1])))
    alive = keep.any(-1)
    if alive.all():
        return _Gathered.apply(q, k, v, index, keep, scale, chunk)
    some = _Gathered.apply(q[alive], k, v, index[alive], keep[alive], scale, chunk)
    return some.new_zeros(*q.shape[:2], v.shape[1]).index_put((alive,), some)


def topk_attention(q: Tensor, k: Tensor, v: Tensor, indices: Tensor, *, scale: float | None = None) -> Tensor:
    """Attention of each query over its chosen keys alone, gathered; trains, and never holds Lq x Lk.

    q: (B, H, Lq, D); k: (B, Hkv, Lk, D); v: (B, Hkv, Lk, Dv); Hkv divides H. With Hkv = 1, as in DSA, the keys that a
    query chose are gathered once for all its heads. indices: integers (B, Lq, k), or (B, Hkv, Lq, k) for a choice per
    key head; -1 means no key, a key named twice counts once. The choice is the whole mask: causality is the chooser's.
    scale: D ** -0.5 by default. Returns (B, H, Lq, Dv); zero (and zero gradient) for a query without any key.
    Raises ValueError naming the shapes received.

    >>> q, k, v = torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 3, 2), torch.tensor([[[[1.0], [2.0], [30.0]]]])
    >>> topk_attention(q, k, v, torch.tensor([[[0, 1, 1, -1]]])).item()
    1.5
    """
    _check(q, k, v, indices)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    (batch, heads, q_len, _), kv_heads = q.shape, k.shape[1]
    grouped = q.unflatten(1, (kv_heads, heads // kv_heads)).transpose(2, 3)  # (B, Hkv, Lq, G, D)
    indices = indices.long()
    out = [
        _one_head(grouped[b, h].contiguous(), k[b, h].contiguous(), v[b, h].contiguous(), index, scale)
        for b in range(batch)
        for h in range(kv_heads)
        for index in [indices[b] if indices.ndim == 3 else indices[b, h]]
    ]
    return torch.stack(out).view(batch, kv_heads, q_len, -1, v.shape[-1]).transpose(2, 3).flatten(1, 2)


def scatter_attention(q: Tensor, k: Tensor, v: Tensor, indices: Tensor, *, scale: float | None = None) -> Tensor:
    """The same result by the way of transformers: scatter the choice into a dense bool mask, then full attention.

    Arguments as `topk_attention`. Work and mask are Lq x Lk however few keys are chosen.
    """
    _check(q, k, v, indices)
    indices = indices.long() if indices.ndim == 4 else indices.long()[:, None]
    mask = torch.zeros(*indices.shape[:3], k.shape[2] + 1, dtype=torch.bool, device=q.device)
    mask = mask.scatter_(-1, indices.masked_fill(indices < 0, k.shape[2]), True)[..., :-1]  # last column: sentinels
    heads = q.shape[1]
    k, v = (
        x.expand(-1, heads, -1, -1) if x.shape[1] == 1 else x.repeat_interleave(heads // x.shape[1], 1) for x in (k, v)
    )
    if mask.shape[1] != 1:  # one choice for all heads broadcasts, as in transformers: expanded, it would slow SDPA down
        mask = mask.repeat_interleave(heads // mask.shape[1], 1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)

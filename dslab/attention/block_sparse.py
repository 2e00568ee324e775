"""Block-sparse attention on CPU: dense attention on the small batches that a plan names, merged row by row.

Layout. Query heads that share a key head stand in the same block, one below the other, so that keys are read once
for all of them: q becomes (B·Hkv, query blocks, G·b, D) with G = H / Hkv. Work goes chunk by chunk, so that memory
does not grow with the width of the pattern and what was read is still in the cache when it is needed again.

Merging. A part gives o_p and the log-sum-exp l_p of its rows; with what is there already, o and l:

    o <- o + σ(l_p - l)·(o_p - o),      l <- log(exp l + exp l_p)

The backward pass needs no merging: with the final o and l, each part's gradients are its share of the whole.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from dslab.attention.chunks import BACKWARD_BYTES, FORWARD_BYTES, chunks
from dslab.attention.kernels import attend, attend_backward
from dslab.attention.plan import Plan


def block_sparse_attention(
    q: Tensor, k: Tensor, v: Tensor, plan: Plan, *, scale: float | None = None, key_padding: Tensor | None = None
) -> Tensor:
    """Attention over the blocks of a plan; shapes as in `sparse_attention`, which checks them."""
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    width, value_width = q.shape[-1], v.shape[-1]
    if width != value_width:  # the kernels take one width: zero columns change neither scores nor values
        widest = max(width, value_width)
        q, k, v = (F.pad(x, (0, widest - x.shape[-1])) for x in (q, k, v))
    out: Tensor = _BlockSparse.apply(q, k, v, plan, scale, key_padding)
    return out[..., :value_width]


class _BlockSparse(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, plan: Plan, scale: float, key_padding: Tensor | None
    ) -> Tensor:
        b = plan.block
        queries = _stack_heads(q, k.shape[1], b)
        keys, values = _in_blocks(k, b), _in_blocks(v, b)
        out = torch.empty_like(queries)
        lse = queries.new_empty(queries.shape[:-1], dtype=torch.promote_types(q.dtype, torch.float32))
        unseen = set(range(queries.shape[1]))
        for chunk in chunks(plan, queries, key_padding, FORWARD_BYTES):
            part, part_lse = attend(chunk.fold(queries), chunk.take(keys), chunk.take(values), chunk.bias, scale)
            rows = chunk.rows
            part, part_lse = part.reshape(out[:, rows].shape), part_lse.reshape(lse[:, rows].shape)
            if unseen.issuperset(chunk.q_blocks):
                out[:, rows], lse[:, rows] = part, part_lse
            else:
                _clear(out, lse, unseen.intersection(chunk.q_blocks))
                _merge(out, lse, rows, part, part_lse)
            unseen.difference_update(chunk.q_blocks)
        _clear(out, lse, unseen)
        lse.masked_fill_(lse == float("-inf"), 0.0)  # exp(-inf - 0) is the weight of a masked key, exp(-inf + inf) NaN
        ctx.save_for_backward(queries, keys, values, out, lse, key_padding)
        ctx.plan, ctx.scale, ctx.q_shape, ctx.k_shape = plan, scale, q.shape, k.shape
        return _unstack_heads(out, q.shape, b)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, out, lse, key_padding = ctx.saved_tensors
        plan, scale = ctx.plan, ctx.scale
        grads = _stack_heads(grad, ctx.k_shape[1], plan.block)
        # Half precision would lose what many query blocks add to the same key.
        wide = torch.promote_types(keys.dtype, torch.float32)
        d_queries, d_keys, d_values = (torch.zeros_like(x, dtype=wide) for x in (queries, keys, values))
        for chunk in chunks(plan, queries, key_padding, BACKWARD_BYTES):
            dq, dk, dv = attend_backward(
                chunk.fold(grads),
                chunk.fold(queries),
                chunk.take(keys),
                chunk.take(values),
                chunk.fold(out),
                chunk.fold(lse[..., None])[..., 0],
                chunk.bias,
                scale,
            )
            d_queries[:, chunk.rows] += dq.reshape(queries[:, chunk.rows].shape)
            chunk.give_back(d_keys, dk)
            chunk.give_back(d_values, dv)
        dtype = queries.dtype
        d_k, d_v = (_out_of_blocks(x.to(dtype), ctx.k_shape) for x in (d_keys, d_values))
        return _unstack_heads(d_queries.to(dtype), ctx.q_shape, plan.block), d_k, d_v, None, None, None


def _clear(out: Tensor, lse: Tensor, q_blocks: set[int]) -> None:
    """Query blocks that have seen no key yet."""
    if q_blocks:
        out[:, sorted(q_blocks)] = 0.0
        lse[:, sorted(q_blocks)] = float("-inf")


def _merge(out: Tensor, lse: Tensor, rows: slice | Tensor, part: Tensor, part_lse: Tensor) -> None:
    """Add a part to the rows of out and lse, in place."""
    before, merged = lse[:, rows], out[:, rows]
    # Rows that have seen nothing in either part have -inf twice: any weight will do, but NaN.
    weight = torch.sigmoid(part_lse - before).nan_to_num_(0.0)[..., None].to(out.dtype)
    out[:, rows] = torch.lerp(merged, part, weight)
    lse[:, rows] = torch.logaddexp(before, part_lse)


def _stack_heads(x: Tensor, Hkv: int, b: int) -> Tensor:
    """(B, H, L, D) -> (B·Hkv, blocks, G·b, D), the last block filled up with zeros."""
    B, H, L, D = x.shape
    x = F.pad(x, (0, 0, 0, -L % b)) if L % b else x
    return x.reshape(B * Hkv, H // Hkv, -1, b, D).transpose(1, 2).reshape(B * Hkv, -1, H // Hkv * b, D).contiguous()


def _unstack_heads(x: Tensor, shape: torch.Size, b: int) -> Tensor:
    """The inverse of `_stack_heads`; shape: (B, H, L, D)."""
    B, H, L, D = shape
    N, n = x.shape[:2]
    return x.view(N, n, -1, b, D).transpose(1, 2).reshape(B, H, n * b, D)[:, :, :L]


def _in_blocks(x: Tensor, b: int) -> Tensor:
    """(B, Hkv, L, D) -> (B·Hkv, blocks, b, D), the last block filled up with zeros."""
    B, Hkv, L, D = x.shape
    x = F.pad(x, (0, 0, 0, -L % b)) if L % b else x
    return x.reshape(B * Hkv, -1, b, D).contiguous()


def _out_of_blocks(x: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `_in_blocks`; shape: (B, Hkv, L, D)."""
    B, Hkv, L, D = shape
    return x.view(B, Hkv, -1, D)[:, :, :L]

"""Block-sparse attention on CPU: gather the key blocks a plan names, run dense attention on each small batch.

Layout. Query heads that share a key head stand in the same block, one below the other, so that keys are gathered once
for all of them: q becomes (B·Hkv, query blocks, G·bq, D) with G = H / Hkv. Work goes chunk by chunk, so that what was
gathered is still in the cache when it is used, and peak memory does not grow with L. The backward pass gathers again
and adds the gradients of keys back to where they came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from dslab.attention.kernels import attend, attend_backward
from dslab.attention.plan import Plan

CHUNK_BYTES = 1 << 20  # gathered keys and values at a time, about the L2 cache of a core


def block_sparse_attention(
    q: Tensor, k: Tensor, v: Tensor, plan: Plan, *, scale: float | None = None, key_padding: Tensor | None = None
) -> Tensor:
    """Attention over the blocks of a plan; shapes as in `sparse_attention`, which checks them."""
    if k.shape[-1] != v.shape[-1]:  # the kernels take one width: zero columns change neither scores nor values
        width = max(k.shape[-1], v.shape[-1])
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        out = block_sparse_attention(
            *(F.pad(x, (0, width - x.shape[-1])) for x in (q, k, v)), plan, scale=scale, key_padding=key_padding
        )
        return out[..., : v.shape[-1]]
    return _BlockSparse.apply(q, k, v, plan, q.shape[-1] ** -0.5 if scale is None else scale, key_padding)


class _BlockSparse(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, plan: Plan, scale: float, key_padding: Tensor | None
    ) -> Tensor:
        B, H = q.shape[:2]
        bq, bk = plan.block
        queries = _stack_heads(q, k.shape[1], bq)
        keys, values = _in_blocks(k, bk), _in_blocks(v, bk)
        out = torch.zeros_like(queries)
        lse = queries.new_full(queries.shape[:-1], float("-inf"), dtype=torch.promote_types(q.dtype, torch.float32))
        for chunk in _chunks(plan, queries, key_padding, B):
            out[:, chunk.rows], lse[:, chunk.rows] = attend(
                queries[:, chunk.rows], chunk.gather(keys), chunk.gather(values), chunk.bias, scale
            )
        ctx.save_for_backward(queries, keys, values, out, lse, key_padding)
        ctx.plan, ctx.scale, ctx.shapes = plan, scale, (q.shape, k.shape)
        return _unstack_heads(out, B, H, plan.Lq, bq)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, out, lse, key_padding = ctx.saved_tensors
        plan, (q_shape, k_shape) = ctx.plan, ctx.shapes
        bq = plan.block[0]
        grads = _stack_heads(grad, k_shape[1], bq)
        d_queries = torch.zeros_like(queries)
        # Half precision would lose what many query blocks add to the same key.
        wide = torch.promote_types(keys.dtype, torch.float32)
        d_keys, d_values = torch.zeros_like(keys, dtype=wide), torch.zeros_like(values, dtype=wide)
        for chunk in _chunks(plan, queries, key_padding, q_shape[0]):
            d_queries[:, chunk.rows], dk, dv = attend_backward(
                grads[:, chunk.rows],
                queries[:, chunk.rows],
                chunk.gather(keys),
                chunk.gather(values),
                out[:, chunk.rows],
                lse[:, chunk.rows],
                chunk.bias,
                ctx.scale,
            )
            chunk.scatter_add(d_keys, dk)
            chunk.scatter_add(d_values, dv)
        d_k, d_v = (x.to(keys.dtype).view(*k_shape[:2], -1, x.shape[-1])[:, :, : plan.Lk] for x in (d_keys, d_values))
        return _unstack_heads(d_queries, *q_shape[:2], plan.Lq, bq), d_k, d_v, None, None, None


@dataclass(frozen=True)
class _Chunk:
    rows: slice | Tensor  # query blocks
    k_blocks: Tensor  # (n, m)
    bias: Tensor | None  # (1 or B·Hkv, 1 or n, G·bq, m·bk)

    def gather(self, blocks: Tensor) -> Tensor:
        """(N, key blocks, bk, D) -> (N, n, m·bk, D)"""
        n = self.k_blocks.shape[0]
        return blocks[:, self.k_blocks.view(-1)].view(blocks.shape[0], n, -1, blocks.shape[-1])

    def scatter_add(self, blocks: Tensor, part: Tensor) -> None:
        """Add (N, n, m·bk, D) to the blocks it was gathered from."""
        flat = part.reshape(blocks.shape[0], -1, *blocks.shape[2:]).to(blocks.dtype)
        blocks.index_add_(1, self.k_blocks.view(-1), flat)


def _chunks(plan: Plan, queries: Tensor, key_padding: Tensor | None, B: int) -> Iterator[_Chunk]:
    """The groups of a plan, cut so that a chunk's keys and values take about CHUNK_BYTES."""
    N, _, rows, D = queries.shape
    bq, bk = plan.block
    padding = None if key_padding is None else _padding_blocks(key_padding, bk)
    for group in plan.groups:
        m = group.k_blocks.shape[1]
        at_once = max(1, CHUNK_BYTES // (2 * N * m * bk * D * queries.element_size()))
        shared = group.allowed if group.allowed is not None and group.allowed.shape[0] == 1 else None
        shared_bias = None if shared is None else _bias(shared[None], rows // bq, queries.dtype)
        for start in range(0, group.q_blocks.numel(), at_once):
            part = slice(start, start + at_once)
            k_blocks = group.k_blocks[part]
            if padding is None and (group.allowed is None or shared is not None):
                bias = shared_bias
            else:
                allowed = torch.ones((), dtype=torch.bool) if group.allowed is None else group.allowed
                allowed = allowed[part][None] if allowed.ndim and shared is None else allowed[None]
                if padding is not None:
                    real = padding[:, k_blocks].view(B, k_blocks.shape[0], 1, m * bk).repeat_interleave(N // B, 0)
                    allowed = (allowed & real).expand(-1, -1, bq, -1)
                bias = _bias(allowed, rows // bq, queries.dtype)
            yield _Chunk(_as_slice(group.q_blocks[part]), k_blocks, bias)


def _bias(allowed: Tensor, heads: int, dtype: torch.dtype) -> Tensor:
    """Additive form of (..., bq, S), repeated for the query heads that stand below each other."""
    bias = torch.zeros(allowed.shape, dtype=dtype).masked_fill_(~allowed, float("-inf"))
    return bias.repeat(1, 1, heads, 1)


def _as_slice(index: Tensor) -> slice | Tensor:
    """A rising index as a slice where it has no gaps: views instead of copies."""
    first, last = int(index[0]), int(index[-1])
    return slice(first, last + 1) if last - first + 1 == index.numel() else index


def _stack_heads(x: Tensor, Hkv: int, bq: int) -> Tensor:
    """(B, H, L, D) -> (B·Hkv, blocks, G·bq, D), the last block filled up with zeros."""
    B, H, L, D = x.shape
    x = F.pad(x, (0, 0, 0, -L % bq)) if L % bq else x
    return x.reshape(B * Hkv, H // Hkv, -1, bq, D).transpose(1, 2).reshape(B * Hkv, -1, H // Hkv * bq, D)


def _unstack_heads(x: Tensor, B: int, H: int, L: int, bq: int) -> Tensor:
    """The inverse of `_stack_heads`."""
    N, n, _, D = x.shape
    return x.view(N, n, -1, bq, D).transpose(1, 2).reshape(B, H, n * bq, D)[:, :, :L]


def _in_blocks(x: Tensor, bk: int) -> Tensor:
    """(B, Hkv, L, D) -> (B·Hkv, blocks, bk, D), the last block filled up with zeros."""
    B, Hkv, L, D = x.shape
    x = F.pad(x, (0, 0, 0, -L % bk)) if L % bk else x
    return x.reshape(B * Hkv, -1, bk, D)


def _padding_blocks(key_padding: Tensor, bk: int) -> Tensor:
    """(B, Lk) -> (B, blocks, bk)"""
    L = key_padding.shape[1]
    return F.pad(key_padding, (0, -L % bk), value=False).view(key_padding.shape[0], -1, bk)

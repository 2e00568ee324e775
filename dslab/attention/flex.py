"""The same masks in FlexAttention: a BlockMask built from the block table, and compiled attention for CUDA.

`create_block_mask` evaluates all Lq·Lk pairs (0.4 s at 8k on two cores, longer than the attention itself). Here only
the table of blocks is evaluated, and FlexAttention gets the same predicate for the PARTIAL ones.

Written for CUDA and not tested there; on a CPU, FlexAttention has no backward pass (PyTorch 2.13).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from dslab.attention.masks import FULL, PARTIAL, Mask
from dslab.attention.plan import block_states


def block_mask(
    mask: Mask,
    Lq: int,
    Lk: int | None = None,
    q_offset: int = 0,
    block: int = 128,
    device: torch.device | str = "cpu",
    key_padding: Tensor | None = None,
) -> BlockMask:
    """FlexAttention's BlockMask of a mask; key_padding: (B, Lk) bool, True for a real token.

    Raises ValueError where the mask names tokens that these lengths do not have.
    """
    Lk = Lq if Lk is None else Lk
    mask.check(Lq, Lk, q_offset)
    states = block_states(mask, Lq, Lk, q_offset, (block, block)).clone()
    if key_padding is not None:  # a block may hold padding in some row of the batch
        states[states == FULL] = PARTIAL
    else:  # what lies beyond the lengths must be masked, so blocks cut by them are looked into
        for axis, length in enumerate((Lq, Lk)):
            if length % block:
                last = states.select(axis, states.shape[axis] - 1)
                last[last == FULL] = PARTIAL
    some, every = (_listed(states == kind, device) for kind in (PARTIAL, FULL))

    traceable = mask.fixed(max(q_offset + Lq, Lk))

    def mask_mod(b: Tensor, h: Tensor, q_index: Tensor, k_index: Tensor) -> Tensor:
        allowed = traceable.allowed(q_index + q_offset, k_index)
        return allowed if key_padding is None else allowed & key_padding[b, k_index]

    return BlockMask.from_kv_blocks(*some, *every, BLOCK_SIZE=block, mask_mod=mask_mod, seq_lengths=(Lq, Lk))


def flex_sparse_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Mask, *, scale: float | None = None, key_padding: Tensor | None = None
) -> Tensor:
    """Compiled FlexAttention with the same blocks; shapes as in `sparse_attention`, which checks them."""
    if q.device.type == "cpu" and torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v)):
        raise ValueError("FlexAttention has no backward pass on CPU; use backend='sparse' there")
    Lq, Lk = q.shape[2], k.shape[2]
    blocks = _cached_block_mask(mask, Lq, Lk, Lk - Lq, q.device)
    if key_padding is not None:
        blocks = block_mask(mask, Lq, Lk, Lk - Lq, device=q.device, key_padding=key_padding)
    return _compiled()(q, k, v, block_mask=blocks, scale=scale, enable_gqa=q.shape[1] != k.shape[1])


@lru_cache(maxsize=32)
def _cached_block_mask(mask: Mask, Lq: int, Lk: int, q_offset: int, device: torch.device) -> BlockMask:
    return block_mask(mask, Lq, Lk, q_offset, device=device)


@lru_cache(maxsize=1)
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=False)


def _listed(chosen: Tensor, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """(1, 1, query blocks) how many key blocks are chosen, and (1, 1, query blocks, key blocks) which, those first."""
    counts = chosen.sum(-1, dtype=torch.int32)
    order = torch.argsort(chosen.to(torch.int32), dim=-1, descending=True, stable=True).to(torch.int32)
    return counts[None, None].to(device), order[None, None].to(device)

"""Which blocks of the attention square to compute: a table of (Lq/bq)·(Lk/bk) classes, never an L×L one.

The plan lists, for each query block, the key blocks it must look at, and groups query blocks that need equally many
so that each group is one batched product without padding. Masks within blocks are kept once where all blocks of a
group share them (every interior block of a banded mask does).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from dslab.attention.masks import EMPTY, FULL, PARTIAL, Mask

BLOCK = (128, 64)  # query rows and key columns of a block: measured best on CPUs with 1 MB of L2 a core
CELLS_AT_ONCE = 1 << 22  # pairs looked at together inside PARTIAL blocks: bounds the memory of planning


@dataclass(frozen=True, eq=False)
class Group:
    """Query blocks that see equally many key blocks."""

    q_blocks: Tensor  # (n,) rising
    k_blocks: Tensor  # (n, m) rising in each row
    allowed: Tensor | None  # (1 or n, bq, m·bk) bool; None where every pair is allowed


@dataclass(frozen=True, eq=False)
class Plan:
    """The block table of one mask at one shape. Shared by all callers: do not write into its tensors."""

    mask: Mask
    Lq: int
    Lk: int
    q_offset: int
    block: tuple[int, int]
    states: Tensor  # (query blocks, key blocks) int8: EMPTY, PARTIAL or FULL
    groups: tuple[Group, ...]

    @property
    def block_density(self) -> float:
        """Share of the square's blocks that is computed."""
        return float((self.states > EMPTY).float().mean()) if self.states.numel() else 0.0


def make_plan(
    mask: Mask,
    Lq: int,
    Lk: int,
    q_offset: int = 0,
    block: tuple[int, int] = BLOCK,
    device: torch.device | str = "cpu",
) -> Plan:
    """The plan of a mask at these lengths, from a bounded cache: masks are compared by structure, not identity."""
    return _make_plan(mask, Lq, Lk, q_offset, block, torch.device(device))


@lru_cache(maxsize=64)
def _make_plan(mask: Mask, Lq: int, Lk: int, q_offset: int, block: tuple[int, int], device: torch.device) -> Plan:
    states = block_states(mask, Lq, Lk, q_offset, block)
    counts = (states > EMPTY).sum(1)
    groups = [
        _group(mask, states, (counts == n).nonzero()[:, 0], n, Lq, Lk, q_offset, block, device)
        for n in counts.unique().tolist()
        if n > 0
    ]
    return Plan(mask, Lq, Lk, q_offset, block, states.to(device), tuple(groups))


def block_states(mask: Mask, Lq: int, Lk: int, q_offset: int = 0, block: tuple[int, int] = BLOCK) -> Tensor:
    """(query blocks, key blocks) int8: the class of every block, the last ones cut at Lq and Lk.

    >>> from dslab.attention import causal
    >>> block_states(causal(), 4, 4, block=(2, 2)).tolist()
    [[1, 0], [2, 1]]
    """
    if Lq < 1 or Lk < 1 or min(block) < 1:
        raise ValueError(f"lengths and block sizes must be >= 1; got Lq={Lq}, Lk={Lk}, block={block}")
    bq, bk = block
    q_first = torch.arange(0, Lq, bq)[:, None] + q_offset
    k_first = torch.arange(0, Lk, bk)[None, :]
    q_last = (q_first + bq - 1).clamp(max=q_offset + Lq - 1)
    k_last = (k_first + bk - 1).clamp(max=Lk - 1)
    return mask.classify(q_first, q_last, k_first, k_last).expand(q_first.shape[0], k_first.shape[1])


def allowed_pairs(mask: Mask, Lq: int, Lk: int, q_offset: int = 0, block: tuple[int, int] = (64, 64)) -> int:
    """Exact number of allowed pairs: FULL blocks by their area, PARTIAL ones by looking."""
    mask.check(Lq, Lk, q_offset)
    bq, bk = block
    states = block_states(mask, Lq, Lk, q_offset, block)
    rows = (Lq - torch.arange(states.shape[0]) * bq).clamp(max=bq)
    columns = (Lk - torch.arange(states.shape[1]) * bk).clamp(max=bk)
    total = int(((states == FULL).long() * rows[:, None] * columns[None, :]).sum())
    for some in (states == PARTIAL).nonzero().split(max(1, CELLS_AT_ONCE // (bq * bk))):
        row = some[:, 0, None, None] * bq + torch.arange(bq)[None, :, None]
        column = some[:, 1, None, None] * bk + torch.arange(bk)[None, None, :]
        total += int((mask.allowed(row + q_offset, column) & (row < Lq) & (column < Lk)).sum())
    return total


def _group(
    mask: Mask,
    states: Tensor,
    q_blocks: Tensor,
    count: int,
    Lq: int,
    Lk: int,
    q_offset: int,
    block: tuple[int, int],
    device: torch.device,
) -> Group:
    bq, bk = block
    k_blocks = (states[q_blocks] > EMPTY).nonzero()[:, 1].view(-1, count)
    is_ragged = Lk % bk != 0 and bool((k_blocks == Lk // bk).any())
    allowed: Tensor | None = None
    if is_ragged or bool((states[q_blocks[:, None], k_blocks] == PARTIAL).any()):
        columns = (k_blocks[:, :, None] * bk + torch.arange(bk)).view(-1, 1, count * bk)
        rows = (q_blocks[:, None] * bq + torch.arange(bq))[:, :, None] + q_offset
        at_once = max(1, CELLS_AT_ONCE // (bq * count * bk))
        allowed = torch.cat(
            [mask.allowed(r, c) & (c < Lk) for r, c in zip(rows.split(at_once), columns.split(at_once), strict=True)]
        )
        if bool((allowed == allowed[:1]).all()):
            allowed = allowed[:1].contiguous()
        allowed = None if bool(allowed.all()) else allowed.to(device)
    return Group(q_blocks.to(device), k_blocks.to(device), allowed)

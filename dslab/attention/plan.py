"""Which blocks of the attention square to compute: a table of (Lq/b)·(Lk/b) classes, never an L×L one.

The table is then cut into work that suits a CPU:

- strips: runs of `width` neighbouring key blocks that repeat from one query block to the next, either moving along
  with it (step 1: a window) or staying where they are (step 0: global columns). Their keys are a strided view of k;
  nothing is copied.
- gathers: what is left (random blocks, first rows). Query blocks that need equally many key blocks form one batch.

A query block may have several parts; their outputs are merged by their log-sum-exp.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from dslab.attention.masks import EMPTY, FULL, PARTIAL, Mask

BLOCK = 64  # rows and columns of a block: measured best of 32, 64, 128, 256 with a window of 256
SHORTEST_STRIP = 4  # query blocks below which a strip is not worth a call of its own
CELLS_AT_ONCE = 1 << 20  # pairs looked at together inside PARTIAL blocks: bounds the memory of planning


@dataclass(frozen=True, eq=False)
class Strip:
    """Query blocks q_first + i see key blocks k_first + step·i ... + width - 1, for i < count."""

    q_first: int
    k_first: int
    count: int
    width: int
    step: int  # 1: along the diagonal, 0: the same columns for all
    allowed: Tensor | None  # (1 or count, 1 or b, width·b) bool; None where every pair is allowed

    @property
    def is_same_for_all(self) -> bool:
        """Whether every query of the strip sees the same keys."""
        return self.step == 0 and (self.allowed is None or self.allowed.shape[:2] == (1, 1))


@dataclass(frozen=True, eq=False)
class Gather:
    """Query blocks that see equally many scattered key blocks."""

    q_blocks: Tensor  # (n,) rising
    k_blocks: Tensor  # (n, width) rising in each row
    allowed: Tensor | None  # (1 or n, 1 or b, width·b) bool; None where every pair is allowed


@dataclass(frozen=True, eq=False)
class Plan:
    """The block table of one mask at one shape. Shared by all callers: do not write into its tensors."""

    mask: Mask
    Lq: int
    Lk: int
    q_offset: int
    block: int
    states: Tensor  # (query blocks, key blocks) int8: EMPTY, PARTIAL or FULL
    parts: tuple[Strip | Gather, ...]

    @property
    def block_density(self) -> float:
        """Share of the square's blocks that is computed."""
        return float((self.states > EMPTY).float().mean())


def make_plan(
    mask: Mask, Lq: int, Lk: int, q_offset: int = 0, block: int = BLOCK, device: torch.device | str = "cpu"
) -> Plan:
    """The plan of a mask at these lengths, from a bounded cache: masks are compared by structure, not identity.

    Raises ValueError for lengths or a block size below 1. Whether the mask fits the lengths is for the caller to
    check (`mask.check`), since generation asks for masks whose tokens do not exist yet.
    """
    return _make_plan(mask, Lq, Lk, q_offset, block, torch.device(device))


@lru_cache(maxsize=64)
def _make_plan(mask: Mask, Lq: int, Lk: int, q_offset: int, block: int, device: torch.device) -> Plan:
    states = block_states(mask, Lq, Lk, q_offset, (block, block))
    grid = _Grid(mask, Lk, q_offset, block, states, device)
    rest = states > EMPTY
    parts: list[Strip | Gather] = []
    for q_first, k_first, count, width, step in _strips(rest):
        i = torch.arange(count)
        k_blocks = k_first + step * i[:, None] + torch.arange(width)
        rest[(q_first + i)[:, None], k_blocks] = False
        allowed = grid.look(q_first + i, k_blocks)
        parts.append(Strip(q_first, k_first, count, width, step, allowed))
    counts = rest.sum(1)
    for width in counts.unique().tolist():
        if width:
            q_blocks = (counts == width).nonzero()[:, 0]
            k_blocks = rest[q_blocks].nonzero()[:, 1].view(-1, width)
            parts.append(Gather(q_blocks.to(device), k_blocks.to(device), grid.look(q_blocks, k_blocks)))
    return Plan(mask, Lq, Lk, q_offset, block, states.to(device), tuple(parts))


def block_states(mask: Mask, Lq: int, Lk: int, q_offset: int = 0, block: tuple[int, int] = (BLOCK, BLOCK)) -> Tensor:
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


def allowed_pairs(mask: Mask, Lq: int, Lk: int, q_offset: int = 0, block: int = BLOCK) -> int:
    """Exact number of allowed pairs: FULL blocks by their area, PARTIAL ones by looking."""
    mask.check(Lq, Lk, q_offset)
    states = block_states(mask, Lq, Lk, q_offset, (block, block))
    rows = (Lq - torch.arange(states.shape[0]) * block).clamp(max=block)
    columns = (Lk - torch.arange(states.shape[1]) * block).clamp(max=block)
    total = int(((states == FULL).long() * rows[:, None] * columns[None, :]).sum())
    inside = torch.arange(block)
    for some in (states == PARTIAL).nonzero().split(max(1, CELLS_AT_ONCE // block**2)):
        row = some[:, 0, None, None] * block + inside[None, :, None]
        column = some[:, 1, None, None] * block + inside[None, None, :]
        total += int((mask.allowed(row + q_offset, column) & (row < Lq) & (column < Lk)).sum())
    return total


def _strips(active: Tensor) -> list[tuple[int, int, int, int, int]]:
    """(q_first, k_first, count, width, step) of the strips in a bool block table; each block in at most one."""
    edges = torch.nn.functional.pad(active.to(torch.int8), (1, 1)).diff(dim=1)
    q_blocks, starts = (edges == 1).nonzero().T.tolist()
    ends = (edges == -1).nonzero()[:, 1].tolist()
    moving: dict[tuple[int, int], list[int]] = {}
    staying: dict[tuple[int, int], list[int]] = {}
    for q, start, end in zip(q_blocks, starts, ends, strict=True):
        moving.setdefault((end - start, start - q), []).append(q)
        staying.setdefault((end - start, start), []).append(q)
    found = []
    for q, start, end in zip(q_blocks, starts, ends, strict=True):
        width = end - start
        along, still = moving[width, start - q], staying[width, start]
        step = 1 if len(along) >= len(still) else 0
        found.append((width, step, start - step * q, q))
    strips = []
    run: list[tuple[int, int, int, int]] = []
    for item in [*sorted(found), (0, 0, 0, -1)]:
        if run and item != (*run[-1][:3], run[-1][3] + 1):
            if len(run) >= SHORTEST_STRIP:
                width, step, base, q_first = run[0]
                strips.append((q_first, base + step * q_first, len(run), width, step))
            run = []
        run.append(item)
    return strips


@dataclass(frozen=True)
class _Grid:
    """What is needed to look into blocks."""

    mask: Mask
    Lk: int
    q_offset: int
    block: int
    states: Tensor
    device: torch.device

    def look(self, q_blocks: Tensor, k_blocks: Tensor) -> Tensor | None:
        """(1 or n, 1 or b, width·b) allowed pairs of query block i with key blocks k_blocks[i]; None where all are.

        Columns of blocks that are FULL everywhere are not looked into; equal masks and equal rows are kept once.
        """
        b, (n, width) = self.block, k_blocks.shape
        partial = self.states[q_blocks[:, None], k_blocks] == PARTIAL
        if self.Lk % b:  # keys beyond the end, which fill the last block, must stay masked
            partial = partial | (k_blocks == self.Lk // b)
        looked = partial.any(0).nonzero()[:, 0]
        if looked.numel() == 0:
            return None
        inside = torch.arange(b, dtype=torch.int32)
        rows = (q_blocks.int()[:, None] * b + inside)[:, :, None] + self.q_offset
        columns = (k_blocks.int()[:, looked, None] * b + inside).reshape(n, 1, -1)
        at_once = max(1, CELLS_AT_ONCE // (b * columns.shape[2]))
        seen = [
            self.mask.allowed(r, c) & (c < self.Lk)
            for r, c in zip(rows.split(at_once), columns.split(at_once), strict=True)
        ]
        is_same = all(bool((part == seen[0][:1]).all()) for part in seen)
        kept = seen[0][:1] if is_same else torch.cat(seen)
        if bool(kept.all()):
            return None
        if bool((kept == kept[:, :1]).all()):
            kept = kept[:, :1]
        allowed = torch.ones(*kept.shape[:2], width, b, dtype=torch.bool)
        allowed[:, :, looked] = kept.unflatten(2, (-1, b))
        return allowed.flatten(2).to(self.device)

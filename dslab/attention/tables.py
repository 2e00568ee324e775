"""Masks that come from data rather than from a formula: documents packed in a row, tables of blocks, random blocks."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from dslab.attention.masks import Mask, three_valued
from dslab.attention.patterns import _whole, global_tokens, local_window

RANDOM_BLOCK = 64  # tokens in a block of random_blocks, as in BigBird's code


@dataclass(frozen=True, repr=False)
class Document(Mask):
    """Equality and hash follow the digest of the ids; the tensors only serve the look-up."""

    digest: str
    ids: Tensor = field(compare=False)  # (L,) numbered by first appearance
    low: Tensor = field(compare=False)  # (levels, L) smallest id in [i, i + 2**level)
    high: Tensor = field(compare=False)  # (levels, L) largest

    def allowed(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        q_doc, k_doc = _look_up(self.ids, q_pos, outside=-1), _look_up(self.ids, k_pos, outside=-2)
        return q_doc == k_doc

    def classify(self, q_first: Tensor, q_last: Tensor, k_first: Tensor, k_last: Tensor) -> Tensor:
        q_low, q_high, q_inside = self._range(q_first, q_last)
        k_low, k_high, k_inside = self._range(k_first, k_last)
        some = (q_low <= k_high) & (k_low <= q_high)
        every = (q_low == q_high) & (k_low == k_high) & (q_low == k_low) & q_inside & k_inside
        return three_valued(some, every)

    def _range(self, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Smallest and largest id in [first, last], and whether the range lies inside the text (a sparse table)."""
        end = self.ids.numel() - 1
        inside = (first >= 0) & (last <= end)
        first, last = first.clamp(0, end), last.clamp(0, end)
        level = torch.log2((last - first + 1).double()).floor().long()
        right = last - (1 << level) + 1
        low, high = self.low.to(first.device), self.high.to(first.device)
        return (
            torch.minimum(low[level, first], low[level, right]),
            torch.maximum(high[level, first], high[level, right]),
            inside,
        )

    def check(self, Lq: int, Lk: int, q_offset: int = 0) -> None:
        if max(Lk, Lq + q_offset) > self.ids.numel():
            raise ValueError(
                f"{self!r} knows {self.ids.numel()} positions, but the queries end at {Lq + q_offset} and Lk={Lk}; "
                "give one id for each position"
            )

    def __repr__(self) -> str:
        return f"document(<{int(self.ids.max()) + 1} documents, {self.ids.numel()} tokens>)"


@dataclass(frozen=True, repr=False)
class Blocks(Mask):
    digest: str
    block_size: int
    table: Tensor = field(compare=False)  # (query blocks, key blocks) bool
    sums: Tensor = field(compare=False)  # (query blocks + 1, key blocks + 1) two-dimensional prefix sums

    def allowed(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        rows, columns = self.table.shape
        q_block = torch.div(q_pos, self.block_size, rounding_mode="floor")
        k_block = torch.div(k_pos, self.block_size, rounding_mode="floor")
        inside = (q_block >= 0) & (q_block < rows) & (k_block >= 0) & (k_block < columns)
        return self.table.to(q_pos.device)[q_block.clamp(0, rows - 1), k_block.clamp(0, columns - 1)] & inside

    def classify(self, q_first: Tensor, q_last: Tensor, k_first: Tensor, k_last: Tensor) -> Tensor:
        rows, columns = self.table.shape
        top = torch.div(q_first, self.block_size, rounding_mode="floor")
        bottom = torch.div(q_last, self.block_size, rounding_mode="floor") + 1
        left = torch.div(k_first, self.block_size, rounding_mode="floor")
        right = torch.div(k_last, self.block_size, rounding_mode="floor") + 1
        area = (bottom - top) * (right - left)
        top, bottom = top.clamp(0, rows), bottom.clamp(0, rows)
        left, right = left.clamp(0, columns), right.clamp(0, columns)
        sums = self.sums.to(q_first.device)
        count = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        return three_valued(count > 0, count == area)

    def check(self, Lq: int, Lk: int, q_offset: int = 0) -> None:
        rows, columns = (n * self.block_size for n in self.table.shape)
        if q_offset + Lq > rows or Lk > columns:
            raise ValueError(
                f"{self!r} covers {rows} queries and {columns} keys, but the queries end at {q_offset + Lq} "
                f"and Lk={Lk}; make the table larger"
            )

    def __repr__(self) -> str:
        rows, columns = self.table.shape
        return f"blocks(<{rows}x{columns} table>, block_size={self.block_size})"


@dataclass(frozen=True, repr=False)
class RandomBlocks(Mask):
    count: int
    seed: int

    def allowed(self, q_pos: Tensor, k_pos: Tensor) -> Tensor:
        return self._blocks_until(q_pos).allowed(q_pos, k_pos)

    def classify(self, q_first: Tensor, q_last: Tensor, k_first: Tensor, k_last: Tensor) -> Tensor:
        return self._blocks_until(q_last).classify(q_first, q_last, k_first, k_last)

    def fixed(self, length: int) -> Mask:
        return self._blocks_until(torch.tensor(max(length, 1) - 1))

    def _blocks_until(self, q_pos: Tensor) -> Blocks:
        needed = (int(q_pos.max()) if q_pos.numel() else 0) // RANDOM_BLOCK + 1
        # Rounded up, so that a growing cache asks for few different tables; rows never depend on the size.
        return _random_blocks(self.count, self.seed, -(-max(needed, 1) // 64) * 64)

    def __repr__(self) -> str:
        return f"random_blocks({self.count}, seed={self.seed})"


def document(ids: Tensor | Sequence[int]) -> Mask:
    """Texts packed in one row: a query sees the keys of its own document only.

    ids: (L,) integers, one a position; equal ids are one document, wherever they stand.

    >>> document([7, 7, 3]).dense(3).int().tolist()
    [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    given = torch.as_tensor(ids).detach().cpu()
    if given.ndim != 1 or given.numel() == 0 or given.is_floating_point() or given.is_complex():
        raise ValueError(
            f"document ids must be integers of shape (L,), L >= 1; got {given.dtype} of shape {tuple(given.shape)}; "
            "for a batch, make one mask a row"
        )
    # Renumbered by first appearance, so that contiguous documents have rising ids and ranges are tight.
    _, inverse = torch.unique(given, return_inverse=True)
    first_seen = torch.full((int(inverse.max()) + 1,), given.numel()).scatter_reduce(
        0, inverse, torch.arange(given.numel()), "amin"
    )
    numbered = first_seen.argsort().argsort()[inverse]
    low, high, width = [numbered], [numbered], 1
    while 2 * width <= numbered.numel():
        for levels, pick in ((low, torch.minimum), (high, torch.maximum)):
            below = levels[-1]
            levels.append(torch.cat([pick(below[:-width], below[width:]), below[-width:]]))
        width *= 2
    return Document(_digest(numbered), numbered, torch.stack(low), torch.stack(high))


def blocks(table: Tensor, block_size: int = 64) -> Mask:
    """Query block i sees key block j where table[i, j] is True.

    table: (query blocks, key blocks) bool; block_size: tokens in a block, the same on both sides.

    >>> blocks(torch.tensor([[True, False], [True, True]]), block_size=1).dense(2).int().tolist()
    [[1, 0], [1, 1]]
    """
    if not isinstance(table, Tensor) or table.dtype != torch.bool or table.ndim != 2 or table.numel() == 0:
        got = f"{table.dtype} of shape {tuple(table.shape)}" if isinstance(table, Tensor) else type(table).__name__
        raise ValueError(f"blocks needs a bool tensor of shape (query blocks, key blocks); got {got}")
    kept = table.detach().cpu().clone()
    sums = torch.zeros(kept.shape[0] + 1, kept.shape[1] + 1, dtype=torch.int64)
    sums[1:, 1:] = kept.long().cumsum(0).cumsum(1)
    return Blocks(_digest(kept), _whole("block_size", block_size, least=1), kept, sums)


def random_blocks(count: int, seed: int = 0) -> Mask:
    """A query sees `count` distinct blocks of 64 keys drawn at random from its own block and those before it.

    Drawn from the past, so that the pattern does not depend on the length and stays the same while a cache grows.
    """
    return RandomBlocks(_whole("number of random blocks", count), _whole("seed", seed))


def bigbird(window: int, n_random: int, n_global: int, seed: int = 0) -> Mask:
    """Window, random blocks and global tokens (Zaheer et al. 2020), the first `n_global` seeing and seen by all.

    >>> bigbird(64, 3, 2)
    local_window(64) | global_tokens([0, 1], rows=True) | random_blocks(3, seed=0)
    """
    return local_window(window) | global_tokens(n_global, rows=True) | random_blocks(n_random, seed)


@lru_cache(maxsize=16)
def _random_blocks(count: int, seed: int, size: int) -> Blocks:
    table = torch.zeros(size, size, dtype=torch.bool)
    for row in range(size):
        # Each row has its own seed: the draw of a row must not depend on how many rows there are.
        drawn = random.Random(f"{seed}:{row}").sample(range(row + 1), min(count, row + 1))
        table[row, drawn] = True
    mask = blocks(table, RANDOM_BLOCK)
    assert isinstance(mask, Blocks)
    return mask


def _look_up(table: Tensor, position: Tensor, outside: int) -> Tensor:
    """table[position], and `outside` where there is no such position."""
    end = table.numel()
    inside = (position >= 0) & (position < end)
    return table.to(position.device)[position.clamp(0, end - 1)].masked_fill(~inside, outside)


def _digest(table: Tensor) -> str:
    content = table.contiguous().numpy().tobytes()
    return hashlib.sha256(f"{table.dtype}{tuple(table.shape)}".encode() + content).hexdigest()

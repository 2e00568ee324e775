"""The parts of a plan, cut into chunks that fit the cache: which rows, which keys, which bias.

Both kinds of chunk `take` their keys from (N, blocks, b, D) as (N, n, width·b, D), and `give_back` gradients of that
shape to where the keys came from. A strip takes a strided view; a gather copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dslab.attention.plan import Gather, Plan, Strip

# Keys and values of a chunk, counted as often as they are read. Forward they are views, and few large calls are best;
# backward each has a gradient of its own, which should still be in the cache when it is added up.
FORWARD_BYTES, BACKWARD_BYTES = 1 << 25, 1 << 23


@dataclass(frozen=True)
class StripChunk:
    """Neighbouring query blocks. Where all of them see the same keys they are one long batch (`is_folded`)."""

    q_blocks: range
    k_first: int
    step: int
    width: int
    is_folded: bool
    bias: Tensor | None  # broadcasts to (N, n, G·b, width·b); (N, 1, 1, width·b) where folded

    @property
    def rows(self) -> slice:
        return slice(self.q_blocks.start, self.q_blocks.stop)

    def fold(self, x: Tensor) -> Tensor:
        """The chunk's rows of x (N, query blocks, G·b, D), as one batch where folded."""
        x = x[:, self.rows]
        return x.flatten(1, 2)[:, None] if self.is_folded else x

    def take(self, blocks: Tensor) -> Tensor:
        N, _, b, D = blocks.shape
        start = blocks.storage_offset() + self.k_first * b * D
        size = (N, 1 if self.is_folded else len(self.q_blocks), self.width * b, D)
        return blocks.as_strided(size, (blocks.stride(0), self.step * b * D, D, 1), start)

    def give_back(self, blocks: Tensor, part: Tensor) -> None:
        N, _, b, D = blocks.shape
        part = part.reshape(N, -1, self.width, b, D)
        if self.step == 0:
            blocks[:, self.k_first : self.k_first + self.width] += part.sum(1, dtype=blocks.dtype)
            return
        for column in range(self.width):  # neighbours overlap, but one column of all query blocks does not
            first = self.k_first + column
            blocks[:, first : first + len(self.q_blocks)] += part[:, :, column]


@dataclass(frozen=True)
class GatherChunk:
    q_blocks: Sequence[int]
    rows: slice | Tensor
    k_blocks: Tensor  # (n, width)
    bias: Tensor | None  # broadcasts to (N, n, G·b, width·b)

    def fold(self, x: Tensor) -> Tensor:
        """The chunk's rows of x (N, query blocks, G·b, D)."""
        return x[:, self.rows]

    def take(self, blocks: Tensor) -> Tensor:
        N, _, b, D = blocks.shape
        n, width = self.k_blocks.shape
        return blocks[:, self.k_blocks.reshape(-1)].view(N, n, width * b, D)

    def give_back(self, blocks: Tensor, part: Tensor) -> None:
        flat = part.reshape(blocks.shape[0], -1, *blocks.shape[2:]).to(blocks.dtype)
        blocks.index_add_(1, self.k_blocks.reshape(-1), flat)


def chunks(plan: Plan, queries: Tensor, key_padding: Tensor | None, budget: int) -> Iterator[StripChunk | GatherChunk]:
    """Every part of the plan, for queries (N, query blocks, G·b, D) and key_padding (B, Lk) or None.

    budget: bytes of keys and values in a chunk.
    """
    b = plan.block
    N, _, stacked, D = queries.shape
    padding = None
    if key_padding is not None:
        blocks = F.pad(key_padding, (0, -key_padding.shape[1] % b), value=False).view(key_padding.shape[0], -1, b)
        padding = blocks.repeat_interleave(N // key_padding.shape[0], 0)
    for part in plan.parts:
        count, width = (part.count, part.width) if isinstance(part, Strip) else part.k_blocks.shape
        biases = _Biases(part.allowed, padding, stacked // b, queries.dtype)
        # A folded batch is one piece of work a head for the backward operator: only where heads keep all threads busy.
        is_folded = isinstance(part, Strip) and part.is_same_for_all and torch.get_num_threads() <= N
        read = N * D * queries.element_size() * 2 * (stacked if is_folded else width * b)
        at_once = max(1, budget // read)
        for start in range(0, count, at_once):
            yield _cut(part, biases, start, min(count, start + at_once), is_folded)


def _cut(part: Strip | Gather, biases: _Biases, start: int, stop: int, is_folded: bool) -> StripChunk | GatherChunk:
    if isinstance(part, Gather):
        q_blocks = part.q_blocks[start:stop]
        k_blocks = part.k_blocks[start:stop]
        listed = q_blocks.tolist()
        is_run = listed[-1] - listed[0] + 1 == len(listed)
        rows = slice(listed[0], listed[-1] + 1) if is_run else q_blocks  # a view where it can be
        return GatherChunk(listed, rows, k_blocks, biases.of(start, stop, k_blocks))
    k_first = part.k_first + part.step * start
    i = torch.arange(1 if is_folded else stop - start)
    bias = biases.of(start, stop, k_first + part.step * i[:, None] + torch.arange(part.width))
    q_range = range(part.q_first + start, part.q_first + stop)
    return StripChunk(q_range, k_first, part.step, part.width, is_folded, bias)


class _Biases:
    """Additive masks of a part's chunks; one that all query blocks share is made once."""

    def __init__(self, allowed: Tensor | None, padding: Tensor | None, heads: int, dtype: torch.dtype) -> None:
        self.allowed, self.padding, self.heads, self.dtype = allowed, padding, heads, dtype
        self.is_shared = padding is None and (allowed is None or allowed.shape[0] == 1)
        self.shared = self._additive(allowed[None]) if self.is_shared and allowed is not None else None

    def of(self, start: int, stop: int, k_blocks: Tensor) -> Tensor | None:
        """Bias of query blocks start..stop of the part, which see k_blocks (n, width)."""
        if self.is_shared:
            return self.shared
        allowed = self.allowed
        if allowed is not None:
            allowed = (allowed if allowed.shape[0] == 1 else allowed[start:stop])[None]
        if self.padding is not None:
            real = self.padding[:, k_blocks].flatten(-2)[:, :, None, :]
            allowed = real if allowed is None else allowed & real
        assert allowed is not None
        return self._additive(allowed)

    def _additive(self, allowed: Tensor) -> Tensor:
        """0 and -inf, repeated for the query heads that stand below each other; one row stays one row."""
        bias = torch.zeros(allowed.shape, dtype=self.dtype, device=allowed.device)
        bias.masked_fill_(~allowed, float("-inf"))
        return bias if bias.shape[2] == 1 else bias.repeat(1, 1, self.heads, 1)

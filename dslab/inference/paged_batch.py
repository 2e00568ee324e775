"""Many sequences of different lengths in one pass: what continuous batching feeds a model.

    batch = PagedBatch(caches, counts)        # counts[i] new tokens of caches[i]; all room is taken here, or none
    hidden = llama.forward(ids, batch, logits=None)   # ids (1, N): the new tokens of all sequences, one after the other
    llama.scores(hidden[:, batch.last])       # with logits=None above: only where a next token is wanted

No position is padding: everything but attention sees one row of N tokens, attention sees each sequence by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dslab.inference.base import Cache, CacheError, attention
from dslab.inference.paged import PagedCache


class PagedBatch(Cache):
    """Caches of one row over one pool, as a cache of one flat row of N = sum(counts) tokens, for one pass.

    last  (B,) where in the flat row each sequence's last token stands: what the next token is sampled from.
    """

    def __init__(self, caches: Sequence[PagedCache], counts: Sequence[int]) -> None:
        super().__init__()
        if not caches or len(caches) != len(counts) or min(counts) < 1:
            raise ValueError(
                f"expected as many counts of at least 1 as caches; got {len(caches)} caches, counts {list(counts)}"
            )
        if len({id(cache.pool) for cache in caches}) > 1 or len({id(cache) for cache in caches}) < len(caches):
            raise ValueError("the caches of a batch are different sequences over one pool")
        if any(len(cache.tables) > 1 for cache in caches):
            raise ValueError("each cache of a batch holds one sequence; got one of several rows")
        self.caches, self.counts, self.pool = list(caches), list(counts), caches[0].pool
        self._starts = [len(cache) for cache in caches]
        self.ends = [start + count for start, count in zip(self._starts, counts, strict=True)]
        self._reserve()
        self._slots = torch.cat([c.slots(a, b) for c, a, b in zip(caches, self._starts, self.ends, strict=True)])
        self.last = torch.tensor(self.counts).cumsum(0) - 1

    def _reserve(self) -> None:
        try:
            for cache, end in zip(self.caches, self.ends, strict=True):
                cache.reserve(end)
        except CacheError:
            for cache in self.caches:
                cache.unreserve()
            raise

    def positions(self, T: int) -> Tensor:
        """(N,) the position of each new token in its own sequence."""
        return torch.cat([torch.arange(a, b) for a, b in zip(self._starts, self.ends, strict=True)])

    def record(self, ids: Tensor) -> None:
        """ids (1, N): each sequence keeps its own."""
        for cache, own in zip(self.caches, ids.split(self.counts, 1), strict=True):
            cache.record(own)

    def append(self, layer: int, k: Tensor, v: Tensor) -> None:
        keys, values = self.pool.layer(layer, k, v)
        if k.shape[2] != len(self._slots) or k.shape[0] != 1:
            raise ValueError(
                f"expected (1, Hkv, {len(self._slots)}, D), the new tokens of all sequences; got {tuple(k.shape)}"
            )
        keys.index_copy_(0, self._slots, k[0].transpose(0, 1))
        values.index_copy_(0, self._slots, v[0].transpose(0, 1))
        for cache, end in zip(self.caches, self.ends, strict=True):
            cache.advance(layer, end)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
        """q (1, H, N, Dk): each sequence's new queries over its own tokens; (1, H, N, Dv)."""
        self.append(layer, k, v)
        parts = zip(q.split(self.counts, 2), self.caches, strict=True)
        return torch.cat([attention(own, *cache.view(layer), scale) for own, cache in parts], 2)

    def __len__(self) -> int:
        """Tokens of the longest sequence."""
        return max(len(cache) for cache in self.caches)

    def nbytes(self) -> int:
        return sum(cache.nbytes() for cache in self.caches)

    def _alone(self, *_: object) -> None:
        raise CacheError("a batch lives for one pass; truncate, reorder, fork or view the caches that it is made of")

    view = _write = _cut = _pick = _own = _drop = _alone  # type: ignore[assignment]

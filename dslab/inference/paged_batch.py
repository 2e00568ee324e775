"""Many sequences of different lengths in one pass: what continuous batching feeds a model.

    batch = PagedBatch(caches, counts)        # counts[i] new tokens of caches[i]; all room is taken here, or none
    hidden = llama.forward(ids, batch, logits=None)   # ids (1, N): the new tokens of all sequences, one after the other
    llama.scores(hidden[:, batch.last])       # with logits=None above: only where a next token is wanted

No position is padding: everything but attention sees one row of N tokens, attention sees each sequence by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dslab.inference.base import Cache, CacheError, attention
from dslab.inference.paged import PagedCache, reserve
from dslab.inference.runs import MANY, Cuts, attend_one, scaled


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
        if any(cache.seen(layer) < len(cache) for cache in caches for layer in self.pool.layers):
            raise CacheError("an earlier pass of one of the caches stopped part way; truncate it or free it")
        reserve(self.pool, [(cache, end, 1) for cache, end in zip(caches, self.ends, strict=True)])
        self._slots = torch.cat([c.slots(a, b) for c, a, b in zip(caches, self._starts, self.ends, strict=True)])
        self.last = torch.tensor(self.counts).cumsum(0) - 1
        single = [i for i, count in enumerate(counts) if count == 1]
        near = [i for i in single if len(caches[i].runs()) <= MANY]
        self._single, self._at = near, self.last[near]
        self._cuts = Cuts([caches[i].runs() for i in near], self.pool.blocks * self.pool.block)
        self._scattered = [(i, int(self.last[i])) for i in single if i not in near]

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
        keys.index_copy_(0, self._slots, k[0].detach().transpose(0, 1))
        values.index_copy_(0, self._slots, v[0].detach().transpose(0, 1))
        shapes = self.pool.shapes(layer)
        for cache, end in zip(self.caches, self.ends, strict=True):
            cache.advance(layer, end, shapes)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
        """q (1, H, N, Dk): each sequence's new queries over its own tokens; (1, H, N, Dv)."""
        self.append(layer, k, v)
        parts = [torch.empty(0)] * len(self.caches)
        self._decode(layer, q, parts, scale)
        at = 0
        for i, (cache, count) in enumerate(zip(self.caches, self.counts, strict=True)):
            if count > 1:
                new = slice(at, at + count)
                if len(cache) == count:  # nothing came before: no need to read what was just written
                    own = F.scaled_dot_product_attention(
                        q[:, :, new], k[:, :, new], v[:, :, new], is_causal=True, scale=scale,
                        enable_gqa=q.shape[1] != k.shape[1],
                    )  # fmt: skip
                else:
                    own = attention(q[:, :, new], *cache.view(layer), scale)
                parts[i] = own[0].transpose(0, 1)
            at += count
        return torch.cat(parts).to(q.dtype).transpose(0, 1)[None]

    def _decode(self, layer: int, q: Tensor, parts: list[Tensor], scale: float | None) -> None:
        """The sequences that have one new token: their parts are (1, H, Dv)."""
        keys, values = self.pool.layer(layer)
        Hkv = keys.shape[1]
        if self._single:
            own = scaled(q[0].transpose(0, 1)[self._at], scale).view(len(self._single), Hkv, -1, q.shape[3])
            cut = self._cuts(keys.permute(1, 2, 0), 2, own.dtype), self._cuts(values.transpose(0, 1), 1, own.dtype)
            outs = [attend_one(*one) for one in zip(own.unbind(0), *cut, strict=True)]
            for i, out in zip(self._single, torch.stack(outs).flatten(1, 2).split(1), strict=True):
                parts[i] = out
        for i, at in self._scattered:
            one = scaled(q[0, :, at], scale).view(Hkv, -1, q.shape[3])
            parts[i] = attend_one(one, *self.caches[i].stretches(layer, one.dtype)).view(1, q.shape[1], -1)

    def __len__(self) -> int:
        """Tokens of the longest sequence."""
        return max(len(cache) for cache in self.caches)

    def nbytes(self) -> int:
        return sum(cache.nbytes() for cache in self.caches)

    def _alone(self, *_: object) -> None:
        raise CacheError("a batch lives for one pass; truncate, reorder, fork or view the caches that it is made of")

    view = _write = _cut = _pick = _own = _drop = _alone  # type: ignore[assignment]

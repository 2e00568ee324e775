"""A cache in blocks: memory is taken a block at a time, shared between sequences that begin alike, and given back.

pool = BlockPool(256, block=16)
a = PagedCache(pool)
b = a.fork()                  # holds the same blocks; whoever writes into the last, partly filled one copies it first
c = PagedCache(pool)
c.adopt(prompt_ids)           # the blocks that another sequence has filled with the beginning of this prompt
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from dslab.inference.base import Cache, CacheError
from dslab.inference.blocks import ROOT, BlockPool, Shapes
from dslab.inference.runs import MANY, Run, attend_one, runs_of, scaled


def reserve(pool: BlockPool, passes: Sequence[tuple[PagedCache, int, int]]) -> None:
    """Room for a pass in which caches, (cache, n, rows), come to hold n tokens a row, each in a last block of its own.

    CacheFull if the pool cannot give all that; then no cache has changed.
    """
    need, lasts = 0, Counter[int]()
    for cache, n, rows in passes:
        cache.unreserve()
        need += (-(-n // pool.block) - -(-len(cache) // pool.block)) * (len(cache.tables) or rows)
        if len(cache) % pool.block:
            lasts.update(table[-1] for table in cache.tables)
    # Of those that write into a shared block, all copy it; the last one that holds it need not.
    pool.require(need + sum(here - (here == pool.refcount(id)) for id, here in lasts.items()))
    for cache, n, rows in passes:
        cache._grow(n, rows)


class PagedCache(Cache):
    """One sequence, or B rows of one length, in blocks of a pool: row r's token t is in block tables[r][t // block].

    pool: shared with other sequences; None makes one of `blocks` blocks of `block` tokens.
    """

    def __init__(self, pool: BlockPool | None = None, block: int = 16, blocks: int = 256) -> None:
        super().__init__()
        self.pool = BlockPool(blocks, block) if pool is None else pool
        self.tables: list[list[int]] = []
        self._covered = 0  # tokens that there is room for: len, or a pass ahead of it
        self._nodes: list[int] = []  # under which node each full block is known, as far as that is done
        self._slots: Tensor | None = None  # where the tokens of the present pass stand
        self._table: Tensor | None = None  # the tables as one tensor
        self._runs: list[Run] | None = None  # where the tokens of the only row stand, in few stretches

    def _grow(self, n: int, rows: int) -> None:
        self.tables = self.tables or [[] for _ in range(rows)]
        for table in self.tables:
            if at := len(self) % self.pool.block:
                self._make_own(table, at)
            for left in range(-(-n // self.pool.block) - len(table), 0, -1):
                table.append(self.pool.allocate(table[-1] if table else None, left))
        self._covered = n
        self._slots = self._table = self._runs = None

    def unreserve(self) -> None:
        """Give back the room of a pass that never came."""
        if self._covered > len(self):
            self._cut(len(self))

    def advance(self, layer: int, end: int, shapes: Shapes) -> None:
        """The tokens of a layer up to `end` are written: by a batch, or by another sequence."""
        self._held[layer] = self._end = end
        self._made[layer] = shapes

    def _make_own(self, table: list[int], tokens: int) -> None:
        """Copy on write: the last block becomes one that nobody else reads."""
        if self.pool.refcount(table[-1]) > 1:
            copied = self.pool.allocate(table[-2] if len(table) > 1 else None)
            self.pool.copy(table[-1], copied, tokens)
            self.pool.release(table[-1])
            table[-1] = copied
        self.pool.forget(table[-1])

    def slots(self, start: int, end: int) -> Tensor:
        """(B * (end - start),) where tokens start to end of each row stand in the pool's memory."""
        block = self.pool.block
        return torch.tensor([table[t // block] * block + t % block for table in self.tables for t in range(start, end)])

    def _write(self, layer: int, k: Tensor, v: Tensor, start: int) -> None:
        end = start + k.shape[2]
        keys, values = self.pool.layer(layer, k, v)
        if end != self._covered:
            reserve(self.pool, [(self, end, k.shape[0])])
        if self._slots is None:
            self._slots = self.slots(start, end).to(k.device)
        keys[self._slots] = k.transpose(1, 2).flatten(0, 1)
        values[self._slots] = v.transpose(1, 2).flatten(0, 1)

    def view(self, layer: int) -> tuple[Tensor, Tensor]:
        """In order, (B, Hkv, S, D): a window into the pool where the blocks are neighbours, else a copy."""
        keys, values = self.pool.layer(layer)
        return self._ordered(keys, layer), self._ordered(values, layer)

    def _ordered(self, x: Tensor, layer: int) -> Tensor:
        if len(self.tables) == 1 and len(runs := self.runs()) == 1:
            start = runs[0][0]
            return x[start : start + self._held[layer]].transpose(0, 1)[None]
        if self._table is None:
            self._table = torch.tensor(self.tables, device=x.device)
        B, blocks = self._table.shape
        whole = x.view(self.pool.blocks, -1).index_select(0, self._table.flatten())  # a block is copied in one piece
        return whole.view(B, blocks * self.pool.block, *x.shape[1:])[:, : self._held[layer]].transpose(1, 2)

    def runs(self) -> list[Run]:
        """Where the tokens of the only row stand in the pool's memory, those of the present pass included."""
        if self._runs is None:
            self._runs = runs_of(self.tables[0], self.pool.block, self._covered)
        return self._runs

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
        """As every cache; one token of one row reads its blocks where they stand."""
        if k.shape[0] != 1 or k.shape[2] != 1 or q.shape[2] != 1 or q.shape[1] % k.shape[1]:
            return super().attend(layer, q, k, v, scale)
        self.append(layer, k, v)
        one = scaled(q, scale).view(k.shape[1], -1, q.shape[3])
        return attend_one(one, *self.stretches(layer, one.dtype)).view(*q.shape[:3], -1).to(q.dtype)

    def stretches(self, layer: int, dtype: torch.dtype) -> tuple[list[Tensor], list[Tensor]]:
        """The only row's keys (Hkv, Dk, n) and values (Hkv, n, Dv), stretch by stretch: what `attend_one` reads."""
        if len(runs := self.runs()) <= MANY:
            keys, values = self.pool.layer(layer)
            parts = [(keys[a : a + n].permute(1, 2, 0), values[a : a + n].transpose(0, 1)) for a, n in runs]
        else:
            k, v = self.view(layer)
            parts = [(k[0].transpose(1, 2), v[0])]
        return [k.to(dtype) for k, _ in parts], [v.to(dtype) for _, v in parts]

    def record(self, ids: Tensor) -> None:
        """As every cache; and the blocks that the pass has filled become known to the pool."""
        super().record(ids)
        block = self.pool.block
        for i in range(len(self._nodes), len(self.tokens or ()) // block):
            assert self.tokens is not None
            parent = self._nodes[-1] if i else ROOT
            tokens = self.tokens[i * block : (i + 1) * block]
            self._nodes.append(self.pool.register(parent, tokens, self.tables[0][i]))

    def adopt(self, prompt_ids: Sequence[int]) -> int:
        """Take the full blocks known to hold a prompt's beginning, all but its last token at most; how many tokens.

        Only an empty cache can; the rest of the prompt is then to be fed.
        """
        if len(self):
            raise CacheError(
                f"only an empty cache adopts a prefix; this one holds {len(self)} tokens: truncate(0) empties it"
            )
        pool, prompt = self.pool, [int(token) for token in prompt_ids]
        blocks, n = pool.lookup(prompt[:-1])
        if n:
            self.tables = [[pool.share(id) for id in blocks]]
            self._nodes = [pool.node(id) for id in blocks]
            self.tokens, self._end, self._covered = prompt[:n], n, n
            for layer in pool.layers:
                self.advance(layer, n, pool.shapes(layer))
        return n

    def _cut(self, n: int) -> None:
        keep = -(-n // self.pool.block)
        for table in self.tables:
            for id in reversed(table[keep:]):  # a chain's end goes first: without its beginning it is not found
                self.pool.release(id)
            del table[keep:]
        del self._nodes[n // self.pool.block :]
        self._covered = n
        self._slots = self._table = self._runs = None

    def _pick(self, index: Tensor) -> None:
        old, self.tables = self.tables, [list(self.tables[i]) for i in index.tolist()]
        self._share_all()
        for table in old:
            for id in table:
                self.pool.release(id)
        self._slots = self._table = self._runs = None

    def _own(self) -> None:
        self.tables, self._nodes = [list(table) for table in self.tables], list(self._nodes)
        self._share_all()

    def _share_all(self) -> None:
        for table in self.tables:
            for id in table:
                self.pool.share(id)

    def _drop(self) -> None:
        self._cut(0)
        self.tables = []

    def free(self) -> None:
        """Give all blocks back; the cache is empty and may be used again."""
        self.truncate(0)

    def waste(self) -> int:
        """Token slots taken and not used, over all rows: less than a block for each."""
        return sum(len(table) * self.pool.block - len(self) for table in self.tables)

    def nbytes(self) -> int:
        """Bytes of the tokens held, shared ones too."""
        return len(self.tables) * len(self) * self.pool.token_bytes()

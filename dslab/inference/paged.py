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
from dslab.inference.blocks import ROOT, BlockPool


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

    def reserve(self, n: int, rows: int = 1) -> None:
        """Room for n tokens in each row, the last block of each its own; CacheFull, and nothing changed, if none is."""
        pool, at = self.pool, self._covered % self.pool.block
        tables = self.tables or [[] for _ in range(rows)]
        more = max(0, -(-n // pool.block) - len(tables[0]))
        lasts = Counter(table[-1] for table in tables) if at and n > self._covered else Counter()
        pool.require(len(tables) * more + sum(here - (here == pool.refcount(id)) for id, here in lasts.items()))
        for table in tables:
            if lasts:
                self._make_own(table, at)
            table += [pool.allocate() for _ in range(more)]
        self.tables, self._covered = tables, max(n, self._covered)
        self._slots = self._table = None

    def unreserve(self) -> None:
        """Give back the room beyond what is held."""
        if self._covered > len(self):
            self._cut(len(self))

    def advance(self, layer: int, end: int) -> None:
        """A batch has written the tokens of a layer up to `end`."""
        self._held[layer] = self._end = end
        self._made[layer] = self.pool.shapes(layer)

    def _make_own(self, table: list[int], tokens: int) -> None:
        """Copy on write: the last block becomes one that nobody else reads."""
        if self.pool.refcount(table[-1]) > 1:
            copied = self.pool.allocate()
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
        if end > self._covered:
            self.reserve(end, k.shape[0])
        if self._slots is None:
            self._slots = self.slots(start, end).to(k.device)
        keys[self._slots] = k.transpose(1, 2).flatten(0, 1)
        values[self._slots] = v.transpose(1, 2).flatten(0, 1)

    def view(self, layer: int) -> tuple[Tensor, Tensor]:
        """A copy in order, (B, Hkv, len, D)."""
        keys, values = self.pool.layer(layer)
        if self._table is None:
            self._table = torch.tensor(self.tables, device=keys.device)
        return self._gather(keys, layer), self._gather(values, layer)

    def _gather(self, x: Tensor, layer: int) -> Tensor:
        assert self._table is not None
        blocks = x.view(self.pool.blocks, self.pool.block, *x.shape[1:])[self._table]  # (B, blocks, block, Hkv, D)
        return blocks.flatten(1, 2)[:, : self._held[layer]].transpose(1, 2)

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
            self.tokens, self._end, self._covered, self._slots, self._table = prompt[:n], n, n, None, None
            for layer in pool.layers:
                self.advance(layer, n)
        return n

    def _cut(self, n: int) -> None:
        keep = -(-n // self.pool.block)
        for table in self.tables:
            for id in reversed(table[keep:]):  # a chain's end goes first: without its beginning it is not found
                self.pool.release(id)
            del table[keep:]
        del self._nodes[n // self.pool.block :]
        self._covered, self._slots, self._table = n, None, None

    def _pick(self, index: Tensor) -> None:
        old, self.tables = self.tables, [list(self.tables[i]) for i in index.tolist()]
        self._share_all()
        for table in old:
            for id in table:
                self.pool.release(id)
        self._slots = self._table = None

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

"""The blocks that paged caches live in: a free list, reference counts, and what is known to stand in a block.

Key/value memory is cut into blocks of `block` tokens, as an operating system cuts memory into pages (Kwon et al. 2023,
arXiv 2309.06180). A sequence holds a table of block numbers; two sequences that begin alike may hold the same blocks.
One pool serves one model: what stands in a block depends on the weights that made it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor

from dslab.inference.base import CacheError, CacheFull

ROOT = 0  # the node of the empty prefix

Shapes = tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device]
Key = tuple[int, tuple[int, ...]]  # (the node of what is before a block, the tokens in it)


class BlockPool:
    """`blocks` blocks of `block` tokens each; keys and values of all layers stand under the same block number.

    A block has a reference count: the number of tables it stands in. At 0 it is free, but what it holds stays known
    (`lookup`) until its memory is needed. What is needed is not single blocks but stretches of them, since neighbours
    are read in one go (see runs.py): where the longest blank stretch is short, the half of the known, free blocks that
    was released first is forgotten.
    """

    def __init__(self, blocks: int, block: int = 16) -> None:
        if blocks < 1 or block < 1:
            raise ValueError(f"a pool has at least one block of at least one token; got blocks={blocks}, block={block}")
        self.blocks, self.block = blocks, block
        self._counts = [0] * blocks
        self._blank = set(range(blocks))  # free, and holding nothing that anyone could look for
        self._kept: OrderedDict[int, None] = OrderedDict()  # free and known, the one released first at the front
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}
        self._known: dict[Key, tuple[int, int]] = {}  # (parent, tokens) -> (block, node)
        self._key: dict[int, Key] = {}  # block -> under what it is known
        self._nodes = ROOT

    # Who holds which block.

    @property
    def free(self) -> int:
        """Blocks that `allocate` can still give, those with known contents included."""
        return len(self._blank) + len(self._kept)

    @property
    def used(self) -> int:
        """Blocks that stand in at least one table."""
        return self.blocks - self.free

    def refcount(self, id: int) -> int:
        return self._counts[self._checked(id)]

    def allocate(self, after: int | None = None, ahead: int = 1) -> int:
        """A block that nobody holds, with one reference. CacheFull when none is free.

        after  the block that the sequence has before it: the next one is given if it is blank. Else the block comes
               from the longest blank stretch, from a place where `ahead` blocks, and later more, can follow.
        """
        self.require(1)
        id = after + 1 if after is not None and after + 1 in self._blank else self._place(ahead)
        self._blank.remove(id)
        self._counts[id] = 1
        return id

    def _place(self, ahead: int) -> int:
        """In the middle of the longest stretch of blank blocks: whoever stands before it may want to grow as well."""
        while True:
            longest, length, run = 0, 0, 0
            for id in range(self.blocks):
                run = run + 1 if id in self._blank else 0
                if run > length:
                    longest, length = id - run + 1, run
            if length >= 2 * ahead or not self._kept:  # as many again as are wanted now: room to grow
                return longest + max(0, length - ahead) // 2 if longest else 0
            for id in list(self._kept)[: (len(self._kept) + 1) // 2]:
                self.forget(id)

    def require(self, blocks: int) -> None:
        """CacheFull unless so many blocks are free: asked first, so that a refusal changes nothing."""
        if blocks > self.free:
            raise CacheFull(
                f"{blocks} block{'s' * (blocks > 1)} of {self.block} tokens needed, {self.free} of {self.blocks} free; "
                "free() or truncate() a sequence, or make the pool larger"
            )

    def share(self, id: int) -> int:
        """One more reference to a block that is held, or that is free and known."""
        if not self._counts[self._checked(id)]:
            if id not in self._kept:
                raise CacheError(f"block {id} is free and holds nothing known: allocate() gives blocks")
            del self._kept[id]
        self._counts[id] += 1
        return id

    def release(self, id: int) -> None:
        """Give back one reference; the last one frees the block."""
        if not self._counts[self._checked(id)]:
            raise CacheError(f"block {id} is free already: it was released more often than allocated and shared")
        self._counts[id] -= 1
        if not self._counts[id]:
            if id in self._key:
                self._kept[id] = None
            else:
                self._blank.add(id)

    def _checked(self, id: int) -> int:
        if not 0 <= id < self.blocks:
            raise ValueError(f"there is no block {id}: the pool has blocks 0 to {self.blocks - 1}")
        return id

    # What stands in a block: (the node of all before it, its own tokens), compared exactly. A node is a number given
    # once and never again, so that a block's successors are not found behind what replaces it.

    def lookup(self, tokens: Sequence[int]) -> tuple[list[int], int]:
        """(blocks, n): the full blocks known to hold the beginning of `tokens`, and how many tokens that is.

        They are not taken: share() each before anything is allocated.
        """
        blocks, node = [], ROOT
        for start in range(0, len(tokens) - self.block + 1, self.block):
            found = self._known.get((node, tuple(tokens[start : start + self.block])))
            if found is None:
                break
            blocks.append(found[0])
            node = found[1]
        return blocks, len(blocks) * self.block

    def register(self, parent: int, tokens: Sequence[int], id: int) -> int:
        """Make a full block known under the node of what is before it (ROOT at the start) and its tokens; its own node.

        Where another block is known for the same, that one stays and its node is returned.
        """
        if len(tokens) != self.block or not self._counts[self._checked(id)]:
            raise CacheError(
                f"only a held, full block becomes known ({self.block} tokens); got {len(tokens)}, block {id}"
            )
        key = (parent, tuple(tokens))
        if key not in self._known:
            self.forget(id)
            self._nodes += 1
            self._known[key], self._key[id] = (id, self._nodes), key
        return self._known[key][1]

    def forget(self, id: int) -> None:
        """What the block holds is no longer known: it will be written to."""
        if id in self._key:
            del self._known[self._key.pop(id)]
        if id in self._kept:
            del self._kept[id]
            self._blank.add(id)

    def node(self, id: int) -> int:
        """The node of a block whose contents are known."""
        return self._known[self._key[id]][1]

    # The memory itself.

    @property
    def layers(self) -> list[int]:
        """The layers that something was written to."""
        return list(self._layers)

    def layer(self, layer: int, k: Tensor | None = None, v: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Keys and values of a layer, (blocks * block, Hkv, D) each: token t of block b stands at b * block + t.

        k, v (B, Hkv, T, D): what will be written, from which the first call for a layer takes the shapes. While no
        block is held, other shapes are taken too, and all that was known is forgotten.
        """
        if layer not in self._layers:
            if k is None or v is None:
                raise CacheError(f"layer {layer} holds nothing yet; append to it first")
            with torch.inference_mode(False):  # else nobody outside inference mode could write to it
                made = [
                    torch.empty(self.blocks * self.block, x.shape[1], x.shape[3], dtype=x.dtype, device=x.device)
                    for x in (k, v)
                ]
            self._layers[layer] = made[0], made[1]
        held = self._layers[layer]
        for name, x, h in (("keys", k, held[0]), ("values", v, held[1])):
            if x is not None and (x.shape[1], x.shape[3], x.dtype, x.device) != (*h.shape[1:], h.dtype, h.device):
                if not self.used:
                    self.clear()
                    return self.layer(layer, k, v)
                raise ValueError(
                    f"layer {layer}: the pool holds {name} of {h.shape[1]} heads of {h.shape[2]} ({h.dtype} on "
                    f"{h.device}); came {x.shape[1]} of {x.shape[3]} ({x.dtype} on {x.device}): use one pool per model"
                )
        return held

    def clear(self) -> None:
        """Give the memory back, and forget what is known; CacheError while blocks are held."""
        if self.used:
            raise CacheError(f"{self.used} blocks are held: free() the sequences first")
        self._layers.clear()
        for id in list(self._key):
            self.forget(id)

    def shapes(self, layer: int) -> Shapes:
        """(1, Hkv, D) of keys and of values, dtype and device: what one sequence holds."""
        k, v = self._layers[layer]
        return (1, *k.shape[1:]), (1, *v.shape[1:]), k.dtype, k.device

    def copy(self, source: int, target: int, tokens: int) -> None:
        """The first tokens of a block into another, in all layers."""
        a, b = source * self.block, target * self.block
        for pair in self._layers.values():
            for x in pair:
                x[b : b + tokens] = x[a : a + tokens]

    @property
    def reserved(self) -> int:
        """Bytes of the whole pool, held tokens or not."""
        return sum(x.numel() * x.element_size() for pair in self._layers.values() for x in pair)

    def token_bytes(self) -> int:
        """Bytes of one token over all layers."""
        return self.reserved // (self.blocks * self.block)

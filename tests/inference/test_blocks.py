"""The pool by itself: who holds what, what is known, and refusals that leave it whole."""

import random
from itertools import pairwise

import pytest
import torch

from dslab.inference.base import CacheError, CacheFull
from dslab.inference.blocks import ROOT, BlockPool


def test_blocks_are_given_once_and_come_back():
    pool = BlockPool(5, block=4)
    given = [pool.allocate() for _ in range(5)]
    assert sorted(given) == list(range(5))
    assert (pool.free, pool.used) == (0, 5)
    with pytest.raises(CacheFull, match="1 block of 4 tokens needed, 0 of 5 free"):
        pool.allocate()
    pool.share(given[0])
    assert pool.refcount(given[0]) == 2
    pool.release(given[0])
    assert pool.used == 5
    for id in given:
        pool.release(id)
    assert (pool.free, pool.used) == (5, 0)


def test_a_block_is_not_released_twice():
    pool = BlockPool(2)
    id = pool.allocate()
    pool.release(id)
    with pytest.raises(CacheError, match="free already"):
        pool.release(id)
    assert pool.free == 2
    assert {pool.allocate(), pool.allocate()} == {0, 1}


def test_bad_arguments():
    for blocks, block in ((0, 16), (4, 0), (-1, 16)):
        with pytest.raises(ValueError, match="at least one block"):
            BlockPool(blocks, block)
    pool = BlockPool(3)
    for call in (pool.release, pool.share, pool.refcount):
        with pytest.raises(ValueError, match="blocks 0 to 2"):
            call(3)
    with pytest.raises(CacheError, match="nothing known"):
        pool.share(0)
    with pytest.raises(CacheError, match="full block"):
        pool.register(ROOT, [1, 2], pool.allocate())
    with pytest.raises(CacheError, match="holds nothing yet"):
        pool.layer(0)


def chain(pool, *blocks_of_tokens):
    """Held blocks with these tokens, one after the other; their ids."""
    node, ids = ROOT, []
    for tokens in blocks_of_tokens:
        ids.append(pool.allocate(ids[-1] if ids else None))
        node = pool.register(node, tokens, ids[-1])
    return ids


def test_what_is_known_is_found_by_all_that_is_before_it():
    pool = BlockPool(10, block=2)
    a = chain(pool, [1, 2], [5, 6])
    b = chain(pool, [3, 4], [5, 6])  # the same tokens after others: other keys and values
    assert pool.lookup([1, 2, 5, 6, 7]) == (a, 4)
    assert pool.lookup([3, 4, 5, 6]) == (b, 4)
    assert pool.lookup([1, 2, 5, 7]) == (a[:1], 2)
    assert pool.lookup([5, 6]) == ([], 0)
    assert pool.lookup([1]) == ([], 0)
    again = pool.allocate()
    assert pool.register(ROOT, [1, 2], again) == pool.node(a[0])  # the first one stays known
    assert pool.lookup([1, 2]) == (a[:1], 2)


def test_free_blocks_stay_known_until_they_are_needed():
    pool = BlockPool(6, block=2)
    a, b = chain(pool, [1, 2], [3, 4]), chain(pool, [7, 8], [9, 9])
    for id in [*reversed(a), *reversed(b)]:
        pool.release(id)
    assert pool.free == 6
    assert pool.lookup([1, 2, 3, 4]) == (a, 4)
    assert pool.share(a[0]) == a[0]  # taken off the free list again
    assert (pool.used, pool.refcount(a[0])) == (1, 1)
    pool.release(a[0])  # now the youngest
    pool.allocate()  # there are blank ones, but no two in a row: the older half is forgotten, a[1] and b[1]
    assert pool.lookup([1, 2, 3, 4]) == (a[:1], 2)
    assert pool.lookup([7, 8, 9, 9]) == (b[:1], 2)
    assert pool.free == 5
    assert len({pool.allocate() for _ in range(5)}) == 5
    assert pool.lookup([1, 2]) == pool.lookup([7, 8]) == ([], 0)
    assert pool.free == 0


def test_successors_are_not_found_behind_what_replaces_their_parent():
    pool = BlockPool(2, block=1)
    parent, child = chain(pool, [1], [2])
    pool.release(parent)
    pool.forget(parent)
    assert pool.allocate() == parent  # the same block, other contents
    pool.register(ROOT, [9], parent)
    assert pool.lookup([9, 2]) == ([parent], 1)
    assert pool.lookup([1, 2]) == ([], 0)
    assert pool.refcount(child) == 1


def test_neighbours_after_many_lives():
    """Sequences that come and go, all known: those that are alive stand in one stretch each, or nearly."""
    draw, pool, alive = random.Random(0), BlockPool(128, block=1), []
    stretches = []
    for number in range(300):
        alive.append((draw.randint(5, 12), []))
        for goal, ids in alive:
            node = ROOT
            for left in range(1 if ids else goal // 2, 0, -1):
                ids.append(pool.allocate(ids[-1] if ids else None, left))
                node = pool.register(node, [number * 1000 + len(ids)], ids[-1])
            stretches.append(1 + sum(b != a + 1 for a, b in pairwise(ids)))
        for done in [one for one in alive if len(one[1]) >= one[0]]:
            alive.remove(done)
            for id in reversed(done[1]):
                pool.release(id)
    assert sum(stretches) / len(stretches) < 1.15


def test_neighbours_where_possible():
    pool = BlockPool(32)
    sequences = [[pool.allocate(ahead=3)] for _ in range(4)]
    for _ in range(4):  # four sequences that grow in turn
        for ids in sequences:
            ids.append(pool.allocate(ids[-1]))
    assert all(ids == list(range(ids[0], ids[0] + 5)) for ids in sequences)
    assert sequences[0][0] == 0


def test_shapes_are_those_of_one_model():
    pool = BlockPool(4, block=2)
    k, v = torch.ones(1, 3, 5, 8), torch.ones(1, 3, 5, 6)
    keys, values = pool.layer(0, k, v)
    assert (keys.shape, values.shape) == ((8, 3, 8), (8, 3, 6))
    assert pool.reserved == 4 * 8 * 3 * (8 + 6)
    assert pool.token_bytes() == 4 * 3 * (8 + 6)
    id = pool.allocate()
    for other in ((k[:, :2], v[:, :2]), (k[..., :4], v), (k, v[..., :4]), (k.half(), v.half())):
        with pytest.raises(ValueError, match=r"layer 0: the pool holds .* one pool per model"):
            pool.layer(0, *other)
    with pytest.raises(CacheError, match="1 blocks are held"):
        pool.clear()
    pool.register(ROOT, [1, 2], id)
    pool.release(id)
    assert pool.layer(0, k.half(), v.half())[0].dtype == torch.half  # nobody holds anything: other shapes may come
    assert pool.lookup([1, 2]) == ([], 0)

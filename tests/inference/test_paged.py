"""A paged cache is a cache, whatever its blocks: against the dict, forked, cut, shared, and out of blocks."""

import random

import pytest
import torch
from kv_data import data, feed, same, views

from dslab.inference.base import CacheError, CacheFull
from dslab.inference.blocks import BlockPool
from dslab.inference.cache import DictCache
from dslab.inference.paged import PagedCache
from dslab.inference.runs import MANY, Cuts, attend_one, runs_of, scaled


def neighbours(pool: BlockPool) -> BlockPool:
    return pool


def scattered(pool: BlockPool, seed: int = 0) -> BlockPool:
    """The pool, giving any free block but a neighbour."""
    draw = random.Random(seed)
    pool._place = lambda ahead: draw.choice(sorted(pool._blank))
    give = pool.allocate
    pool.allocate = lambda after=None, ahead=1: give()
    return pool


def both(pool: BlockPool):
    return PagedCache(pool), DictCache()


def ids(*tokens):
    return torch.tensor([tokens])


@pytest.mark.parametrize("block", [1, 2, 16, 64])
@pytest.mark.parametrize("place", [neighbours, scattered])
def test_equal_to_the_dict_across_block_edges(block, place):
    pool, draw = place(BlockPool(300 // block, block)), random.Random(block)
    paged, plain = both(pool)
    qkv, n = data(), 0
    while n < 150:
        T = min(draw.choice([1, 1, 1, 2, 15, 16, 17, 40]), 150 - n)
        assert (feed(paged, qkv, n, T) - feed(plain, qkv, n, T)).abs().max() < 1e-5
        assert same(views(paged), views(plain))
        n += T
        assert paged.positions(2).tolist() == [n, n + 1]
        assert paged.waste() == -n % block
        assert pool.used == -(-n // block)
        assert paged.nbytes() == plain.nbytes() == pool.token_bytes() * n


@pytest.mark.parametrize("rows", [2, 5])
def test_rows_and_their_order(rows):
    paged, plain = both(BlockPool(60, 4))
    qkv, draw, n = data(40, rows), torch.Generator().manual_seed(rows), 0
    for T in (5, 1, 1, 8, 1, 1):
        assert (feed(paged, qkv, n, T) - feed(plain, qkv, n, T)).abs().max() < 1e-5
        n += T
        index = torch.randint(0, rows, (rows,), generator=draw)
        paged.reorder(index)
        plain.reorder(index)
        assert same(views(paged), views(plain))
        assert paged.waste() < 4 * rows
    paged.free()
    assert paged.pool.free == 60


def test_reordering_costs_no_memory_until_rows_differ():
    cache, qkv = PagedCache(block=4), data(20, 3)
    feed(cache, qkv, 0, 6)
    assert cache.pool.used == 6
    cache.reorder(torch.tensor([1, 1, 1]))
    assert cache.pool.used == 2
    feed(cache, qkv, 6, 1)  # two of three copy the last block, the last one to hold it need not
    assert cache.pool.used == 1 + 3


@pytest.mark.parametrize("seed", range(12))
def test_truncation_leaves_no_trace(seed):
    draw, qkv = random.Random(seed), data()
    cut, never = PagedCache(block=4), PagedCache(block=4)
    n = draw.randint(1, 30)
    feed(cut, qkv, 0, n)
    feed(never, qkv, 0, n)
    feed(cut, data(seed=9), n, draw.randint(1, 30))
    cut.truncate(n)
    assert cut.pool.used == never.pool.used == -(-n // 4)
    for T in (1, 3, 1, 9):
        assert torch.equal(feed(cut, qkv, n, T), feed(never, qkv, n, T))
        assert same(views(cut), views(never))
        n += T
    with pytest.raises(ValueError, match="came -1"):
        cut.truncate(-1)
    with pytest.raises(ValueError, match="expected 0 <= n"):
        cut.truncate(n + 1)
    cut.free()
    assert (len(cut), cut.pool.used, cut.nbytes()) == (0, 0, 0)


@pytest.mark.parametrize("n", [3, 4, 5, 8])
def test_forks_share_until_one_writes(n):
    a, qkv, other = PagedCache(block=4), data(), data(seed=5)
    feed(a, qkv, 0, n)
    b = a.fork()
    before = views(a)
    assert a.pool.used == -(-n // 4)
    feed(b, other, n, 1)
    assert same(views(a), before), "b wrote into a block that a reads"
    assert a.pool.used == -(-n // 4) + 1  # a copy of the last block, or the next one
    feed(a, qkv, n, 2)
    alone = PagedCache(block=4)
    feed(alone, qkv, 0, n + 2)
    assert same(views(a), views(alone))
    a.free()
    want = DictCache()
    feed(want, qkv, 0, n)
    feed(want, other, n, 1)
    assert same(views(b), views(want))
    b.free()
    assert a.pool.free == a.pool.blocks


def run(cache, qkv, tokens, start=0):
    feed(cache, qkv, start, len(tokens))
    cache.record(ids(*tokens))


def test_a_known_beginning_is_adopted():
    pool, qkv = BlockPool(20, 4), data()
    a, tokens = PagedCache(pool), list(range(100, 111))
    run(a, qkv, tokens)
    b = PagedCache(pool)
    assert b.adopt([*tokens[:9], 7, 7]) == 8
    assert b.tables == [a.tables[0][:2]]
    assert (len(b), b.tokens, pool.used) == (8, tokens[:8], 3)
    run(b, qkv, [tokens[8], 7, 7], 8)
    assert same(views(b), views(a))
    assert b.rows == 1
    c = PagedCache(pool)
    assert c.adopt(tokens[:8]) == 4  # one token must be left to be fed
    assert c.adopt.__self__ is c
    with pytest.raises(CacheError, match="only an empty cache"):
        c.adopt(tokens)
    a.free()
    c.free()
    again = PagedCache(pool)
    assert again.adopt(tokens) == 8  # b holds them still
    b.free()
    again.free()
    assert pool.free == 20
    late = PagedCache(pool)
    assert late.adopt(tokens) == 8  # nobody held them, and they were still there
    assert same(views(late), [x[:, :, :8] for x in (*qkv[1:], *(2 * x for x in qkv[1:]))])


def test_a_block_that_is_written_again_is_no_longer_known():
    pool, qkv, other = BlockPool(20, 4), data(), data(seed=3)
    a = PagedCache(pool)
    run(a, qkv, [1, 2, 3, 4, 5, 6, 7, 8])
    a.truncate(6)
    assert pool.lookup([1, 2, 3, 4, 5, 6, 7, 8])[1] == 8  # nothing has been written over yet
    run(a, other, [9], 6)
    assert pool.lookup([1, 2, 3, 4, 5, 6, 7, 8])[1] == 4
    run(a, other, [9, 9], 7)
    b = PagedCache(pool)
    assert b.adopt([1, 2, 3, 4, 5, 6, 7, 8, 0]) == 4
    b.free()
    assert b.adopt([1, 2, 3, 4, 5, 6, 9, 9, 0]) == 8
    fork = b.fork()
    fork.truncate(6)
    run(fork, qkv, [7, 8], 6)  # copies: b and the pool go on knowing the old one
    assert pool.lookup([1, 2, 3, 4, 5, 6, 9, 9])[1] == 8
    assert pool.lookup([1, 2, 3, 4, 5, 6, 7, 8])[1] == 8
    assert same(views(fork), [x[:, :, :8] for x in (*qkv[1:], *(2 * x for x in qkv[1:]))])


def test_tokens_nobody_told_are_not_shared():
    pool, qkv = BlockPool(20, 4), data()
    a = PagedCache(pool)
    feed(a, qkv, 0, 8)
    run(a, qkv, [1, 2, 3, 4], 8)
    assert a.tokens is None
    assert PagedCache(pool).adopt([1, 2, 3, 4, 5]) == 0


def test_out_of_blocks_changes_nothing():
    pool, qkv = BlockPool(4, 4), data()
    a, b = PagedCache(pool), PagedCache(pool)
    feed(a, qkv, 0, 10)
    before = views(a), [list(table) for table in a.tables]
    for T in (7, 100):
        with pytest.raises(CacheFull, match="free"):
            feed(a, qkv, 10, T)
    with pytest.raises(CacheFull):
        feed(b, qkv, 0, 5)
    assert (same(views(a), before[0]), a.tables, len(a), pool.used) == (True, before[1], 10, 3)
    assert (len(b), b.waste()) == (0, 0)
    c = a.fork()
    feed(c, qkv, 10, 1)  # the copy takes the last block
    with pytest.raises(CacheFull):
        feed(c, qkv, 11, 2)
    feed(a, qkv, 10, 1)
    c.free()
    a.free()
    assert pool.free == 4


def test_half_precision_is_stored_and_fp32_summed():
    qkv = data(60)
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        paged, plain = both(BlockPool(20, 4))
        part = [x.to(dtype) for x in qkv]
        for n in range(60):
            ours, theirs = feed(paged, part, n, 1), feed(plain, part, n, 1)
        assert ours.dtype == dtype
        assert (ours - theirs).abs().max() < {torch.float64: 1e-14}.get(dtype, 2e-2)


def test_stretches():
    assert runs_of([], 4, 0) == []
    assert runs_of([3, 4, 5, 9, 8], 4, 18) == [(12, 12), (36, 4), (32, 2)]
    assert runs_of([3, 4], 4, 4) == [(12, 4)]
    memory = torch.arange(40.0)
    disjoint = Cuts([[(0, 3), (10, 4)], [(10, 4)], [(20, 20)]], 40)
    assert disjoint.sizes is not None
    overlap = Cuts([[(0, 3), (10, 4)], [(12, 4)]], 40)
    assert overlap.sizes is None
    for cuts, wanted in ((disjoint, [[0, 10], [10], [20]]), (overlap, [[0, 10], [12]])):
        cut = cuts(memory, 0, torch.float64)
        assert [[int(part[0]) for part in parts] for parts in cut] == wanted
        assert cut[0][1].tolist() == [10, 11, 12, 13]
        assert cut[0][0].dtype == torch.float64


@pytest.mark.parametrize("runs", [[(0, 9)], [(20, 4), (3, 5)], [(0, 1), (5, 1), (9, 7)]])
def test_attention_over_stretches(runs):
    q, k, v = (torch.randn(2, n, d, generator=torch.Generator().manual_seed(n)) for n, d in ((3, 8), (30, 8), (30, 5)))
    where = torch.cat([torch.arange(a, a + n) for a, n in runs])
    wanted = (q @ k[:, where].transpose(1, 2) / 8**0.5).softmax(-1) @ v[:, where]
    keys, values = [[x[:, a : a + n] for a, n in runs] for x in (k, v)]
    assert torch.allclose(attend_one(scaled(q, None), [x.transpose(1, 2) for x in keys], values), wanted, atol=1e-6)
    assert len(runs) <= MANY

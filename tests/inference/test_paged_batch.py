"""A ragged batch gives each sequence what it would get alone; refusals change none of them."""

import pytest
import torch
from kv_data import LAYERS, data, feed, same, views
from test_paged import neighbours, scattered

from dslab.inference.base import CacheError, CacheFull
from dslab.inference.blocks import BlockPool
from dslab.inference.cache import DictCache
from dslab.inference.paged import PagedCache
from dslab.inference.paged_batch import PagedBatch

SCHEDULE = [[5, 9, 1, 4], [1, 1, 1, 1], [1, 1, 7, 1], [1, 1, 1, 1], [3, 2, 4, 2], [1, 1, 1, 1]]


def flat(qkvs, starts, counts):
    """The new tokens of all sequences, one after the other: q, k, v of (1, H, N, D)."""
    return [
        torch.cat([qkv[i][:, :, a : a + n] for qkv, a, n in zip(qkvs, starts, counts, strict=True)], 2)
        for i in range(3)
    ]


@pytest.mark.parametrize("place", [neighbours, scattered])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_each_sequence_gets_what_it_would_alone(place, dtype):
    pool = place(BlockPool(64, 2))
    caches, alone = [PagedCache(pool) for _ in range(4)], [DictCache() for _ in range(4)]
    qkvs, starts = [[x.to(dtype) for x in data(40, seed=i)] for i in range(4)], [0] * 4
    for counts in SCHEDULE:
        batch = PagedBatch(caches, counts)
        assert batch.positions(sum(counts)).tolist() == [
            a + i for a, n in zip(starts, counts, strict=True) for i in range(n)
        ]
        q, k, v = flat(qkvs, starts, counts)
        for layer in range(LAYERS):
            out = batch.attend(layer, *(x * (layer + 1) for x in (q, k, v)))
            assert (out.shape, out.dtype) == ((1, 4, sum(counts), 6), dtype)
            for cache, qkv, a, n, own in zip(alone, qkvs, starts, counts, out.split(counts, 2), strict=True):
                theirs = cache.attend(layer, *(x[:, :, a : a + n] * (layer + 1) for x in qkv))
                assert (own - theirs).abs().max() < (1e-5 if dtype == torch.float32 else 4e-2)
        starts = [a + n for a, n in zip(starts, counts, strict=True)]
        assert [len(cache) for cache in caches] == starts
        assert batch.last.tolist() == [sum(counts[: i + 1]) - 1 for i in range(4)]
        assert all(cache.waste() < 2 for cache in caches)
        assert all(
            torch.equal(a, b)
            for p, d in zip(caches, alone, strict=True)
            for a, b in zip(views(p), views(d), strict=True)
        )


def step(caches, counts, tokens, seed=0):
    batch = PagedBatch(caches, counts)
    for layer in range(LAYERS):
        batch.attend(layer, *data(sum(counts), seed=seed))
    batch.record(torch.tensor([tokens]))
    return batch


def test_tokens_are_recorded_and_blocks_become_known():
    pool = BlockPool(20, 2)
    a, b = PagedCache(pool), PagedCache(pool)
    batch = step([a, b], [5, 3], [1, 2, 3, 4, 5, 6, 7, 8])
    assert (a.tokens, b.tokens) == ([1, 2, 3, 4, 5], [6, 7, 8])
    assert (len(batch), batch.nbytes()) == (5, 8 * pool.token_bytes())
    c = PagedCache(pool)
    assert c.adopt([1, 2, 3, 4, 9]) == 4
    step([c, b], [1, 1], [9, 9])  # c's beginning is a's
    assert pool.used == 3 + 2 + 1
    for cache in (a, b, c):
        cache.free()
    assert pool.free == 20


def test_forks_in_one_batch():
    """Two forks write into the same last block in one pass: only one of them copies it."""
    pool = BlockPool(3, 4)
    a = PagedCache(pool)
    step([a], [6], [1, 2, 3, 4, 5, 6])
    b = a.fork()
    step([a, b], [1, 1], [7, 8])
    assert pool.used == 3
    k = a.view(0)[0], b.view(0)[0]
    assert torch.equal(k[0][:, :, :6], k[1][:, :, :6])
    assert not torch.equal(k[0][:, :, 6], k[1][:, :, 6])


def test_copies_are_counted_before_anything_is_taken():
    pool = BlockPool(4, 4)
    a, b = PagedCache(pool), PagedCache(pool)
    step([a, b], [4, 6], range(10))
    c = b.fork()
    with pytest.raises(CacheFull, match="2 blocks"):  # one for a, and a copy of the last that b and c hold
        PagedBatch([a, c], [1, 1])
    assert (len(a.tables[0]), pool.used) == (1, 3)
    step([b, c], [1, 1], [7, 8])
    assert pool.free == 0


def test_inside_and_outside_inference_mode():
    pool = BlockPool(4, 4)
    a, qkv = PagedCache(pool), data(3)
    with torch.inference_mode():
        step([a], [5], range(5))
    step([a], [1], [5])
    a.attend(0, *(x[:, :, :1].clone().requires_grad_() for x in qkv))
    assert not a.view(0)[0].requires_grad


def test_refusals_change_nothing():
    pool = BlockPool(4, 4)
    a, b = PagedCache(pool), PagedCache(pool)
    step([a, b], [4, 5], range(9))
    with pytest.raises(CacheFull, match="2 blocks of 4 tokens needed, 1 of 4 free"):
        PagedBatch([a, b], [1, 4])
    assert (len(a), len(b), pool.used) == (4, 5, 3)
    with pytest.raises(ValueError, match="as many counts"):
        PagedBatch([a, b], [1])
    with pytest.raises(ValueError, match="at least 1"):
        PagedBatch([a, b], [1, 0])
    with pytest.raises(ValueError, match="different sequences"):
        PagedBatch([a, a], [1, 1])
    with pytest.raises(ValueError, match="over one pool"):
        PagedBatch([a, PagedCache()], [1, 1])
    rows = PagedCache(BlockPool(9))
    rows.append(0, *data(3, rows=2)[1:])
    with pytest.raises(ValueError, match="several rows"):
        PagedBatch([rows], [1])
    batch = PagedBatch([a, b], [1, 1])
    with pytest.raises(ValueError, match=r"expected \(1, Hkv, 2, D\)"):
        batch.attend(0, *data(3))
    for call in (lambda: batch.truncate(1), batch.fork, lambda: batch.view(0)):
        with pytest.raises(CacheError, match="lives for one pass"):
            call()


def test_a_batch_that_is_never_fed():
    pool, qkv = BlockPool(8, 4), data(20)
    a, alone = PagedCache(pool), DictCache()
    for cache in (a, alone):
        feed(cache, qkv, 0, 3)
    PagedBatch([a], [9])
    for n in range(3, 9):
        assert (feed(a, qkv, n, 1) - feed(alone, qkv, n, 1)).abs().max() < 1e-5
        assert a.waste() < 4
    assert same(views(a), views(alone))


def test_a_pass_that_stops_part_way():
    pool = BlockPool(8, 4)
    a = PagedCache(pool)
    step([a], [4], range(4))
    PagedBatch([a], [9])  # never fed: its room is given back by the next
    assert (pool.used, len(a)) == (4, 4)
    batch = PagedBatch([a], [1])
    assert pool.used == 2
    batch.attend(0, *data(1))
    with pytest.raises(CacheError, match="stopped part way"):
        PagedBatch([a], [1])
    a.truncate(4)
    assert pool.used == 1
    step([a], [1], [7])
    assert a.tokens == [0, 1, 2, 3, 7]

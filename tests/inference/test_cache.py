"""What every cache does alike: attention over pieces, truncation without a trace, forks, rows, refusals."""

import random

import pytest
import torch
import torch.nn.functional as F
from kv_data import ANYWHERE, EXACT, KINDS, data, feed, same, views

from dslab.inference.cache import Cache, CacheError, CacheFull, CacheMismatch, ContiguousCache, DictCache, attention


def whole(q, k, v):
    G = q.shape[1] // k.shape[1]
    return F.scaled_dot_product_attention(q, k.repeat_interleave(G, 1), v.repeat_interleave(G, 1), is_causal=True)


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (6, 1)])
def test_pieces_attend_as_the_whole(kind, heads):
    qkv = data(30, rows=3, heads=heads[0], kv_heads=heads[1])
    for pieces in ([30], [1] * 30, [7, 1, 1, 20, 1], [1, 29]):
        cache, out, n = KINDS[kind](), [], 0
        for T in pieces:
            assert cache.positions(T).tolist() == list(range(n, n + T))
            assert cache.visible(T) == n + T
            out.append(feed(cache, qkv, n, T)[0])
            n += T
            assert len(cache) == n == cache.view(0)[0].shape[2]
        assert (torch.cat(out, 2) - whole(*qkv)).abs().max() < 1e-6


def test_a_scale_of_ones_own():
    q, k, v = data(9)
    assert torch.allclose(attention(q, k, v, 0.5), whole(q * 0.5 * 8**0.5, k, v), atol=1e-6)
    assert (attention(q, k, v, 0.5) - attention(q, k, v)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(10))
def test_truncation_leaves_no_trace(kind, seed):
    """Cut and go on: bit for bit what a cache gives that never had the rest. Or a refusal that changes nothing."""
    draw = random.Random(seed)
    pieces, then = ([draw.choice((1, 1, 3, 8, 20)) for _ in range(draw.randint(1, 5))] for _ in range(2))
    cut = draw.randint(0, sum(pieces)) if seed % 2 else sum(pieces) - draw.randint(0, pieces[-1])
    qkv, cache, begins = data(210), KINDS[kind](), [0]
    for T in pieces:
        feed(cache, qkv, begins[-1], T)
        begins.append(begins[-1] + T)
    n, before = cut, views(cache)
    try:
        cache.truncate(n)
    except CacheError:
        assert kind not in ANYWHERE
        assert n < begins[-2], "the last pass can always be taken back"
        assert len(cache) == begins[-1]
        assert same(views(cache), before)
        n = begins[-1]
    never = KINDS[kind]()
    for start, T in zip(begins, pieces, strict=False):
        if start < n:
            feed(never, qkv, start, min(T, n - start))
    assert len(cache) == len(never) == n
    if kind != "kivi4" and kind != "kivi2":  # a group may be closed early; what is computed next is the same
        assert same(views(cache), views(never))
    for T in then:
        assert cache.visible(T) == never.visible(T)
        assert torch.equal(feed(cache, qkv, n, T), feed(never, qkv, n, T))
        n += T
        assert same(views(cache), views(never))
        assert cache.nbytes() == never.nbytes()


@pytest.mark.parametrize("kind", KINDS)
def test_forks_do_not_see_each_other(kind):
    qkv, other = data(), data(seed=1)
    cache, n = KINDS[kind](), 0
    for T in (9, 1, 5, 1):
        feed(cache, qkv, n, T)
        n += T
    fork, before = cache.fork(), views(cache)
    a = feed(fork, other, n, 9)
    assert same(views(cache), before)
    assert len(cache) == n
    assert len(fork) == n + 9
    fork.truncate(0)
    assert same(views(cache), before)
    never = cache.fork()
    assert torch.equal(a, feed(never, other, n, 9))
    feed(cache, qkv, n, 3)
    cache.truncate(n)
    assert torch.equal(a, feed(cache, other, n, 9))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_picked_and_repeated(kind):
    rows = data(rows=3)
    cache, n = KINDS[kind](), 0
    for T in (9, 1, 5, 1):
        feed(cache, rows, n, T)
        n += T
    for index in ([2, 0, 0, 1], [1]):
        alone = []
        for row in index:
            one = KINDS[kind]()
            for start, T in ((0, 9), (9, 1), (10, 5), (15, 1)):
                feed(one, [x[row : row + 1] for x in rows], start, T)
            alone.append(one)
        picked = cache.fork()
        picked.reorder(torch.tensor(index))
        assert picked.rows == len(index)
        assert len(picked) == n
        apart = [torch.cat(xs) for xs in zip(*map(views, alone), strict=True)]
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(views(picked), apart, strict=True))
        feed(picked, [x[index] for x in rows], n, 2)
    assert cache.rows == 3
    for index in ([3], [-1], [[0]], []):
        with pytest.raises(ValueError, match="expected"):
            cache.reorder(torch.tensor(index, dtype=torch.long))


def test_reordering_nothing_is_nothing():
    cache = DictCache()
    cache.reorder(torch.tensor([0, 0]))
    assert cache.rows is None
    assert len(cache) == 0
    assert bool(cache)


def test_bytes():
    qkv = data(10)
    for cache in (DictCache(), ContiguousCache(40)):
        assert cache.nbytes() == 0
        feed(cache, qkv, 0, 10)
        assert cache.nbytes() == 2 * 2 * 10 * (8 + 6) * 4  # layers, heads, tokens, widths, bytes
        cache.truncate(4)
        assert cache.nbytes() == 2 * 2 * 4 * (8 + 6) * 4
    assert cache.reserved == 2 * 2 * 40 * (8 + 6) * 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda q, k, v: (q[:, :3], k, v), "multiple"),
        (lambda q, k, v: (q, k[:, :1], v[:, :1]), "heads"),
        (lambda q, k, v: (q[..., :4], k[..., :4], v), "width"),
        (lambda q, k, v: (q, k, v[..., :4]), "width"),
        (lambda q, k, v: (q, k, v[:, :, :1]), "T, Dv"),
        (lambda q, k, v: (q.double(), k.double(), v.double()), "float64"),
        (lambda q, k, v: (q, k, v.double()), "one dtype"),
        (lambda q, k, v: (x.expand(2, -1, -1, -1) for x in (q, k, v)), "batch"),
        (lambda q, k, v: (x[:, :, :0] for x in (q, k, v)), "at least 1"),
        (lambda q, k, v: (x[0] for x in (q, k, v)), "expected"),
        (lambda q, k, v: (q[:, :, :1], k, v), "expected q"),
    ],
)
def test_what_does_not_fit_is_refused(kind, change, match):
    qkv, cache = data(30), KINDS[kind]()
    feed(cache, qkv, 0, 5)
    before = views(cache)
    with pytest.raises(ValueError, match=match):
        cache.attend(0, *change(*(x[:, :, 5:8] for x in qkv)))
    assert len(cache) == 5
    assert same(views(cache), before)
    cache.truncate(0)
    feed(cache, [x.double() for x in data(30, rows=2)], 0, 5)  # emptied, it takes other shapes


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_that_cannot_be_kept(kind):
    cache = KINDS[kind]()
    feed(cache, data(), 0, 5)
    for n in (-1, 6):
        with pytest.raises(ValueError, match="0 <= n <= 5"):
            cache.truncate(n)
    assert len(cache) == 5


def test_a_full_buffer_takes_nothing():
    cache, qkv = ContiguousCache(8), data()
    feed(cache, qkv, 0, 6)
    before = views(cache)
    with pytest.raises(CacheFull, match=r"6 tokens are held and 3 came.*room for 8"):
        feed(cache, qkv, 6, 3)
    assert len(cache) == 6
    assert same(views(cache), before)
    feed(cache, qkv, 6, 2)
    with pytest.raises(ValueError, match="max_tokens"):
        ContiguousCache(0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_that_stopped_part_way_is_noticed(kind):
    qkv, cache = data(), KINDS[kind]()
    feed(cache, qkv, 0, 20)
    feed(cache, qkv, 20, 3, layers=1)
    with pytest.raises(CacheError, match="expected 3"):
        cache.append(1, *(x[:, :, 20:21] for x in qkv[1:]))
    with pytest.raises(CacheError, match=r"layer 1 holds 20 tokens.*truncate\(20\)"):
        feed(cache, qkv, 23, 3)
    cache.truncate(20)
    never = KINDS[kind]()
    feed(never, qkv, 0, 20)
    assert torch.equal(feed(cache, qkv, 20, 4), feed(never, qkv, 20, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokens_of_another_prompt_are_noticed(kind):
    qkv, cache = data(), KINDS[kind]()
    assert cache.check_prefix([5, 6]) == 0
    feed(cache, qkv, 0, 3)
    with pytest.raises(CacheMismatch, match="nobody told it which"):
        cache.check_prefix([5, 6, 7, 8])
    cache.truncate(0)
    feed(cache, qkv, 0, 3)
    cache.record(torch.tensor([[5, 6, 7]]))
    assert cache.check_prefix([5, 6, 7, 8]) == cache.check_prefix(torch.tensor([5, 6, 7])) == 3
    with pytest.raises(CacheMismatch, match=r"place 1 it holds token 6, the prompt has 9; truncate\(1\)"):
        cache.check_prefix([5, 9, 7, 8])
    with pytest.raises(CacheMismatch, match=r"only 2.*truncate\(2\)"):
        cache.check_prefix([5, 6])
    fork = cache.fork()
    cache.truncate(2)
    assert cache.tokens == [5, 6]
    assert cache.check_prefix([5, 6]) == 2
    assert fork.tokens == [5, 6, 7]
    feed(cache, qkv, 2, 1)  # and not recorded
    with pytest.raises(CacheMismatch):
        cache.check_prefix([5, 6, 7])
    fork.reorder(torch.tensor([0, 0]))
    assert fork.tokens is None


@pytest.mark.parametrize("kind", KINDS)
def test_filled_in_inference_mode_used_outside(kind):
    qkv, cache = data(), KINDS[kind]()
    with torch.inference_mode():
        feed(cache, qkv, 0, 20)
    feed(cache, qkv, 20, 3)
    fork = cache.fork()
    with torch.inference_mode():
        fork.reorder(torch.tensor([0, 0]))
        feed(cache, qkv, 23, 1)
    feed(fork, [x.expand(2, -1, -1, -1) for x in qkv], 23, 1)
    feed(cache, qkv, 24, 9)
    cache.truncate(24)


def test_gradients_are_not_kept():
    _q, k, v = data(5)
    cache: Cache = DictCache()
    cache.append(0, k.requires_grad_(), v.requires_grad_())
    assert not any(x.requires_grad for x in cache.view(0))

"""Codes and scales: how far off they may be, what they weigh, and why keys go by channel."""

import pytest
import torch
from kv_data import data, feed, views

from dslab.inference.cache import CacheError, DictCache
from dslab.inference.quantized import QuantizedCache, pack, unpack


def held(cache, k, v, step: int | None = None):
    """What the cache shows of k and v, fed in one go or `step` tokens at a time."""
    for start in range(0, k.shape[2], step or k.shape[2]):
        end = start + (step or k.shape[2])
        cache.append(0, k[:, :, start:end], v[:, :, start:end])
    return cache.view(0)


def long(tokens=512, width=64, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, 3, tokens, width, generator=generator).to(dtype) for _ in "kv"]


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("width", [1, 3, 4, 64, 65])
def test_packing_is_exact(bits, width):
    codes = torch.randint(0, 2**bits, (2, 3, width), generator=torch.Generator().manual_seed(0))
    for x in (codes.to(torch.uint8), (codes - 2 ** (bits - 1)).to(torch.int8)):
        packed = pack(x, bits)
        assert packed.shape[-1] == -(-width * bits // 8)
        assert torch.equal(unpack(packed, bits, width), x)


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("step", [None, 1, 7])
def test_a_tokens_own_scale_bounds_the_error(bits, step):
    k, v = long(70, width=10)
    k = k * torch.logspace(-6, 4, 70)[None, None, :, None]  # tiny and huge tokens side by side
    for x, shown in zip((k, v), held(QuantizedCache(bits), k, v, step), strict=True):
        scale = x.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1)
        off = (x - shown).abs() / scale
        assert off[scale.expand_as(off) > 1e-4].max() <= 0.501  # half a step, and what fp16 rounds of the scale
        assert shown.dtype == x.dtype
        assert shown.isfinite().all()


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_kivi_bounds_the_error_by_each_groups_range(bits):
    k, v = long(100, width=64)
    k = k + 100 * torch.randn(64, generator=torch.Generator().manual_seed(1))  # channels far from zero
    cache = QuantizedCache(bits, "kivi", group=32, residual=8)
    keys, values = held(cache, k, v, step=1)
    assert torch.equal(keys[:, :, 64:], k[:, :, 64:])
    assert torch.equal(values[:, :, 64:], v[:, :, 64:])
    groups = ((k[:, :, :64].unflatten(2, (2, 32)), keys[:, :, :64].unflatten(2, (2, 32)), 3, 0.7),
              (v[:, :, :64].unflatten(3, (2, 32)), values[:, :, :64].unflatten(3, (2, 32)), 4, 0.51))  # fmt: skip
    for x, shown, dim, bar in groups:
        step = (x.amax(dim, keepdim=True) - x.amin(dim, keepdim=True)) / (2**bits - 1)
        low = x.amin(dim, keepdim=True).abs() * 2**-11  # what fp16 may round of the lowest value
        assert ((x - shown).abs() / (step * bar + low)).max() <= 1
        assert (x - shown).abs().max() > 0
    assert keys.shape == k.shape


def test_a_constant_group_is_exact():
    k, v = torch.full((1, 1, 40, 32), 3.0), torch.zeros(1, 1, 40, 32)
    for cache in (QuantizedCache(4, "kivi", group=8, residual=0), QuantizedCache(8)):
        keys, values = held(cache, k, v, step=4)
        assert (keys - k).abs().max() < 1e-2  # the symmetric grid's scale is 3 / 127 in fp16
        assert torch.equal(values, v)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_the_kind_of_number_comes_back(dtype):
    k, v = long(80, dtype=dtype)
    for cache in (QuantizedCache(8), QuantizedCache(4, "kivi", group=32)):
        keys, values = held(cache, k, v, step=8)
        assert keys.dtype == values.dtype == dtype
        assert (keys.float() - k.float()).abs().max() < 0.3


@pytest.mark.parametrize(("settings", "bar"), [
    ({"bits": 8}, 0.516), ({"bits": 4}, 0.266), ({"bits": 4, "scheme": "kivi"}, 0.30),
    ({"bits": 2, "scheme": "kivi"}, 0.18),
])  # fmt: skip
def test_bytes_against_bf16(settings, bar):
    k, v = long(4096, dtype=torch.bfloat16)
    cache, plain = QuantizedCache(**settings), DictCache()
    held(cache, k, v, step=32)
    held(plain, k, v)
    assert bar - 0.02 < cache.nbytes() / plain.nbytes() <= bar


def test_groups_close_when_the_next_pass_begins():
    cache, qkv = QuantizedCache(4, "kivi", group=8, residual=4), data(60)
    feed(cache, qkv, 0, 30)
    assert torch.equal(cache.view(0)[0], qkv[1][:, :, :30])  # all of the last pass is exact
    before = cache.nbytes()
    fork = cache.fork()
    fork.compact()
    assert fork.nbytes() < before == cache.nbytes()
    assert torch.equal(feed(fork, qkv, 30, 1), feed(cache, qkv, 30, 1))
    assert torch.equal(cache.view(0)[0][:, :, 24:], qkv[1][:, :, 24:31])
    assert not torch.equal(cache.view(0)[0][:, :, :24], qkv[1][:, :, :24])
    shown = views(cache)
    for n in (1, 27):
        with pytest.raises(CacheError, match=r"closed groups.*at least 28"):
            cache.truncate(n)
    assert all(torch.equal(a, b) for a, b in zip(shown, views(cache), strict=True))
    cache.truncate(28)
    assert len(cache) == 28


def test_keys_with_large_channels_are_why_keys_go_by_channel():
    """Two channels are large for all tokens, as in trained models. By token their size drowns the other channels."""
    k, v = long(512)
    k[..., :2] *= 20
    rest = [(held(QuantizedCache(4, **kind), k, v, step=32)[0] - k)[:, :, :384, 2:].square().mean() for kind in
            ({"scheme": "token"}, {"scheme": "kivi", "group": 32})]  # fmt: skip
    assert rest[0] > 50 * rest[1]


def test_bad_settings():
    for bad in ({"bits": 3}, {"scheme": "channel"}, {"group": 0}, {"residual": -1}):
        with pytest.raises(ValueError, match="expected"):
            QuantizedCache(**bad)

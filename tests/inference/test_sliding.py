"""Windows: which tokens show, at which distances, and what can be had back."""

import pytest
import torch
from kv_data import ROPE, data, feed, same, views

from dslab.inference.cache import CacheError, attention
from dslab.inference.sliding import SinkCache

EVERY = torch.arange(150).view(1, 1, 150, 1).expand(1, 2, 150, 8).float()


def shown(cache) -> list[int]:
    """Token numbers, where each value is its token's number."""
    return cache.view(0)[1][0, 0, :, 0].int().tolist()


@pytest.mark.parametrize("pieces", [[1] * 60, [20, 1, 1, 5, 30, 3], [50, 1, 1, 1], [3, 40, 1, 1]])
@pytest.mark.parametrize("sinks", [0, 3])
def test_which_tokens_show(pieces, sinks):
    cache, n = SinkCache(12, sinks, ROPE if sinks else None), 0
    for T in pieces:
        before = shown(cache) if n else []
        room = max(12 - T - len(before[:sinks]), 0)
        S = cache.visible(T)
        cache.append(0, EVERY[:, :, n : n + T], EVERY[:, :, n : n + T])
        kept = before[sinks:]
        expected = [*before[:sinks], *kept[len(kept) - min(room, len(kept)) :], *range(n, n + T)]
        assert shown(cache) == expected
        assert len(expected) == S
        n += T
        assert len(cache) == n
        assert cache.positions(2).tolist() == [n, n + 1]
        assert S <= 12 or 12 - sinks < T


@pytest.mark.parametrize("pieces", [[1] * 60, [20, 1, 1, 5, 30, 3], [50, 1, 1, 1]])
def test_all_that_shows_is_as_far_apart_as_in_a_text_of_its_own(pieces):
    """Sinks turned on, the rest and the query where they are: the scores of a text made of what shows, from place 0."""
    q, k, v = data(80)
    cache, n = SinkCache(12, 3, ROPE), 0
    for T in pieces:
        at = torch.arange(n, n + T)
        part = slice(n, n + T)
        out = cache.attend(0, ROPE.rotate(q[:, :, part], at), ROPE.rotate(k[:, :, part], at), v[:, :, part])
        n += T
        numbers = [i for i in range(80) if any(torch.equal(v[0, 0, i], row) for row in cache.view(0)[1][0, 0])]
        assert len(numbers) == cache.view(0)[0].shape[2]
        places = torch.arange(len(numbers))
        alone = attention(
            ROPE.rotate(q[:, :, part], places[-T:]), ROPE.rotate(k[:, :, numbers], places), v[:, :, numbers]
        )
        assert (out - alone).abs().max() < 1e-5


def test_only_a_part_of_each_head_turns():
    _, k, v = data(40)
    wide = torch.cat([k, 7 * torch.ones_like(k[..., :3])], -1)
    cache, narrow = SinkCache(12, 3, ROPE), SinkCache(12, 3, ROPE)
    for t in range(40):
        cache.append(0, wide[:, :, t : t + 1], v[:, :, t : t + 1])
        narrow.append(0, k[:, :, t : t + 1], v[:, :, t : t + 1])
    assert torch.equal(cache.view(0)[0][..., :8], narrow.view(0)[0])
    assert (cache.view(0)[0][..., 8:] == 7).all()


def test_a_models_own_angles_will_do():
    class Rotary:
        inv_freq = ROPE.inv_freq

    qkv, theirs, ours = data(40), SinkCache(12, 3, Rotary()), SinkCache(12, 3, ROPE)
    for t in range(0, 40, 5):
        assert torch.equal(feed(theirs, qkv, t, 5), feed(ours, qkv, t, 5))


def test_what_was_evicted_before_the_last_pass_is_gone():
    qkv, cache = data(40), SinkCache(12, 3, ROPE)
    for t in range(0, 30, 5):
        feed(cache, qkv, t, 5)
    before = views(cache)
    for n in (1, 20, 24):
        with pytest.raises(CacheError, match="at least 25; came"):
            cache.truncate(n)
    assert len(cache) == 30
    assert same(views(cache), before)
    cache.truncate(25)
    with pytest.raises(CacheError, match="at least 25; came 24"):
        cache.truncate(24)


def test_it_does_not_grow():
    cache = SinkCache(12, 3, ROPE)
    most = 2 * 2 * (12 + 1) * (8 + 6) * 4  # and one that can be had back
    for t in range(60):
        feed(cache, data(60), t, 1)
        assert cache.nbytes() <= most
    assert cache.nbytes() == most


def test_bad_settings():
    with pytest.raises(ValueError, match="0 <= sinks < window"):
        SinkCache(4, 4, ROPE)
    with pytest.raises(ValueError, match="0 <= sinks < window"):
        SinkCache(4, -1)
    with pytest.raises(ValueError, match=r"llama\.rope"):
        SinkCache(4, 1)

"""Against transformers' own loss; chunks change nothing where a cache loses nothing; what is left out at the start."""

import math

import pytest
import torch
import torch.nn.functional as F
from llama_models import logits, tiny, tokens

from dslab.inference.cache import ContiguousCache, DictCache
from dslab.inference.llama import Llama
from dslab.inference.perplexity import perplexity


def expected(model, ids, skip=0):
    losses = F.cross_entropy(logits(model, ids)[0, :-1], ids[0, 1:], reduction="none")
    return losses[skip:].mean().exp().item()


@pytest.mark.parametrize("chunk", [1, 7, 32, 99, 100, 1000])
def test_as_one_pass_would_have_it(chunk):
    model, ids = tiny(), tokens(1, 100)
    assert perplexity(Llama(model), ids, chunk=chunk) == pytest.approx(expected(model, ids), rel=1e-5)


def test_the_start_left_out():
    model, ids = tiny(), tokens(1, 100)
    for skip in (1, 31, 32, 40, 98):
        assert perplexity(Llama(model), ids, skip=skip) == pytest.approx(expected(model, ids, skip), rel=1e-5)


def test_of_transformers_models_and_through_any_cache():
    model, ids = tiny(), tokens(1, 60)
    want = pytest.approx(expected(model, ids), rel=1e-5)
    assert perplexity(model, ids) == want
    assert perplexity(model, ids[0].tolist(), DictCache(), chunk=9) == want
    cache = ContiguousCache(64)
    assert perplexity(Llama(model), ids[0], cache, chunk=9) == want
    assert len(cache) == 59  # the last token is only predicted


def test_a_cache_that_forgets_shows():
    class Forgetful(DictCache):
        def view(self, layer):
            keys, values = super().view(layer)
            return keys[:, :, -12:], values[:, :, -12:]

    model, ids = tiny(), tokens(1, 100)
    assert abs(math.log(perplexity(Llama(model), ids, Forgetful(), chunk=8) / expected(model, ids))) > 1e-3


def test_refused():
    ours, full = Llama(tiny()), DictCache()
    ours.forward(tokens(), full)
    for ids, options in [([5], {}), ([5, 6], {"skip": 1}), ([5, 6], {"chunk": 0}), ([5, 6], {"skip": -1})]:
        with pytest.raises(ValueError, match=r"at least skip \+ 2"):
            perplexity(ours, ids, **options)
    with pytest.raises(ValueError, match="must be empty; it holds 24"):
        perplexity(ours, torch.tensor([5, 6]), full)

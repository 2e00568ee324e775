"""One request: the tokens of transformers' generate, streaming, reused caches, and what is refused."""

import pytest
import torch
from tiny_llamas import VOCABULARY, prompt, theirs, tiny_llama, tiny_lm

from dslab.inference.cache import CacheMismatch, ContiguousCache, DictCache
from dslab.inference.decoding import generate, stream
from dslab.inference.sampling import Sampling


@pytest.mark.parametrize("length", [1, 2, 17, 60])
def test_greedy_tokens_equal_transformers(length):
    ids = prompt(length, length)
    assert generate(tiny_llama(), ids, 40) == theirs(tiny_lm(), ids, 40)
    assert generate(tiny_llama(), ids, 40, cache=DictCache()) == theirs(tiny_lm(), ids, 40)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 1.0},
        {"temperature": 0.7, "top_k": 20},
        {"temperature": 1.2, "top_p": 0.9, "repetition_penalty": 1.3},
        {"temperature": 0.9, "min_p": 0.05},
    ],
    ids=str,
)
def test_a_seed_gives_the_tokens_of_transformers(settings):
    ids = prompt(9, 3)
    torch.manual_seed(11)
    expected = theirs(tiny_lm(), ids, 30, do_sample=True, **{"top_k": 0, **settings})
    assert generate(tiny_llama(), ids, 30, sampling=Sampling(**settings, seed=11)) == expected
    assert generate(tiny_llama(), ids, 30, sampling=Sampling(**settings, seed=12)) != expected


def test_the_penalty_counts_in_greedy_too():
    ids = prompt(9, 4)
    expected = theirs(tiny_lm(), ids, 30, repetition_penalty=1.5)
    assert generate(tiny_llama(), ids, 30, sampling=Sampling(repetition_penalty=1.5)) == expected
    assert expected != theirs(tiny_lm(), ids, 30)


def test_an_end_token_stops_and_is_the_last():
    ids = prompt(8, 1)
    free = generate(tiny_llama(eos=None), ids, 30)
    place = next(i for i in range(5, 30) if free[i] not in free[:i])
    stopping = tiny_llama(eos=free[place])
    assert generate(stopping, ids, 30) == free[: place + 1] == theirs(tiny_lm(eos=free[place]), ids, 30)
    assert generate(stopping, ids, 30, ignore_eos=True) == free
    assert generate(stopping, ids, 30, ignore_eos=True, stop_ids=[free[2]]) == free[: free.index(free[2]) + 1]


def test_a_stream_gives_each_token_before_the_next_is_computed():
    ids, cache = prompt(8, 1), ContiguousCache(64)
    tokens = stream(tiny_llama(), ids, 6, cache=cache, ignore_eos=True)
    first = next(tokens)
    assert len(cache) == 8
    assert [first, *tokens] == generate(tiny_llama(), ids, 6, ignore_eos=True)
    assert len(cache) == 8 + 5  # the last token was not fed


def test_a_cache_serves_a_longer_prompt_and_refuses_another():
    ids, cache = prompt(8, 1), ContiguousCache(64)
    said = generate(tiny_llama(), ids, 6, cache=cache, ignore_eos=True)
    longer = ids + said + prompt(5, 2)
    assert generate(tiny_llama(), longer, 6, cache=cache) == generate(tiny_llama(), longer, 6)
    cache.truncate(8)  # exactly the prompt: its last token is fed again
    assert generate(tiny_llama(), ids, 6, cache=cache, ignore_eos=True) == said
    before = len(cache)
    other = [*ids[:4], (ids[4] + 1) % VOCABULARY, *ids[5:], *prompt(20, 9)]
    with pytest.raises(CacheMismatch, match=r"truncate\(4\)"):
        generate(tiny_llama(), other, 6, cache=cache)
    assert len(cache) == before


@pytest.mark.parametrize(
    ("ids", "new", "says"),
    [
        ([], 5, "empty"), ("text", 5, "tokenizer"), ([1, VOCABULARY], 5, "vocabulary"), ([-1], 5, "vocabulary"),
        ([1.5], 5, "whole"), ([1], 0, "max_new_tokens"), ([1], 2.0, "max_new_tokens"), ([1] * 250, 7, "context"),
        (torch.zeros(2, 3, dtype=torch.long), 5, "one prompt"), (torch.zeros(3), 5, "whole numbers"),
        (torch.zeros(0, dtype=torch.long), 5, "empty"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_before_the_first_token(ids, new, says):
    cache = ContiguousCache(8)
    with pytest.raises(ValueError, match=says):
        stream(tiny_llama(), ids, new, cache=cache)
    assert len(cache) == 0


def test_tensors_are_prompts_and_the_context_may_be_filled():
    ids = prompt(8, 1)
    expected = generate(tiny_llama(), ids, 4)
    assert generate(tiny_llama(), torch.tensor(ids), 4) == expected
    assert generate(tiny_llama(), torch.tensor([ids]), 4) == expected
    assert len(generate(tiny_llama(), prompt(250, 5), 6, ignore_eos=True)) == 6

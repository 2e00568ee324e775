"""Speculative decoding loses nothing: greedy tokens are those of plain decoding, sampled ones have its distribution."""

import pytest
import torch
from tiny_llamas import VOCABULARY, prompt, tiny_llama
from transformers import LlamaConfig, LlamaForCausalLM

from dslab.inference import speculation
from dslab.inference.cache import CacheMismatch, ContiguousCache, DictCache
from dslab.inference.decoding import generate
from dslab.inference.llama import Llama
from dslab.inference.sampling import Sampler, Sampling
from dslab.inference.speculation import speculative

DRAFTS = {
    "lookup": {},
    "lookup-1": {"k": 1, "ngram": 2},
    "another": {"draft": lambda: tiny_llama(1), "k": 3},
    "itself": {"draft": tiny_llama, "k": 4},
}


def settings_of(name):
    return {key: value() if callable(value) else value for key, value in DRAFTS[name].items()}


@pytest.mark.parametrize("name", DRAFTS)
def test_greedy_tokens_are_those_of_plain_decoding(name):
    for seed in range(6):
        ids = prompt(3 + 5 * seed, seed) if seed % 2 else prompt(6, seed) * 3  # the second kind invites copying
        new = 1 + 7 * seed % 40
        for eos in (True, False):
            result = speculative(tiny_llama(), ids, new, ignore_eos=eos, **settings_of(name))
            assert result.tokens == generate(tiny_llama(), ids, new, ignore_eos=eos)
            assert result.accepted <= result.proposed
            assert len(result.tokens) <= result.accepted + result.target_calls


def test_a_draft_that_agrees_saves_passes():
    ids, new = prompt(20, 1), 41
    result = speculative(tiny_llama(), ids, new, tiny_llama(), k=4, ignore_eos=True)
    assert result.proposed == result.accepted
    assert result.target_calls == -(-new // 5)


def test_stop_tokens_inside_accepted_drafts_end_it():
    ids = prompt(12, 2)
    free = generate(tiny_llama(), ids, 30, ignore_eos=True)
    stop = free[7]
    result = speculative(tiny_llama(), ids, 30, tiny_llama(), k=6, ignore_eos=True, stop_ids=[stop])
    assert result.tokens == free[: free.index(stop) + 1]


def test_the_penalty_holds_within_one_pass():
    ids, sampling = prompt(12, 2), Sampling(repetition_penalty=1.7)
    for name in DRAFTS:
        result = speculative(tiny_llama(), ids, 30, sampling=sampling, ignore_eos=True, **settings_of(name))
        assert result.tokens == generate(tiny_llama(), ids, 30, sampling=sampling, ignore_eos=True)


def test_a_cache_given_goes_on_and_is_left_as_generate_leaves_it():
    ids, cache = prompt(6, 3) * 3, DictCache()
    result = speculative(tiny_llama(), ids, 20, cache=cache, ignore_eos=True)
    assert cache.tokens == (ids + result.tokens)[:-1]
    longer = ids + result.tokens + prompt(4, 5)
    assert speculative(tiny_llama(), longer, 9, cache=cache).tokens == generate(tiny_llama(), longer, 9)
    with pytest.raises(CacheMismatch):
        speculative(tiny_llama(), prompt(30, 8), 9, cache=cache)


def test_copies_come_from_the_latest_longest_match_and_go_round():
    lookup = speculation._Lookup(3)
    assert lookup.propose([1, 2, 3, 9, 2, 3, 7, 5, 1, 2, 3], 3)[0] == [9, 2, 3]  # three agree, though two came later
    assert lookup.propose([1, 2, 3, 9, 2, 3, 7, 5, 1, 2, 3, 8, 2, 3], 2)[0] == [8, 2]  # two agree: the latest place
    assert speculation._Lookup(3).propose([4, 5, 4, 5], 5)[0] == [4, 5, 4, 5, 4]
    assert speculation._Lookup(3).propose([1, 2, 3, 4], 5)[0] == []


@pytest.mark.parametrize("drawn", [True, False], ids=["drawn", "copied"])
def test_the_acceptance_rule_gives_the_models_distribution(drawn):
    """Two draft tokens, by a wrong distribution or always the same: the first two tokens come as the model has them."""
    draw = torch.Generator().manual_seed(4)
    logits, wrong = torch.randn(3, 6, generator=draw) * 1.5, (torch.randn(2, 6, generator=draw) * 1.5).softmax(-1)
    sampler, tries = Sampler(Sampling(temperature=1.0, seed=3)), 3000
    first, second = torch.zeros(6), torch.zeros(6)
    for _ in range(tries):
        drafts = [sampler.draw(q) for q in wrong] if drawn else [2, 4]
        new = speculation._accept(sampler, [0], logits, drafts, list(wrong) if drawn else [])
        first[new[0]] += 1
        if len(new) > 1:
            second[new[1]] += 1
    for counts, row in ((first, 0), (second, 1)):
        p, n = logits[row].softmax(-1), counts.sum()
        deviation = (counts / n - p).abs() / (p * (1 - p) / n).sqrt()
        assert deviation.max() < 4, (counts / n, p)


def test_sampled_tokens_of_two_models_have_the_targets_distribution():
    """End to end: the pair of the second and third token against what the model itself says of all pairs."""
    ids, tries, sampling = prompt(7, 6), 150, {"temperature": 1.5, "top_k": 2}
    counts: dict[tuple[int, ...], int] = {}
    for seed in range(tries):
        result = speculative(
            tiny_llama(), ids, 3, tiny_llama(1), k=2, sampling=Sampling(**sampling, seed=seed), ignore_eos=True
        )
        counts[tuple(result.tokens[:2])] = counts.get(tuple(result.tokens[:2]), 0) + 1
    rule, expected = Sampling(**sampling), {}
    first = rule.probabilities(tiny_llama().forward(torch.tensor([ids]))[0, -1], ids)
    for a in first.nonzero().flatten().tolist():
        text = [*ids, a]
        second = rule.probabilities(tiny_llama().forward(torch.tensor([text]))[0, -1], text)
        expected |= {(a, b): float(first[a] * second[b]) for b in second.nonzero().flatten().tolist()}
    assert set(counts) <= set(expected)
    for pair, p in expected.items():
        assert abs(counts.get(pair, 0) / tries - p) < 4 * (p * (1 - p) / tries) ** 0.5


def test_bad_input_is_refused():
    ids = prompt(5)
    other = Llama(
        LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCABULARY + 1, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64,
            )
        )
    )  # fmt: skip
    cache = ContiguousCache(64)
    for settings, says in (
        ({"k": 0}, "k must"), ({"ngram": 1}, "ngram"), ({"draft": "bigger"}, "prompt-lookup"),
        ({"draft": other}, "vocabulary"), ({"draft": tiny_llama(positions=16)}, "context"),
        ({"prompt_ids": []}, "empty"), ({"max_new_tokens": 0}, "max_new_tokens"), ({"max_new_tokens": 1000}, "context"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=says):
            speculative(tiny_llama(), **{"prompt_ids": ids, "max_new_tokens": 20, "cache": cache, **settings})
    assert len(cache) == 0

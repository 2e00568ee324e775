"""Sampling against transformers' own processors, value by value and seed by seed."""

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from dslab.inference.sampling import GREEDY, Sampler, Sampling

SETTINGS = [
    {"temperature": 0.7},
    {"temperature": 1.0, "top_k": 5},
    {"temperature": 1.3, "top_k": 500},
    {"temperature": 1.0, "top_p": 0.9},
    {"temperature": 0.5, "top_p": 0.01},
    {"temperature": 1.0, "min_p": 0.1},
    {"temperature": 1.0, "min_p": 1.0},
    {"temperature": 1.0, "repetition_penalty": 1.4},
    {"temperature": 0.8, "top_k": 40, "top_p": 0.8, "min_p": 0.05, "repetition_penalty": 1.2},
    {"temperature": 1.5, "top_k": 60, "top_p": 0.95, "repetition_penalty": 0.8},
]


def theirs(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, repetition_penalty=1.0):
    made = LogitsProcessorList()
    if repetition_penalty != 1:
        made.append(RepetitionPenaltyLogitsProcessor(repetition_penalty))
    if temperature != 1:
        made.append(TemperatureLogitsWarper(temperature))
    if top_k:
        made.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        made.append(TopPLogitsWarper(top_p))
    if min_p:
        made.append(MinPLogitsWarper(min_p))
    return made


def case(seed):
    draw = torch.Generator().manual_seed(seed)
    logits = torch.randn(211, generator=draw) * 3
    logits[seed % 100 : seed % 100 + 3] = logits.max() if seed % 2 else logits[7]  # ties, at the top too
    return logits, torch.randint(0, 211, (30,), generator=draw)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_scores_equal_transformers_processors(settings):
    for seed in range(12):
        logits, history = case(seed)
        before = logits.clone()
        ours = Sampling(**settings).process(logits, history.tolist())
        assert torch.equal(ours, theirs(**settings)(history[None], logits[None].clone())[0])
        assert torch.equal(logits, before)
        assert torch.equal(ours, Sampling(**settings).process(logits, history))  # a tensor as history: the same


@pytest.mark.parametrize("settings", SETTINGS[::3], ids=str)
def test_a_seed_draws_what_torch_draws(settings):
    sampler = Sampler(Sampling(**settings, seed=5))
    torch.manual_seed(5)
    for seed in range(20):
        logits, history = case(seed)
        p = theirs(**settings)(history[None], logits[None].clone()).softmax(-1)
        assert sampler.pick(logits, history) == torch.multinomial(p, 1).item()


def test_greedy_is_the_first_of_the_largest_and_heeds_the_penalty():
    logits = torch.tensor([1.0, 4.0, 4.0, 3.9])
    assert Sampler().pick(logits, []) == 1
    assert GREEDY.probabilities(logits, []).tolist() == [0, 1, 0, 0]
    assert Sampler(Sampling(repetition_penalty=2.0)).pick(logits, [1, 2, 1]) == 3


def test_draws_follow_the_probabilities():
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
    sampler = Sampler(Sampling(temperature=1.0, top_k=3))
    counts = torch.bincount(torch.tensor([sampler.pick(logits, []) for _ in range(4000)]), minlength=4) / 4000
    expected = torch.tensor([0.0, 1.0, 2.0]).softmax(-1)
    assert counts[3] == 0
    assert (counts[:3] - expected).abs().max() < 0.03  # four standard deviations


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1.0}, {"temperature": float("nan")}, {"temperature": float("inf")},
        {"temperature": 1.0, "top_k": -1}, {"temperature": 1.0, "top_k": 2.5}, {"temperature": 1.0, "top_p": 0.0},
        {"temperature": 1.0, "top_p": 1.1}, {"temperature": 1.0, "min_p": -0.1}, {"repetition_penalty": 0.0},
        {"seed": -1}, {"top_k": 5}, {"top_p": 0.5}, {"min_p": 0.5},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_settings_are_refused_with_their_name(wrong):
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        Sampling(**wrong)


def test_broken_logits_are_named():
    with pytest.raises(ValueError, match="NaN"):
        Sampler(Sampling(temperature=1.0)).pick(torch.tensor([float("nan"), 1.0]), [])
    with pytest.raises(ValueError, match="Sampling"):
        Sampler({"temperature": 1.0})

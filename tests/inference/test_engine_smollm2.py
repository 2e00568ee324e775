"""On the real model: 16 mixed requests in a batch are what transformers, without a cache, says of each."""

import pytest
import torch

from dslab import models
from dslab.inference.engine import Engine
from dslab.inference.llama import Llama
from dslab.inference.speculation import speculative
from dslab.models import resolver

try:
    resolver.weights()
except resolver.WeightsNotFound as error:
    pytest.skip(str(error), allow_module_level=True)

TEXT = (
    "The quick brown fox jumps over the lazy dog near the river bank, while two small boats drift slowly towards the "
    "old stone bridge. Nobody remembers who built it, or why it has nine arches where seven would have done. "
)
MINUTES = (
    "The committee met on Tuesday in the town hall. Anna Berg opened the meeting and read the minutes of the last one. "
    "It was decided to repair the roof of the boat house before winter."
)
START = "The committee met on Friday"


@pytest.fixture(scope="module")
def smollm():
    lm, tokenizer = models.load("smollm2")
    return lm, Llama(lm, share=True), tokenizer


@torch.no_grad()
def greedy_by_one_pass(lm, prompt, new) -> bool:
    """Each new token is the likeliest after all before it, or within rounding of it, in one pass without a cache."""
    logits = lm(torch.tensor([prompt + new[:-1]]), use_cache=False).logits[0, len(prompt) - 1 :]
    return bool((logits.amax(-1) - logits.gather(-1, torch.tensor(new)[:, None])[:, 0] <= 1e-3).all())


def test_a_batch_of_mixed_requests(smollm):
    lm, llama, tokenizer = smollm
    ids = tokenizer(TEXT * 2).input_ids
    requests = [(ids[i : i + 4 + 5 * i % 23], 2 + 3 * i % 7) for i in range(16)]
    engine = Engine(llama, chunk=100)
    numbers = [engine.add(prompt, new, ignore_eos=True) for prompt, new in requests]
    out = engine.run()
    assert engine.pool.used == 0
    for number, (prompt, new) in zip(numbers, requests, strict=True):
        assert len(out[number]) == new
        assert greedy_by_one_pass(lm, prompt, out[number])
    assert engine.generate(*requests[5], ignore_eos=True) == out[numbers[5]]


def test_copying_is_drafted_and_loses_nothing(smollm):
    lm, llama, tokenizer = smollm
    prompt = tokenizer(f"Original:\n{MINUTES}\n\nThe same text, with Friday for Tuesday:\n{START}").input_ids
    result = speculative(llama, prompt, 24, ignore_eos=True)
    assert greedy_by_one_pass(lm, prompt, result.tokens)
    assert result.target_calls <= 8  # the model does copy, and the lookup sees it

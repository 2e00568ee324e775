"""Our caches in the real model's generate: transformers' own tokens. Skipped where its weights are not here."""

import pytest
import torch
from transformers import DynamicCache

from dslab import models
from dslab.inference.adapter import as_transformers
from dslab.inference.cache import CacheMismatch, ContiguousCache
from dslab.inference.paged import PagedCache
from dslab.inference.quantized import QuantizedCache
from dslab.inference.sliding import SinkCache
from dslab.models import resolver

try:
    resolver.weights()
except resolver.WeightsNotFound as error:
    pytest.skip(str(error), allow_module_level=True)

PROMPTS = ["The capital of France is", "Water boils at one hundred degrees, and ice", "def add(a, b):\n    return"]


@pytest.fixture(scope="module")
def smollm():
    return models.load("smollm2")


def said(model, inputs, kv, **settings):
    torch.manual_seed(3)
    settings = {"max_new_tokens": 6, "do_sample": False, **settings}
    return model.generate(**inputs, past_key_values=kv, **settings)


@pytest.mark.parametrize("way", [
    {"do_sample": True, "num_beams": 2}, {"prompt_lookup_num_tokens": 4},
], ids=str)  # fmt: skip
def test_equal_to_transformers_own_cache(smollm, way):
    model, tokenizer = smollm
    inputs = tokenizer(PROMPTS[1], return_tensors="pt")
    kv = as_transformers(ContiguousCache(64), model)
    assert torch.equal(said(model, inputs, kv, **way), said(model, inputs, DynamicCache(), **way))


def test_padded_rows_are_those_of_each_prompt_alone(smollm):
    model, tokenizer = smollm
    inputs = tokenizer(PROMPTS[:2], return_tensors="pt", padding=True, padding_side="left")
    assert not inputs.attention_mask.all()
    rows = said(model, inputs, as_transformers(PagedCache(), model))
    assert torch.equal(rows, said(model, inputs, DynamicCache()))
    width = inputs.input_ids.shape[1]
    for prompt, row in zip(PROMPTS[:2], rows, strict=True):
        alone = tokenizer(prompt, return_tensors="pt")
        new = said(model, alone, as_transformers(ContiguousCache(64), model))[0, alone.input_ids.shape[1] :]
        assert torch.equal(row[width : width + len(new)], new)


def test_cropped_and_reused(smollm):
    model, tokenizer = smollm
    inputs = tokenizer(PROMPTS[0], return_tensors="pt")
    kv = as_transformers(ContiguousCache(64), model)
    first = said(model, inputs, kv)
    with pytest.raises(CacheMismatch, match="another prompt"):
        said(model, tokenizer(PROMPTS[1], return_tensors="pt"), kv)
    kv.crop(inputs.input_ids.shape[1] - 1 - kv.get_seq_length())
    assert torch.equal(said(model, inputs, kv), first)
    longer = {"input_ids": torch.cat([first, inputs.input_ids], 1)}
    assert torch.equal(said(model, longer, kv), said(model, longer, DynamicCache()))


def chances(model, ids, kv):
    """Log-probabilities after each token, fed in pieces, (T, vocabulary)."""
    with torch.no_grad():
        return torch.cat([model(part, past_key_values=kv).logits[0].log_softmax(-1) for part in ids.split(30, 1)])


def test_what_is_lossy_still_says_sense(smollm):
    """Relative entropy to the full cache's predictions, in nats a token."""
    model, tokenizer = smollm
    ids = tokenizer(" ".join(PROMPTS) * 5, return_tensors="pt").input_ids[:, :90]
    full = chances(model, ids, DynamicCache())
    for cache, bar in (
        (QuantizedCache(8), 0.01), (QuantizedCache(4, "kivi", group=32, residual=0), 0.1),
        (SinkCache(48, 4, model.model.rotary_emb), 1.0),
    ):  # fmt: skip
        apart = (full.exp() * (full - chances(model, ids, as_transformers(cache, model)))).sum(-1).mean()
        assert 0 < apart < bar

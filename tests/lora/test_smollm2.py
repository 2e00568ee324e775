"""On the real model: equal to peft through a file, merged and back. Skipped where its weights are not here."""

import gc

import pytest
import torch
from lora_models import KINDS, distance, logits, stir

from dslab import models
from dslab.lora import estimate, explain, inject, layers, load_peft, merge, report, save_peft, unmerge
from dslab.models import resolver

try:
    resolver.weights()
except resolver.WeightsNotFound as error:
    pytest.skip(str(error), allow_module_level=True)

TEXT = "The capital of France is Paris. Water boils at one hundred degrees; two plus two makes four."
BAR = {"lora": 1e-6, "dora": 1e-5}


@pytest.fixture(scope="module")
def smollm():
    return models.load("smollm2")


@pytest.fixture
def loaded(smollm):
    """A model of its own, sharing nothing; the tokens of a sentence."""
    model, tokenizer = models.load("smollm2")[0].float().eval(), smollm[1]
    yield model, tokenizer(TEXT, return_tensors="pt").input_ids
    gc.collect()


def apart(a, b):
    """Distance as a share of the largest logit: these reach 30, and fp32's rounding grows with them."""
    return distance(a, b) / b.abs().max().item()


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_what_we_save_is_in_peft_what_it_was_here(kind, loaded, tmp_path):
    from peft import PeftModel

    model, ids = loaded
    base = logits(model, ids)
    inject(model, "all-linear" if kind == "lora" else "attention", r=4, alpha=8, **KINDS[kind])
    assert torch.equal(logits(model, ids), base)
    stir(model)
    with torch.no_grad():
        for layer in layers(model).values():
            layer.adapter.B.mul_(0.05)  # as large as training makes it
    said = logits(model, ids)
    assert distance(said, base) > 0.5
    save_peft(model, tmp_path)
    merge(model)
    assert apart(logits(model, ids), said) <= 1e-5
    unmerge(model)
    assert torch.equal(logits(model, ids), said)
    del model
    theirs = PeftModel.from_pretrained(models.load("smollm2")[0].float(), str(tmp_path)).eval()
    assert distance(logits(theirs, ids), said) <= BAR[kind]


def test_gradients_reach_adapters_only_and_bf16_merging_keeps_the_word(loaded, tmp_path):
    model, ids = loaded
    inject(model, "attention", r=8)
    stir(model)
    with torch.no_grad():
        for layer in layers(model).values():
            layer.adapter.B.mul_(0.05)
    model(input_ids=ids, labels=ids).loss.backward()
    assert all((p.grad is not None) == (".adapters." in name) for name, p in model.named_parameters())
    save_peft(model, tmp_path)
    half = models.load("smollm2")[0].bfloat16().eval()
    load_peft(half, tmp_path)
    before = logits(half, ids).argmax(-1)
    merge(half)
    agree = (logits(half, ids).argmax(-1) == before).float().mean().item()
    assert agree >= 0.95


def test_its_weights_and_their_cost(smollm):
    model = smollm[0]
    seen = explain(model, "all-linear")
    assert len(seen.matched) == 210
    assert not seen.missed
    assert {row.role for row in seen.rows} == {"q", "k", "v", "o", "gate", "up", "down", "embedding", "head"}
    told = estimate(model, "all-linear", r=8)
    assert told.trainable == 2_442_240
    assert told.total == report(model).total + told.trainable

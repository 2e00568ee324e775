"""Bytes by arithmetic are the bytes there are, of weights, gradients and the real optimizer's states."""

import copy

import pytest
import torch
from lora_models import FUSED, deepseek, llama, tokens

from dslab.lora import Report, estimate, inject, merge, report


def measured(model):
    """Gradients and AdamW states after one step, in bytes (its step counters left out)."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)
    ids = tokens()
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    gradients = sum(p.grad.numel() * p.grad.element_size() for p in model.parameters() if p.grad is not None)
    states = [t for state in optimizer.state.values() for key, t in state.items() if key != "step"]
    return gradients, sum(t.numel() * t.element_size() for t in states)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("make", "targets", "dora"),
    [
        (llama, "all-linear", False),
        (llama, ["q_proj"], True),
        (llama, None, False),
        (deepseek, ["o_proj", *FUSED], False),
    ],
)
def test_report_is_what_training_takes_and_estimate_foretells_it(make, targets, dora, dtype):
    model = make().to(dtype)
    foretold = estimate(model, targets, r=3, dora=dora)
    assert not any("adapters" in name for name, _ in model.named_modules())
    if targets is not None:
        inject(model, targets, r=3, dora=dora)
    told = report(model)
    assert told == foretold
    assert told.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert told.total == sum(p.numel() for p in model.parameters())
    assert (told.gradient_bytes, told.optimizer_bytes) == measured(model)
    assert told.bytes == told.weight_bytes + told.gradient_bytes + told.optimizer_bytes
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    assert told.weight_bytes == buffers + sum(p.numel() * p.element_size() for p in model.parameters())


def test_tied_weights_count_once_and_what_merging_keeps_counts():
    model = llama(tie_word_embeddings=True)
    untied = report(llama())
    assert untied.total - report(model).total == 61 * 32
    inject(model, ["q_proj"], r=2)
    before = report(model).weight_bytes
    merge(model)
    assert report(model).weight_bytes - before == 2 * 32 * 32 * 4


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (llama, {"targets": ["query_key_value"]}, "matches nothing"),
        (llama, {"r": 20}, "k_proj: r=20 is more than a matrix of 16 x 32"),
        (llama, {"r": 0}, "r must be"),
        (deepseek, {"targets": FUSED, "dora": True}, "gate_up_proj: fused experts take no DoRA"),
    ],
)
def test_estimate_raises_as_inject_would(make, settings, message):
    with pytest.raises(ValueError, match=message):
        estimate(make(), **settings)
    with pytest.raises(ValueError, match=message.replace("take no", ".* take neither dropout nor")):
        inject(make(), **settings)


def test_estimate_needs_the_bare_model():
    model = llama()
    inject(model, r=2)
    with pytest.raises(ValueError, match="without adapters"):
        estimate(copy.deepcopy(model))


def test_it_reads_well():
    told = Report(2_000, 1_000_000, 4_000_000, 8_000, 16_000)
    assert str(told).splitlines()[0] == "trained parameters  2,000 of 1,000,000 (0.20%)"
    assert str(told).splitlines()[-1].split() == ["together", "4.0", "MB"]
    assert "<th>weights</th><td>4.0 MB</td>" in told._repr_html_()

"""NF4: the table is the published one, blocks round to the nearest code, and LoRA trains on top."""

from __future__ import annotations

import pytest
import torch
from lora_models import llama
from torch import nn

from dslab.lora import LoRALinear, inject, report
from dslab.lora.nf4 import NF4_CODE, NF4Linear, code_by_definition, quantize, quantize_model


def by_definition(weight: torch.Tensor, block: int = 64) -> torch.Tensor:
    """Every number to the nearest code times its block's largest magnitude, one block after the other."""
    code, flat = torch.tensor(NF4_CODE), weight.reshape(-1)
    out = []
    for part in flat.split(block):
        top = part.abs().max()
        out.append(code[((part / top)[:, None] - code).abs().argmin(1)] * top)
    return torch.cat(out).view_as(weight)


def test_the_published_table_follows_from_its_definition():
    assert torch.allclose(code_by_definition(), torch.tensor(NF4_CODE, dtype=torch.float64), atol=1e-6, rtol=0)
    assert sorted(NF4_CODE) == list(NF4_CODE)
    assert 0.0 in NF4_CODE
    assert len(NF4_CODE) == 16


@pytest.mark.parametrize("shape", [(64, 64), (3, 5), (7, 9), (1, 1), (2, 130)])
def test_without_double_quantisation_it_is_the_nearest_code(shape):
    torch.manual_seed(1)
    weight = torch.randn(shape)
    packed = quantize(weight, double=False)
    assert torch.equal(packed.dequantize(), by_definition(weight))
    assert packed.codes.dtype == torch.uint8
    assert packed.codes.numel() == (weight.numel() + 1) // 2


def test_a_kept_code_comes_back_exactly_and_zero_stays_zero():
    weight = torch.tensor(NF4_CODE).repeat(8)[None] * 3.5
    assert torch.equal(quantize(weight, double=False).dequantize(), weight)
    assert not quantize(torch.zeros(64, 64)).dequantize().any()


def test_double_quantisation_costs_less_than_a_hundredth_of_the_error():
    torch.manual_seed(2)
    weight = torch.randn(512, 512) * torch.rand(512, 1)
    errors = [(quantize(weight, double=double).dequantize() - weight).norm() for double in (False, True)]
    assert errors[0] < 0.1 * weight.norm()
    assert errors[1] < 1.01 * errors[0]
    assert 8 * quantize(weight).nbytes / weight.numel() == pytest.approx(4 + 8 / 64 + 64 / (64 * 256), abs=1e-3)


def test_codes_are_used_about_equally_often_by_normal_numbers_and_not_by_others():
    torch.manual_seed(3)

    def least_used(weight):
        codes = quantize(weight, double=False).codes
        return torch.bincount(torch.cat([codes // 16, codes % 16]).long(), minlength=16).min() / (2 * codes.numel())

    assert least_used(torch.randn(512, 512)) > 0.015
    assert least_used(torch.randn(512, 512) ** 5) < 0.005


@pytest.mark.parametrize("bias", [False, True])
def test_the_layer_is_the_dequantised_layer_forward_and_backward(bias):
    torch.manual_seed(4)
    plain = nn.Linear(40, 24, bias=bias)
    layer = NF4Linear(plain)
    with torch.no_grad():
        plain.weight.copy_(layer.dequantize())
    xs = [torch.randn(2, 3, 40).requires_grad_() for _ in range(2)]
    xs[1].data.copy_(xs[0])
    ys = [m(x) for m, x in zip((plain, layer), xs, strict=True)]
    for y in ys:
        y.square().sum().backward()
    assert torch.equal(*ys)
    assert torch.equal(xs[0].grad, xs[1].grad)
    assert not any(p.requires_grad for p in layer.parameters())


def test_a_model_trains_through_it_and_shrinks():
    model = llama()
    before = report(model)
    names = quantize_model(model)
    assert len(names) == 14
    assert not any("lm_head" in name for name in names)
    after = report(model)
    assert after.total == before.total
    assert after.weight_bytes < before.weight_bytes
    inject(model, "all-linear", r=2)
    assert isinstance(model.model.layers[0].mlp.up_proj, LoRALinear)
    tokens = torch.arange(12)[None]
    codes = model.model.layers[1].mlp.up_proj.base.codes.clone()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(8):
        loss = model(tokens, labels=tokens).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05
    assert torch.equal(codes, model.model.layers[1].mlp.up_proj.base.codes)


def test_what_cannot_be_quantised_is_refused():
    with pytest.raises(TypeError, match="floats"):
        quantize(torch.arange(4))
    with pytest.raises(ValueError, match="even"):
        quantize(torch.randn(8), block=3)
    with pytest.raises(ValueError, match="inf or NaN"):
        quantize(torch.tensor([1.0, float("nan")]))
    model = llama()
    inject(model, ["q_proj"], r=2)
    with pytest.raises(ValueError, match="before adapters"):
        quantize_model(model)

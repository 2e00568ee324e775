"""Fused routed experts: equal to peft's `target_parameters`, in both layouts, and gradients reach every expert used."""

import copy

import pytest
import torch
from lora_models import FUSED, deepseek, distance, logits, our_key, peft_model, stir, take_over, tokens
from torch import nn

from dslab.lora import LoRAExperts, inject, layers, merge, unmerge


def adapted(parameters=FUSED, **settings):
    model = deepseek()
    inject(model, list(parameters), **{"r": 4, "alpha": 12, **settings})
    return model


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("implementation", ["eager", "grouped_mm"])
def test_logits_and_gradients_are_pefts(rslora, implementation):
    """One fused parameter a module, so that peft's names need no unnesting."""
    base = deepseek()
    base.set_experts_implementation(implementation)
    for parameter in FUSED:
        theirs = peft_model(base, [], target_parameters=[parameter], kind="rslora" if rslora else "lora")
        ours = copy.deepcopy(base)
        (first, _) = inject(ours, [parameter], r=4, alpha=12, rslora=rslora)
        leaf = first.rpartition(".")[2]
        renamed = Renamed(theirs, leaf)
        take_over(ours, renamed)
        ids = tokens(3, 20)
        assert distance(logits(ours, ids), logits(base, ids)) > 0.1
        assert distance(logits(ours, ids), logits(theirs, ids)) <= 1e-6
        for model in (ours, theirs):
            model(input_ids=ids, labels=ids).loss.backward()
        for name, parameter_ in renamed.named_parameters():
            if (key := our_key(name)) is not None:
                gradient = getattr(layers(ours)[key[0]].adapter, key[1]).grad
                assert gradient.abs().max() > 1e-6
                assert distance(gradient, parameter_.grad) <= 1e-6
        assert all(p.grad is None for name, p in ours.named_parameters() if ".adapters." not in name)


class Renamed:
    """peft's parameters with the fused parameter's name put into theirs."""

    def __init__(self, model, leaf):
        self.model, self.leaf = model, leaf

    def named_parameters(self):
        for name, parameter in self.model.named_parameters():
            yield name.replace(".experts.lora_", f".experts.{self.leaf}.lora_"), parameter


def test_fresh_changes_nothing_and_merging_comes_back():
    base, ids = deepseek(), tokens()
    model = adapted()
    assert torch.equal(logits(model, ids), logits(base, ids))
    stir(model)
    said = logits(model, ids)
    merge(model)
    merge(model)
    assert distance(logits(model, ids), said) <= 1e-5
    assert distance(logits(model, ids), logits(base, ids)) > 0.1
    unmerge(model)
    assert torch.equal(logits(model, ids), said)
    wrapper = model.model.layers[1].mlp.experts
    assert isinstance(wrapper, LoRAExperts)
    assert torch.equal(wrapper.base.down_proj, base.model.layers[1].mlp.experts.down_proj)


def test_a_copy_is_independent():
    model, ids = adapted(), tokens()
    other = copy.deepcopy(model)
    before = logits(model, ids)
    stir(other)
    merge(other)
    assert torch.equal(logits(model, ids), before)
    assert distance(logits(other, ids), before) > 0.1


def test_dropout_and_dora_are_refused_by_name():
    for settings in ({"dropout": 0.1}, {"dora": True}):
        with pytest.raises(ValueError, match=r"mlp.experts.gate_up_proj: fused experts .* neither dropout nor DoRA"):
            adapted(**settings)
    with pytest.raises(ValueError, match=r"experts.gate_up_proj: r=33 is more than a matrix of 32 x 32"):
        adapted(r=33)


class InOut(nn.Module):
    """Experts that keep their weights as (experts, in, out), as some models do."""

    is_transposed = True

    def __init__(self):
        super().__init__()
        self.up_proj = nn.Parameter(torch.randn(3, 6, 5))

    def forward(self, x):
        return torch.einsum("bi,eio->beo", x, self.up_proj)


def test_the_transposed_layout_is_understood():
    torch.manual_seed(0)
    model = nn.ModuleDict({"experts": InOut()})
    inject(model, ["experts.up_proj"], r=2, alpha=4)
    stir(model)
    layer = layers(model)["experts.up_proj"]
    assert (layer.in_features, layer.out_features) == (6, 5)
    x = torch.randn(4, 6)
    a, b = layer.adapter.A.view(3, 2, 6), layer.adapter.B.view(5, 2, 3)
    expected = [x @ model["experts"].base.up_proj[e] + 2 * (x @ a[e].T) @ b[:, :, e].T for e in range(3)]
    assert distance(model["experts"](x), torch.stack(expected, 1)) <= 1e-5

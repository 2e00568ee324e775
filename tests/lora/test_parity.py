"""LoRA, rsLoRA and DoRA compute what peft computes, forward and backward, on a Llama and on a DeepSeek-V3."""

import copy

import pytest
import torch
from lora_models import KINDS, TARGETS, distance, logits, model_of, our_key, peft_model, stir, take_over, tokens

from dslab.lora import LoRALinear, inject, layers, merge, unmerge

CASES = [(model, kind) for model in TARGETS for kind in KINDS]
BAR = {"lora": 1e-6, "rslora": 1e-6, "dora": 1e-5}


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def trio(request):
    """kind, base, ours, peft's: the same numbers in both adapters."""
    model, kind = request.param
    base = model_of(model)
    theirs = peft_model(base, TARGETS[model], kind=kind)
    ours = copy.deepcopy(base)
    names = inject(ours, TARGETS[model], r=4, alpha=12, **KINDS[kind])
    assert len(names) == len(TARGETS[model]) * len(base.model.layers)
    take_over(ours, theirs)
    return kind, base, ours, theirs


def test_logits_are_pefts(trio):
    kind, base, ours, theirs = trio
    ids = tokens()
    assert distance(logits(ours, ids), logits(base, ids)) > 0.1, "the adapters must do something to be compared"
    assert distance(logits(ours, ids), logits(theirs, ids)) <= BAR[kind]


def test_gradients_are_pefts_and_the_base_gets_none(trio):
    kind, _, ours, theirs = trio
    ids = tokens(seed=3)
    for model in (ours, theirs):
        model.zero_grad(set_to_none=True)
        model(input_ids=ids, labels=ids).loss.backward()
    mine, compared = layers(ours), 0
    for name, parameter in theirs.named_parameters():
        if (key := our_key(name)) is None:
            assert parameter.grad is None
            continue
        gradient = getattr(mine[key[0]].adapter, key[1]).grad
        assert gradient.abs().max() > 1e-6
        assert distance(gradient, parameter.grad) <= BAR[kind], name
        compared += 1
    with_gradient = [name for name, parameter in ours.named_parameters() if parameter.grad is not None]
    assert len(with_gradient) == compared
    assert all(".adapters.default." in name for name in with_gradient)


def test_merged_says_the_same_and_unmerging_is_exact(trio):
    _, _, ours, theirs = trio
    ids = tokens(seed=4)
    before, weights = logits(ours, ids), copy.deepcopy(ours.state_dict())
    merge(ours)
    once = logits(ours, ids)
    merge(ours)  # a second time changes nothing
    assert torch.equal(logits(ours, ids), once)
    assert distance(once, before) <= 1e-5
    assert distance(once, logits(copy.deepcopy(theirs).merge_and_unload(), ids)) <= 1e-5
    layer = next(iter(layers(ours).values()))
    assert layer.merged
    assert distance(layer.base.weight, layer.base_weight()) > 1e-3
    unmerge(ours)
    after = ours.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[key], weights[key]) for key in weights)
    assert torch.equal(logits(ours, ids), before)


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_fresh_adapters_change_nothing_at_all(model, kind):
    base = model_of(model)
    ours, ids = copy.deepcopy(base), tokens()
    inject(ours, "all-linear", r=4, alpha=12, **KINDS[kind])
    assert torch.equal(logits(ours, ids), logits(base, ids))
    ours(input_ids=ids, labels=ids).loss.backward()
    for name, layer in layers(ours).items():
        assert layer.adapter.A.abs().max() > 0, "A and B both zero would never learn"
        assert layer.adapter.B.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_pefts_in_training_and_gone_in_evaluation(kind):
    base = model_of("llama")
    theirs = peft_model(base, TARGETS["llama"], kind=kind, lora_dropout=0.4)
    ours = copy.deepcopy(base)
    inject(ours, TARGETS["llama"], r=4, alpha=12, dropout=0.4, **KINDS[kind])
    take_over(ours, theirs)
    ids = tokens()
    assert torch.equal(logits(ours, ids), logits(ours, ids))
    assert distance(logits(ours, ids), logits(theirs, ids)) <= BAR[kind]
    drawn = []
    for model in (ours, theirs):
        model.train()
        torch.manual_seed(5)
        drawn.append(logits(model, ids))
    assert distance(*drawn) <= BAR[kind]
    assert distance(drawn[0], logits(ours.eval(), ids)) > 0.1


def test_scale_is_alpha_over_r_or_over_its_root():
    base = torch.nn.Linear(32, 32)
    assert LoRALinear(base, r=16, alpha=8).adapter.scale == 0.5
    assert LoRALinear(base, r=16, alpha=8, rslora=True).adapter.scale == 2.0


@pytest.mark.parametrize("kind", KINDS)
def test_in_bf16_the_adapters_stay_fp32_and_agree_with_peft(kind):
    base = model_of("llama").bfloat16()
    theirs = peft_model(base, TARGETS["llama"], kind=kind)
    ours = copy.deepcopy(base)
    inject(ours, TARGETS["llama"], r=4, alpha=12, **KINDS[kind])
    take_over(ours, theirs)
    ids = tokens(4, 40)
    assert {p.dtype for layer in layers(ours).values() for p in layer.adapters.parameters()} == {torch.float32}
    assert logits(ours, ids).dtype == torch.bfloat16
    agree = (logits(ours, ids).argmax(-1) == logits(theirs, ids).argmax(-1)).float().mean()
    assert agree >= 0.95
    before = logits(ours, ids).argmax(-1)
    merge(ours)
    assert (logits(ours, ids).argmax(-1) == before).float().mean() >= 0.9, "what remains is rounding"
    unmerge(ours)
    assert torch.equal(logits(ours, ids).argmax(-1), before)


@pytest.mark.parametrize("kind", KINDS)
def test_delta_weight_and_weight_are_what_acts(kind):
    torch.manual_seed(0)
    layer = LoRALinear(torch.nn.Linear(12, 9), r=3, alpha=5, **KINDS[kind])
    stir(layer)
    x = torch.randn(7, 12)
    assert distance(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias)) <= 1e-5
    assert distance(layer.base.weight + layer.delta_weight(), layer.weight) <= 1e-6
    delta = layer.delta_weight()
    layer.merge()
    assert distance(layer.delta_weight(), delta) == 0
    layer.use("default")
    with pytest.raises(RuntimeError, match="merged into the weight"):
        layer.use(None)

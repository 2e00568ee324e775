"""Several adapters on one base: one acts, one trains, and switching leaves no trace."""

import copy

import pytest
import torch
from lora_models import FUSED, deepseek, distance, llama, logits, stir, tokens

from dslab.lora import add, combine, disabled, inject, layers, merge, unmerge, use
from dslab.lora.adapters import names


@pytest.fixture
def model():
    made = llama()
    inject(made, "attention", r=2, alpha=6)
    add(made, "second", r=3)
    stir(made)
    return made


def test_one_is_active_and_only_it_trains(model):
    ids, base = tokens(), logits(llama(), tokens())
    first = logits(model, ids)
    use(model, "second")
    second = logits(model, ids)
    assert min(distance(first, second), distance(first, base), distance(second, base)) > 0.1
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(trained) == 16
    assert all(".adapters.second." in name for name in trained)
    use(model, None)
    assert torch.equal(logits(model, ids), base)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    use(model, "default")
    assert torch.equal(logits(model, ids), first)
    assert names(model) == ["default", "second"]


def test_a_new_one_takes_after_the_first(model):
    add(model, "third")
    settings = next(iter(layers(model).values())).adapters["third"].settings
    assert settings == {"r": 2, "alpha": 6, "dropout": 0.0, "rslora": False, "dora": False}
    assert next(iter(layers(model).values())).adapters["second"].r == 3


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("second", {}, "has an adapter 'second' already"),
        ("a.b", {}, "can't be an adapter's name"),
        ("x", {"rank": 3}, "no setting rank"),
        ("x", {"r": 20}, r"layers.0.self_attn.k_proj: r=20"),
    ],
)
def test_what_can_not_be_added_is_not_added_anywhere(model, name, settings, message):
    with pytest.raises(ValueError, match=message):
        add(model, name, **settings)
    assert all(list(layer.adapters) == ["default", "second"] for layer in layers(model).values())


def test_disabled_is_the_base_merged_or_not_and_puts_back_what_was(model):
    ids, base, first = tokens(), logits(llama(), tokens()), logits(model, tokens())
    for prepare in (lambda _: None, merge):
        prepare(model)
        said = logits(model, ids)
        with disabled(model):
            assert torch.equal(logits(model, ids), base)
            with disabled(model):
                assert torch.equal(logits(model, ids), base)
            assert torch.equal(logits(model, ids), base)
        assert torch.equal(logits(model, ids), said)
    unmerge(model)
    with pytest.raises(KeyError), disabled(model):
        raise KeyError
    assert torch.equal(logits(model, ids), first)
    assert all(layer.active == "default" for layer in layers(model).values())


def test_no_switching_while_merged(model):
    merge(model)
    with pytest.raises(RuntimeError, match="'default' is merged into the weight; unmerge before using 'second'"):
        use(model, "second")
    assert all(layer.merged for layer in layers(model).values())
    with pytest.raises(ValueError, match="no adapter 'third'; there are default, second"):
        use(model, "third")


@pytest.mark.parametrize("kind", ["llama", "deepseek with experts"])
def test_a_combination_is_the_weighted_sum_of_updates(kind):
    model = llama() if kind == "llama" else deepseek()
    inject(model, "attention" if kind == "llama" else ["o_proj", *FUSED], r=2, alpha=6)
    add(model, "second", r=3, rslora=True)
    stir(model)
    deltas = {}
    for name in ("default", "second"):
        use(model, name)
        deltas[name] = {full: layer.delta_weight() for full, layer in layers(model).items()}
    combine(model, {"default": 0.5, "second": -2.0}, into="both")
    use(model, "both")
    for full, layer in layers(model).items():
        expected = 0.5 * deltas["default"][full] - 2 * deltas["second"][full]
        assert layer.adapter.r == 5
        assert distance(layer.delta_weight(), expected) <= 1e-5, full


def test_what_can_not_be_combined_is_refused(model):
    before = copy.deepcopy(model.state_dict())
    for shares, into, message in (
        ({"default": 1, "x": 1}, "n", "no adapter 'x'"),
        ({}, "n", "at least one"),
        ({"default": 1}, "second", "already"),
    ):
        with pytest.raises(ValueError, match=message):
            combine(model, shares, into)
    dora = llama()
    inject(dora, r=2, dora=True)
    with pytest.raises(ValueError, match="DoRA rescales rows"):
        combine(dora, {"default": 1.0}, "n")
    assert model.state_dict().keys() == before.keys()


def test_without_adapters_there_is_nothing_to_switch():
    for call in (lambda m: add(m, "x"), lambda m: use(m, None), names, lambda m: combine(m, {"x": 1}, "y")):
        with pytest.raises(ValueError, match=r"no adapters; inject\(\)"):
            call(llama())

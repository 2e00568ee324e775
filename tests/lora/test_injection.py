"""What gets an adapter, what is frozen, and what is refused with the model as it was."""

import copy

import pytest
import torch
from lora_models import deepseek, llama, logits, tokens
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from dslab.lora import LoRALinear, inject, layers, merge, resolve, unmerge

MODELS = {"llama": llama, "deepseek": deepseek}


def ends(names):
    return sorted({name.rpartition(".")[2] for name in names})


def test_all_linear_leaves_out_head_router_and_fused_experts():
    names = resolve(deepseek(), "all-linear")
    assert "lm_head" not in names
    assert not any(name.endswith("mlp.gate") for name in names)
    assert not any(".experts." in name for name in names)
    assert ends(names) == sorted(
        ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    )
    assert len(names) == 3 * 5 + 3 + 2 * 3  # attention, the dense layer, the shared experts


class Router(nn.Module):
    """A model whose router is a linear layer, as in Mixtral."""

    def __init__(self):
        super().__init__()
        self.block = nn.ModuleDict({"gate": nn.Linear(8, 4), "q_proj": nn.Linear(8, 8)})
        self.lm_head = nn.Linear(8, 16)


def test_a_router_that_is_a_linear_layer_is_left_out_unless_named():
    assert resolve(Router(), "all-linear") == ["block.q_proj"]
    assert resolve(Router(), ["gate", "lm_head"]) == ["block.gate", "lm_head"]


def test_attention_means_the_linear_layers_of_attention():
    assert ends(resolve(llama(), "attention")) == ["k_proj", "o_proj", "q_proj", "v_proj"]
    assert len(resolve(deepseek(), "attention")) == 15


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["layers.1.self_attn.q_proj"], ["model.layers.1.self_attn.q_proj"]),
        ("v_proj", ["model.layers.0.self_attn.v_proj", "model.layers.1.self_attn.v_proj"]),
        (r".*\.1\..*(q|v)_proj", ["model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.v_proj"]),
        (["v_proj", r".*0.*v_proj"], ["model.layers.0.self_attn.v_proj", "model.layers.1.self_attn.v_proj"]),
        (["lm_head"], ["lm_head"]),
    ],
)
def test_names_by_their_end_and_patterns_for_the_whole(targets, expected):
    assert resolve(llama(), targets) == expected


def test_fused_experts_only_by_a_name_that_says_so():
    model = deepseek()
    assert not any(".experts." in name for name in resolve(model, ["down_proj"]))
    assert resolve(model, ["experts.down_proj"]) == [f"model.layers.{i}.mlp.experts.down_proj" for i in (1, 2)]
    assert not any(".mlp.experts." in name for name in resolve(model, ".*down_proj"))


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("targets", [["query_key_value"], ["q_proj_", "o_proj"], ["proj"], "x.*", "_proj"])
def test_a_target_that_matches_nothing_raises_with_the_names_there_are(make, targets):
    model = make()
    before = [name for name, _ in model.named_modules()]
    with pytest.raises(ValueError, match=r"matches nothing in this model; its linear layers end in .*o_proj") as raised:
        inject(model, targets)
    assert ("experts.gate_up_proj" in str(raised.value)) == (make is deepseek)
    assert [name for name, _ in model.named_modules()] == before
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_gpt2_is_told_why():
    config = GPT2Config(vocab_size=16, n_embd=8, n_layer=1, n_head=2, n_positions=8)
    with pytest.raises(ValueError, match=r"'all-linear' matches nothing .*Conv1D layers \(GPT-2's kind\)"):
        inject(GPT2LMHeadModel(config))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"r": 33}, r"model.layers.0.self_attn.q_proj: r=33 is more than a matrix of 32 x 32"),
        ({"r": 20}, r"model.layers.0.self_attn.k_proj: r=20 is more than a matrix of 16 x 32"),
        ({"r": 0}, "r must be"),
        ({"r": 2.0}, "r must be"),
        ({"alpha": 0}, "alpha must be"),
        ({"alpha": float("nan")}, "alpha must be"),
        ({"dropout": 1.0}, "dropout must be"),
        ({"name": "a.b"}, "can't be an adapter's name"),
        ({"name": "keys"}, "can't be an adapter's name"),
        ({"targets": []}, "targets must be names"),
        ({"targets": [""]}, "targets must be names"),
        ({"targets": "("}, "no regular expression"),
    ],
)
def test_settings_no_adapter_can_have_leave_the_model_as_it_was(settings, message):
    model = llama()
    before = copy.deepcopy(model)
    with pytest.raises(ValueError, match=message):
        inject(model, **settings)
    assert not layers(model)
    assert [name for name, _ in model.named_modules()] == [name for name, _ in before.named_modules()]
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_second_injection_is_refused():
    model = llama()
    inject(model, "attention", r=2)
    with pytest.raises(ValueError, match="has adapters already, on 8 weights"):
        inject(model, ["gate_proj"], r=2)


def test_only_adapters_train_and_names_are_returned_in_order():
    model = llama()
    names = inject(model, ["v_proj", "q_proj"], r=2)
    assert names == [f"model.layers.{i}.self_attn.{leaf}_proj" for i in (0, 1) for leaf in "qv"] == list(layers(model))
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {f"{name}.adapters.default.{part}" for name in names for part in "AB"}
    assert isinstance(model.model.layers[0].self_attn.q_proj, LoRALinear)


def test_mode_is_kept():
    assert not any(module.training for module in _injected(llama().eval()).modules())
    assert all(module.training for module in _injected(llama().train()).modules())


def _injected(model):
    inject(model, r=2, dropout=0.1)
    return model


def test_a_shared_weight_is_not_merged():
    model = llama(tie_word_embeddings=True)
    inject(model, ["lm_head", "q_proj"], r=2)
    with pytest.raises(
        ValueError, match=r"lm_head shares its weight \(model.embed_tokens.weight = lm_head.base.weight\)"
    ):
        merge(model)
    assert not any(layer.merged for layer in layers(model).values())


def test_merge_and_unmerge_need_adapters():
    for function in (merge, unmerge):
        with pytest.raises(ValueError, match=r"no adapters; inject\(\)"):
            function(llama())


def test_a_merged_model_can_be_copied_and_cast():
    model = llama()
    inject(model, r=2)
    with torch.no_grad():
        for layer in layers(model).values():
            layer.adapter.B.normal_()
    ids = tokens()
    before = logits(model, ids)
    merge(model)
    other = copy.deepcopy(model).double()
    unmerge(other)
    assert torch.allclose(logits(other, ids).float(), before, atol=1e-4)
    assert all(layer.merged for layer in layers(model).values())

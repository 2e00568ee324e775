"""Adapter files: either library reads the other's, key for key; whatever does not fit raises and changes nothing."""

import copy
import json
import warnings

import pytest
import torch
from lora_models import (
    FUSED,
    KINDS,
    TARGETS,
    deepseek,
    distance,
    llama,
    logits,
    model_of,
    peft_model,
    stir,
    tokens,
)  # fmt: skip
from safetensors.torch import load_file, save_file

from dslab.lora import add, inject, layers, load_peft, merge, save_peft, use

CASES = [(model, kind) for model in TARGETS for kind in KINDS]
BAR = {"lora": 1e-6, "rslora": 1e-6, "dora": 1e-5}


def read(folder):
    return load_file(folder / "adapter_model.safetensors")


def config(folder):
    return json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))


def change(folder, **settings):
    (folder / "adapter_config.json").write_text(json.dumps({**config(folder), **settings}), encoding="utf-8")


def by_peft(base, folder):
    """What peft makes of a folder; a warning is an error, for it only warns of keys it does not find."""
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(missing|unexpected|not found|did not match).*")
        return PeftModel.from_pretrained(copy.deepcopy(base), str(folder)).eval()


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_files_go_both_ways(model, kind, tmp_path):
    base, ids = model_of(model), tokens()
    theirs = peft_model(base, TARGETS[model], kind=kind)
    theirs.save_pretrained(tmp_path / "peft")
    ours = copy.deepcopy(base)
    names = load_peft(ours, tmp_path / "peft")
    assert names == list(layers(ours))
    said = logits(ours, ids)
    assert distance(said, logits(theirs, ids)) <= BAR[kind]
    assert distance(said, logits(base, ids)) > 0.1
    merge(ours)  # a merged adapter is saved the same
    save_peft(ours, tmp_path / "ours")
    mine, peft = read(tmp_path / "ours"), read(tmp_path / "peft")
    assert mine.keys() == peft.keys()
    assert all(torch.equal(mine[key], peft[key]) for key in peft)
    assert distance(logits(by_peft(base, tmp_path / "ours"), ids), said) <= BAR[kind]
    a, b = config(tmp_path / "ours"), config(tmp_path / "peft")
    for key in a.keys() - {"target_modules", "base_model_name_or_path"}:
        assert (a[key] or None) == (b[key] or None), key
    assert set(a["target_modules"]) == set(b["target_modules"])


def test_what_is_loaded_trains_and_nothing_else(tmp_path):
    model = llama()
    inject(model, "attention", r=2, dropout=0.1)
    stir(model)
    save_peft(model, tmp_path)
    again = llama()
    load_peft(again, tmp_path, adapter="mine")
    trained = [name for name, parameter in again.named_parameters() if parameter.requires_grad]
    assert len(trained) == 16
    assert all(".adapters.mine." in name for name in trained)
    assert layers(again)["model.layers.0.self_attn.q_proj"].adapter.dropout.p == 0.1
    assert torch.equal(logits(again, tokens()), logits(model, tokens()))


def test_fused_experts_nest_as_pefts_do(tmp_path):
    base, ids = deepseek(), tokens()
    theirs = peft_model(base, ["o_proj"], target_parameters=FUSED)
    theirs.save_pretrained(tmp_path / "peft")
    ours = copy.deepcopy(base)
    names = load_peft(ours, tmp_path / "peft")
    assert "model.layers.2.mlp.experts.gate_up_proj" in names
    said = logits(ours, ids)
    assert distance(said, logits(theirs, ids)) <= 1e-6
    save_peft(ours, tmp_path / "ours")
    mine, peft = read(tmp_path / "ours"), read(tmp_path / "peft")
    assert mine.keys() == peft.keys()
    assert any(".experts.base_layer.lora_A" in key for key in mine)
    assert all(torch.equal(mine[key], peft[key]) for key in peft)
    assert distance(logits(by_peft(base, tmp_path / "ours"), ids), said) <= 1e-6


def test_pefts_rewrite_to_fused_experts_loads_as_what_it_is(tmp_path):
    """gate/up/down become the routed experts' parameters, with twice the rank; shared experts get nothing."""
    base, ids = deepseek(), tokens()
    theirs = peft_model(base, ["gate_proj", "up_proj", "down_proj"])
    theirs.save_pretrained(tmp_path)
    ours = copy.deepcopy(base)
    names = load_peft(ours, tmp_path)
    assert names == [f"model.layers.{i}.mlp.experts.{p}_proj" for i in (1, 2) for p in ("gate_up", "down")]
    assert layers(ours)["model.layers.1.mlp.experts.gate_up_proj"].adapter.r == 8
    assert distance(logits(ours, ids), logits(theirs, ids)) <= 1e-6


@pytest.mark.parametrize("targets", ["all-linear", ["shared_experts.gate_proj", *FUSED], ["mlp.down_proj", "o_proj"]])
def test_peft_reads_our_layers_beside_fused_experts(targets, tmp_path):
    """By peft's own names it could not: it would put them on the routed experts."""
    base, ids = deepseek(), tokens()
    ours = copy.deepcopy(base)
    names = inject(ours, targets, r=4, alpha=12)
    stir(ours)
    save_peft(ours, tmp_path)
    assert distance(logits(ours, ids), logits(base, ids)) > 0.1
    # peft adds the update to a parameter before it multiplies, as merging does: merging's bar
    assert distance(logits(by_peft(base, tmp_path), ids), logits(ours, ids)) <= 1e-5
    again = copy.deepcopy(base)
    assert load_peft(again, tmp_path) == names
    assert torch.equal(logits(again, ids), logits(ours, ids))


def test_what_peft_can_not_be_told_is_said(tmp_path):
    for settings, message in (({"dora": True}, "peft can't put DoRA"), ({"dropout": 0.1}, r"dropout=0.1 is not in")):
        base = deepseek()
        ours = copy.deepcopy(base)
        inject(ours, "all-linear", r=2, **settings)
        stir(ours)
        with pytest.warns(UserWarning, match=message):
            save_peft(ours, tmp_path)
        load_peft(base, tmp_path)
        assert torch.equal(logits(base, tokens()), logits(ours, tokens()))


def test_ranks_that_differ_by_layer_go_both_ways(tmp_path):
    base, ids = llama(), tokens()
    patterns = {"rank_pattern": {"q_proj": 3, "layers.1.mlp.up_proj": 5}, "alpha_pattern": {"q_proj": 30}}
    theirs = peft_model(base, TARGETS["llama"], **patterns)
    theirs.save_pretrained(tmp_path / "peft")
    ours = copy.deepcopy(base)
    load_peft(ours, tmp_path / "peft")
    assert distance(logits(ours, ids), logits(theirs, ids)) <= 1e-6
    save_peft(ours, tmp_path / "ours")
    assert distance(logits(by_peft(base, tmp_path / "ours"), ids), logits(ours, ids)) <= 1e-6


def test_a_second_adapter_joins_the_first_and_waits(tmp_path):
    model = llama()
    inject(model, "attention", r=2)
    stir(model)
    save_peft(model, tmp_path / "a")
    first = logits(model, tokens())
    other = llama()
    inject(other, "attention", r=3, rslora=True)
    stir(other, seed=9)
    save_peft(other, tmp_path / "b")
    load_peft(model, tmp_path / "b", adapter="b")
    assert torch.equal(logits(model, tokens()), first)
    use(model, "b")
    assert torch.equal(logits(model, tokens()), logits(other, tokens()))
    save_peft(model, tmp_path / "c", adapter="b")
    assert all(torch.equal(value, read(tmp_path / "c")[key]) for key, value in read(tmp_path / "b").items())
    with pytest.raises(ValueError, match="has an adapter 'b' already"):
        load_peft(model, tmp_path / "b", adapter="b")
    elsewhere = llama()
    inject(elsewhere, "all-linear", r=2)
    with pytest.raises(ValueError, match=r"same weights.*mlp\.down_proj"):
        load_peft(elsewhere, tmp_path / "b", adapter="b")
    with pytest.raises(ValueError, match="no adapter 'x'; there are default, b"):
        save_peft(model, tmp_path / "x", adapter="x")


@pytest.fixture
def saved(tmp_path):
    model = llama()
    inject(model, "attention", r=2)
    stir(model)
    return save_peft(model, tmp_path / "adapter", base="a/model")


def tensors_without(folder, *keys):
    kept = {key: value for key, value in read(folder).items() if key not in keys}
    save_file(kept, folder / "adapter_model.safetensors")


FIRST = "base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight"


def lose_a_key(folder):
    tensors_without(folder, FIRST)


def add_a_key(folder):
    tensors = read(folder)
    tensors[FIRST.replace("k_proj", "k_proj_2")] = torch.zeros(2, 32)
    save_file(tensors, folder / "adapter_model.safetensors")


def target_less(folder):
    change(folder, target_modules=["q_proj", "v_proj", "o_proj"])


FAULTS = {
    "a key is missing": (lose_a_key, r"lacks 1 keys .*0\.self_attn\.k_proj\.lora_A"),
    "a key too many": (add_a_key, r"has 1 keys that have no place .*k_proj_2"),
    "config means less": (target_less, r"has 4 keys that have no place .*k_proj"),
    "config means more": (lambda f: change(f, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "up_proj"]),
                          r"lacks 4 keys .*up_proj"),
    "another rank": (lambda f: change(f, r=3), r"another base or rank: 16 shapes differ.*has \(2, 32\).* \(3, 32\)"),
    "DoRA without lengths": (lambda f: change(f, use_dora=True), r"lacks 8 keys .*lora_magnitude_vector"),
    "another model": (lambda f: change(f, target_modules=["query_key_value"]),
                      r"'query_key_value', and this model has no such weights .*q_proj.*another base"),
    "nothing": (lambda f: change(f, target_modules=[]), "names no weights"),
    "not LoRA": (lambda f: change(f, peft_type="IA3"), "peft_type 'IA3'"),
    "biases": (lambda f: change(f, bias="all"), "bias='all'"),
    "changed base": (lambda f: change(f, init_lora_weights="pissa"), "'pissa' changes the base"),
    "other settings": (lambda f: change(f, modules_to_save=["lm_head"], lora_bias=True),
                       r"lora_bias=True, modules_to_save=\['lm_head'\]"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_raises_and_leaves_the_model_alone(fault, saved):
    spoil, message = FAULTS[fault]
    spoil(saved)
    model = llama()
    names = [name for name, _ in model.named_modules()]
    with pytest.raises(ValueError, match=message):
        load_peft(model, saved)
    assert [name for name, _ in model.named_modules()] == names
    assert all(parameter.requires_grad for parameter in model.parameters())
    inject(model, "attention", r=2)
    add(model, "kept")
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=f"{message}|sit on the same weights"):
        load_peft(model, saved, adapter="new")
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_an_adapter_of_a_wider_base_is_refused(saved):
    with pytest.raises(ValueError, match=r"another base or rank.*the file has \(2, 32\), this model needs \(2, 64\)"):
        load_peft(llama(hidden_size=64), saved)


def test_a_folder_without_an_adapter_says_so(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no adapter_config.json"):
        load_peft(llama(), tmp_path / "nowhere")
    (saved / "adapter_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no adapter_model.safetensors"):
        load_peft(llama(), saved)


def test_the_base_is_noted_and_no_debris_stays(saved):
    assert config(saved)["base_model_name_or_path"] == "a/model"
    assert sorted(path.name for path in saved.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]

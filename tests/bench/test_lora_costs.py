"""What notebook 04 takes from `dslab.bench`: costs, bf16 weights with fp32 arithmetic, peft's reach."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from dslab import lora  # noqa: E402
from dslab.bench import lora_costs  # noqa: E402


def tiny(**settings: Any) -> Any:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=60, num_key_value_heads=2, **sizes, **settings)
    return transformers.LlamaForCausalLM(config).eval()


def test_bf16_weights_compute_in_fp32_as_their_values_do() -> None:
    narrow = tiny(tie_word_embeddings=True)
    for parameter in narrow.parameters():  # as from_pretrained does: the angles of positions stay fp32
        parameter.data = parameter.data.bfloat16()
    wide = tiny(tie_word_embeddings=True)
    wide.load_state_dict({name: value.float() for name, value in narrow.state_dict().items()})
    lora_costs.in_fp32(narrow)
    tokens = torch.arange(12)[None]
    with torch.no_grad():
        said, expected = narrow(tokens).logits, wide(tokens).logits
    assert said.dtype == torch.float32
    assert torch.equal(said, expected)
    assert narrow.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16
    assert narrow.lm_head.weight is narrow.model.embed_tokens.weight


def test_adapters_merge_into_bf16_weights_that_compute_in_fp32() -> None:
    model = tiny().bfloat16()
    lora.inject(model, "all-linear", r=2)
    for layer in lora.layers(model).values():
        torch.nn.init.normal_(layer.adapters["default"].B)
    lora_costs.in_fp32(model)
    weight = model.model.layers[0].mlp.up_proj.base.weight
    before, expected = weight.clone(), model.model.layers[0].mlp.up_proj.adapted_weight().bfloat16()
    lora.merge(model)
    assert torch.equal(weight, expected)
    assert not torch.equal(weight, before)


def test_ways_count_what_estimate_and_nf4_say() -> None:
    with torch.device("meta"):
        outline = tiny(tie_word_embeddings=False)
    costs = lora_costs.ways(outline)
    assert "LoRA, rank 16, fp32" in costs  # its smallest matrix is 16 x 32
    full, adapter = costs["full, fp32"], costs["LoRA, rank 8, fp32"]
    assert full.gradient_bytes == 4 * full.total == full.optimizer_bytes / 2
    assert adapter.weight_bytes == full.weight_bytes + 4 * adapter.trainable
    assert costs["full, bf16"].gradient_bytes == full.gradient_bytes / 2
    matrices = 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 48)
    saved = costs["LoRA, rank 8, bf16"].weight_bytes - costs["QLoRA, rank 8, NF4 and bf16"].weight_bytes
    assert saved / matrices == pytest.approx(2 - (4 + 8 / 64 + 64 / 64 / 256) / 8, abs=1e-3)
    assert lora_costs.work(full) == 3 * full.total


def test_a_model_beside_shares_its_weights_and_leaves_it_alone() -> None:
    model = tiny()
    adapted = lora_costs.beside(model, 2, 4)
    assert len(lora.layers(adapted)) == 14
    assert not lora.layers(model)
    assert adapted.model.layers[0].mlp.up_proj.base.weight is model.model.layers[0].mlp.up_proj.weight


def test_a_fingerprint_sees_one_bit() -> None:
    model = tiny()
    lora.inject(model, ["up_proj"], r=2)
    before = lora.fingerprints(model)
    assert sorted(before) == [f"model.layers.{n}.mlp.up_proj" for n in range(2)]
    model.model.layers[1].mlp.up_proj.base.weight.data.view(torch.int32)[3, 4] ^= 1
    after = lora.fingerprints(model)
    assert [name for name in before if before[name] != after[name]] == ["model.layers.1.mlp.up_proj"]


def test_peft_reaches_what_it_adapts_and_says_so() -> None:
    pytest.importorskip("peft")
    from dslab.bench import lora_peers

    with torch.device("meta"):
        places, trained, warned = lora_peers.reached(tiny(), ["up_proj", "down_proj"])
    assert places == {"model.layers.*.mlp.up_proj": 2, "model.layers.*.mlp.down_proj": 2}
    assert trained == 2 * 2 * 8 * (32 + 48)
    assert not warned
    with pytest.raises(ValueError, match="query_key_value"):
        lora_peers.reached(tiny(), ["query_key_value"])


def test_the_judges_see_a_wrong_scale() -> None:
    pytest.importorskip("peft")
    from dslab.bench import lora_peers
    from dslab.lora.linear import Adapter

    class Bare(torch.nn.Module):
        def __init__(self, base: Any, r: int, alpha: float, factor: float = 1.0) -> None:
            super().__init__()
            self.base, self.scale = base.requires_grad_(False), factor * alpha / r
            self.A = torch.nn.Parameter(torch.randn(r, base.in_features))
            self.B = torch.nn.Parameter(torch.zeros(base.out_features, r))

        def forward(self, x: Any) -> Any:
            return self.base(x) + self.scale * (x @ self.A.T @ self.B.T)

    assert max(lora_peers.one_layer(Bare, 0)) < 1e-4
    assert min(lora_peers.one_layer(lambda base, r, alpha: Bare(base, r, alpha, 1.01), 0)) > 1e-3
    assert max(lora_peers.compare(tiny, ["q_proj"], 0)) < 1e-6
    scale = Adapter.scale
    try:
        Adapter.scale = property(lambda self: 1.01 * self.alpha / self.r)  # type: ignore[assignment, method-assign]
        assert min(lora_peers.compare(tiny, ["q_proj"], 0)) > 1e-6
    finally:
        Adapter.scale = scale  # type: ignore[method-assign]

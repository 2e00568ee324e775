"""Bytes and FLOPs: against caches that were filled and products that were counted."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DeepseekV2Config, DeepseekV3Config, DynamicCache, FalconConfig, LlamaConfig, LlamaForCausalLM

from dslab.inference.accounting import (
    NAMED,
    Dims,
    absorbed_flops,
    decode_flops,
    dims_of,
    generation_flops,
    kv_bytes_per_token,
    published_93,
    recompute_flops,
)

# Computed by hand from the published sizes: numbers cached per token, and bytes with 16 bits.
KNOWN = {
    "SmolLM2-135M": (11_520, 23_040, "GQA"), "Llama-2-7B": (262_144, 524_288, "MHA"),
    "Falcon-7B": (4_096, 8_192, "MQA"), "Falcon-40B": (61_440, 122_880, "GQA"),
    "DeepSeek-67B": (194_560, 389_120, "GQA"), "DeepSeek-V2": (34_560, 69_120, "MLA"),
    "DeepSeek-V3": (35_136, 70_272, "MLA"), "DeepSeek-V3.2": (42_944, 85_888, "MLA"),
    "Llama-3.1-8B": (65_536, 131_072, "GQA"),
    "Llama-3.1-70B": (163_840, 327_680, "GQA"), "Qwen2.5-0.5B": (6_144, 12_288, "GQA"),
    "Qwen2.5-7B": (28_672, 57_344, "GQA"), "DeepSeek-V2-Lite": (15_552, 31_104, "MLA"),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_named_models(name):
    elements, size, kind = KNOWN[name]
    assert (NAMED[name].elements, kv_bytes_per_token(NAMED[name]), NAMED[name].kind) == (elements, size, kind)
    assert kv_bytes_per_token(NAMED[name], bits=8) == size / 2


@pytest.mark.parametrize(
    ("name", "billions"),
    [("SmolLM2-135M", 0.1345), ("Llama-2-7B", 6.61), ("Llama-3.1-8B", 7.50), ("Llama-3.1-70B", 69.5),
     ("Qwen2.5-0.5B", 0.494), ("Qwen2.5-7B", 7.07), ("DeepSeek-67B", 66.6)],
)  # fmt: skip
def test_weights_are_the_parameters_that_multiply(name, billions):
    """All parameters but an untied embedding, norms and biases; to the digits that are published."""
    assert NAMED[name].weights / 1e9 == pytest.approx(billions, rel=3e-3)


def test_what_the_93_percent_consist_of():
    p = published_93()
    assert round(p.by_latents, 3) == 0.822
    assert round(p.together, 4) == 0.9334
    assert round(p.of_same_heads, 3) == 0.982
    assert p.by_bits == 1 - 6 / 16
    assert 1 - (1 - p.by_latents) * (1 - p.by_bits) == pytest.approx(p.together)


def test_configs():
    assert dims_of(NAMED["Falcon-7B"]) is NAMED["Falcon-7B"]
    assert kv_bytes_per_token(DeepseekV3Config()) == 70_272
    assert kv_bytes_per_token(DeepseekV2Config(num_hidden_layers=60, num_attention_heads=128)) == 69_120
    assert dims_of(LlamaConfig()).weights == NAMED["Llama-2-7B"].weights
    with pytest.raises(ValueError, match="config of a decoder"):
        dims_of(object())
    with pytest.raises(ValueError, match="positive number of bits"):
        kv_bytes_per_token(LlamaConfig(), 0)
    with pytest.raises(ValueError, match="not known here"):
        decode_flops(NAMED["DeepSeek-V3"], 9)
    assert decode_flops(Dims("made", 1, 1, 1, 1, 1, weights=5), 0) == 14


def tiny(**changes):
    settings = {"vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
                "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**{**settings, **changes}, attn_implementation="eager")).eval()


@torch.no_grad()
@pytest.mark.parametrize("changes", [{}, {"num_key_value_heads": 4}, {"head_dim": None}])
def test_flops_are_those_that_are_done(changes):
    lm, n = tiny(**changes), 11
    ids, cache = torch.zeros(1, n, dtype=torch.long), DynamicCache()
    counter = FlopCounterMode(display=False)
    lm(ids, past_key_values=cache)
    kept = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert kept == n * dims_of(lm.config).elements
    with counter:
        lm(ids[:, :1], past_key_values=cache)
    assert counter.get_total_flops() == decode_flops(lm.config, n)
    n += 1
    with counter:
        lm(torch.zeros(1, n, dtype=torch.long), use_cache=False)
    hidden = 2 * 3 * 4 * 2 * dims_of(lm.config).key_dim * n * (n - 1) // 2  # eager computes what the mask hides, too
    assert counter.get_total_flops() - hidden == recompute_flops(lm.config, n - 1)


def test_without_a_cache_the_work_is_quadratic():
    smol = NAMED["SmolLM2-135M"]
    assert generation_flops(smol, 64, 1, cached=True) == generation_flops(smol, 64, 1, cached=False)
    assert generation_flops(smol, 1, 3) == sum(decode_flops(smol, n) for n in range(3))
    assert generation_flops(smol, 1, 3, cached=False) == sum(recompute_flops(smol, n) for n in range(3))
    saved = [generation_flops(smol, 64, n, False) / generation_flops(smol, 64, n) for n in (32, 128, 512)]
    assert 20 < saved[0] < saved[1] < saved[2]
    assert saved[2] > 200


def test_absorbed_flops():
    expanded, absorbed = absorbed_flops(1, 16, 512, 64, 128, 128, seen=4096)
    assert expanded / absorbed > 50
    assert absorbed_flops(1, 1, 512, 64, 128, 128, 0) == (0, 2 * 512 * 256)
    assert FalconConfig().head_dim == NAMED["Falcon-7B"].key_dim

"""Latent attention: the cache by itself, and absorbed projections in transformers' own models."""

import copy

import pytest
import torch
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM, DeepseekV3Config, DeepseekV3ForCausalLM

from dslab.inference.absorption import absorb, unabsorb, worth_it
from dslab.inference.adapter import as_transformers
from dslab.inference.cache import ContiguousCache
from dslab.inference.latent import LatentCache
from dslab.inference.paged import PagedCache

H, R, DR, DN, DV = 4, 12, 8, 8, 6
KINDS = {"v2": (DeepseekV2ForCausalLM, DeepseekV2Config), "v3": (DeepseekV3ForCausalLM, DeepseekV3Config)}


def model(kind: str, **changes):
    torch.manual_seed(0)
    made, config = KINDS[kind]
    settings = {
        "vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "moe_intermediate_size": 16,
        "num_hidden_layers": 3, "first_k_dense_replace": 1, "num_attention_heads": H, "num_key_value_heads": H,
        "q_lora_rank": 16, "kv_lora_rank": R, "qk_rope_head_dim": DR, "qk_nope_head_dim": DN, "v_head_dim": DV,
        "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1, "n_shared_experts": 1,
        "max_position_embeddings": 128, "initializer_range": 0.1, "pad_token_id": 0, "bos_token_id": None,
        "eos_token_id": None,
    }  # fmt: skip
    return made(config(**{**settings, **changes})).eval()


def prompt(T=20, rows=1):
    return torch.randint(2, 61, (rows, T), generator=torch.Generator().manual_seed(T))


@torch.no_grad()
def logits(lm, ids, cache=None, pieces=None):
    parts = ids.split(pieces or [ids.shape[1]], 1)
    return torch.cat([lm(part, past_key_values=cache, use_cache=cache is not None).logits for part in parts], 1)


def test_attention_over_latents_is_attention_over_what_they_expand_to():
    draw = torch.Generator().manual_seed(0)
    q, rotated, latents = (torch.randn(2, n, 9, d, generator=draw) for n, d in ((H, DN + DR), (1, DR), (1, R)))
    up_keys, up_values = torch.randn(H, DN, R, generator=draw), torch.randn(H, DV, R, generator=draw)
    keys = torch.cat([torch.einsum("hdr,bktr->bhtd", up_keys, latents), rotated.expand(-1, H, -1, -1)], -1)
    values = torch.einsum("hdr,bktr->bhtd", up_values, latents)
    scale = (DN + DR) ** -0.5
    wanted = torch.nn.functional.scaled_dot_product_attention(q, keys, values, is_causal=True)
    absorbed = torch.cat([torch.einsum("bhtd,hdr->bhtr", q[..., :DN], up_keys), q[..., DN:]], -1)
    cache, at = LatentCache(9), 0
    for T in (4, 1, 1, 3):
        part = [x[:, :, at : at + T] for x in (absorbed, latents, rotated)]
        seen = cache.attend(0, *part, scale)
        assert (torch.einsum("bhtr,hdr->bhtd", seen, up_values) - wanted[:, :, at : at + T]).abs().max() < 1e-5
        at += T
    assert cache.nbytes() == 2 * 9 * (R + DR) * 4
    cache.truncate(5)
    assert all(torch.equal(a, b[:, :, :5]) for a, b in zip(cache.view(0), (latents, rotated), strict=True))


def test_what_it_does_not_take():
    cache, latents, rotated = LatentCache(), torch.ones(1, 1, 3, R), torch.ones(1, 1, 3, DR)
    with pytest.raises(ValueError, match="which all heads share; came 4 heads"):
        cache.append(0, torch.ones(1, 4, 3, R), torch.ones(1, 4, 3, DR))
    with pytest.raises(ValueError, match="expected scale"):
        cache.attend(0, torch.ones(1, 4, 3, R + DR), latents, rotated)
    with pytest.raises(ValueError, match=r"\(B, H, T, 12 \+ 8\), absorbed; came \(1, 4, 3, 12\)"):
        cache.attend(0, torch.ones(1, 4, 3, R), latents, rotated, 1.0)
    assert len(cache) == 0
    with pytest.raises(ValueError, match="Linear has no attention over latents"):
        absorb(torch.nn.Linear(2, 2))
    lm = model("v3")
    lm.model.layers[1].self_attn.kv_b_proj = torch.nn.Sequential(lm.model.layers[1].self_attn.kv_b_proj)
    with pytest.raises(ValueError, match="expected kv_b_proj to be a plain Linear"):
        absorb(lm)
    assert lm.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("kind", KINDS)
def test_absorbed_logits_are_theirs(kind):
    lm, ids = model(kind), prompt(36, rows=2)
    wanted = logits(lm, ids)
    assert absorb(lm) == 3
    assert (logits(lm, ids) - wanted).abs().max() < 1e-5 < wanted.abs().max() / 100
    steps, uneven = [10] + [1] * 26, [20, 1, 1, 7, 7]
    for kept, pieces in ((LatentCache, steps), (LatentCache, uneven), (ContiguousCache, uneven), (PagedCache, uneven)):
        cache = kept()
        assert (logits(lm, ids, as_transformers(cache), pieces) - wanted).abs().max() < 1e-5
        assert cache.nbytes() == 3 * 2 * 36 * (R + DR) * 4


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_never_expands(kind):
    lm, calls = model(kind), []
    absorb(lm)
    for layer in lm.model.layers:
        layer.self_attn.kv_b_proj.register_forward_hook(lambda *_: calls.append(1))
    cache = as_transformers(LatentCache())
    assert [worth_it(lm.model.layers[0].self_attn, T) for T in (1, 16, 17, 50)] == [True, True, False, False]
    logits(lm, prompt(30), cache)
    assert len(calls) == 3  # a long first pass is cheaper expanded
    logits(lm, prompt(16), cache)
    logits(lm, prompt(1), cache)
    assert len(calls) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_generated_tokens_are_theirs(kind):
    lm, ids = model(kind), prompt(14, rows=3)
    ids[1, :6] = 0  # left padding
    mask = (torch.arange(14) >= torch.tensor([[0], [6], [0]])).long()
    more = {"attention_mask": mask, "max_new_tokens": 24}
    how = ({"do_sample": False}, {"do_sample": False, "num_beams": 3}, {"do_sample": True, "temperature": 0.7})

    def all_ways(fresh):
        out = []
        for ways in how:
            torch.manual_seed(3)
            out.append(lm.generate(ids, past_key_values=fresh(), **more, **ways))
        return out

    wanted = all_ways(lambda: None)
    absorb(lm)
    for ours, theirs in zip(all_ways(lambda: as_transformers(LatentCache())), wanted, strict=True):
        assert torch.equal(ours, theirs)
    assert (wanted[0][0] != wanted[2][0]).any()


@pytest.mark.parametrize("before", ["sdpa", "eager"])
def test_taken_back_without_a_trace(before):
    lm, ids = model("v3"), prompt()
    lm.set_attn_implementation(before)
    names, wanted, config = list(lm.state_dict()), logits(lm, ids), copy.deepcopy(lm.config.to_dict())
    absorb(lm)
    absorb(lm)  # twice is once
    assert list(lm.state_dict()) == names
    clone = copy.deepcopy(lm)
    assert (logits(clone, ids) - wanted).abs().max() < 1e-5
    unabsorb(lm)
    assert torch.equal(logits(lm, ids), wanted)
    assert lm.config._attn_implementation == before
    assert lm.config.to_dict() == config
    attention = clone.model.layers[0].self_attn
    unabsorb(clone)
    assert absorb(attention) == 1  # one layer by itself


@pytest.mark.parametrize("changes", [{"q_lora_rank": None}, {"attention_bias": True}, {"num_attention_heads": 1}])
def test_other_shapes(changes):
    if "num_attention_heads" in changes:
        changes["num_key_value_heads"] = 1
    lm, ids = model("v3", **changes), prompt()
    wanted = logits(lm, ids)
    absorb(lm)
    assert (logits(lm, ids, as_transformers(LatentCache()), [7, *[1] * 13]) - wanted).abs().max() < 1e-5


def test_half_precision():
    lm, ids = model("v3", first_k_dense_replace=3).bfloat16(), prompt()  # rounding would choose other experts
    wanted = logits(lm, ids)
    absorb(lm)
    said = logits(lm, ids, as_transformers(LatentCache()), [7, *[1] * 13])
    assert said.dtype == torch.bfloat16
    assert (said - wanted).abs().max() < 0.05 * wanted.abs().max()

"""DeepSeek's latent attention, one layer and one new token: expand all cached latents again, or absorb the matrices."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from dslab.bench.measure import interleaved
from dslab.bench.report import Row, Table

BARS = {1024: (5.0, 10.0), 4096: (15.0, 25.0)}
LATENT, ROPE, REPEATS = 512, 64, 7
EXPANDING, ABSORBED = "expanding all latents", "absorbed"


def tiny_deepseek(**changes: Any) -> Any:
    """The config of a DeepSeek-V3 of three small layers, the last two with experts; `changes` to any of its fields.

    `DeepseekV3ForCausalLM(tiny_deepseek())` has random weights, of which torch's seed decides.
    """
    from transformers import DeepseekV3Config

    sizes: dict[str, Any] = {
        "vocab_size": 512, "hidden_size": 128, "intermediate_size": 256, "moe_intermediate_size": 64,
        "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 8, "n_routed_experts": 8,
        "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1,
        "kv_lora_rank": 64, "q_lora_rank": 96, "qk_rope_head_dim": 16, "qk_nope_head_dim": 32, "v_head_dim": 32,
        "max_position_embeddings": 8192, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None,
    }  # fmt: skip
    return DeepseekV3Config(**sizes | changes)


def mla_step(tokens: int) -> dict[str, Callable[[], Any]]:
    """One new token through one attention layer of DeepSeek-V2-Lite's sizes, with `tokens` latents cached: two calls.

    Both are given the same latents and hidden state, return (1, 1, 2048), and leave their cache as it was.
    """
    import torch
    from transformers import DynamicCache
    from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3Attention, DeepseekV3RotaryEmbedding

    from dslab.inference import LatentCache, absorb, as_transformers

    config = tiny_deepseek(
        hidden_size=2048, num_attention_heads=16, num_key_value_heads=16, kv_lora_rank=LATENT, q_lora_rank=None,
        qk_rope_head_dim=ROPE, qk_nope_head_dim=128, v_head_dim=128, num_hidden_layers=1,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = DeepseekV3Attention(config, 0).eval()
    absorbed = copy.deepcopy(plain)
    absorb(absorbed)
    random = torch.Generator().manual_seed(0)
    latent, key = (torch.randn(1, 1, tokens, size, generator=random) for size in (LATENT, ROPE))
    hidden = torch.randn(1, 1, config.hidden_size, generator=random)
    rotary = DeepseekV3RotaryEmbedding(config)(hidden, torch.tensor([[tokens]]))
    theirs, ours = DynamicCache(), LatentCache(tokens + 1)
    theirs.update(latent, key, 0)
    ours.append(0, latent, key)
    adapted = as_transformers(ours)

    @torch.inference_mode()
    def expand() -> Any:
        out = plain(hidden, rotary, None, past_key_values=theirs)[0]
        theirs.crop(-1)
        return out

    @torch.inference_mode()
    def step() -> Any:
        out = absorbed(hidden, rotary, None, past_key_values=adapted)[0]
        ours.truncate(tokens)
        return out

    return {EXPANDING: expand, ABSORBED: step}


def absorption(table: Table) -> None:
    """Rows `MLA absorbed over transformers' layer, T=...`, and how far apart the two are."""
    far = 0.0
    for tokens, (must, aim) in BARS.items():
        calls = mla_step(tokens)
        far = max(far, float((calls[EXPANDING]() - calls[ABSORBED]()).abs().max() / calls[EXPANDING]().abs().max()))
        taken = interleaved(calls, REPEATS)
        table.seconds |= {f"ms {name} T={tokens}": 1e3 * seconds for name, seconds in taken.items()}
        ratio = taken[EXPANDING] / taken[ABSORBED]
        table.rows.append(Row(f"MLA absorbed over transformers' layer, T={tokens}", ratio, ">=", must, aim))
    table.rows.append(Row("MLA absorbed: difference over the largest output", far, "<=", 1e-5))

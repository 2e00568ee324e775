"""Exercise `bill`: models as their config.json describes them, shortened to what has to do with attention.

Dimensions as published; "a small one" and the like are made up, where no published model tells two mistakes apart.
"""

from __future__ import annotations

Config = dict[str, int | None]
Case = tuple[str, Config, int]  # title, config, bits


def _config(layers: int, hidden: int, heads: int, **rest: int | None) -> Config:
    return {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads, **rest}


_MLA = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}
_V2 = _config(60, 5120, 128, num_key_value_heads=128, q_lora_rank=1536, **_MLA)
_SMALL_MLA: Config = {"kv_lora_rank": 96, "qk_rope_head_dim": 16, "qk_nope_head_dim": 48, "v_head_dim": 40}

CASES: tuple[Case, ...] = (
    ("SmolLM2-135M", _config(30, 576, 9, num_key_value_heads=3), 16),
    ("DeepSeek-67B", _config(95, 8192, 64, num_key_value_heads=8), 16),
    ("Llama-2-7B, whose config says nothing of KV heads,", _config(32, 4096, 32), 16),
    ("Qwen3-0.6B", _config(28, 1024, 16, num_key_value_heads=8, head_dim=128), 16),
    ("Falcon-7B, written as a Llama,", _config(32, 4544, 71, num_key_value_heads=1), 16),
    ("DeepSeek-V2", _V2, 16),
    ("DeepSeek-V2", _V2, 6),
    ("DeepSeek-V2-Lite", _config(27, 2048, 16, num_key_value_heads=16, q_lora_rank=None, **_MLA), 16),
    ("DeepSeek-V3", _config(61, 7168, 128, num_key_value_heads=128, q_lora_rank=1536, head_dim=64, **_MLA), 8),
    ("a small MLA", _config(3, 320, 5, num_key_value_heads=5, q_lora_rank=160, **_SMALL_MLA), 32),
    (
        "a small MQA",
        _config(7, 384, 6, num_key_value_heads=1, head_dim=None, kv_lora_rank=None, qk_rope_head_dim=None),
        32,
    ),
    ("a small MHA", _config(5, 240, 6, num_key_value_heads=None, head_dim=None), 4),
    ("a small GQA", _config(11, 640, 8, num_key_value_heads=2, head_dim=96), 8),
)

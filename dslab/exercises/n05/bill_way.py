"""Exercise `bill`: how the bill may be reckoned, in parts that can go wrong each by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dslab.exercises.n05.bill_models import Config


def _is(config: Config, name: str) -> int:
    """An entry that is there; 0 for None and for what is missing."""
    return config.get(name) or 0


def _heads(config: Config) -> int:
    return _is(config, "num_attention_heads")


def _kv_heads(config: Config) -> float:
    return _is(config, "num_key_value_heads") or _heads(config)


def _dim(config: Config) -> float:
    return _is(config, "head_dim") or _is(config, "hidden_size") // _heads(config)


def _latent(config: Config) -> float:
    return _is(config, "kv_lora_rank") + _is(config, "qk_rope_head_dim")


def _expanded(config: Config) -> float:
    keys = _is(config, "qk_nope_head_dim") + _is(config, "qk_rope_head_dim")
    return _heads(config) * (keys + _is(config, "v_head_dim"))


@dataclass(frozen=True)
class Way:
    """Bytes a token; each part is replaced by what somebody may take for it."""

    is_mla: Callable[[Config], bool] = lambda config: config.get("kv_lora_rank") is not None
    latent: Callable[[Config], float] = _latent
    kinds: float = 2
    kv_heads: Callable[[Config], float] = _kv_heads
    dim: Callable[[Config], float] = _dim
    layers: Callable[[Config], int] = lambda config: _is(config, "num_hidden_layers")
    bytes_a_number: Callable[[int], float] = lambda bits: bits / 8
    unit: float = 1

    def __call__(self, config: Config, bits: int) -> float:
        plain = self.kinds * self.kv_heads(config) * self.dim(config)
        numbers = self.latent(config) if self.is_mla(config) else plain
        return self.layers(config) * numbers * self.bytes_a_number(bits) / self.unit


#: (what is wrong, which part of the way, how). Of two at once, the one further up is told.
FAULTS: tuple[tuple[str, str, Any], ...] = (
    ("no_mla", "is_mla", lambda config: False),
    ("mla_everywhere", "is_mla", lambda config: "kv_lora_rank" in config),
    ("mla_everywhere", "is_mla", lambda config: "qk_rope_head_dim" in config),
    ("mla_by_q", "is_mla", lambda config: bool(_is(config, "q_lora_rank"))),
    ("query_heads", "kv_heads", _heads),
    ("one_head", "kv_heads", lambda config: 1),
    ("groups", "kv_heads", lambda config: _heads(config) / _kv_heads(config)),
    ("no_heads", "kv_heads", lambda config: _is(config, "num_key_value_heads") or 1),
    ("no_two", "kinds", 1),
    ("two_for_mla", "latent", lambda config: 2 * _latent(config)),
    ("no_rope", "latent", lambda config: _is(config, "kv_lora_rank")),
    (
        "rope_heads",
        "latent",
        lambda config: _is(config, "kv_lora_rank") + _heads(config) * _is(config, "qk_rope_head_dim"),
    ),
    ("rope_two", "latent", lambda config: _is(config, "kv_lora_rank") + 2 * _is(config, "qk_rope_head_dim")),
    ("two_for_mla", "latent", lambda config: 2 * _is(config, "kv_lora_rank") + _is(config, "qk_rope_head_dim")),
    ("two_for_mla", "latent", lambda config: 2 * _is(config, "kv_lora_rank")),
    ("only_rope", "latent", lambda config: _is(config, "qk_rope_head_dim")),
    ("latent_heads", "latent", lambda config: _heads(config) * _latent(config)),
    ("latent_heads", "latent", lambda config: _heads(config) * 2 * _latent(config)),
    ("q_lora", "latent", lambda config: _is(config, "q_lora_rank") + _is(config, "qk_rope_head_dim")),
    ("q_lora", "latent", lambda config: _is(config, "q_lora_rank") + _latent(config)),
    ("expanded", "latent", _expanded),
    ("expanded", "latent", lambda config: 2 * _heads(config) * _is(config, "v_head_dim")),
    (
        "expanded",
        "latent",
        lambda config: 2 * _heads(config) * (_is(config, "qk_nope_head_dim") + _is(config, "qk_rope_head_dim")),
    ),
    ("head_dim_ignored", "dim", lambda config: _is(config, "hidden_size") // _heads(config)),
    ("dim_by_kv", "dim", lambda config: _is(config, "head_dim") or _is(config, "hidden_size") // _kv_heads(config)),
    ("dim_by_kv", "dim", lambda config: _is(config, "hidden_size") // _kv_heads(config)),
    ("hidden", "dim", lambda config: _is(config, "hidden_size")),
    ("no_layers", "layers", lambda config: 1),
    ("bits", "bytes_a_number", lambda bits: bits),
    ("numbers", "bytes_a_number", lambda bits: 1),
    ("two_bytes", "bytes_a_number", lambda bits: 2),
    ("four_bytes", "bytes_a_number", lambda bits: 4),
    ("whole_bytes", "bytes_a_number", lambda bits: bits // 8),
    ("whole_bytes", "bytes_a_number", lambda bits: -(-bits // 8)),
    ("whole_bytes", "bytes_a_number", lambda bits: round(bits / 8)),
    ("unit", "unit", 1000),
    ("unit", "unit", 1024),
    ("unit", "unit", 10**6),
    ("unit", "unit", 2**20),
)

"""What a cache costs in bytes and saves in work: arithmetic from a model's sizes.

    kv_bytes_per_token(lm.config)                  # 23040 for SmolLM2 in bf16
    kv_bytes_per_token(NAMED["DeepSeek-V3"])       # 70272
    generation_flops(dims_of(lm.config), 64, 128, cached=False)

A FLOP is one multiplication or addition; norms, activations and softmax are left out (below 1 %).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Dims:
    """The sizes of a decoder that matter here.

    kv_heads   heads whose keys (of key_dim numbers) and values (of value_dim) are cached for each token and layer
    latent     numbers cached instead where attention is over latents: r + dr; kv_heads then says nothing
    beside     further numbers cached for each token and layer (V3.2: the keys of the indexer)
    weights    numbers in the matrices that each token is multiplied with; 0 where they are not said here
    """

    name: str
    layers: int
    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    latent: int = 0
    beside: int = 0
    weights: int = 0

    @property
    def kind(self) -> str:
        """How heads share keys and values: "MHA", "GQA", "MQA" or "MLA"."""
        if self.latent:
            return "MLA"
        return "MQA" if self.kv_heads == 1 < self.heads else "GQA" if self.kv_heads < self.heads else "MHA"

    @property
    def elements(self) -> int:
        """Numbers cached for each token, in all layers."""
        own = self.latent or self.kv_heads * (self.key_dim + self.value_dim)
        return self.layers * (own + self.beside)


def llama(
    name: str, layers: int, heads: int, kv_heads: int, d: int, hidden: int, intermediate: int, vocab: int
) -> Dims:
    """Dims of a model with the Llama family's blocks: four attention matrices, three of the MLP, and a head."""
    block = hidden * d * (2 * heads + 2 * kv_heads) + 3 * hidden * intermediate
    return Dims(name, layers, heads, kv_heads, d, d, weights=layers * block + hidden * vocab)


NAMED = {
    dims.name: dims
    for dims in (
        # config.json of HuggingFaceTB/SmolLM2-135M, read here.
        llama("SmolLM2-135M", 30, 9, 3, 64, 576, 1536, 49152),
        # config.json of Qwen/Qwen2.5-0.5B and -7B; arXiv 2412.15115, table 1.
        llama("Qwen2.5-0.5B", 24, 14, 2, 64, 896, 4864, 151936),
        llama("Qwen2.5-7B", 28, 28, 4, 128, 3584, 18944, 152064),
        # arXiv 2307.09288; transformers' LlamaConfig has the 7B's sizes as defaults.
        llama("Llama-2-7B", 32, 32, 32, 128, 4096, 11008, 32000),
        # arXiv 2407.21783, table 3.
        llama("Llama-3.1-8B", 32, 32, 8, 128, 4096, 14336, 128256),
        llama("Llama-3.1-70B", 80, 64, 8, 128, 8192, 28672, 128256),
        # arXiv 2311.16867; the 7B's sizes are the defaults of transformers' FalconConfig.
        Dims("Falcon-7B", 32, 71, 1, 64, 64),
        Dims("Falcon-40B", 60, 128, 8, 64, 64),
        # arXiv 2401.02954, table 2.
        llama("DeepSeek-67B", 95, 64, 8, 128, 8192, 22016, 102400),
        # arXiv 2405.04434, section 3.1.2: latents of 512, rotated keys of 64, heads of 128 (+ 64 rotated).
        Dims("DeepSeek-V2-Lite", 27, 16, 16, 192, 128, latent=512 + 64),
        Dims("DeepSeek-V2", 60, 128, 128, 192, 128, latent=512 + 64),
        # arXiv 2412.19437, section 4.2; transformers' DeepseekV3Config.
        Dims("DeepSeek-V3", 61, 128, 128, 192, 128, latent=512 + 64),
        # transformers' DeepseekV32Config: V3, and an indexer's keys of 128.
        Dims("DeepSeek-V3.2", 61, 128, 128, 192, 128, latent=512 + 64, beside=128),
    )
}


def dims_of(config: Any) -> Dims:
    """Dims of a transformers config (Llama family, or latent attention), of a `Llama`'s, or Dims as they are."""
    if isinstance(config, Dims):
        return config

    def get(*names: str) -> Any:
        return next((value for name in names if (value := getattr(config, name, None)) is not None), None)

    layers, heads = get("num_hidden_layers", "layers"), get("num_attention_heads", "heads")
    if layers is None or heads is None:
        raise ValueError(f"expected the config of a decoder, with its layers and heads; came {type(config).__name__}")
    name = get("model_type") or "llama"
    if latent := get("kv_lora_rank"):
        key = config.qk_nope_head_dim + config.qk_rope_head_dim
        return Dims(name, layers, heads, heads, key, config.v_head_dim, latent + config.qk_rope_head_dim,
                    get("index_head_dim") or 0)  # fmt: skip
    hidden, kv_heads = get("hidden_size", "hidden"), get("num_key_value_heads", "kv_heads") or heads
    d = get("head_dim") or hidden // heads
    inside, vocab = get("intermediate_size", "intermediate"), get("vocab_size", "vocab")
    if name in ("llama", "mistral", "qwen2", "qwen3") and inside:
        return llama(name, layers, heads, kv_heads, d, hidden, inside, vocab)
    return Dims(name, layers, heads, kv_heads, d, d)


def kv_bytes_per_token(config: Any, bits: float = 16) -> float:
    """Bytes that each token of a sequence takes in the cache, all layers together. config: as `dims_of`."""
    if bits <= 0:
        raise ValueError(f"expected a positive number of bits for each number; came {bits}")
    return dims_of(config).elements * bits / 8


def attention_flops(config: Any, queries: int, seen: int) -> int:
    """Scores and weighted sums of `queries` tokens that each see `seen` tokens."""
    dims = dims_of(config)
    return 2 * dims.layers * dims.heads * queries * seen * (dims.key_dim + dims.value_dim)


def decode_flops(config: Any, cached: int) -> int:
    """One more token after `cached` ones whose keys and values are held."""
    return 2 * _weights(config) + attention_flops(config, 1, cached + 1)


def recompute_flops(config: Any, before: int) -> int:
    """One more token after `before` ones of which nothing is held: all of them pass through the model again."""
    n = before + 1
    return 2 * n * _weights(config) + attention_flops(config, 1, n * (n + 1) // 2)


def generation_flops(config: Any, prompt: int, new: int, cached: bool = True) -> int:
    """Prefill of a prompt, and `new` tokens one by one; the last of them is not fed."""
    prefill = recompute_flops(config, prompt - 1)
    step = decode_flops if cached else recompute_flops
    return prefill + sum(step(config, n) for n in range(prompt, prompt + new - 1))


def _weights(config: Any) -> int:
    dims = dims_of(config)
    if not dims.weights:
        raise ValueError(f"{dims.name}: how many weights multiply a token is not known here: give Dims(weights=)")
    return dims.weights


def absorbed_flops(layers: int, heads: int, r: int, dr: int, dn: int, dv: int, seen: int) -> tuple[int, int]:
    """(expanded, absorbed): one token's latent attention over `seen` cached ones, from the latents on.

    Expanded, each cached latent is multiplied with W_UK and W_UV again; absorbed, the query and the result are, once.
    """
    up = r * (dn + dv)
    expanded = seen * up + seen * (dn + dr + dv)
    absorbed = up + seen * (2 * r + dr)
    return 2 * layers * heads * expanded, 2 * layers * heads * absorbed


@dataclass(frozen=True)
class Published93:
    """What "the KV cache is 93.3 % smaller" (arXiv 2405.04434, abstract) consists of. Bytes per token, shares saved.

    dense          DeepSeek-67B, 16 bits: the model it is compared with, which has grouped heads already
    latent         DeepSeek-V2 with 16 bits
    latent_6_bits  DeepSeek-V2 as it is served: numbers of 6 bits on average (section 3.2.3)
    expanded_mha   a model of V2's heads that caches keys and values of 128 for each of them, 16 bits
    """

    dense: float
    latent: float
    latent_6_bits: float
    expanded_mha: float

    @property
    def by_latents(self) -> float:
        """Saved by caching latents, both with 16 bits."""
        return 1 - self.latent / self.dense

    @property
    def by_bits(self) -> float:
        """Saved of the rest by 6 bits instead of 16."""
        return 1 - self.latent_6_bits / self.latent

    @property
    def together(self) -> float:
        return 1 - self.latent_6_bits / self.dense

    @property
    def of_same_heads(self) -> float:
        """Saved by latents if the comparison is with the same heads, not grouped."""
        return 1 - self.latent / self.expanded_mha


def published_93() -> Published93:
    """The numbers, computed."""
    dense, latent = NAMED["DeepSeek-67B"], NAMED["DeepSeek-V2"]
    mha = Dims("V2's heads", latent.layers, latent.heads, latent.heads, latent.value_dim, latent.value_dim)
    return Published93(
        kv_bytes_per_token(dense), kv_bytes_per_token(latent), kv_bytes_per_token(latent, 6), kv_bytes_per_token(mha)
    )

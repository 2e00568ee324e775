"""The Llama family's forward pass, small enough to read in one sitting: Llama, SmolLM, Mistral, Qwen2, Qwen3.

    llama = Llama.load("smollm2", weights="int8")
    cache = ContiguousCache()
    logits = llama.prefill(prompt_ids, cache)            # (1, vocab)
    logits = llama.forward(logits.argmax(-1)[:, None], cache)[:, -1]

What a module tree would dispatch one call at a time is done in one go: one product for queries, keys and values, one
for gate and up, angles looked up once a step for all layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dslab.inference.rope import Rope, turn
from dslab.inference.weights import Float32, Weight, weight_of
from dslab.models import owned

if TYPE_CHECKING:
    from dslab.inference.base import Cache

HEADS = {"bf16": "bf16", "int8": "int8", "int4": "int8"}  # int4's error in the head costs the most and saves the least
FAMILY = ("llama", "mistral", "qwen2", "qwen3")


@dataclass(frozen=True)
class LlamaConfig:
    """The sizes that caches and engines ask for."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    vocab: int
    max_positions: int
    eos_ids: tuple[int, ...]
    eps: float


class Norm:
    """RMSNorm, x * gain / sqrt(mean(x²) + eps), in four short operations where torch's own takes eight."""

    def __init__(self, gain: Tensor, eps: float) -> None:
        self.gain = gain * len(gain) ** 0.5
        self.eps = gain.new_tensor((len(gain) * eps) ** 0.5)

    def __call__(self, x: Tensor) -> Tensor:
        """x: (..., D) fp32."""
        return (x * self.gain).div_(torch.hypot(torch.linalg.vector_norm(x, 2, -1, True), self.eps))


@dataclass
class Layer:
    """One block. `q_norm`, `k_norm`: over each head, where the model has them (Qwen3)."""

    attention_norm: Norm
    qkv: Weight
    q_norm: Norm | None
    k_norm: Norm | None
    out: Weight
    mlp_norm: Norm
    gate_up: Weight
    down: Weight


class Llama:
    """A transformers causal LM of the Llama family, with weights of its own kind.

    model    in evaluation mode or not: dropout is never applied. Its tensors are shared where no conversion is needed.
    weights  "fp32", "bf16", "int8" (one scale per output), "int4" (groups of 32, the head int8). What lies between the
             products is fp32 with all of them, cached keys and values too; see weights.py.
    share    fp32 only: the fused matrices become the storage of the model's own parameters, so that both together
             take the memory of one. Decoding is some 10 % slower then, for the matrices stay as transformers has them.
    Raises   ValueError for another architecture, adapters that are not merged, or rope kinds that change with length.
    """

    def __init__(self, model: Any, weights: str = "fp32", share: bool = False) -> None:
        self.kind, self.config = weights, _config(model)
        self.dtype = torch.float32  # of keys and values
        if share and (weights != "fp32" or model.dtype != torch.float32):
            raise ValueError(f"share=True needs weights='fp32' and a model in fp32; got {weights!r}, {model.dtype}")
        with torch.no_grad():
            self._take(model, weights, "share" if share else "copy")

    def _take(self, model: Any, kind: str, how: Literal["copy", "share", "empty"]) -> None:
        body, rotary = model.model, model.model.rotary_emb
        self.rope = Rope(rotary.inv_freq, rotary.attention_scaling, self.config.max_positions)

        def norm(module: Any) -> Norm:
            return Norm(module.weight.detach().float(), self.config.eps)

        def fused(*linears: Any) -> Weight:
            rows = torch.cat([linear.weight.detach() for linear in linears])
            bias = None if linears[0].bias is None else torch.cat([linear.bias.detach() for linear in linears])
            if how != "share":
                for linear in linears if how == "empty" else ():
                    owned.release(linear.weight)
                return weight_of(rows, kind, bias)
            for linear, part in zip(linears, rows.split([len(linear.weight) for linear in linears]), strict=True):
                linear.weight.data = part
            return Float32(rows, bias, across=False)

        self.layers = []
        for block in body.layers:
            a, m = block.self_attn, block.mlp
            self.layers.append(
                Layer(
                    norm(block.input_layernorm), fused(a.q_proj, a.k_proj, a.v_proj),
                    norm(a.q_norm) if hasattr(a, "q_norm") else None,
                    norm(a.k_norm) if hasattr(a, "k_norm") else None, fused(a.o_proj),
                    norm(block.post_attention_layernorm), fused(m.gate_proj, m.up_proj), fused(m.down_proj),
                )
            )  # fmt: skip
        self.norm = norm(body.norm)
        table, head = body.embed_tokens.weight.detach(), model.lm_head.weight.detach()
        self.embed = table.float() if kind == "fp32" else table.bfloat16()
        self.head = Float32(head, across=False) if kind == "fp32" else weight_of(head, HEADS[kind])

    @classmethod
    def load(cls, name: str = "smollm2", weights: str = "fp32") -> Llama:
        """From "smollm2", a Hub id or a folder of safetensors; see `dslab.models.load`, whose errors it raises."""
        from dslab import models

        model, made = models.load(name)[0], cls.__new__(cls)
        made.kind, made.config, made.dtype = weights, _config(model), torch.float32
        with torch.no_grad():
            made._take(model, weights, "empty")  # so that never much more than one copy is in memory
        return made

    def nbytes(self) -> int:
        """Bytes of weights that decoding one token reads: all matrices, the embedding's single row left out."""
        products = [w for layer in self.layers for w in (layer.qkv, layer.out, layer.gate_up, layer.down)]
        return sum(w.nbytes() for w in (*products, self.head))

    @torch.inference_mode()
    def forward(
        self, ids: Tensor, cache: Cache | None = None, *, logits: Literal["last", "all"] | None = "last",
        positions: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Logits after each token, or after the last one only.

        ids        (B, T) int64, below the vocabulary's size.
        cache      what came before; the new tokens are appended and recorded. None: nothing did.
        logits     "last" -> (B, 1, vocab), "all" -> (B, T, vocab), None -> the final hidden states (B, T, hidden).
        positions  (T,) or (B, T) places; default: those after what the cache holds.
        Returns    fp32.
        Raises     ValueError for no tokens, ids beyond the vocabulary, or places beyond `config.max_positions`.
        """
        c = self.config
        if ids.ndim != 2 or not ids.numel():
            raise ValueError(f"ids must be (batch, at least one token); got shape {tuple(ids.shape)}")
        if int(ids.min()) < 0 or int(ids.max()) >= c.vocab:
            raise ValueError(f"token {int(ids.max())} or {int(ids.min())} is outside 0..{c.vocab - 1}, the vocabulary")
        if positions is None:
            positions = torch.arange(ids.shape[1]) if cache is None else cache.positions(ids.shape[1])
        if int(positions.max()) >= c.max_positions:
            raise ValueError(
                f"place {int(positions.max())} is beyond the context of {c.max_positions} tokens; shorten the prompt "
                f"or ask for fewer new tokens"
            )
        cos, sin = self.rope.at(positions)
        hidden = self.body(ids, cos, sin, causal if cache is None else cache.attend)
        if cache is not None:
            cache.record(ids)
        if logits is None:
            return hidden
        return self.scores(hidden if logits == "all" else hidden[:, -1:])

    def body(self, ids: Tensor, cos: Tensor, sin: Tensor, attend: Any) -> Tensor:
        """Hidden states (B, T, hidden) before the final norm. cos, sin: (T, D) or (B, T, D)."""
        B, T = ids.shape
        h = F.embedding(ids.reshape(-1), self.embed).float()
        for number, layer in enumerate(self.layers):
            o = attend(number, *self.project(layer, h, cos, sin, B))
            h += layer.out(o.transpose(1, 2).reshape(B * T, -1))
            gate, up = layer.gate_up(layer.mlp_norm(h)).chunk(2, -1)
            h += layer.down(F.silu(gate).mul_(up))
        return h.view(B, T, -1)

    def project(self, layer: Layer, h: Tensor, cos: Tensor, sin: Tensor, B: int) -> tuple[Tensor, Tensor, Tensor]:
        """A layer's queries (B, H, T, D), keys and values (B, Hkv, T, D), turned, of hidden states (B * T, hidden)."""
        H, K, D = self.config.heads, self.config.kv_heads, self.config.head_dim
        x = layer.qkv(layer.attention_norm(h)).float().view(B, -1, H + 2 * K, D)
        qk, v = x[:, :, : H + K], x[:, :, H + K :]
        if layer.q_norm is not None and layer.k_norm is not None:
            qk = torch.cat([layer.q_norm(qk[:, :, :H]), layer.k_norm(qk[:, :, H:])], 2)
        qk = turn(qk, cos.unsqueeze(-2), sin.unsqueeze(-2)).transpose(1, 2)
        return qk[:, :H], qk[:, H:], v.transpose(1, 2)

    def scores(self, hidden: Tensor) -> Tensor:
        """(B, T, hidden) before the final norm -> (B, T, vocab) fp32 logits."""
        return self.head(self.norm(hidden.flatten(0, 1))).float().view(*hidden.shape[:2], -1)

    def prefill(self, ids: Tensor, cache: Cache, chunk: int = 512) -> Tensor:
        """Feed a prompt in pieces of `chunk` tokens. ids: (B, T). Returns the last token's logits, (B, vocab)."""
        pieces = ids.split(chunk, 1)
        for piece in pieces[:-1]:
            self.forward(piece, cache, logits=None)
        return self.forward(pieces[-1], cache)[:, -1]


def causal(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of a whole sequence to itself: q (B, H, T, D), k and v (B, Hkv, T, D) -> (B, H, T, D)."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=q.shape[1] != k.shape[1])


def _config(model: Any) -> LlamaConfig:
    """Its sizes; ValueError names what is not supported."""
    c = getattr(model, "config", None)
    kind = getattr(c, "model_type", type(model).__name__)
    if c is None or kind not in FAMILY or not hasattr(model, "lm_head"):
        raise ValueError(f"a transformers causal LM of {', '.join(FAMILY)} was expected; got {kind!r}")
    rope = (c.rope_parameters or {}).get("rope_type", "default")
    if rope in ("dynamic", "longrope"):
        raise ValueError(f"rope kind {rope!r} changes its angles with the length, so cached keys would go stale")
    if c.hidden_act != "silu":
        raise ValueError(f"the MLP's activation must be silu; got {c.hidden_act!r}")
    for name, module in model.named_modules():
        if name.endswith("_proj") and type(module) is not torch.nn.Linear:
            raise ValueError(f"{name} is a {type(module).__name__}, not a plain Linear; merge adapters first")
    head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    if model.model.rotary_emb.inv_freq.numel() * 2 != head_dim:
        raise ValueError("rotating only a part of each head is not supported")
    window = getattr(c, "sliding_window", None) if getattr(c, "use_sliding_window", True) else None
    eos = getattr(getattr(model, "generation_config", None), "eos_token_id", None) or c.eos_token_id
    return LlamaConfig(
        c.num_hidden_layers, c.num_attention_heads, c.num_key_value_heads, head_dim, c.hidden_size, c.vocab_size,
        min(c.max_position_embeddings, window or c.max_position_embeddings),  # up to a window's length it hides nothing
        tuple(eos) if isinstance(eos, list | tuple) else () if eos is None else (eos,), c.rms_norm_eps,
    )  # fmt: skip

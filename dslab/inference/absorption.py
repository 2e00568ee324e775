"""Absorbed projections in transformers' models with latent attention: DeepSeek-V2, V3 and their relatives.

    absorb(model)                                       # in place; parameters stay where they are
    model.generate(ids, past_key_values=as_transformers(LatentCache()))
    unabsorb(model)

transformers caches latents, and expands all of them to keys and values of all heads at each step. Here a step works on
the latents themselves. Two hooks do it, everything else stays theirs: `expand_kv` of an attention hands the latents on,
and the attention function, registered with transformers, absorbs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from dslab.inference.latent import over_latents

NAME = "dslab_absorbed"


def absorb(model: nn.Module) -> int:
    """Make the attentions of a model, or one attention, work on latents; how many there are.

    ValueError if there are none (transformers has `expand_kv` from the version on that caches latents), or if their
    `kv_b_proj` is not a plain Linear without bias (merge adapters, dequantise).
    """
    found: list[Any] = [
        module for module in model.modules() if hasattr(module, "expand_kv") and hasattr(module, "kv_b_proj")
    ]
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no attention over latents; expected a model such as DeepSeek-V2 or V3, and a "
            "transformers that caches their latents"
        )
    for attention in found:
        if type(attention.kv_b_proj) is not nn.Linear or attention.kv_b_proj.bias is not None:
            raise ValueError(f"expected kv_b_proj to be a plain Linear without bias; came {attention.kv_b_proj}")
    for attention in found:
        if not is_absorbed(attention):
            attention.__dict__["expand_kv"] = _as_they_are
    for config in {id(attention.config): attention.config for attention in found}.values():
        if config._attn_implementation != NAME:
            config._before_absorption = config._attn_implementation
            config._attn_implementation = NAME
    return len(found)


def unabsorb(model: nn.Module) -> None:
    """Everything as it was."""
    for module in model.modules():
        if is_absorbed(module):
            del module.__dict__["expand_kv"]
            config: Any = module.config
            if config._attn_implementation == NAME:
                config._attn_implementation = config._before_absorption
                del config._before_absorption


def is_absorbed(module: nn.Module) -> bool:
    return vars(module).get("expand_kv") is _as_they_are


def _as_they_are(latents: Tensor, rotated: Tensor) -> tuple[Tensor, Tensor]:
    return latents, rotated


def worth_it(attention: Any, T: int) -> bool:
    """Whether T queries are cheaper absorbed. Multiply-adds for a cached token and head:

    expanded  r (dn + dv) to expand it, then T (dn + dr + dv)
    absorbed  T (2 r + dr)

    So up to 170 queries with V3's sizes; the first pass over a long prompt expands.
    """
    a = attention
    r, dr, dn, dv = a.kv_lora_rank, a.qk_rope_head_dim, a.qk_nope_head_dim, a.v_head_dim
    return T * (2 * r + dr) <= r * (dn + dv) + T * (dn + dr + dv)


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float | None = None,
    dropout: float = 0.0, **more: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """As transformers calls it. query (B, H, T, dn + dr); key: latents (B, 1, S, r); value: their rotated keys."""
    T = query.shape[2]
    more = {"scaling": scaling, "dropout": dropout, **more}
    if not is_absorbed(module):  # another attention of the same model
        return sdpa_attention_forward(module, query, key, value, attention_mask, **more)
    if dropout or not worth_it(module, T):
        key, value = type(module).expand_kv(module, key, value)
        return sdpa_attention_forward(module, query, key, value, attention_mask, **more)
    if attention_mask is None and T > 1:  # theirs says so by leaving it out
        attention_mask = torch.ones(T, key.shape[2], dtype=torch.bool, device=query.device).tril(key.shape[2] - T)
    B, H = query.shape[:2]
    dn, dr, dv, r = module.qk_nope_head_dim, module.qk_rope_head_dim, module.v_head_dim, module.kv_lora_rank
    up_keys, up_values = module.kv_b_proj.weight.view(H, dn + dv, r).split([dn, dv], 1)
    q, q_rotated = query.split([dn, dr], -1)
    absorbed = torch.bmm(q.transpose(0, 1).reshape(H, B * T, dn), up_keys).view(H, B, T, r).transpose(0, 1)
    scale = (dn + dr) ** -0.5 if scaling is None else scaling
    seen = over_latents(absorbed, q_rotated, key, value, scale, attention_mask)
    out = torch.bmm(seen.transpose(0, 1).reshape(H, B * T, r), up_values.transpose(1, 2))
    return out.view(H, B, T, dv).permute(1, 2, 0, 3), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)

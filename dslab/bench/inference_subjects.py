"""What `dslab bench inference` measures on: SmolLM2 in each kind of weights, and English to read."""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dslab.inference import Llama

KINDS = ("fp32", "bf16", "int8", "int4")
FOLDED = "int4, gains folded in"


@cache
def base() -> tuple[Any, Any]:
    """SmolLM2 in fp32 and its tokenizer. Its `generate` goes on after an end token: all must write equally much."""
    from dslab import models

    lm, tokenizer = models.load("smollm2", "fp32")
    lm.generation_config.eos_token_id = None
    return lm, tokenizer


@cache
def llama(kind: str = "fp32") -> Llama:
    """Ours, by kind of weights; the fp32 one shares its memory with `base`."""
    from dslab.inference import Llama

    if kind == FOLDED:
        return Llama(folded(base()[0]), "int4")
    return Llama(base()[0], kind, share=kind == "fp32")


def folded(model: Any) -> Any:
    """A copy in which each norm's gain stands in the matrices that read it: the same function, in exact arithmetic."""
    import torch

    model = copy.deepcopy(model)
    with torch.no_grad():
        for block in model.model.layers:
            a, m = block.self_attn, block.mlp
            for norm, readers in (
                (block.input_layernorm, (a.q_proj, a.k_proj, a.v_proj)),
                (block.post_attention_layernorm, (m.gate_proj, m.up_proj)),
            ):
                for linear in readers:
                    linear.weight.mul_(norm.weight)
                norm.weight.fill_(1)
    return model


@cache
def text(n: int) -> list[int]:
    """The first n tokens of Python's own help, its topics in alphabetical order."""
    from pydoc_data.topics import topics

    words = "\n\n".join(topics[name] for name in sorted(topics))
    ids: list[int] = base()[1](words[: 8 * n]).input_ids[:n]
    assert len(ids) == n
    return ids

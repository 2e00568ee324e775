"""Perplexity through a cache: what a cheaper weight or a smaller cache costs in quality, on text of any length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dslab.inference.base import Cache
from dslab.inference.llama import Llama


@torch.inference_mode()
def perplexity(
    model: Any, ids: Tensor | Sequence[int], cache: Cache | None = None, chunk: int = 32, skip: int = 0
) -> float:
    """exp of the mean negative log-probability of each token after the first, given all before it that the cache keeps.

    model  a Llama or a transformers causal LM.
    ids    (N,) or (1, N) tokens of one text.
    cache  an empty cache; every token's keys and values go through it. Default: a full one.
    chunk  tokens fed at once. What a cache loses can depend on it: a chunk's own keys may still be exact.
    skip   predictions left out at the start, where there is little context.
    Raises ValueError for fewer than skip + 2 tokens, a chunk below 1, or a cache that holds something.
    """
    text = torch.as_tensor(ids).reshape(-1)
    if len(text) < skip + 2 or skip < 0 or chunk < 1:
        raise ValueError(f"expected at least skip + 2 = {skip + 2} tokens and chunk >= 1; got {len(text)} and {chunk}")
    if cache is not None and len(cache):
        raise ValueError(f"the cache must be empty; it holds {len(cache)} tokens: truncate(0) empties it")
    feed = _feed(model, cache, len(text))
    total = 0.0
    for start in range(0, len(text) - 1, chunk):
        piece = text[start : start + chunk][: len(text) - 1 - start]
        logits = feed(piece[None])[0]
        losses = F.cross_entropy(logits.float(), text[start + 1 : start + 1 + len(piece)], reduction="none")
        total += losses[max(0, skip - start) :].double().sum().item()
    return math.exp(total / (len(text) - 1 - skip))


def _feed(model: Any, cache: Cache | None, tokens: int) -> Any:
    """(1, T) ids -> (1, T, vocab) logits, each call going on where the last ended."""
    if isinstance(model, Llama):
        from dslab.inference.cache import ContiguousCache

        own = ContiguousCache(tokens) if cache is None else cache
        return lambda ids: model.forward(ids, own, logits="all")
    if cache is None:
        from transformers import DynamicCache

        theirs: Any = DynamicCache(config=model.config)
    else:
        from dslab.inference.adapter import as_transformers

        theirs = as_transformers(cache)
    return lambda ids: model(ids, past_key_values=theirs, use_cache=True).logits

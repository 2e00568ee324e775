"""One request at a time: feed the prompt, then one token after the other through a cache.

tokens = generate(llama, prompt_ids, max_new_tokens=64)
for token in stream(llama, prompt_ids, max_new_tokens=64): ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dslab.inference.cache import Cache, ContiguousCache
from dslab.inference.sampling import Sampler, Sampling

if TYPE_CHECKING:
    from dslab.inference.llama import Llama, LlamaConfig


def generate(
    model: Llama, prompt_ids: Sequence[int] | Tensor, max_new_tokens: int, *, cache: Cache | None = None,
    sampling: Sampling | None = None, ignore_eos: bool = False, stop_ids: Iterable[int] = (),
) -> list[int]:  # fmt: skip
    """The new tokens. An end token stops, and is the last of them, as in transformers.

    prompt_ids  ids, or a tensor (T,) or (1, T) of them.
    cache       where to keep keys and values. What it holds already must begin the prompt, and is not fed again; it is
                left with all tokens but the last. None: a ContiguousCache of the right size.
    sampling    default: greedy.
    ignore_eos  go on after the model's end tokens, which stay in the output. stop_ids end it even so.
    Raises      ValueError for an empty prompt, ids beyond the vocabulary, no new tokens, or more than the context
                holds; CacheMismatch for a cache that holds another prompt.
    """
    return list(
        stream(
            model, prompt_ids, max_new_tokens, cache=cache, sampling=sampling, ignore_eos=ignore_eos, stop_ids=stop_ids
        )
    )


def stream(
    model: Llama, prompt_ids: Sequence[int] | Tensor, max_new_tokens: int, *, cache: Cache | None = None,
    sampling: Sampling | None = None, ignore_eos: bool = False, stop_ids: Iterable[int] = (),
) -> Iterator[int]:  # fmt: skip
    """The tokens of `generate`, each as soon as it is known. Wrong arguments are refused here, before the first."""
    prompt = checked_prompt(model.config, prompt_ids, max_new_tokens)
    stops = stop_set(model.config, stop_ids, ignore_eos)
    cache = ContiguousCache(len(prompt) + max_new_tokens) if cache is None else cache
    rewind(cache, prompt)
    return _tokens(model, prompt, max_new_tokens, cache, Sampler(sampling), stops)


def _tokens(
    model: Llama, prompt: list[int], most: int, cache: Cache, sampler: Sampler, stops: frozenset[int]
) -> Iterator[int]:
    history = list(prompt)
    logits = model.prefill(torch.tensor([prompt[len(cache) :]]), cache)[0]
    for left in range(most, 0, -1):
        token = sampler.pick(logits, history)
        history.append(token)
        yield token
        if left == 1 or token in stops:
            return
        logits = model.forward(torch.tensor([[token]]), cache)[0, -1]


def checked_prompt(config: LlamaConfig, prompt_ids: Sequence[int] | Tensor, max_new_tokens: int) -> list[int]:
    """The prompt as a list, after the checks that every way of generating makes. Raises ValueError."""
    if isinstance(prompt_ids, Tensor):
        if prompt_ids.is_floating_point() or prompt_ids.ndim not in (1, 2) or (len(prompt_ids) != 1 < prompt_ids.ndim):
            raise ValueError(
                f"expected the ids of one prompt, whole numbers (T,) or (1, T); came {tuple(prompt_ids.shape)} "
                f"{prompt_ids.dtype}; give several prompts one by one, to Engine.add for a batch"
            )
        prompt = prompt_ids.flatten().tolist()
    else:
        if isinstance(prompt_ids, str | bytes):
            raise ValueError("expected token ids, got text: use tokenizer(text).input_ids")
        prompt = list(prompt_ids)
        if odd := [token for token in prompt if isinstance(token, bool) or not hasattr(token, "__index__")]:
            raise ValueError(f"expected whole numbers as token ids; came {odd[0]!r} ({type(odd[0]).__name__})")
        prompt = [token.__index__() for token in prompt]
    if not prompt:
        raise ValueError("the prompt is empty: a model continues at least one token (say, tokenizer.bos_token_id)")
    if bad := next((token for token in prompt if not 0 <= token < config.vocab), None):
        raise ValueError(f"token {bad} is outside 0..{config.vocab - 1}, the vocabulary: another model's tokenizer?")
    if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int) or max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be a whole number from 1; got {max_new_tokens!r}")
    if len(prompt) + max_new_tokens > config.max_positions:
        raise ValueError(
            f"a prompt of {len(prompt)} and {max_new_tokens} new tokens make {len(prompt) + max_new_tokens}; the "
            f"context holds {config.max_positions}: shorten the prompt or ask for fewer"
        )
    return prompt


def stop_set(config: LlamaConfig, stop_ids: Iterable[int], ignore_eos: bool) -> frozenset[int]:
    """The tokens that end a request."""
    return frozenset(stop_ids) | frozenset(() if ignore_eos else config.eos_ids)


def rewind(cache: Cache, prompt: list[int]) -> None:
    """Check that the cache holds a beginning of the prompt, and leave at least the last token to be fed."""
    if cache.check_prefix(prompt) == len(prompt):
        cache.truncate(len(prompt) - 1)

"""Our caches in transformers' `generate`.

    kv = as_transformers(QuantizedCache(bits=8), model=lm)
    lm.generate(**inputs, past_key_values=kv)

Greedy, beams, sampling, assisted decoding, cropping, left padding with its mask: as with transformers' own cache. What
is gained this way is memory; attention is transformers', over what `view` shows.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import Tensor

from dslab.inference.base import Cache, CacheError, CacheMismatch


def as_transformers(cache: Cache, model: Any = None) -> TransformersCache:
    """A `transformers.Cache` that stores in `cache`.

    model  the model that will generate. It shows the cache the token ids, which transformers itself does not: with
           them a prompt that does not continue what is held raises CacheMismatch. Without, that goes unnoticed.

    Left padding does not go with a window: the tokens it keeps first would be padding. With `model` that is refused.
    """
    if not isinstance(cache, Cache):
        raise TypeError(f"expected a cache of dslab.inference; came {type(cache).__name__}")
    if model is not None:
        _watch(model)
    return TransformersCache(cache)


class TransformersCache(transformers.Cache):
    """See `as_transformers`. `cache` is ours; `fed` are the ids it holds, (B, len) int64, where they are known."""

    def __init__(self, cache: Cache) -> None:
        super().__init__(layers=[])
        self.cache = cache
        self.fed = None if not cache.tokens or len(cache.tokens) != len(cache) else torch.tensor([cache.tokens])

    def __repr__(self) -> str:
        return f"TransformersCache({type(self.cache).__name__}, {len(self.cache)} tokens)"

    def __deepcopy__(self, memo: dict[int, Any]) -> TransformersCache:
        new = type(self)(self.cache.fork())  # transformers' way to use a prefix twice; forks may share memory
        new.fed = self.fed
        return new

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        self.cache.append(layer_idx, key_states, value_states)
        return self.cache.view(layer_idx)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.cache.seen(layer_idx)

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        shown = self.cache.visible(query_length)
        return shown, len(self.cache) + query_length - shown  # what a window keeps first is older still: never masked

    def get_max_length(self, layer_idx: int | None = None) -> int:
        return -1

    def crop(self, tokens_to_remove: int) -> None:
        if tokens_to_remove > 0:
            raise ValueError(f"transformers crops by minus the number of tokens to remove; came {tokens_to_remove}")
        self._shorten(len(self.cache) + tokens_to_remove)

    def reset(self) -> None:
        self._shorten(0)

    def _shorten(self, n: int) -> None:
        self.cache.truncate(n)
        self.fed = None if self.fed is None else self.fed[:, :n]

    def reorder_cache(self, beam_idx: Tensor) -> None:
        self.cache.reorder(beam_idx)
        self.fed = None if self.fed is None else self.fed[beam_idx]

    def batch_select_indices(self, indices: Tensor) -> None:
        self.reorder_cache(torch.arange(self.batch_size)[indices.cpu()])  # booleans select, too

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.reorder_cache(torch.arange(self.batch_size).repeat_interleave(repeats))

    @property
    def batch_size(self) -> int:
        return self.cache.rows or -1

    @property
    def is_initialized(self) -> bool:
        return len(self.cache) > 0

    @property
    def is_croppable(self) -> bool:
        return self.cache.visible(1) == len(self.cache) + 1

    def activate_past_recording(self) -> None:
        """Nothing to do: the tokens of the last pass can always be taken back."""

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise CacheError("this cache holds keys and values; expected a model with attention in every layer")

    update_conv_state = update_recurrent_state = update_indexer = _refuse

    def about_to_feed(self, ids: Tensor, new: int, mask: Tensor | None, prompt: bool) -> None:
        """Called by a watched model: `ids` (B, any) end with the `new` tokens of the pass that comes.

        prompt  ids are a whole prompt, of which transformers left out as many tokens as the cache holds.
        """
        n = len(self.cache)
        fed = None if self.fed is None else self.fed[:, :n].to(ids.device)  # a pass that failed may have left more
        if n == 0:
            fed = ids
        elif not prompt and ids.shape[1] < n + new:  # only the new tokens were given, on purpose
            fed = None if fed is None or len(fed) != len(ids) else torch.cat([fed, ids], 1)
        else:
            _check(fed, ids, n)
            fed = ids
        if mask is not None and self.cache.visible(new) < n + new and not bool(mask.all()):
            raise CacheError(
                "padded rows do not go with a window, which would keep the padding as its first tokens: expected "
                "prompts of one length, or one prompt at a time"
            )
        self.fed = fed
        self.cache.tokens = fed[0].tolist() if fed is not None and len(fed) == 1 else None


def _check(held: Tensor | None, ids: Tensor, n: int) -> None:
    """CacheMismatch unless ids begin with the n tokens that are held, and go on after them."""
    if held is None:
        raise CacheMismatch(
            f"the cache holds {n} tokens, and it is not known which: reset() it, or make it with model= before it is "
            "filled"
        )
    if len(held) != len(ids):
        raise CacheMismatch(f"the cache holds {len(held)} rows, the prompt has {len(ids)}: reset() the cache first")
    common = min(n, ids.shape[1])
    differ = held[:, :common] != ids[:, :common]
    if differ.any():
        place = int(differ.any(0).nonzero()[0])
        row = int(differ[:, place].nonzero()[0])
        raise CacheMismatch(
            f"the cache was filled by another prompt: at place {place} of row {row} it holds token "
            f"{int(held[row, place])}, the prompt has {int(ids[row, place])}; reset() empties it, crop({place - n}) "
            "keeps the common part"
        )
    if ids.shape[1] <= n:
        raise CacheMismatch(
            f"the cache holds {n} tokens, the prompt has only {ids.shape[1]}, the same: crop({ids.shape[1] - n - 1}) "
            "leaves its last token to be fed; reset() empties the cache"
        )


def _watch(model: Any) -> None:
    """Have the model show our caches the ids of each pass of `generate`; other caches notice nothing."""
    prepare = model.prepare_inputs_for_generation
    if getattr(prepare, "shows_ids", False):
        return

    def prepare_and_show(input_ids: Tensor, *args: Any, **kwargs: Any) -> dict[str, Any]:
        inputs = prepare(input_ids, *args, **kwargs)
        cache = inputs.get("past_key_values")
        if isinstance(cache, TransformersCache) and inputs.get("input_ids") is not None:
            prompt = kwargs.get("is_first_iteration", False) and kwargs.get("next_sequence_length") is not None
            cache.about_to_feed(input_ids, inputs["input_ids"].shape[1], inputs.get("attention_mask"), prompt)
        return inputs

    prepare_and_show.shows_ids = True  # type: ignore[attr-defined]
    model.prepare_inputs_for_generation = prepare_and_show

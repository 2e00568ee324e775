"""The one interface of all key-value caches.

    out = cache.attend(layer, q, k, v)      # append k and v, then causal attention of the new queries over all of it
    cache.truncate(10)                      # as if tokens 10, 11, ... had never been there

q is (B, H, T, Dk), k (B, Hkv, T, Dk), v (B, Hkv, T, Dv); H is a multiple of Hkv. Keys come rotated (RoPE is applied
before caching). Shapes are learned at the first append, and there may be any number of layers. Nothing here keeps
gradients.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor


class CacheError(RuntimeError):
    """What was asked cannot be done, and the cache is as it was."""


class CacheMismatch(CacheError):
    """The cache holds the keys of other tokens than those of this prompt."""


class CacheFull(CacheError):
    """No room for the tokens that came."""


def attention(q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
    """Causal attention of the last T of S tokens. q (B, H, T, Dk), k (B, Hkv, S, Dk), v (B, Hkv, S, Dv): (B, H, T, Dv).

    H / Hkv query heads share a KV head; keys and values are never repeated.
    """
    B, H, T, D = q.shape
    Hkv, S = k.shape[1:3]
    if H % Hkv:
        raise ValueError(f"{H} query heads cannot share {Hkv} key heads: expected a multiple of {Hkv}")
    if T == 1:  # the query heads of a KV head as rows of one query: nothing to mask, and faster than enable_gqa
        rows = q.reshape(B, Hkv, H // Hkv, D)
        return F.scaled_dot_product_attention(rows, k, v, scale=scale).view(B, H, 1, v.shape[3])
    mask = None if T == S else torch.ones(T, S, dtype=torch.bool, device=q.device).tril(S - T)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=mask is None, scale=scale, enable_gqa=Hkv != H
    )


class Cache(ABC):
    """What a cache is to a model. A kind of cache says how it stores: the abstract methods.

    tokens  the ids that were fed, where `record` was told them and the batch is one row; None where they are not known
    """

    def __init__(self) -> None:
        self.tokens: list[int] | None = []
        self._held: dict[int, int] = {}  # layer -> tokens it has seen
        self._made: dict[int, tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device]] = {}
        self._end = 0  # where the pass that is under way ends; the length of the cache when none is

    # What a kind of cache provides.

    @abstractmethod
    def _write(self, layer: int, k: Tensor, v: Tensor, start: int) -> None:
        """Store (B, Hkv, T, D) as tokens start, start + 1, ... of a layer; raise, unchanged, if there is no room."""

    @abstractmethod
    def view(self, layer: int) -> tuple[Tensor, Tensor]:
        """All that this layer's attention should read now: (B, Hkv, S, Dk) and (B, Hkv, S, Dv)."""

    @abstractmethod
    def _cut(self, n: int) -> None:
        """Keep the first n tokens, 0 < n < len; CacheError, unchanged, if that is not possible."""

    @abstractmethod
    def _pick(self, index: Tensor) -> None:
        """Batch row i becomes what row index[i] was."""

    @abstractmethod
    def _own(self) -> None:
        """After a shallow copy: take copies of what `_write` changes in place."""

    @abstractmethod
    def _drop(self) -> None:
        """Forget everything."""

    @abstractmethod
    def nbytes(self) -> int:
        """Bytes that hold tokens now."""

    # What all of them do alike.

    def __len__(self) -> int:
        """Tokens seen, also where a window has evicted some of them."""
        return self._end

    def __bool__(self) -> bool:
        return True  # an empty cache is a cache: `cache or ContiguousCache()` must not replace it

    def append(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Add T tokens to a layer. ValueError if they do not fit what is held; CacheFull if there is no room."""
        start, T, came = self._held.get(layer, 0), k.shape[2] if k.dim() == 4 else 0, _make(k, v)
        if self._made.get(layer) != came or v.shape[2] != T or T < 1 or v.dtype != k.dtype:
            self._check_shapes(layer, k, v)
        if start + T != self._end or start == self._end:
            self._check_places(layer, start, T)
        if k.requires_grad or v.requires_grad:
            k, v = k.detach(), v.detach()
        self._write(layer, k, v, start)
        self._held[layer] = self._end = start + T
        self._made[layer] = came

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
        """Append k and v, then attention of the T new queries over all that is held: (B, H, T, Dv)."""
        if q.dim() != 4 or k.dim() != 4 or q.shape[2] != k.shape[2] or q.shape[1] % k.shape[1]:
            raise ValueError(
                f"expected q (B, H, T, D) and k (B, Hkv, T, D) with H a multiple of Hkv; came {tuple(q.shape)} and "
                f"{tuple(k.shape)}"
            )
        self.append(layer, k, v)
        return attention(q, *self.view(layer), scale)

    def truncate(self, n: int) -> None:
        """Keep the first n tokens, exactly as if the rest had never been appended; truncate(0) forgets shapes too.

        ValueError if n is negative or more than are held; CacheError, and nothing changed, if they cannot be had back.
        """
        if not 0 <= n <= len(self):
            raise ValueError(f"expected 0 <= n <= {len(self)}, the tokens that are held; came {n}")
        if n == 0:
            self._drop()
            self._held.clear()
            self._made.clear()
            self.tokens = []
        elif n < len(self):
            self._cut(n)
            self._held = {layer: min(n, held) for layer, held in self._held.items()}
        if self.tokens is not None:
            del self.tokens[n:]
        self._end = n

    def reorder(self, index: Tensor) -> None:
        """Row i of the batch becomes what row index[i] was, as beam search needs; the batch may grow or shrink."""
        rows = self.rows
        if index.dim() != 1 or index.dtype not in (torch.long, torch.int) or not len(index):
            raise ValueError(f"expected a (B,) tensor of int64 or int32; came {tuple(index.shape)} {index.dtype}")
        if rows is None:
            return  # nothing is held
        if index.min() < 0 or index.max() >= rows:
            raise ValueError(f"expected batch rows 0 to {rows - 1}; came {index.tolist()}")
        self._pick(index.to(next(iter(self._made.values()))[3], torch.long))
        self._made = {
            layer: ((len(index), *k[1:]), (len(index), *v[1:]), dtype, device)
            for layer, (k, v, dtype, device) in self._made.items()
        }
        if len(index) > 1:
            self.tokens = None

    def fork(self) -> Self:
        """A copy: what happens to one does not show in the other."""
        new = copy.copy(self)
        new._held, new._made = dict(self._held), dict(self._made)
        new.tokens = None if self.tokens is None else list(self.tokens)
        new._own()
        return new

    @property
    def rows(self) -> int | None:
        """Sequences in the batch; None while nothing is held."""
        return next((k[0] for k, *_ in self._made.values()), None)

    def positions(self, T: int) -> Tensor:
        """(T,) absolute positions of the next T tokens."""
        device = next((made[3] for made in self._made.values()), None)
        return torch.arange(len(self), len(self) + T, device=device)

    def seen(self, layer: int) -> int:
        """Tokens that one layer has seen: while a pass is under way, not all layers have the same."""
        return self._held.get(layer, 0)

    def visible(self, T: int) -> int:
        """S, how many tokens `view` will show once the next T are appended."""
        return len(self) + T

    def record(self, ids: Tensor) -> None:
        """Say which tokens a pass has just appended: (B, T) int64. For one row they are kept, in `tokens`."""
        if self.tokens is None or ids.shape[0] != 1 or len(self.tokens) + ids.shape[1] != len(self):
            self.tokens = None
        else:
            self.tokens.extend(ids[0].tolist())

    def check_prefix(self, prompt_ids: Sequence[int]) -> int:
        """How many of the prompt's tokens are held already. CacheMismatch if what is held does not begin the prompt."""
        n = len(self)
        if n == 0:
            return 0
        if self.tokens is None or len(self.tokens) != n:
            raise CacheMismatch(
                f"the cache holds {n} tokens, and nobody told it which; expected an empty one or one whose tokens are "
                "known (record): truncate(0) empties it"
            )
        prompt = [int(token) for token in prompt_ids]
        common = next((i for i, (a, b) in enumerate(zip(self.tokens, prompt, strict=False)) if a != b), None)
        if common is None and n <= len(prompt):
            return n
        if common is None:
            raise CacheMismatch(
                f"the cache holds {n} tokens, the prompt has only {len(prompt)}: truncate({len(prompt)}) keeps the "
                "common part"
            )
        raise CacheMismatch(
            f"the cache was filled by another prompt: at place {common} it holds token {self.tokens[common]}, the "
            f"prompt has {prompt[common]}; truncate({common}) keeps the common part"
        )

    def _check_shapes(self, layer: int, k: Tensor, v: Tensor) -> None:
        if k.dim() != 4 or v.dim() != 4 or k.shape[:3] != v.shape[:3] or k.numel() == 0 or k.dtype != v.dtype:
            raise ValueError(
                "expected k (B, Hkv, T, Dk) and v (B, Hkv, T, Dv) of one dtype, T at least 1; came "
                f"{tuple(k.shape)} {k.dtype} and {tuple(v.shape)} {v.dtype}"
            )
        made, came = self._made.get(layer), _make(k, v)
        if made is not None and made != came:
            raise ValueError(
                f"layer {layer} holds (batch, heads, width) {made[0]} and {made[1]}, {made[2]} on {made[3]}; came "
                f"{came[0]} and {came[1]}, {came[2]} on {came[3]}: truncate(0) makes the cache take other shapes"
            )

    def _check_places(self, layer: int, start: int, T: int) -> None:
        if start != self._end:
            raise CacheError(
                f"layer {layer} holds {start} tokens and {T} came, where this pass ends at {self._end}: expected "
                f"{self._end - start}"
            )
        behind = next((at for at, held in self._held.items() if held != start), None)  # the first layer of a pass
        if behind is not None:
            raise CacheError(
                f"layer {behind} holds {self._held[behind]} tokens, layer {layer} {start}: an earlier pass stopped "
                f"part way; truncate({min(self._held.values())}) and feed the rest again"
            )


def _make(k: Tensor, v: Tensor) -> tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device]:
    k_shape, v_shape = tuple(k.shape), tuple(v.shape)  # all but T
    return k_shape[:2] + k_shape[3:], v_shape[:2] + v_shape[3:], k.dtype, k.device

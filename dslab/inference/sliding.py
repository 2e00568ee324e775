"""A window over the last tokens, with or without the first few: attention sinks (StreamingLLM, arXiv 2309.17453).

    SinkCache(256)                                # the last 256 tokens
    SinkCache(256, sinks=4, rope=llama.rope)      # the first 4 and the last 252

Softmax has to put its weight somewhere, and models learn to put what they do not need on the first tokens. A window
that loses them breaks; with four of them kept it does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dslab.inference.base import Cache, CacheError


@dataclass
class _Layer:
    """Sinks, then the tokens from number `sinks + gone` on: those past `evicted` show, the others can be had back."""

    k: Tensor
    v: Tensor
    gone: int = 0  # tokens after the sinks that are lost for good
    evicted: int = 0  # tokens after the sinks that no longer show; `gone` is what that was before the last eviction
    mark: int = 0  # tokens seen when the pass began that evicted last
    end: int = 0  # and when it ended


class SinkCache(Cache):
    """The first `sinks` tokens and as many of the last ones as make `window` with them.

    window  tokens that show, the ones of the pass included; a pass of more than that shows with the sinks alone.
    rope    needed with sinks: `Llama.rope`, or the `rotary_emb` of a transformers model. Keys come turned by their
            place in the text; sinks are turned on by the number of tokens evicted, so that everything that shows is
            as far apart as if the window were the whole text. Adding a turn is all it takes.
    truncate  to any n down to where the pass began that evicted last (this one included); CacheError below it.

    A pass of T tokens evicts for all of them before its first: what a token sees depends on how the text was cut.
    """

    def __init__(self, window: int, sinks: int = 0, rope: Any = None) -> None:
        super().__init__()
        if not 0 <= sinks < window:
            raise ValueError(f"expected 0 <= sinks < window; came sinks={sinks}, window={window}")
        if sinks and rope is None:
            raise ValueError(
                "sinks need rope, to turn their keys on when tokens between are evicted: llama.rope, or the rotary_emb "
                "of a transformers model; sinks=0 needs none"
            )
        self.window, self.sinks, self.rope = window, sinks, _rope(rope)
        self._layers: dict[int, _Layer] = {}

    def _write(self, layer: int, k: Tensor, v: Tensor, start: int) -> None:
        old, end = self._layers.get(layer), start + k.shape[2]
        if old is None:
            self._layers[layer] = _Layer(k, v)
            return
        evicted = self._evicted(start, end, old.evicted)
        if evicted == old.evicted:
            self._layers[layer] = _Layer(*_join(old.k, old.v, k, v), old.gone, evicted, old.mark, old.end)
            return
        lost = old.evicted - old.gone
        self._layers[layer] = _Layer(*_join(*self._without(old, lost), k, v), old.evicted, evicted, start, end)

    def _evicted(self, start: int, end: int, before: int) -> int:
        """Tokens that no longer show in a pass from `start` to `end`; `before` are gone already."""
        return max(before, min(end - self.window, start - min(self.sinks, start)))

    def _without(self, held: _Layer, n: int) -> tuple[Tensor, Tensor]:
        """Its tensors without the first n tokens after the sinks."""
        if not n:
            return held.k, held.v
        s = self.sinks
        if not s:
            return held.k[:, :, n:], held.v[:, :, n:]
        k, v = (torch.cat([x[:, :, :s], x[:, :, s + n :]], 2) for x in (held.k, held.v))
        return k, v

    def view(self, layer: int) -> tuple[Tensor, Tensor]:
        held, s = self._layers[layer], self.sinks
        k, v = self._without(held, held.evicted - held.gone)
        if s and held.evicted:
            dim = self.rope.dim
            turned = self.rope.rotate(k[:, :, :s, :dim], held.evicted)
            k = k.clone() if k is held.k else k
            k[:, :, :s, :dim] = turned
        return k, v

    def visible(self, T: int) -> int:
        before = max((held.evicted for held in self._layers.values()), default=0)
        return len(self) + T - self._evicted(len(self), len(self) + T, before)

    def _cut(self, n: int) -> None:
        least = max(held.mark for held in self._layers.values())
        if n < least:
            raise CacheError(
                f"tokens that showed after {n} were evicted: expected n of at least {least}; came {n}. truncate(0) "
                "empties it"
            )
        for number, held in self._layers.items():
            keep = held.k.shape[2] - max(0, self._held[number] - n)
            k, v = held.k[:, :, :keep].clone(), held.v[:, :, :keep].clone()
            evicted, mark = held.evicted, held.mark
            if n < held.end:  # the pass that evicted last was shorter, or never was
                evicted = self._evicted(mark, n, held.gone) if n > mark else held.gone
                mark = mark if evicted else 0
            self._layers[number] = _Layer(k, v, held.gone, evicted, mark, min(n, held.end))

    def _pick(self, index: Tensor) -> None:
        for held in self._layers.values():
            held.k, held.v = held.k[index], held.v[index]

    def _own(self) -> None:  # tensors are never written to
        self._layers = {n: _Layer(h.k, h.v, h.gone, h.evicted, h.mark, h.end) for n, h in self._layers.items()}

    def _drop(self) -> None:
        self._layers.clear()

    def nbytes(self) -> int:
        return sum(held.k.nbytes + held.v.nbytes for held in self._layers.values())


def _join(old_k: Tensor, old_v: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cat([old_k, k], 2), torch.cat([old_v, v], 2)


def _rope(rope: Any) -> Any:
    if rope is None or hasattr(rope, "rotate"):
        return rope
    from dslab.inference.rope import Rope

    return Rope(rope.inv_freq)

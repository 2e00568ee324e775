"""The two plain caches: a dict that grows, and a buffer allocated beforehand. The interface is in base.py.

cache = ContiguousCache(max_tokens=2048)
out = cache.attend(layer, q, k, v)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dslab.inference.base import Cache as Cache
from dslab.inference.base import CacheError as CacheError
from dslab.inference.base import CacheFull as CacheFull
from dslab.inference.base import CacheMismatch as CacheMismatch
from dslab.inference.base import attention as attention


class DictCache(Cache):
    """layer -> keys and values so far, joined to the new ones each time: the widespread one, and the simplest.

    Each token copies all that came before it, so n tokens cost n² / 2 copies.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pairs: dict[int, tuple[Tensor, Tensor]] = {}

    def _write(self, layer: int, k: Tensor, v: Tensor, start: int) -> None:
        if layer in self._pairs:
            keys, values = self._pairs[layer]
            k, v = torch.cat([keys, k], 2), torch.cat([values, v], 2)
        self._pairs[layer] = k, v

    def view(self, layer: int) -> tuple[Tensor, Tensor]:
        return self._pairs[layer]

    def _cut(self, n: int) -> None:  # copies, so that the memory of the rest is free again
        self._pairs = {layer: (k[:, :, :n].clone(), v[:, :, :n].clone()) for layer, (k, v) in self._pairs.items()}

    def _pick(self, index: Tensor) -> None:
        self._pairs = {layer: (k[index], v[index]) for layer, (k, v) in self._pairs.items()}

    def _own(self) -> None:
        self._pairs = dict(self._pairs)  # the tensors themselves are never written to

    def _drop(self) -> None:
        self._pairs.clear()

    def nbytes(self) -> int:
        return sum(k.nbytes + v.nbytes for k, v in self._pairs.values())


class ContiguousCache(Cache):
    """One buffer (B, Hkv, max_tokens, D) per layer, allocated at its first append: a token costs only its own copy.

    It never grows: a token too many raises CacheFull.
    """

    def __init__(self, max_tokens: int = 2048) -> None:
        super().__init__()
        if max_tokens < 1:
            raise ValueError(f"expected max_tokens of at least 1; came {max_tokens}")
        self.max_tokens = max_tokens
        self._buffers: dict[int, tuple[Tensor, Tensor]] = {}

    def _write(self, layer: int, k: Tensor, v: Tensor, start: int) -> None:
        end = start + k.shape[2]
        if end > self.max_tokens:
            raise CacheFull(
                f"{start} tokens are held and {k.shape[2]} came, which makes {end}; there is room for "
                f"{self.max_tokens}: make the cache with a larger max_tokens, or truncate it"
            )
        if layer not in self._buffers:
            self._buffers[layer] = self._room(k), self._room(v)
        keys, values = self._buffers[layer]
        keys.narrow(2, start, end - start).copy_(k)
        values.narrow(2, start, end - start).copy_(v)

    def in_place(self, layers: int) -> list[tuple[Tensor, Tensor]] | None:
        """The buffers of layers 0, 1, ..., for code that writes one more token's keys and values by itself at place
        len(self), and then calls `written`. None if it must append: empty, full, a batch, or a pass under way."""
        n = len(self)
        if not 0 < n < self.max_tokens or self.rows != 1 or list(self._held) != list(range(layers)):
            return None
        return None if any(held != n for held in self._held.values()) else list(self._buffers.values())

    def written(self) -> None:
        """All layers hold one token more."""
        self._end += 1
        self._held = dict.fromkeys(self._held, self._end)

    def _room(self, like: Tensor) -> Tensor:
        B, H, _, D = like.shape
        with torch.inference_mode(False):  # else nobody outside inference mode could write to it
            return torch.empty(B, H, self.max_tokens, D, dtype=like.dtype, device=like.device)

    def view(self, layer: int) -> tuple[Tensor, Tensor]:
        keys, values = self._buffers[layer]
        n = self._held[layer]
        return keys.narrow(2, 0, n), values.narrow(2, 0, n)  # half the time of slices

    def _cut(self, n: int) -> None:
        pass  # what lies behind n is written over

    def _pick(self, index: Tensor) -> None:
        self._copy_used(lambda used: used[index])

    def _own(self) -> None:
        self._copy_used(lambda used: used)

    def _copy_used(self, change: Callable[[Tensor], Tensor]) -> None:
        def moved(buffer: Tensor, n: int) -> Tensor:
            used = change(buffer[:, :, :n])
            new = self._room(used)
            new[:, :, :n] = used
            return new

        self._buffers = {
            layer: (moved(k, self._held[layer]), moved(v, self._held[layer]))
            for layer, (k, v) in self._buffers.items()
        }  # fmt: skip

    def _drop(self) -> None:
        self._buffers.clear()

    def nbytes(self) -> int:
        return sum(x.nbytes // self.max_tokens * self._held[layer] for layer, kv in self._buffers.items() for x in kv)

    @property
    def reserved(self) -> int:
        """Bytes allocated, for tokens that may come too."""
        return sum(x.nbytes for kv in self._buffers.values() for x in kv)

"""fp32 weights laid out a second time, for products of many rows: what an engine's batches and prompts are made of.

    llama = packed(Llama.load("smollm2"))     # the same numbers; twice the memory

A matrix product library copies tiles of the matrix into its own order before it multiplies. With 4 to 16 rows that copy
costs more than the products, and every step makes it anew. oneDNN can be given a matrix that is in its order already:
all linear layers of SmolLM2 but the head, one thread of a busy machine, in CPU ms for 4, 9, 16, 64 and 256 rows: plain
116, 171, 145, 269, 762; packed 81, 93, 106, 227, 720. One row is faster plain.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from dslab.inference.llama import Llama
from dslab.inference.weights import Float32, Weight

ROWS = 64  # that the layout is chosen for
_made: WeakKeyDictionary[Llama, Llama] = WeakKeyDictionary()  # so that engines over one model share its packed copy


class Packed(Weight):
    """A plain fp32 weight, and a packed copy for products of more rows than one."""

    def __init__(self, plain: Float32) -> None:
        self.plain, self.bias = plain, plain.bias
        self._tiles = torch.ops.mkldnn._reorder_linear_weight(plain.weight.contiguous(), ROWS)

    def __call__(self, x: Tensor) -> Tensor:
        if len(x) == 1 or x.dtype != torch.float32:
            return self.plain(x)
        return torch.ops.mkldnn._linear_pointwise(x, self._tiles, self.bias, "none", [], "")

    def dense(self) -> Tensor:
        return self.plain.dense()

    def nbytes(self) -> int:
        return self.plain.nbytes()


def packed(llama: Llama) -> Llama:
    """The same model with packed copies of its fp32 matrices; itself where there is nothing to pack (other weights, a
    device that is not the CPU, a torch without oneDNN). The argument stays as it is; asked again, one gets the same."""
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return llama
    if llama in _made:
        return _made[llama]

    def of(weight: Weight) -> Weight:
        return Packed(weight) if type(weight) is Float32 and weight.weight.device.type == "cpu" else weight

    made = copy.copy(llama)
    with torch.no_grad():
        made.layers = [
            replace(layer, qkv=of(layer.qkv), out=of(layer.out), gate_up=of(layer.gate_up), down=of(layer.down))
            for layer in llama.layers
        ]
        made.head = of(llama.head)
    _made[llama] = made
    return made

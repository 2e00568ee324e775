"""What lies between two attentions, for one row, as one C++ function: made by torch's Inductor, kept as a file.

    python -m dslab.inference.compiling SPEC.json        # what compiled.py runs in a process of its own

Decoding one token reads every weight once, and a GEMV written as a sum lets Inductor read int8, bf16 or int4 numbers
and widen them on the way. Weights are arguments, so one function serves all layers and the file knows only shapes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dslab.inference.llama import Layer, Llama, Norm
from dslab.inference.weights import GROUP, BFloat16, Float32, Int4, Int8, Weight

PARTS = ("between", "head")


def tensors(weight: Weight) -> list[Tensor]:
    """A weight's tensors in the order that `product` takes them; rows in one piece."""
    if isinstance(weight, Int8):
        found = [weight.codes, weight.scales.float()]
    elif isinstance(weight, Int4):
        found = _nibbles(weight)
    elif isinstance(weight, Float32 | BFloat16):
        found = [weight.weight.contiguous()]
    else:
        raise ValueError(f"weights of kind {type(weight).__name__} can't be compiled")
    return found if weight.bias is None else [*found, weight.bias.float()]


def _nibbles(weight: Int4) -> list[Tensor]:
    """(N, K / 32, 16) bytes, number j of a group below number j + 16; (N, K / 32) steps and offsets, bf16."""
    step, middle = weight.grid.float().unbind(-1)
    low = middle - 8 * step
    N, K = weight.shape
    dense = weight.dense().view(N, K // GROUP, GROUP)
    codes = ((dense - low.T[..., None]) / step.T[..., None]).round().clamp(0, 15).to(torch.uint8)
    packed = codes[..., :16] | (codes[..., 16:] << 4)
    return [packed, step.T.bfloat16().contiguous(), low.T.contiguous()]


def product(x: Tensor, kind: str, biased: bool, given: Iterator[Tensor]) -> Tensor:
    """(1, K) fp32 times a weight whose tensors are next: (1, N) fp32."""
    first = next(given)
    if kind == "int8":
        y = (first.float() * x).sum(-1) * next(given)
    elif kind == "int4":
        step, low = next(given).float(), next(given).float()
        groups = x.view(-1, 2, GROUP // 2)
        codes = (first & 15).float() * groups[:, 0] + (first >> 4).float() * groups[:, 1]
        y = (codes * step[..., None]).sum((1, 2)) + (low * groups.sum((1, 2))).sum(-1)
    else:
        y = (first.float() * x).sum(-1)
    return (y + next(given) if biased else y)[None]


@dataclass(frozen=True)
class Spec:
    """What the functions depend on. kinds, biased: of qkv, out, gate_up, down, head."""

    heads: int
    kv_heads: int
    head_dim: int
    kinds: tuple[str, ...]
    biased: tuple[bool, ...]
    head_norms: bool
    threads: int

    @classmethod
    def of(cls, llama: Llama, threads: int) -> Spec:
        c, layer = llama.config, llama.layers[0]
        weights = (layer.qkv, layer.out, layer.gate_up, layer.down, llama.head)
        names = {Float32: "fp32", BFloat16: "bf16", Int8: "int8", Int4: "int4"}
        kinds = tuple(names.get(type(w), type(w).__name__) for w in weights)
        biased = tuple(w.bias is not None for w in weights)
        return cls(c.heads, c.kv_heads, c.head_dim, kinds, biased, layer.q_norm is not None, threads)


def between_arguments(layer: Layer, following: Layer) -> list[Tensor]:
    """What `Between` takes after h, o, cos, sin: the rest of one layer, the first third of the next."""
    norms = [n for n in (following.q_norm, following.k_norm) if n is not None]
    return [
        *tensors(layer.out), *_norm(layer.mlp_norm), *tensors(layer.gate_up), *tensors(layer.down),
        *_norm(following.attention_norm), *tensors(following.qkv), *(t for n in norms for t in _norm(n)),
    ]  # fmt: skip


def head_arguments(llama: Llama) -> list[Tensor]:
    """What `Head` takes after h."""
    return [*_norm(llama.norm), *tensors(llama.head)]


def _norm(norm: Norm) -> list[Tensor]:
    return [norm.gain, norm.eps.square()]


def _normed(h: Tensor, given: Iterator[Tensor]) -> Tensor:
    gain, eps = next(given), next(given)
    return h * gain / (h.square().sum(-1, keepdim=True) + eps).sqrt()


class Between(nn.Module):
    """h (1, hidden) and one layer's attended heads o (1, H * D) -> h after that layer; the next one's q, k and v."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, h: Tensor, o: Tensor, cos: Tensor, sin: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        s, given = self.spec, iter(rest)
        (qkv, out, gate_up, down, _), (qkv_b, out_b, gate_up_b, down_b, _) = s.kinds, s.biased
        h = h + product(o, out, out_b, given)
        gate, up = product(_normed(h, given), gate_up, gate_up_b, given).chunk(2, -1)
        h = h + product(F.silu(gate) * up, down, down_b, given)
        x = product(_normed(h, given), qkv, qkv_b, given).view(1, -1, s.head_dim)
        q, k, v = x.split([s.heads, s.kv_heads, s.kv_heads], 1)
        if s.head_norms:
            q, k = _normed(q, given), _normed(k, given)
        return h, _turned(q, cos, sin), _turned(k, cos, sin), v[:, :, None].clone()


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return (x * cos + torch.cat([x[..., half:], x[..., :half]], -1) * sin)[:, :, None]


class Head(nn.Module):
    """h (1, hidden) -> logits (1, vocab)."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, h: Tensor, *rest: Tensor) -> Tensor:
        given = iter(rest)
        return product(_normed(h, given), self.spec.kinds[-1], self.spec.biased[-1], given)


def write_request(llama: Llama, spec: Spec, folder: Path) -> Path:
    """SPEC.json: the spec, and the shape and dtype of each argument of both functions."""
    row, c = torch.zeros(1, c_hidden := llama.config.hidden), llama.config
    turns = torch.zeros(1, 1, c.head_dim)
    arguments = {
        "between": [row, torch.zeros(1, c.heads * c.head_dim), turns, turns,
                    *between_arguments(llama.layers[0], llama.layers[-1])],
        "head": [torch.zeros(1, c_hidden), *head_arguments(llama)],
    }  # fmt: skip
    shapes = {part: [[list(t.shape), str(t.dtype)[6:]] for t in given] for part, given in arguments.items()}
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "spec.json"
    file.write_text(json.dumps({"spec": asdict(spec), "shapes": shapes}, indent=1), encoding="utf-8")
    return file


def build(request: Path) -> None:
    """Write between.pt2 and head.pt2 beside the request. Takes about half a minute on a quiet machine."""
    asked: dict[str, Any] = json.loads(request.read_text("utf-8"))
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in asked["spec"].items()}
    spec = Spec(**fields)
    options = {
        "cpp.threads": spec.threads,
        "realize_reads_threshold": 0,  # what a sum over columns reads is computed once, not again for each row
    }
    for part, module in (("between", Between(spec)), ("head", Head(spec))):
        given = tuple(torch.zeros(shape, dtype=getattr(torch, dtype)) for shape, dtype in asked["shapes"][part])
        with torch.no_grad():
            program = torch.export.export(module, given)
            half = request.parent / f"half-{os.getpid()}-{part}.pt2"
            torch._inductor.aoti_compile_and_package(program, package_path=str(half), inductor_configs=options)
        half.replace(request.parent / f"{part}.pt2")


if __name__ == "__main__":
    build(Path(sys.argv[1]))

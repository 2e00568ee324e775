"""What training costs in memory before any activation: bytes of weights, gradients and optimizer states."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dslab.lora.injection import layers
from dslab.lora.linear import check
from dslab.lora.targets import Targets, is_linear, resolve, weights

FP32 = 4  # bytes of a number of an adapter


@dataclass(frozen=True)
class Report:
    """Numbers of parameters, and bytes. The optimizer is torch's AdamW: two states, in each parameter's own dtype."""

    trainable: int
    total: int
    weight_bytes: int
    gradient_bytes: int
    optimizer_bytes: int

    @property
    def bytes(self) -> int:
        """All three together."""
        return self.weight_bytes + self.gradient_bytes + self.optimizer_bytes

    def rows(self) -> list[tuple[str, str]]:
        """As shown."""
        share = self.trainable / self.total if self.total else 0.0
        return [
            ("trained parameters", f"{self.trainable:,} of {self.total:,} ({share:.2%})"),
            ("weights", megabytes(self.weight_bytes)),
            ("gradients", megabytes(self.gradient_bytes)),
            ("optimizer (AdamW)", megabytes(self.optimizer_bytes)),
            ("together", megabytes(self.bytes)),
        ]

    def __str__(self) -> str:
        width = max(len(label) for label, _ in self.rows())
        return "\n".join(f"{label:<{width}}  {value}" for label, value in self.rows())

    def _repr_html_(self) -> str:
        cells = (f"<tr><th>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>" for a, b in self.rows())
        return f"<table>{''.join(cells)}</table>"


def megabytes(count: int) -> str:
    """10^6 bytes, as disks count."""
    return f"{count / 1e6:,.1f} MB"


def report(model: nn.Module) -> Report:
    """What the model costs as it stands, by what `requires_grad`; full fine-tuning as well as adapters.

    A weight kept in few bits counts with all its numbers in `total`, and with the bytes it takes.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = size(trained)
    total = sum(parameter.numel() for parameter in model.parameters()) + _hidden_in_few_bits(model)
    everything = size([*model.parameters(), *model.buffers()])
    return Report(sum(parameter.numel() for parameter in trained), total, everything, gradients, 2 * gradients)


def estimate(model: nn.Module, targets: Targets | None = "all-linear", r: int = 8, dora: bool = False) -> Report:
    """What `report` would say after `inject(model, targets, r)`, without doing it; targets None: full fine-tuning.

    The model has no adapters yet. Raises ValueError as `inject` does.
    """
    if layers(model):
        raise ValueError("estimate needs the model without adapters; report(model) tells what this one costs")
    total = sum(parameter.numel() for parameter in model.parameters()) + _hidden_in_few_bits(model)
    before = size([*model.parameters(), *model.buffers()])
    if targets is None:
        gradients = size(model.parameters())
        return Report(sum(p.numel() for p in model.parameters()), total, before, gradients, 2 * gradients)
    check(r, 1, 0.0)
    wanted, numbers = set(resolve(model, targets)), 0
    for weight in weights(model):
        if weight.name not in wanted:
            continue
        *stack, out, into = weight.shape
        if r > min(out, into):
            raise ValueError(f"{weight.name}: r={r} is more than a matrix of {out} x {into} can have")
        if stack and dora:
            raise ValueError(f"{weight.name}: fused experts take no DoRA")
        numbers += r * (out + into) * (stack[0] if stack else 1) + (out if dora else 0)
    new = numbers * FP32
    return Report(numbers, total + numbers, before + new, new, 2 * new)


def fingerprints(model: nn.Module) -> dict[str, int]:
    """For each adapted weight the sum of its bit patterns: another number where a single bit is another."""
    patterns = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    kept = {name: getattr(layer.home, layer.slot) for name, layer in layers(model).items()}
    return {name: int(w.detach().view(patterns[w.element_size()]).sum(dtype=torch.int64)) for name, w in kept.items()}


def size(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _hidden_in_few_bits(model: nn.Module) -> int:
    """Numbers of quantised weights, which are buffers of codes and not among the parameters."""
    quantised: list[Any] = [module for module in model.modules() if is_linear(module) and hasattr(module, "dequantize")]
    return sum(module.in_features * module.out_features for module in quantised)

"""What notebook 04 counts and draws of costs: bytes by way of training, work by token; and bf16 weights without bf16
arithmetic."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn

from dslab import lora
from dslab.bench.lora import FOUR_BITS, FULL, NARROW, OURS, PEFT
from dslab.bench.report import Table
from dslab.lora.accounting import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["bars", "beside", "in_fp32", "rows", "steps", "thinnest", "ways", "work"]

CODE, SCALE, OUTER = 4, 8, 64  # bits of NF4: a number; the scale of 64 numbers; what 256 scales need


def thinnest(outline: Any) -> int:
    """The shorter side of the smallest matrix in the model's layers: no rank is larger."""
    return min(min(p.shape) for p in outline.model.layers.parameters() if p.dim() == 2)


def ways(outline: Any) -> dict[str, Report]:
    """Bytes of full fine-tuning, LoRA and QLoRA before the first activation.

    outline: the model on the device `meta`, a causal LM with `.model.layers`. It leaves in bf16.
    """
    high = min(64, thinnest(outline))
    costs = {
        "full, fp32": lora.estimate(outline.float(), None),
        "LoRA, rank 8, fp32": lora.estimate(outline, "all-linear", 8),
        f"LoRA, rank {high}, fp32": lora.estimate(outline, "all-linear", high),
        "full, bf16": lora.estimate(outline.bfloat16(), None),
        "LoRA, rank 8, bf16": lora.estimate(outline, "all-linear", 8),
    }
    bf16 = costs["LoRA, rank 8, bf16"]
    matrices = sum(p.numel() for name, p in outline.named_parameters() if p.dim() == 2 and "layers" in name)
    in_nf4 = matrices * (CODE + SCALE / 64 + OUTER / (64 * 256)) / 8
    quantised = round(bf16.weight_bytes - 2 * matrices + in_nf4)
    return costs | {"QLoRA, rank 8, NF4 and bf16": dataclasses.replace(bf16, weight_bytes=quantised)}


def rows(costs: Mapping[str, Report]) -> list[dict[str, str]]:
    """Of a table in megabytes."""
    return [
        {
            "what is trained": name,
            "numbers trained": f"{cost.trainable:,}",
            "weights": f"{cost.weight_bytes / 1e6:,.0f}",
            "gradients": f"{cost.gradient_bytes / 1e6:,.0f}",
            "AdamW": f"{cost.optimizer_bytes / 1e6:,.0f}",
            "together": f"{cost.bytes / 1e6:,.0f}",
        }
        for name, cost in costs.items()
    ]


def steps(saved: Table) -> list[dict[str, str]]:
    """Of a table: what `dslab bench lora` measured of a step, for each method."""
    peaks = {name.removeprefix("peak GB, "): x for name, x in saved.seconds.items() if name.startswith("peak GB, ")}
    return [
        {
            "": method,
            "CPU seconds a step": f"{saved.seconds[f'step, {method}']:.2f}",
            "peak of the process, GB": f"{peaks[method]:.2f}" if method in peaks else "",
        }
        for method in (FULL, PEFT, OURS, NARROW, FOUR_BITS)
    ]


def beside(model: nn.Module, r: int, alpha: float) -> nn.Module:
    """Another model with adapters on all linear layers, on the very weights of this one, which stays as it is."""
    shared = {id(p): p for p in model.parameters()}  # a copy of the modules, not of the numbers
    adapted = copy.deepcopy(model, dict(shared))
    lora.inject(adapted, "all-linear", r=r, alpha=alpha)
    return adapted


def work(cost: Report) -> int:
    """Multiplications a token: two products with each frozen matrix, three with each trained one."""
    return 2 * (cost.total - cost.trainable) + 3 * cost.trainable


def bars(costs: Mapping[str, Report], seconds: Mapping[str, float], title: str) -> Figure:
    """Above, the memory of each way by what fills it; below, the time of a step. The last way names the colours."""
    import matplotlib.pyplot as plt

    from dslab.book.figures import COLORS

    fig, (top, bottom) = plt.subplots(2, 1, figsize=(7, 4.0), height_ratios=[3, 2], layout="constrained")
    for name, cost in costs.items():
        parts = {"weights": cost.weight_bytes, "gradients": cost.gradient_bytes, "AdamW": cost.optimizer_bytes}
        left = 0.0
        for (part, size), color in zip(parts.items(), ("blue", "orange", "green"), strict=True):
            label = part if name == list(costs)[-1] else None
            top.barh(name, size / 1e6, left=left, color=COLORS[color], label=label)
            left += size / 1e6
        bottom.barh(name, seconds[name], color="#999999")
    fig.legend(loc="outside lower center", ncols=3)
    top.set(title=title, xlabel="memory before activations, MB", ylabel=" ")
    bottom.set(xlabel="estimated time of a step, CPU seconds", ylabel=" ")
    return fig


class _Widened(nn.Linear):
    """A linear layer that computes in the dtype of x, whatever its weight is kept in."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype))


def in_fp32(model: nn.Module) -> nn.Module:
    """Let a model with narrow weights compute in fp32, in place: linear layers keep theirs, all others are widened.

    Without a unit for bf16 its products take ten times as long; and with fp32 in between, what is seen is the rounding
    of the weights alone.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.__class__ = _Widened
        elif next(module.children(), None) is None:
            module.float()
    return model

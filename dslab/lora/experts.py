"""LoRA on the fused weights of routed experts: one parameter (experts, out, in), no linear layer to replace.

The convention and the file keys are those of peft's `target_parameters`, so that either reads the other's files.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from dslab.lora.linear import Adapted, Adapter


class LoRAParameter(Adapted):
    """Adapters for one fused parameter of an experts module: each expert has its own A (r, in) and B (out, r).

    owner: the module that has the parameter; parameter: its name, of shape (experts, out, in), or
    (experts, in, out) where the module says `is_transposed`. Dropout and DoRA are refused: the experts multiply with
    the weight inside their own forward, where neither has a place.
    """

    def __init__(self, owner: nn.Module, parameter: str) -> None:
        super().__init__()
        self._owner = [owner]  # in a list: the owner is the wrapper's child, not this module's
        self.slot = parameter
        weight = getattr(owner, parameter)
        if weight.ndim != 3:
            raise ValueError(f"{parameter} has shape {tuple(weight.shape)}; fused experts have three dimensions")
        self.transposed = bool(getattr(owner, "is_transposed", False))
        self.experts = weight.shape[0]
        outs_ins = weight.shape[1:]
        self.out_features, self.in_features = reversed(outs_ins) if self.transposed else outs_ins
        self.train(owner.training)

    @property
    def home(self) -> nn.Module:
        return self._owner[0]

    def new_adapter(self, r: int, alpha: float, dropout: float, rslora: bool, dora: bool) -> Adapter:
        if dropout or dora:
            raise ValueError(f"fused experts ({self.slot}) take neither dropout nor DoRA; adapt them without")
        device = getattr(self.home, self.slot).device
        return Adapter(
            self.in_features, self.out_features, r, alpha, rslora=rslora, experts=self.experts, device=device
        )

    def update(self, adapter: Adapter) -> Tensor:
        a, b = adapter.stacked()
        return adapter.scale * torch.einsum("ore,eri->eio" if self.transposed else "ore,eri->eoi", b, a)

    def substitute(self) -> Tensor | None:
        """The weight to compute with in place of the frozen one; None where that one will do."""
        if self.adapter is None or self.merged:
            return None
        weight = self.base_weight()
        return weight + self.update(self.adapter).to(weight.dtype)


class LoRAExperts(nn.Module):
    """An experts module that computes with adapted weights; called as the module it wraps."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.parameters_adapted = nn.ModuleDict()
        self.train(base.training)

    def adapt(self, parameter: str) -> LoRAParameter:
        """Make a parameter of the base adaptable; it has no adapter yet."""
        self.parameters_adapted[parameter] = made = LoRAParameter(self.base, parameter)
        return made

    def adapted(self) -> dict[str, LoRAParameter]:
        """The adapted parameters by name."""
        return {name: cast(LoRAParameter, module) for name, module in self.parameters_adapted.items()}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        substitutes = {name: module.substitute() for name, module in self.adapted().items()}
        weights = {name: weight for name, weight in substitutes.items() if weight is not None}
        return torch.func.functional_call(self.base, weights, args, kwargs) if weights else self.base(*args, **kwargs)

"""Several adapters on one base: one is active, the others wait; the base is there once for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn

from dslab.lora.experts import LoRAParameter
from dslab.lora.injection import adapted_layers
from dslab.lora.linear import Adapted, Adapter, LoRALinear

Layers = dict[str, LoRALinear | LoRAParameter]
_SETTINGS = {"r", "alpha", "dropout", "rslora", "dora"}


def add(model: nn.Module, name: str, **settings: Any) -> list[str]:
    """A fresh adapter on every adapted weight; it becomes active with `use`. Returns the weights' names.

    settings: r, alpha, dropout, rslora, dora; what is not given is as in the first adapter. Raises ValueError for a
    name that is taken, or for settings a weight can't have; then no weight has the new adapter.
    """
    found = adapted_layers(model)
    if unknown := sorted(set(settings) - _SETTINGS):
        raise ValueError(f"an adapter has no setting {', '.join(unknown)}; it has {', '.join(sorted(_SETTINGS))}")
    first = {full: cast(Adapter, next(iter(layer.adapters.values()))).settings for full, layer in found.items()}
    return _add(found, name, {full: first[full] | settings for full in found})


def _add(found: Layers, name: str, settings: dict[str, dict[str, Any]]) -> list[str]:
    done: list[Adapted] = []
    for full, layer in found.items():
        try:
            layer.add(name, **settings[full]).requires_grad_(False)
        except ValueError as error:
            for other in done:
                del other.adapters[name]
            raise ValueError(f"{full}: {error}") from error
        done.append(layer)
    return list(found)


def names(model: nn.Module) -> list[str]:
    """The adapters that the model has."""
    first: Adapted = next(iter(adapted_layers(model).values()))
    return list(first.adapters)


def use(model: nn.Module, name: str | None) -> None:
    """Make one adapter the active one, and the only one that trains; None for the base model alone.

    Raises ValueError for a name that is not there, RuntimeError while another is merged; then nothing has changed.
    """
    found = adapted_layers(model)
    for layer in found.values():
        layer.usable(name)
    for layer in found.values():
        layer.use(name)


@contextmanager
def disabled(model: nn.Module) -> Iterator[None]:
    """The base model for as long as the block lasts; merged adapters are taken out and put back. May be nested."""
    found = adapted_layers(model).values()
    before = [(layer, layer.active, layer.merged) for layer in found]
    for layer in found:
        layer.unmerge()
        layer.active = None
    try:
        yield
    finally:
        for layer, active, merged in before:
            layer.active = active
            if merged:
                layer.merge()


@torch.no_grad()
def combine(model: nn.Module, shares: Mapping[str, float], into: str) -> list[str]:
    """A new adapter whose update is exactly the weighted sum of others': its rank is the sum of theirs.

    shares: weight of each adapter, negative to subtract one. Averaging A and B would not do: the mean of products is
    not the product of means. (peft calls this `add_weighted_adapter` with `combination_type="cat"`.) Raises
    ValueError for unknown names, for DoRA (whose update is no sum), and where the ranks add up to more than a weight
    can have; then nothing has changed.
    """
    found = adapted_layers(model)
    if not shares:
        raise ValueError("combine needs at least one adapter and its weight")
    parts: dict[str, list[tuple[float, Adapter]]] = {}
    for full, layer in found.items():
        for name in shares:
            layer.known(name)
        parts[full] = [(share, cast(Adapter, layer.adapters[name])) for name, share in shares.items()]
        if any(adapter.magnitude is not None for _, adapter in parts[full]):
            raise ValueError(f"{full}: DoRA rescales rows, so that its adapters can't be added; combine LoRA adapters")
    ranks = {full: sum(adapter.r for _, adapter in parts[full]) for full in found}
    made = _add(found, into, {full: {"r": rank, "alpha": rank} for full, rank in ranks.items()})  # its scale is 1
    for full, layer in found.items():
        new = cast(Adapter, layer.adapters[into])
        stacked = [adapter.stacked(share * adapter.scale) for share, adapter in parts[full]]
        new.A.copy_(torch.cat([a for a, _ in stacked], dim=1).flatten(0, 1))
        new.B.copy_(torch.cat([b for _, b in stacked], dim=1).flatten(1, 2))
    return made

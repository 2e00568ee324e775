"""Adapter files as peft writes and reads them: adapter_model.safetensors beside adapter_config.json.

Strict both ways: what a file has and the model can't place, or the model needs and the file lacks, raises with the
names before the model is touched. (peft only warns about missing keys, and an adapter that was never loaded looks
like one that learned nothing.)
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from dslab.lora.injection import Prepared, adapted_layers, attach, layers, prepare, unharmed
from dslab.lora.linear import Adapted, Adapter, LoRALinear
from dslab.lora.peft_config import plan_of, refuse, some, write_config
from dslab.lora.targets import weights

MODEL, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."  # how peft's wrapper names the model inside
_PARTS = {"lora_A.weight": "A", "lora_B.weight": "B", "lora_magnitude_vector": "magnitude"}


def save_peft(model: nn.Module, folder: str | os.PathLike, adapter: str = "default", base: str = "") -> Path:
    """Write one adapter, in fp32, so that peft's `PeftModel.from_pretrained(base_model, folder)` computes the same.

    base: id or path of the base model, as a note in the config. Merged or not makes no difference. Raises ValueError
    for an adapter that is not there. Warns where peft can't be told what this adapter is.
    """
    from safetensors.torch import save_file

    adapters: dict[str, Adapter] = {}
    for full, layer in adapted_layers(model).items():
        layer.known(adapter)
        adapters[full] = cast(Adapter, layer.adapters[adapter])
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = write_config(model, adapters, base or getattr(getattr(model, "config", None), "_name_or_path", ""))
    tensors = {key: value.detach().cpu().contiguous() for key, value in _keys(model, adapters).items()}
    part = folder / f"{MODEL}.part"
    save_file(tensors, part, {"format": "pt"})
    os.replace(part, folder / MODEL)  # whole or not at all
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return folder


def load_peft(model: nn.Module, folder: str | os.PathLike, adapter: str = "default") -> list[str]:
    """Put an adapter that peft or `save_peft` wrote on the model. Returns the names of the weights it sits on.

    On a model without adapters it becomes the active one and the only thing that trains; otherwise it is added to
    those there, on the same weights, and `use` makes it active. Raises FileNotFoundError, and ValueError for another
    base (names or shapes that do not fit), missing or unused keys, or a setting not supported here; the model is then
    as it was.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    for name in (CONFIG, MODEL):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}; an adapter's folder has {CONFIG} and {MODEL}")
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    tensors = load_file(folder / MODEL)
    refuse(config)
    plan = plan_of(model, config)
    present = layers(model)
    with unharmed(model):
        if present:
            made, adapters = {}, _beside(present, plan, adapter)
        else:
            made = prepare(model, plan, adapter)
            adapters = _prepared(made, adapter)
        _fill(_keys(model, adapters), tensors, folder)
        if present:
            for full, layer in present.items():
                layer.adapters[adapter] = adapters[full].requires_grad_(False).train(layer.training)
        else:
            attach(model, made)
    return list(plan)


def _beside(present: dict[str, Any], plan: dict[str, dict], name: str) -> dict[str, Adapter]:
    """New adapters for a model that has some; not on it yet."""
    if set(plan) != set(present):
        odd = sorted(set(plan) ^ set(present))
        raise ValueError(f"the adapters of one model sit on the same weights; these have one only: {some(odd)}")
    for layer in present.values():
        layer.free(name)
    return {full: present[full].new_adapter(**settings) for full, settings in plan.items()}


def _prepared(made: Prepared, name: str) -> dict[str, Adapter]:
    """The fresh adapters of modules that are not on the model yet, by their weights' names."""
    inner: dict[str, Adapted] = {}
    for full, module in made.items():
        if isinstance(module, LoRALinear):
            inner[full] = module
        else:
            inner |= {f"{full}.{slot}": layer for slot, layer in module.adapted().items()}
    return {full: cast(Adapter, layer.adapters[name]) for full, layer in inner.items()}


@torch.no_grad()
def _fill(wanted: dict[str, Tensor], tensors: dict[str, Tensor], folder: Path) -> None:
    """Copy the file's numbers into fresh adapters, by key. Raises ValueError where keys or shapes differ."""
    if missing := sorted(set(wanted) - set(tensors)):
        raise ValueError(f"{folder} lacks {len(missing)} keys that its config and this model ask for: {some(missing)}")
    if unused := sorted(set(tensors) - set(wanted)):
        raise ValueError(f"{folder} has {len(unused)} keys that have no place on this model: {some(unused)}")
    differ = [key for key in wanted if wanted[key].shape != tensors[key].shape]
    if differ:
        key = differ[0]
        raise ValueError(
            f"{folder} is an adapter of another base or rank: {len(differ)} shapes differ, the first {key}: "
            f"the file has {tuple(tensors[key].shape)}, this model needs {tuple(wanted[key].shape)}"
        )
    for key, value in wanted.items():
        value.copy_(tensors[key])


def _keys(model: nn.Module, adapters: dict[str, Adapter]) -> dict[str, Tensor]:
    """The numbers of adapters, by the keys they have in a file.

    peft wraps a module once for each parameter of it; the wrappers nest, and the last parameter's is outermost.
    """
    fused = {weight.name for weight in weights(model) if weight.kind == "fused"}
    keys = {}
    for full, adapted in adapters.items():
        place = full
        if full in fused:
            owner = full.rpartition(".")[0]
            same = [name for name in adapters if name in fused and name.rpartition(".")[0] == owner]
            place = owner + ".base_layer" * (len(same) - 1 - same.index(full))
        for part, attribute in _PARTS.items():
            if (value := getattr(adapted, attribute)) is not None:
                keys[f"{_PREFIX}{place}.{part}"] = value
    return keys

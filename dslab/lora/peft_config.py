"""adapter_config.json as peft means it: which weights an adapter sits on and how, read and written.

What peft can configure and this library can't compute is refused by name.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from torch import nn

from dslab.lora.linear import Adapter
from dslab.lora.targets import Weight, weights

_READ = {
    "peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "target_modules", "target_parameters",
    "exclude_modules", "rank_pattern", "alpha_pattern",
}  # fmt: skip
#: Notes about where the adapter comes from, and values that mean nothing while what they qualify is off.
_IGNORED = {
    "auto_mapping", "base_model_name_or_path", "inference_mode", "init_lora_weights", "megatron_config",
    "megatron_core", "peft_version", "qalora_group_size", "revision", "runtime_config", "task_type",
}  # fmt: skip
_STARTS = {True, False, None, "gaussian", "orthogonal", "eva"}  # others (pissa, olora ...) change the base as well


def refuse(config: dict[str, Any]) -> None:
    """Raise ValueError for an adapter that this library would compute otherwise than peft."""
    if (kind := config.get("peft_type")) != "LORA":
        raise ValueError(f"this adapter is of peft_type {kind!r}; only LORA (with rsLoRA, DoRA) is supported")
    if config.get("bias", "none") != "none":
        raise ValueError(f"this adapter trains biases (bias={config['bias']!r}); only bias='none' is supported")
    if (start := config.get("init_lora_weights")) not in _STARTS:
        raise ValueError(f"init_lora_weights={start!r} changes the base's weights too, which is not supported here")
    odd = sorted(key for key, value in config.items() if value and key not in _READ | _IGNORED | {"bias"})
    if odd:
        raise ValueError(f"settings not supported here: {', '.join(f'{key}={config[key]!r}' for key in odd)}")


def plan_of(model: nn.Module, config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings for each weight that the config means, by peft's rules."""
    found = weights(model)
    modules, parameters = config.get("target_modules") or [], config.get("target_parameters") or []
    excluded = config.get("exclude_modules") or []
    plan, matched = {}, set()
    for weight in found:
        hit = None
        if weight.kind == "linear" and not _means(excluded, weight.name):
            hit = _means(modules, weight.name)
            key = weight.name
        if hit is None and weight.kind != "other":
            key = weight.name if weight.kind == "fused" else f"{weight.name}.weight"
            hit = _means(parameters, key)
        if hit is not None:
            matched.add(hit)
            plan[weight.name] = _settings(config, key)
    entries = [*([modules] if isinstance(modules, str) else modules), *parameters]
    if lost := [entry for entry in entries if entry not in matched and not _shadowed(entry, found, plan)]:
        ends = sorted({weight.name.rpartition(".")[2] for weight in found if weight.kind != "other"})
        raise ValueError(
            f"the adapter sits on {', '.join(map(repr, lost))}, and this model has no such weights "
            f"(they end in {', '.join(ends)}): is it another base model?"
        )
    if not plan:
        raise ValueError("the adapter's config names no weights: target_modules and target_parameters are empty")
    return plan


def _shadowed(entry: str, found: list[Weight], plan: dict[str, dict]) -> bool:
    """Whether another entry has taken all that this one means."""
    return any(_means([entry], weight.name) and weight.name in plan for weight in found)


def _means(targets: str | list[str], name: str) -> str | None:
    """The target that means this name: of a list by its end, of a string as a pattern for the whole."""
    if isinstance(targets, str):
        return targets if re.fullmatch(targets, name) else None
    return next((target for target in targets if name == target or name.endswith(f".{target}")), None)


def _settings(config: dict[str, Any], key: str) -> dict[str, Any]:
    def by_pattern(patterns: dict[str, Any] | None, otherwise: Any) -> Any:
        return next((v for p, v in (patterns or {}).items() if re.match(rf"(.*\.)?({p})$", key)), otherwise)

    return {
        "r": by_pattern(config.get("rank_pattern"), config["r"]),
        "alpha": by_pattern(config.get("alpha_pattern"), config["lora_alpha"]),
        "dropout": config.get("lora_dropout") or 0.0,
        "rslora": bool(config.get("use_rslora")),
        "dora": bool(config.get("use_dora")),
    }


def write_config(model: nn.Module, adapters: dict[str, Adapter], base: str) -> dict[str, Any]:
    """The config of the adapters by their weights' names."""
    found = {weight.name: weight for weight in weights(model)}
    moe = any(weight.kind == "fused" for weight in found.values())
    first = next(iter(adapters.values()))
    dora = first.magnitude is not None
    # In models with fused experts peft takes `down_proj` in target_modules to mean the experts' parameter, under any
    # spelling and whatever stands before it (peft issue 3711). As parameters, layers are safe from that.
    parameters = {
        name: name if found[name].kind == "fused" else f"{name}.weight"
        for name in adapters
        if found[name].kind == "fused" or (moe and not dora and not found[name].in_attention)
    }
    modules = [name for name in adapters if name not in parameters]
    if dora and moe and any(not found[name].in_attention for name in modules):
        warnings.warn("peft can't put DoRA on the feed-forward layers of this model; load_peft can", stacklevel=3)
    dropout = first.dropout.p
    if parameters and dropout:
        warnings.warn(f"dropout={dropout} is not in the file: peft has none beside target_parameters", stacklevel=3)
        dropout = 0.0
    differing = {parameters.get(name, name): a for name, a in adapters.items()}
    return {
        "alpha_pattern": {re.escape(key): a.alpha for key, a in differing.items() if a.alpha != first.alpha},
        "base_model_name_or_path": base or None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": first.alpha,
        "lora_dropout": dropout,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": first.r,
        "rank_pattern": {re.escape(key): a.r for key, a in differing.items() if a.r != first.r},
        "target_modules": _shortest(modules, found),
        "target_parameters": sorted(parameters.values()) or None,
        "task_type": "CAUSAL_LM",
        "use_dora": dora,
        "use_rslora": first.rslora,
    }


def _shortest(names: list[str], found: dict[str, Weight]) -> list[str]:
    """The ends of the names where these mean the same weights, as people write them; otherwise the full names."""
    ends = sorted({name.rpartition(".")[2] for name in names})
    meant = [name for name, weight in found.items() if weight.kind == "linear" and _means(ends, name)]
    return ends if sorted(meant) == sorted(names) else sorted(names)


def some(names: list[str]) -> str:
    """A few of many names."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")

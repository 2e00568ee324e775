"""Which weights of a model an adapter can sit on, what each is for, and which ones a list of targets means.

Targets are what people write: names of layers, by their end as in peft (`q_proj`, `self_attn.q_proj`); a regular
expression for whole names; "attention"; "all-linear" (without the head, and without a router: whoever trains the
router changes which expert sees what). The fused weights of routed experts are taken only by a name that says so
(`experts.down_proj`, or the full name): `down_proj` alone means layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from dslab.lora.experts import LoRAExperts
from dslab.lora.linear import LoRALinear

ATTENTION, ALL_LINEAR = "attention", "all-linear"
Targets = str | Iterable[str]

#: The last part of a layer's name, in the models of transformers, and what the layer does.
_ROLES = {
    **dict.fromkeys(["q_proj", "query", "wq", "q"], "q"),
    **dict.fromkeys(["k_proj", "key", "wk", "k"], "k"),
    **dict.fromkeys(["v_proj", "value", "wv", "v"], "v"),
    **dict.fromkeys(["o_proj", "out_proj", "wo", "o"], "o"),
    **dict.fromkeys(["qkv_proj", "query_key_value", "Wqkv", "qkv", "c_attn"], "q, k, v in one"),
    **dict.fromkeys(["q_a_proj", "wq_a"], "q_a"),
    **dict.fromkeys(["q_b_proj", "wq_b"], "q_b"),
    **dict.fromkeys(["kv_a_proj_with_mqa", "wkv_a"], "kv_a"),
    **dict.fromkeys(["kv_b_proj", "wkv_b"], "kv_b"),
    **dict.fromkeys(["gate_proj", "w1"], "gate"),
    **dict.fromkeys(["up_proj", "w3", "fc1", "c_fc", "dense_h_to_4h"], "up"),
    **dict.fromkeys(["down_proj", "w2", "fc2", "dense_4h_to_h"], "down"),
    "gate_up_proj": "gate, up in one",
}
_HEADS = {"lm_head", "embed_out", "score", "classifier"}
_ROUTERS = {"gate", "router", "shared_expert_gate", "wg"}


@dataclass(frozen=True)
class Weight:
    """One weight matrix, or one stack of them. kind: "linear", "fused", or "other" (which takes no adapter here)."""

    name: str
    kind: str
    role: str
    shape: tuple[int, ...]
    parameters: int
    in_attention: bool = False

    @property
    def special(self) -> bool:
        """Head, router or embedding: nothing that "all-linear" means."""
        return self.role in {"head", "router", "embedding"}


def weights(model: nn.Module) -> list[Weight]:
    """Every linear layer, fused experts parameter, router and embedding, in the model's order, adapted or not."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    found: list[Weight] = []
    attention: list[str] = []
    skip: list[str] = []
    for name, module in model.named_modules():
        if skip and name.startswith(skip[-1]):
            continue
        if _is_attention(name, module):
            attention.append(f"{name}.")
        inside = any(name.startswith(prefix) for prefix in attention)
        if is_linear(module):
            skip.append(f"{name}.")  # what is inside an adapted layer is not another layer
            base: Any = module.base if isinstance(module, LoRALinear) else module
            role = "head" if head is not None and (module is head or base is head) else _role(name, module)
            out_in = int(base.out_features), int(base.in_features)
            bias = getattr(base, "bias", None)
            parameters = out_in[0] * out_in[1] + (0 if bias is None else bias.numel())
            found.append(Weight(name, "linear", role, out_in, parameters, inside))
        elif isinstance(module, LoRAExperts):
            skip.append(f"{name}.")
            found += _fused(name, module.base)
        else:
            found += _fused(name, module) or _other(name, module)
    return found


def is_linear(module: nn.Module) -> bool:
    """Whether LoRALinear takes it as its base, or it is one already."""
    if isinstance(module, nn.Linear | LoRALinear):
        return True
    return all(hasattr(module, attribute) for attribute in ("in_features", "out_features", "dequantize"))


def _fused(name: str, module: nn.Module) -> list[Weight]:
    """The three-dimensional parameters of an experts module."""
    stacks = [(slot, p) for slot, p in module.named_parameters(recurse=False) if p.ndim == 3]
    return [
        Weight(
            f"{name}.{slot}", "fused", f"routed experts (fused): {_ROLES.get(slot, slot)}", tuple(p.shape), p.numel()
        )
        for slot, p in stacks
    ]


def _other(name: str, module: nn.Module) -> list[Weight]:
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2 or any(True for _ in module.children()):
        return []
    role = "embedding" if isinstance(module, nn.Embedding) else _role(name, module)
    return [Weight(name, "other", role, tuple(weight.shape), weight.numel())]


def _is_attention(name: str, module: nn.Module) -> bool:
    leaf = name.rpartition(".")[2].lower()
    has_layers = any(is_linear(child) for child in module.children())
    return has_layers and ("attention" in type(module).__name__.lower() or "attn" in leaf or leaf == "attention")


def _role(name: str, module: nn.Module) -> str:
    *parents, leaf = name.split(".")
    if leaf in _HEADS:
        return "head"
    if leaf in _ROUTERS or "router" in type(module).__name__.lower():
        return "router"
    role = _ROLES.get(leaf, leaf)
    if any(part.startswith("shared_expert") for part in parents):
        return f"shared expert: {role}"
    return f"routed expert: {role}" if "experts" in parents else role


def resolve(model: nn.Module, targets: Targets) -> list[str]:
    """Full names of what the targets mean, in the model's order; fused parameters among them by their full names.

    Raises ValueError for an entry that matches nothing, with the names there are.
    """
    found = weights(model)
    by_entry = match(found, targets)
    for entry, names in by_entry.items():
        if not names:
            raise ValueError(_nothing(entry, found) + _conv1d(model))
    wanted = {name for names in by_entry.values() for name in names}
    return [weight.name for weight in found if weight.name in wanted]


def match(found: list[Weight], targets: Targets) -> dict[str, list[str]]:
    """The names that each entry of the targets matches; none for an entry that matches nothing."""
    entries = [targets] if isinstance(targets, str) else list(targets)
    if not entries or not all(isinstance(entry, str) and entry for entry in entries):
        raise ValueError(f"targets must be names, not {targets!r}; for instance {ALL_LINEAR!r} or ['q_proj', 'v_proj']")
    return {entry: [weight.name for weight in found if _matches(entry, weight)] for entry in entries}


def _matches(entry: str, weight: Weight) -> bool:
    if weight.kind == "fused":
        return weight.name == entry or ("." in entry and weight.name.endswith(f".{entry}"))
    if weight.kind != "linear":
        return False
    if entry == ALL_LINEAR:
        return not weight.special
    if entry == ATTENTION and weight.in_attention:
        return not weight.special
    if is_pattern(entry):
        return _compiled(entry).fullmatch(weight.name) is not None
    return weight.name == entry or weight.name.endswith(f".{entry}")


def is_pattern(entry: str) -> bool:
    """Whether an entry is a regular expression: a dot alone is none, for names have dots."""
    return re.search(r"[*+?\[\](){}|^$\\]", entry) is not None


def _compiled(entry: str) -> re.Pattern[str]:
    try:
        return re.compile(entry)
    except re.error as error:
        raise ValueError(f"target {entry!r} is no regular expression: {error}") from error


def _nothing(entry: str, found: list[Weight]) -> str:
    ends = sorted({weight.name.rpartition(".")[2] for weight in found if weight.kind == "linear"})
    fused = sorted({".".join(weight.name.split(".")[-2:]) for weight in found if weight.kind == "fused"})
    also = f"; of routed experts {', '.join(fused)}" if fused else ""
    if not ends and not fused:
        return f"target {entry!r} matches nothing: the model has no linear layers (torch.nn.Linear)"
    return f"target {entry!r} matches nothing in this model; its linear layers end in {', '.join(ends)}{also}"


def _conv1d(model: nn.Module) -> str:
    """A hint for GPT-2 and its like, whose layers look linear and are another class."""
    if any(type(module).__name__ == "Conv1D" for module in model.modules()):
        return ". Its Conv1D layers (GPT-2's kind) take no adapter here; choose a model with torch.nn.Linear"
    return ""

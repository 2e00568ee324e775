"""What notebook 04 asks of peft: which places a list of names reaches, and what the same adapter computes there."""

from __future__ import annotations

import collections
import copy
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dslab import lora
from dslab.bench.lora import differences

__all__ = ["compare", "one_layer", "reached"]


def reached(network: nn.Module, targets: Sequence[str]) -> tuple[dict[str, int], int, list[str]]:
    """What peft adapts at rank 8 of a network on the device `meta`, which is changed by it.

    Returns  how many places of each name (`*` for a layer's number), numbers to train, what peft warns of.
    Raises   ValueError (peft's) where nothing matches.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=8, target_modules=list(targets), task_type="CAUSAL_LM")
    with warnings.catch_warnings(record=True) as said, torch.device("meta"):  # elsewhere peft fills 15 GB with zeros
        warnings.simplefilter("always")
        wrapped: nn.Module = get_peft_model(network, config, low_cpu_mem_usage=True)  # type: ignore[arg-type]
    names = [name.split(".lora_A")[0] for name, _ in wrapped.named_parameters() if ".lora_A" in name]
    places = collections.Counter(re.sub(r"\d+", "*", name.removeprefix("base_model.model.")) for name in names)
    trained = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    return dict(places), trained, [str(w.message) for w in said if issubclass(w.category, RuntimeWarning)]


def one_layer(kind: Callable[..., Any], seed: int) -> tuple[float, float]:
    """A LoRA layer `kind(linear, r=, alpha=)` with A and B beside peft's, the same numbers in both.

    Returns the largest difference of an output, and of a gradient over the largest.
    """
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    linear, x = nn.Linear(64, 96), torch.randn(5, 64)
    mine = kind(copy.deepcopy(linear), r=4, alpha=8)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["linear"])
    wrapped: Any = get_peft_model(nn.ModuleDict({"linear": linear}), config)  # type: ignore[arg-type]
    peer = wrapped.base_model.model["linear"]
    theirs = [peer.lora_A["default"].weight, peer.lora_B["default"].weight]
    with torch.no_grad():
        mine.B.normal_()
        for their, our in zip(theirs, (mine.A, mine.B), strict=True):
            their.copy_(our)
    outputs: list[Tensor] = [layer(x) for layer in (mine, peer)]
    for out in outputs:
        (out**2).sum().backward()
    pairs = zip((mine.A.grad, mine.B.grad), [p.grad for p in theirs], strict=True)
    far = max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)
    return (outputs[0] - outputs[1]).abs().max().item(), far


def compare(fresh: Callable[[], Any], targets: Sequence[str], seed: int, **variant: Any) -> tuple[float, float]:
    """A random adapter that peft made and saved, in peft and in `dslab.lora`, on the model that fresh() makes.

    variant: of peft's LoraConfig, as use_rslora=True. Returns the largest difference of a logit, and of a gradient.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, lora_alpha=8, target_modules=list(targets), **variant)
    with warnings.catch_warnings():  # it asks whether there is gradient checkpointing by an older name
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        theirs = get_peft_model(fresh(), config).eval()
    for p in theirs.parameters():
        if p.requires_grad:
            p.data += 0.05 * torch.randn_like(p)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours = fresh()
        lora.load_peft(ours, folder)
    numbers = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, ours.config.vocab_size, (2, 16), generator=numbers)
    return differences(ours, theirs, {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": tokens})

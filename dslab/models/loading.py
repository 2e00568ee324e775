"""From resolved weights to `(model, tokenizer)`: quiet, offline, nothing unpickled, no code from a repository run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from dslab.models import smollm2
from dslab.models.resolver import WeightsNotFound, resolve, weights

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load(name: str = smollm2.NAME, dtype: str | torch.dtype | None = None, device: str = "cpu") -> tuple[Any, Any]:
    """A causal language model in evaluation mode, and its tokenizer.

    name    "smollm2", a Hub id ("org/model"), or the path of a folder with config.json and safetensors.
    dtype   None or "fp32", "bf16", "fp16", a torch dtype, or "auto": bf16 where that is faster on this device.
    device  "cpu", "cuda", "cuda:1", "mps".
    Raises  ValueError for an unknown dtype or a folder of pickles; WeightsNotFound when no source has the model.

    Only a first call may touch the network, when the weights are not yet on this machine.
    """
    kind = _dtype(dtype, device)
    try:
        found = weights(name)
    except WeightsNotFound:
        found = resolve(name, say=print)
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(found.path, local_files_only=True, trust_remote_code=False)
        model: Any = AutoModelForCausalLM.from_pretrained(
            found.path, dtype=kind, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
        model.to(device)
    if found.name == smollm2.NAME:  # the Hub's original pads with the end-of-turn token; see smollm2._write_config
        tokenizer.pad_token = smollm2.PAD
        model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model.eval(), tokenizer


def _dtype(dtype: str | torch.dtype | None, device: str) -> torch.dtype:
    if dtype is None:
        return torch.float32
    if dtype == "auto":
        return auto_dtype(device)
    if isinstance(dtype, torch.dtype) and dtype.is_floating_point:
        return dtype
    if dtype in DTYPES:
        return DTYPES[str(dtype)]
    raise ValueError(f"dtype must be auto, {', '.join(DTYPES)} or a floating torch dtype; got {dtype!r}")


@lru_cache
def auto_dtype(device: str = "cpu") -> torch.dtype:
    """bf16 if a matrix product is at least 1.2 times as fast in it on `device`, else fp32; measured once, in ~20 ms.

    Support is no guide on a CPU: without bf16 instructions it is emulated, up to twenty times slower than fp32.
    """
    seconds = {kind: _product_seconds(device, kind) for kind in (torch.float32, torch.bfloat16)}
    return torch.bfloat16 if seconds[torch.bfloat16] * 1.2 < seconds[torch.float32] else torch.float32


def _product_seconds(device: str, kind: torch.dtype) -> float:
    """Best of three times of a (64, 576) x (576, 1536) product, the shape of SmolLM2's MLP."""
    a, b = torch.ones(64, 576, dtype=kind, device=device), torch.ones(576, 1536, dtype=kind, device=device)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        (a @ b).sum().item()  # .item() waits for an accelerator
        times.append(time.perf_counter() - start)
    return min(times[1:])  # the first one pays for set-up


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and only errors from transformers, for the saved outputs' sake; settings are put back."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()

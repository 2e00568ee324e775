"""The loss of the answers, without the work for the rest.

    loss = - (1 / n) * sum over the n answer tokens of log p(token | all before it)

The head of a small model is a large part of it (a fifth of SmolLM2), and its output, vocabulary wide, is the largest
tensor of a step. Where no answer token is predicted nobody needs it, so the head runs on the other positions only.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dslab.training.chat import IGNORED, Encoded
from dslab.training.collate import Collator


def answer_loss(model: Any, batch: dict[str, Tensor], n: Tensor | int | None = None) -> Tensor:
    """Mean cross-entropy in nats over the answer tokens; equal to `model(**batch).loss`, in less time and memory.

    model:   a causal language model of transformers, also adapted or wrapped by peft.
    batch:   input_ids, attention_mask, labels (B, T), as `Collator` makes them; moved to the model's device.
    n:       what the sum is divided by; default, the answer tokens of this batch. When gradients of micro-batches add
             up, give each the number of the whole step: the mean of their means weighs short answers more.
    Returns  () fp32. Raises ValueError where nothing is to be learned.
    """
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    targets = batch.pop("labels")[:, 1:]  # position t predicts token t + 1
    learned = targets != IGNORED
    positions = learned.any(0).nonzero()[:, 0]
    if not len(positions):
        raise ValueError("the batch holds no answer token: all labels are -100, so there is nothing to learn")
    takes = arguments(model)
    options = {"use_cache": False} if "use_cache" in takes else {}
    if "logits_to_keep" in takes:
        logits = model(**batch, **options, logits_to_keep=positions).logits
    else:
        logits = model(**batch, **options).logits[:, positions]
    chosen = logits[learned[:, positions]].float()
    return F.cross_entropy(chosen, targets[learned], reduction="sum") / (len(chosen) if n is None else n)


@torch.no_grad()
def mean_loss(model: Any, encoded: Sequence[Encoded], batch: int = 8) -> float:
    """Mean cross-entropy in nats over all answer tokens of held-out examples; dropout off; the mode is put back.

    For a text as a whole, give it as Encoded(ids, ids).
    """
    total, tokens, collate = 0.0, 0, Collator()
    with evaluating(model):
        for at in range(0, len(encoded), batch):
            rows = collate(encoded[at : at + batch])
            total += float(answer_loss(model, rows, 1))
            tokens += int((rows["labels"][:, 1:] != IGNORED).sum())
    return total / tokens


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode, then each module's own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def arguments(model: Any) -> set[str]:
    """What the model's forward takes by name; looks through peft's wrapper, which passes everything on."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return set(inspect.signature(inner.forward).parameters)

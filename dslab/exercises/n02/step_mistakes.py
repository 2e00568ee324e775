"""Exercise `step`: what the usual mistakes make of a training step, one by one and together."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from dslab.exercises.n02.recorder import Case, Outcome, run

# Ways to go wrong that no call betrays, each a switch of the function below.
FAULTS = (
    "clip_early",
    "sum",
    "no_zero",
    "zero_late",
    "last_only",
    "first_only",
    "no_clip",
    "clip_inside",
    "clip_value",
    "clip_each",
    "clip_always",
    "halved",
    "rows",
    "unscaled",
    "scaled_twice",
    "autocast",
)


def variant(*faults: str) -> Callable[..., None]:
    """The step with these faults in it."""

    def clip(parameters: list[Tensor], max_norm: float) -> None:
        if "clip_value" in faults:
            torch.nn.utils.clip_grad_value_(parameters, max_norm)
        elif "clip_each" in faults:
            for p in parameters:
                clip_grad_norm_([p], max_norm)
        elif "clip_always" in faults:
            norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            for p in parameters:
                p.grad = p.grad if p.grad is None else p.grad * (max_norm / norm)
        else:
            clip_grad_norm_(parameters, max_norm)

    def step(model: Any, optimizer: Any, scaler: Any, batches: Any, max_norm: float) -> None:
        parameters, n = list(model.parameters()), len(batches)
        if not {"no_zero", "zero_late"} & set(faults):
            optimizer.zero_grad()
        chosen = batches[-1:] if "last_only" in faults else batches[:1] if "first_only" in faults else batches
        for x, y in chosen:
            with torch.autocast("cpu", torch.bfloat16, enabled="autocast" in faults):
                loss = F.mse_loss(model(x), y)
            loss = loss if "sum" in faults else loss / (len(x) if "rows" in faults else n)
            loss = loss / n if "halved" in faults else loss
            scaled = scaler.scale(loss)
            scaled = scaler.scale(scaled) if "scaled_twice" in faults else loss if "unscaled" in faults else scaled
            scaled.backward()
            if "clip_inside" in faults:
                clip(parameters, max_norm)
        if "clip_early" in faults:
            clip(parameters, max_norm)
        scaler.unscale_(optimizer)
        if not {"no_clip", "clip_early", "clip_inside"} & set(faults):
            clip(parameters, max_norm)
        scaler.step(optimizer)
        scaler.update()
        if "zero_late" in faults:
            optimizer.zero_grad()

    return step


# Who repairs the task's step a line at a time has up to three faults at once: one in the loss, one in what is cleared
# or counted, one in clipping. Alone comes before together: the fewest mistakes that explain an answer.
_TRIPLES = itertools.product(
    ("clip_early", "no_clip", "clip_inside", "clip_value", "clip_each"),
    ("sum", "rows", "halved"),
    ("no_zero", "zero_late", "last_only", "first_only"),
)
MIXTURES: tuple[tuple[str, ...], ...] = (
    *((fault,) for fault in FAULTS),
    *itertools.combinations(FAULTS, 2),
    *_TRIPLES,
)


@functools.cache
def known(faults: tuple[str, ...], case: Case) -> list[Outcome]:
    """What a step with these faults leaves behind; the right step, where there are none."""
    return run(variant(*faults), case)

"""One training step in mixed precision, in the only right order, from a plan that says what it does and why.

    zero_grad
    for each micro-batch:  loss under autocast;  scale(loss / number of micro-batches).backward()
    unscale_               once, when all gradients are there
    clip                   real gradients, not scaled ones: a norm limit of 1 means 1
    step                   skipped if a gradient overflowed
    update                 once; so the scale is the same for all that is added up

Three mistakes are common: a dtype left to a default (autocast without one is fp16 on CUDA and bf16 on a CPU), a scaler
that hides it, and clipping before unscaling. `plan` makes the first two visible, `train_step` the third impossible.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from dslab.precision.scaler import GradScaler

NAMES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

WHY = {
    ("fp16", True): "fp16 ends at 6e-8 on the small side: gradients below that become 0 unless the loss is scaled up.",
    ("fp16", False): "fp16 without a scaler: gradients below 6e-8 become 0, and one overflow writes inf or NaN.",
    ("bf16", False): "bf16 has fp32's exponents, down to 1e-38: gradients do not vanish, so no scaler is needed.",
    ("bf16", True): "bf16 has fp32's exponents: a scaler only costs time and skips steps. If training breaks without "
    "it, something runs in fp16 after all; look for an autocast that names no dtype.",
    ("fp32", False): "fp32 holds every gradient down to 1e-38: no autocast, no scaler.",
    ("fp32", True): "fp32 holds every gradient down to 1e-38: a scaler has nothing to save and only costs time.",
}
NO_CUDA = "fp16 needs a scaler on CUDA, but there is no CUDA here, so it is off: this plan is for another machine."


@dataclass(frozen=True)
class Plan:
    """How to train on one machine. `scaler` is always there; where none is needed it is disabled and passes through."""

    dtype: torch.dtype
    device: torch.device
    scaler: GradScaler
    why: str

    def autocast(self) -> AbstractContextManager[Any]:
        """The context for the forward pass: autocast to `dtype`, named; nothing for fp32."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


@dataclass(frozen=True)
class StepReport:
    """What one step did.

    loss:       mean over the micro-batches, not scaled.
    grad_norm:  2-norm of all gradients, not scaled, before clipping; inf or NaN after an overflow.
    scale:      the scale this step was taken with; 1.0 without a scaler.
    skipped:    whether the parameters were left alone. Do not move a learning-rate schedule then.
    """

    loss: float
    grad_norm: float
    scale: float
    skipped: bool


def plan(
    dtype: torch.dtype | str, device: torch.device | str, *, scaler: bool | None = None, **scaler_options: Any
) -> Plan:
    """Decide autocast and loss scaling from the number format.

    dtype:          torch.float32, torch.bfloat16, torch.float16, or "fp32", "bf16", "fp16". There is no default.
    device:         where the model lives.
    scaler:         None: only fp16 gets one. True or False overrules that, with a UserWarning where it is a mistake.
    scaler_options: for `GradScaler`: init_scale, growth_factor, backoff_factor, growth_interval, min_scale.
    Raises          ValueError for any other dtype, TypeError for a scaler that is neither None nor a bool.

    >>> plan("bf16", "cpu").scaler.is_enabled(), plan("fp16", "cpu").scaler.is_enabled()
    (False, True)
    """
    name = next((n for n, d in NAMES.items() if dtype in (n, d)), None)
    if name is None:
        raise ValueError(f"dtype must be one of {', '.join(NAMES)} or the torch dtype, named by you; got {dtype!r}")
    if not (scaler is None or isinstance(scaler, bool)):
        raise TypeError(
            f"scaler must be None (as the format needs), True or False, got a {type(scaler).__name__}: plan makes it "
            "from options such as init_scale=1024.0. For a scaler of your own there is Plan(dtype, device, scaler, why)"
        )
    device = torch.device(device)
    needed = name == "fp16"
    wanted = needed if scaler is None else scaler
    why = WHY[name, wanted]
    if wanted != needed:
        warnings.warn(why, stacklevel=2)
    made = GradScaler(device.type, enabled=wanted, **scaler_options)
    if needed and wanted and not made.is_enabled():
        why = NO_CUDA
    return Plan(NAMES[name], device, made, why)


def train_step(
    model: Any, batches: Iterable[Any], loss_fn: Callable[[Any, Any], Tensor], optimizer: Optimizer, plan: Plan,
    max_norm: float | None = None,
) -> StepReport:  # fmt: skip
    """Accumulate over micro-batches, unscale, clip, step, update.

    gradient = mean over micro-batches of d loss / d parameters;  its norm cut to `max_norm` if that is given

    batches:   the micro-batches of this one step, of equal size (the mean of means is the mean only then): a list or
               an iterator. Whatever loss_fn takes can be one; one alone is [batch]. A tuple that holds tensors is one
               batch, as in (x, y), so x.split(4) is passed as list(x.split(4)).
    loss_fn:   loss_fn(model, batch) -> () mean loss of the micro-batch. Runs under the plan's autocast.
    max_norm:  > 0, or None for no clipping.
    Raises     ValueError for fp16 parameters, no batches, a loss that is no scalar or depends on no parameter, or on
               none of the optimizer's; TypeError for a loss that is no tensor, and for a single batch where a list of
               them belongs: a tensor, a mapping, a tuple that holds tensors, or tensors of different dtype or ndim. A
               list [x, y] of two alike cannot be told from two micro-batches.
    """
    params = [p for group in optimizer.param_groups for p in group["params"]]
    if any(p.dtype == torch.float16 and p.requires_grad for p in params):
        raise ValueError(
            "Attempting to unscale FP16 gradients. The model's parameters are fp16: keep them in fp32 "
            "(model.float()); autocast makes the fp16 copies that the products need."
        )
    if max_norm is not None and not max_norm > 0:
        raise ValueError(f"max_norm must be positive, or None for no clipping; got {max_norm}")
    micro_batches = _as_list(batches)
    optimizer.zero_grad(set_to_none=True)
    losses = []
    for batch in micro_batches:
        with plan.autocast():
            loss = _checked(loss_fn(model, batch))
        loss = loss.to(torch.promote_types(loss.dtype, torch.float32)) / len(micro_batches)
        plan.scaler.scale(loss).backward()
        losses.append(loss.detach())  # a tensor still, so that a GPU is not waited for
    if all(p.grad is None for p in params):  # a scaler would notice; without one the step would pass and do nothing
        raise ValueError(
            "no parameter of the optimizer got a gradient: the loss depends on other parameters only. Does the "
            "optimizer hold those of this model (not of a copy, nor of the model before it was replaced or wrapped)?"
        )
    plan.scaler.unscale_(optimizer)
    norm = _clip_(params, max_norm)
    scale = plan.scaler.get_scale()
    plan.scaler.step(optimizer)
    plan.scaler.update()
    return StepReport(float(sum(losses)), float(norm), scale, bool(plan.scaler.last_step_skipped))


def _as_list(batches: Iterable[Any]) -> list[Any]:
    if isinstance(batches, Tensor | Mapping):
        raise TypeError(f"batches must be a list of micro-batches, got a {type(batches).__name__}; for one, pass [it]")
    micro_batches = list(batches)
    if not micro_batches:
        raise ValueError("batches is empty: a step needs at least one micro-batch (was an iterator used up?)")
    tensors = [b for b in micro_batches if isinstance(b, Tensor)]
    if tensors and isinstance(batches, tuple):
        raise TypeError(
            f"batches must be a list of micro-batches; a tuple of {len(micro_batches)} that holds tensors is taken for "
            "one batch: pass [batch]. If each of them is a micro-batch, pass list(batches)"
        )
    kinds = sorted({f"{t.ndim}-dimensional {t.dtype}" for t in tensors})
    if len(kinds) > 1:  # a DataLoader gives the fields of a batch as a list
        raise TypeError(
            f"batches must be a list of micro-batches that are alike, got tensors that differ ({', '.join(kinds)}), "
            "such as inputs and targets of a single batch; for one batch, pass [batch]"
        )
    return micro_batches


def _checked(loss: Any) -> Tensor:
    if loss is None:
        raise TypeError("loss_fn returned None; it must return the mean loss (is a `return` missing?)")
    if not isinstance(loss, Tensor):
        raise TypeError(f"loss_fn must return a tensor of shape (), got a {type(loss).__name__}")
    if loss.ndim:
        raise ValueError(f"loss_fn must return a scalar of shape (), got {tuple(loss.shape)}; take .mean()")
    if not loss.requires_grad:
        raise ValueError("the loss depends on no parameter that requires a gradient (detached, or under no_grad?)")
    return loss


def _clip_(params: list[Tensor], max_norm: float | None) -> Tensor:
    """The norm before clipping; then, in place, g <- g * min(1, max_norm / norm)."""
    grads = []
    for param in params:
        if param.grad is None:
            continue
        if param.grad.is_sparse:  # several values for one place count as their sum
            param.grad = param.grad.coalesce()
        grads.append(param.grad._values() if param.grad.is_sparse else param.grad)
    norm = get_total_norm(grads)
    if max_norm is not None:
        factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)  # 1e-6 as in torch.nn.utils.clip_grad_norm_
        for grad in grads:
            grad.mul_(factor.to(grad.device))
    return norm

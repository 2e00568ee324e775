"""Dynamic loss scaling: train in fp16 although most gradients are too small for it.

    loss -> S * loss         gradients come out S times larger, above fp16's smallest number
    g    -> g / S            before anything reads them: clipping, logging, the optimizer
    step only if every g is finite, otherwise leave the parameters as they are
    S    -> S * backoff      after an overflow
    S    -> S * growth       after `growth_interval` steps without one

Source: Micikevicius et al. 2018 (arXiv 1710.03740), section 3.2; the rule for S is that of `torch.amp.GradScaler`,
whose place this one can take. It is made of plain tensor operations, so that it can be read. The formulas are the two
functions below; the class adds the order of calls: scale, unscale_ (at most once), step (once), update. What it
remembers between steps, and how that is saved, is in `scaler_state.py`.
"""

from __future__ import annotations

import inspect
import warnings
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.amp.grad_scaler import OptState  # torch's own three stages, so that code which looks at them still works
from torch.optim import Optimizer

from dslab.precision.scaler_state import ScalerState, require

NOTHING_CHECKED = (
    "No inf checks were recorded for this optimizer: none of its parameters had a gradient when they were looked for. "
    "Call scale(loss).backward() first."
)


def unscale_and_check_(grad: Tensor, inv_scale: Tensor, found_inf: Tensor) -> None:
    """Divide a gradient by the scale, in place, and note whether it held an inf or a NaN.

    found_inf <- 1 if any |g| is inf or NaN, else as it was;    g <- g * inv_scale

    The check looks at the gradient as it came out of the backward pass: that is where an overflow shows.
    grad: any shape, floating point.  inv_scale, found_inf: () fp32.
    """
    finite = torch.isfinite(grad).all()
    if hasattr(finite, "full_tensor"):  # sharded by FSDP2: what one rank finds, all must know, or they part
        finite = finite.full_tensor()
    found_inf.copy_(torch.maximum(found_inf, (~finite).float()))
    wide = torch.promote_types(grad.dtype, torch.float32)  # 1/S itself may be too small for fp16
    grad.copy_(grad.to(wide) * inv_scale)


def next_scale(
    scale: Tensor, tracker: Tensor, found_inf: Tensor, growth_factor: float, backoff_factor: float,
    growth_interval: int, min_scale: float = 0.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The scale of the next step, and how many good steps in a row now lie behind it.

    overflow:                        max(S * backoff, min_scale), 0
    growth_interval-th good step:    S * growth (S where that is inf), 0
    any other good step:             S, tracker + 1

    Without branches on tensors, so that a GPU need not wait. scale, found_inf: () fp32; tracker: () int32.

    >>> S, tracker, overflow = torch.tensor(8.0), torch.tensor(0, dtype=torch.int32), torch.tensor(1.0)
    >>> [int(x) for x in next_scale(S, tracker, overflow, 2.0, 0.5, 3)]
    [4, 0]
    """
    wide = _in_fp64(scale)  # 0.8 in fp32 is another number than 0.8: PyTorch's kernel multiplies in fp64, then rounds
    smaller = (wide * backoff_factor).to(scale).clamp(min=min_scale)
    larger = (wide * growth_factor).to(scale)
    larger = torch.where(torch.isfinite(larger), larger, scale)
    overflow, good = found_inf > 0, tracker + 1
    due = good == growth_interval
    new_scale = torch.where(overflow, smaller, torch.where(due, larger, scale))
    return new_scale, torch.where(overflow | due, torch.zeros_like(tracker), good)


def _in_fp64(scalar: Tensor) -> Tensor:
    return (scalar.cpu() if scalar.device.type == "mps" else scalar).double()  # MPS has no fp64


def _refresh_per_optimizer_state() -> dict[str, Any]:  # a named function: a lambda could not be pickled
    return {"stage": OptState.READY, "found_inf_per_device": {}}


class GradScaler(ScalerState):
    """Drop-in for `torch.amp.GradScaler`: scale the loss, unscale the gradients, skip a step that overflowed.

        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)     # only if something reads the gradients before the step, such as clipping
        scaler.step(optimizer)
        scaler.update()

    device:           where the loss lives, "cpu", "cuda", ... As in torch the default is "cuda", and the scaler turns
                      itself off with a warning where there is none: say which you mean.
    init_scale:       S at the start. growth_factor > 1, backoff_factor < 1, growth_interval in steps.
    enabled:          False makes every method pass through.
    min_scale:        S never falls below this: not by backing off, and a lower scale that is loaded or set becomes it.
                      0.0 is torch's behaviour: from 2^16, after 144 NaN steps in a row 1/S is inf and the next healthy
                      step writes inf into the parameters; after 166, S is 0.
    Raises            AssertionError, RuntimeError and ValueError where torch's does, and says what to call first.
    """

    def __init__(
        self, device: str = "cuda", init_scale: float = 2.0**16, growth_factor: float = 2.0,
        backoff_factor: float = 0.5, growth_interval: int = 2000, enabled: bool = True, min_scale: float = 0.0,
    ) -> None:  # fmt: skip
        self._device = torch.device(device).type
        self._enabled = enabled
        if enabled and self._device == "cuda" and not torch.cuda.is_available():
            text = "GradScaler is enabled, but CUDA is not available. Disabling. Pass the device: GradScaler('cpu')."
            warnings.warn(text, stacklevel=2)
            self._enabled = False
        if self._enabled:
            require(growth_factor > 1.0, f"The growth factor must be > 1.0, but is {growth_factor}.")
            require(backoff_factor < 1.0, f"The backoff factor must be < 1.0, but is {backoff_factor}.")
            if not 0.0 <= min_scale <= init_scale:
                raise ValueError(f"min_scale must lie in 0..init_scale ({init_scale}), but is {min_scale}.")
        self._init_scale, self._init_growth_tracker = init_scale, 0
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval, self._min_scale = growth_interval, min_scale
        self._scale = self._growth_tracker = None  # made by the first scale(), on the loss's device
        self._per_optimizer_states = defaultdict(_refresh_per_optimizer_state)
        self._last_skipped = None

    # -- the four calls of a training step ------------------------------------------------------------------------

    def scale(self, outputs: Any) -> Any:
        """S * outputs: a tensor, or a list, tuple or other iterable of such, nested as deep as you like."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                self._lazy_init_scale_growth_tracker(outputs.device)
            scale, _ = self._check_scale_growth_tracker("scale")
            return outputs * scale.to(outputs.device, non_blocking=True)
        if isinstance(outputs, Iterable) and not isinstance(outputs, str):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, list | tuple) else scaled  # type: ignore[call-arg]
        raise ValueError(f"outputs must be a Tensor or an iterable of Tensors, but is a {type(outputs).__name__}.")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide this optimizer's gradients by S and look for inf and NaN. Once a step, after all backward passes."""
        if not self._enabled:
            return
        scale, _ = self._check_scale_growth_tracker("unscale_")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.UNSCALED:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update(): "
                "gradients would be divided twice. Call step() and update() first."
            )
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step(). Call update() first.")
        inv_scale = _in_fp64(scale).reciprocal().to(scale)
        state["found_inf_per_device"] = self._unscale_grads_(optimizer, inv_scale, torch.zeros_like(scale), False)
        state["stage"] = OptState.UNSCALED

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Unscale unless that is done, then `optimizer.step(*args, **kwargs)`, or nothing if a gradient overflowed."""
        if not self._enabled:
            self._last_skipped = False
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs or (args and callable(args[0])):  # torch's lets a positional closure through
            raise RuntimeError(
                "Closure use is not currently supported if GradScaler is enabled: it would compute gradients anew, "
                "scaled and unchecked. Call backward() first, then step(optimizer)."
            )
        self._check_scale_growth_tracker("step")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update(). Call update() first.")
        if getattr(optimizer, "_step_supports_amp_scaling", False):
            result = self._fused_step(optimizer, state, *args, **kwargs)
        else:
            if state["stage"] is OptState.READY:
                self.unscale_(optimizer)
            require(bool(state["found_inf_per_device"]), NOTHING_CHECKED)
            result = self._maybe_opt_step(optimizer, state, *args, **kwargs)
        state["stage"] = OptState.STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Move S by what the steps since the last update found, or set it to `new_scale`, and open the next step.

        A `new_scale` below `min_scale` becomes `min_scale`.
        """
        if not self._enabled:
            return
        scale, tracker = self._check_scale_growth_tracker("update")
        if isinstance(new_scale, Tensor):
            usable = new_scale.device.type == self._device and new_scale.numel() == 1 and not new_scale.requires_grad
            require(usable, f"new_scale should be a float or a 1-element {self._device} tensor without requires_grad.")
            scale.copy_(new_scale.reshape(()))
        elif new_scale is not None:
            scale.fill_(float(new_scale))
        else:
            found = [f for s in self._per_optimizer_states.values() for f in s["found_inf_per_device"].values()]
            require(bool(found), "No inf checks were recorded prior to update. Call step(optimizer) first.")
            found_inf = torch.stack([f.to(scale.device, non_blocking=True).reshape(()) for f in found]).sum()
            factors = self._growth_factor, self._backoff_factor, self._growth_interval, self._min_scale
            new, good = next_scale(scale, tracker, found_inf, *factors)
            scale.copy_(new)  # in place: who holds the tensor sees the change
            tracker.copy_(good)
        if new_scale is not None and self._min_scale > 0:  # without a floor any scale is taken, as torch does
            scale.clamp_(min=self._min_scale)
        self._per_optimizer_states = defaultdict(_refresh_per_optimizer_state)

    # -- how a step is taken --------------------------------------------------------------------------------------

    def _maybe_opt_step(self, optimizer: Optimizer, state: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self._last_skipped = any(found.item() for found in state["found_inf_per_device"].values())
        return None if self._last_skipped else optimizer.step(*args, **kwargs)

    def _fused_step(self, optimizer: Any, state: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Hand S and the verdict to an optimizer whose kernel unscales and skips by itself, so that nothing waits.

        It reads `optimizer.grad_scale` (None: already unscaled) and `optimizer.found_inf`.
        """
        if "grad_scaler" in inspect.signature(optimizer.step).parameters:  # the older form: it gets the whole scaler
            text = "An optimizer whose step() takes grad_scaler should read the attributes grad_scale and found_inf."
            warnings.warn(text, FutureWarning, stacklevel=3)
            result = optimizer.step(*args, **kwargs, grad_scaler=self)
            found = state["found_inf_per_device"].values()
            self._last_skipped = any(f.item() for f in found) if found else None
            return result
        scale, _ = self._check_scale_growth_tracker("step")
        found_inf = torch.zeros_like(scale)
        ready = state["stage"] is OptState.READY
        checked = self._check_inf_per_device(optimizer) if ready else state["found_inf_per_device"]
        require(ready or bool(checked), NOTHING_CHECKED)  # unscaled before there were gradients: these are still scaled
        for found in checked.values():
            found_inf += found.to(scale.device, non_blocking=True)
        own = getattr(optimizer, "grad_scale", None)  # a factor of the optimizer's own is multiplied in
        optimizer.grad_scale = scale * (1.0 if own is None else own) if ready else own
        optimizer.found_inf = self._last_skipped = found_inf
        try:
            return optimizer.step(*args, **kwargs)
        finally:
            del optimizer.grad_scale, optimizer.found_inf

    def _unscale_grads_(
        self, optimizer: Optimizer, inv_scale: Tensor, found_inf: Tensor, allow_fp16: bool
    ) -> dict[torch.device, Tensor]:
        """Unscale every gradient. Returns, for each device that holds one, 0. or 1.: did it hold an inf or a NaN?"""
        params = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not allow_fp16 and any(p.grad.dtype == torch.float16 for p in params):
            # Small gradients fit into fp16 only because they are S times too large: dividing would lose them again.
            raise ValueError(
                "Attempting to unscale FP16 gradients. Keep the parameters in fp32 and run the model under autocast."
            )
        checked: dict[torch.device, Tensor] = {}
        with torch.no_grad():
            for grad in map(_dense_values, params):
                if grad.device not in checked:
                    checked[grad.device] = found_inf.to(grad.device, copy=True)
                unscale_and_check_(grad, inv_scale.to(grad.device, non_blocking=True), checked[grad.device])
        return checked

    def _check_inf_per_device(self, optimizer: Optimizer) -> dict[torch.device, Tensor]:
        """Look for inf and NaN, leave the gradients as they are."""
        scale, _ = self._check_scale_growth_tracker("_check_inf_per_device")
        found = self._unscale_grads_(optimizer, torch.ones_like(scale), torch.zeros_like(scale), True)
        self._per_optimizer_states[id(optimizer)]["found_inf_per_device"] = found
        return found

    def _found_inf_per_device(self, optimizer: Optimizer) -> dict[torch.device, Tensor]:
        return self._per_optimizer_states[id(optimizer)]["found_inf_per_device"]


def _dense_values(param: Tensor) -> Tensor:
    """The gradient itself, or the stored values of a sparse one.

    A sparse gradient may hold several values for one place; their sum is what counts, and in fp16 the sum of two that
    fit may not. So an fp16 gradient is summed first.
    """
    grad = param.grad
    assert grad is not None
    if not grad.is_sparse:
        return grad
    if grad.dtype == torch.float16:
        param.grad = grad = grad.coalesce()
    return grad._values()

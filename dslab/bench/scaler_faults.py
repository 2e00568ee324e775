"""Faults that a loss scaler can have, each as one change of our own; `dslab bench mutants` plants them.

Most are plausible: they are what is left out when a scaler is written from memory, and many train for a while.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A planted fault. `original` occurs exactly once in dslab/precision/`file`."""

    name: str
    meaning: str  # for training, in one sentence
    original: str
    replacement: str
    file: str = "scaler.py"


FAULTS = [
    # what counts as an overflow
    Fault(
        "NaN not seen",
        "A NaN gradient is applied, and every parameter is NaN from then on.",
        "finite = torch.isfinite(grad).all()",
        "finite = (~torch.isinf(grad)).all()",
    ),
    Fault(
        "-inf not seen",
        "Half of all overflows are applied to the parameters.",
        "finite = torch.isfinite(grad).all()",
        'finite = (grad < float("inf")).all()',
    ),
    Fault(
        "check after unscaling",
        "A gradient that only a tiny scale makes infinite passes for an overflow of the backward pass.",
        "finite = torch.isfinite(grad).all()",
        "finite = torch.isfinite(grad * inv_scale).all()",
    ),
    Fault(
        "only the last gradient is checked",
        "An overflow in any layer but the last one looked at is applied.",
        "torch.maximum(found_inf, (~finite).float())",
        "(~finite).float()",
    ),
    Fault(
        "sparse duplicates not coalesced",
        "Two fp16 gradients of one embedding row that overflow in their sum go unnoticed.",
        "if grad.dtype == torch.float16:",
        "if False:",
    ),
    # unscaling
    Fault(
        "inverse scale in fp16",
        "Beyond a scale of 2^24 the inverse is 0: all gradients vanish.",
        "grad.copy_(grad.to(wide) * inv_scale)",
        "grad.copy_(grad.to(wide) * inv_scale.half().float())",
    ),
    Fault(
        "fp16 gradients allowed",
        "Unscaling in fp16 loses again what scaling had saved.",
        "if not allow_fp16 and any(",
        "if False and any(",
    ),
    Fault(
        "missing gradients crash",
        "A frozen or unused layer stops the training.",
        'for p in group["params"] if p.grad is not None]',
        'for p in group["params"]]',
    ),
    Fault(
        "double unscale_ allowed",
        "Gradients are divided twice: steps 65536 times too small, and nothing says so.",
        'if state["stage"] is OptState.UNSCALED:',
        "if False:",
    ),
    Fault(
        "unscale_ after step allowed",
        "The verdict of the step that was taken is overwritten before update sees it.",
        'raise RuntimeError("unscale_() is being called after step(). Call update() first.")',
        "pass",
    ),
    Fault(
        "unscale_ leaves no mark",
        "step divides the clipped gradients once more.",
        'state["stage"] = OptState.UNSCALED',
        "pass",
    ),
    # the step
    Fault(
        "double step allowed",
        "The same gradients are applied twice.",
        'raise RuntimeError("step() has already been called since the last update(). Call update() first.")',
        "pass",
    ),
    Fault(
        "skip ignored",
        "The first overflow writes inf or NaN into the parameters.",
        "return None if self._last_skipped else optimizer.step(*args, **kwargs)",
        "return optimizer.step(*args, **kwargs)",
    ),
    Fault(
        "overflow leaks to the other optimizer",
        "An overflow in the discriminator costs the generator its step too.",
        'any(found.item() for found in state["found_inf_per_device"].values())',
        'any(f.item() for s in self._per_optimizer_states.values() for f in s["found_inf_per_device"].values())',
    ),
    Fault(
        "nothing checked, stepped all the same",
        "Without a single gradient a step counts as good; a forgotten backward goes unnoticed.",
        'require(bool(state["found_inf_per_device"]), NOTHING_CHECKED)',
        "pass",
    ),
    Fault(
        "closure allowed",
        "The closure computes gradients anew, and the optimizer applies them scaled and unchecked.",
        'if "closure" in kwargs or (args and callable(args[0])):',
        "if args and callable(args[0]):",
    ),
    Fault(
        "positional closure allowed",
        "The same, for who writes step(optimizer, closure).",
        'if "closure" in kwargs or (args and callable(args[0])):',
        'if "closure" in kwargs:',
    ),
    # the hand-off to fused optimizers
    Fault(
        "fused: verdict forgotten",
        "A fused optimizer applies every overflow.",
        "found_inf += found.to(scale.device, non_blocking=True)",
        "pass",
    ),
    Fault(
        "fused: scale forgotten",
        "A fused optimizer applies gradients 65536 times too large; Adam hides it.",
        "scale * (1.0 if own is None else own) if ready else own",
        "own",
    ),
    Fault(
        "fused: unscaled twice",
        "After clipping, a fused optimizer divides by the scale once more.",
        "scale * (1.0 if own is None else own) if ready else own",
        "scale * (1.0 if own is None else own)",
    ),
    # the next scale
    Fault(
        "tracker not reset on overflow",
        "The scale grows again too early after each overflow, and more steps are lost.",
        "torch.where(overflow | due, torch.zeros_like(tracker), good)",
        "torch.where(overflow, tracker, torch.where(due, torch.zeros_like(tracker), good))",
    ),
    Fault(
        "growth one step late",
        "The interval is one longer than asked for.",
        "due = good == growth_interval",
        "due = tracker == growth_interval",
    ),
    Fault(
        "growth one step early",
        "The interval is one shorter; an interval of 1 never grows.",
        "due = good == growth_interval",
        "due = good + 1 == growth_interval",
    ),
    Fault(
        "scale x backoff in fp32",
        "With a factor such as 0.8 the scale is one bit off torch's, and runs cannot be compared bit for bit.",
        "wide = _in_fp64(scale)",
        "wide = scale",
    ),
    Fault(
        "growth overflows",
        "At 2^127 the scale becomes inf, every gradient with it, and no step is taken again.",
        "larger = torch.where(torch.isfinite(larger), larger, scale)",
        "pass",
    ),
    Fault(
        "floor ignored",
        "After 144 NaN steps in a row the next healthy one writes inf into the parameters.",
        ".clamp(min=min_scale)",
        "",
    ),
    Fault(
        "update sees one optimizer only",
        "An overflow in the first of two optimizers never lowers the scale, so that one never steps again.",
        "for s in self._per_optimizer_states.values() for f",
        "for s in list(self._per_optimizer_states.values())[-1:] for f",
    ),
    Fault(
        "update opens no new step",
        "The second step is refused, or an old overflow counts for ever.",
        "(min=self._min_scale)\n        self._per_optimizer_states = defaultdict(_refresh_per_optimizer_state)",
        "(min=self._min_scale)",
    ),
    Fault(
        "loss scaled by the first scale",
        "After the first backoff gradients are divided by less than they were multiplied with: too large a step.",
        "return outputs * scale.to(outputs.device, non_blocking=True)",
        "return outputs * self._init_scale",
    ),
    Fault(
        "disabled, yet it scales",
        "Where scaling is switched off, gradients come out 65536 times too large and nobody divides them.",
        "if not self._enabled:\n            return outputs",
        "if False:\n            return outputs",
    ),
    # what is saved
    Fault(
        "tracker not saved",
        "A run that is resumed grows its scale later than one that was not.",
        '"_growth_tracker": self._get_growth_tracker(),',
        '"_growth_tracker": 0,',
        "scaler_state.py",
    ),
    Fault(
        "tracker not loaded",
        "The same, at loading.",
        'state_dict["scale"], state_dict["_growth_tracker"]',
        'state_dict["scale"], 0',
        "scaler_state.py",
    ),
    Fault(
        "running tracker not loaded",
        "A scaler that has already been used keeps its own count of good steps.",
        "self._growth_tracker.fill_(self._init_growth_tracker)",
        "pass",
        "scaler_state.py",
    ),
    Fault(
        "running scale not loaded",
        "A scaler that has already been used keeps its own scale.",
        "self._scale.fill_(self._init_scale)",
        "pass",
        "scaler_state.py",
    ),
    Fault(
        "pickled without its tracker",
        "A copy sent to another process grows its scale later.",
        '"_init_growth_tracker": self._get_growth_tracker(),',
        '"_init_growth_tracker": 0,',
        "scaler_state.py",
    ),
]

"""Exercise `step`: one optimizer step over micro-batches with a loss scaler, every call in its place."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise
from dslab.exercises.n02.recorder import Case, Outcome, run

TASK = """\
This step runs, the loss falls, and it has several faults. Each is common, none raises an error.

```python
def faulty_step(model, optimizer, scaler, batches, max_norm):
    for x, y in batches:                        # micro-batches of one step, all of the same size
        loss = F.mse_loss(model(x), y)
        scaler.scale(loss).backward()           # adds to .grad
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
```

Ask of every line: is the gradient scaled here, and by how much? What is still in `.grad` from before? Who looks for
inf, who moves the scale? Then write `my_step(model, optimizer, scaler, batches, max_norm)`: **one** optimizer step on
the gradient of the mean loss over all micro-batches, its norm clipped to `max_norm`. `scaler` is a
`torch.amp.GradScaler`; its scale may change once per step, and a step with inf or NaN in it must leave the parameters
alone. Gradients that are there when your function is called belong to an earlier step. `batches` is a list of pairs
`(x, y)`. The model is fp32 and needs no autocast. What you return does not matter."""

STUB = '''\
def my_step(model, optimizer, scaler, batches, max_norm):
    """One optimizer step on the mean loss over the micro-batches: scaled, unscaled, clipped, stepped, updated."""
    ...
'''

HINTS = (
    "Sort the calls into three groups: once before the micro-batches, once for each, once after. Only forward and "
    "backward belong into the loop. And a sum of losses is not their mean.",
    "After the loop the gradients are still scaled, so a norm of them means nothing: scaler.unscale_(optimizer) comes "
    "before clipping. Then the scaler takes the step, since it knows whether it saw inf; then the scale moves.",
    "optimizer.zero_grad(); for each pair scaler.scale(F.mse_loss(model(x), y) / len(batches)).backward(); then "
    "scaler.unscale_(optimizer), clip_grad_norm_, scaler.step(optimizer), scaler.update().",
)

SOLUTION = """\
def my_step(model, optimizer, scaler, batches, max_norm):
    optimizer.zero_grad()
    for x, y in batches:
        loss = F.mse_loss(model(x), y) / len(batches)
        scaler.scale(loss).backward()
    scaler.unscale_(optimizer)  # once, when every gradient is there
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    scaler.step(optimizer)
    scaler.update()
"""

SAYS = {
    "direct": "You call optimizer.step() yourself, so nobody skips a step that holds inf. Let scaler.step(optimizer) "
    "do it. {calls}",
    "no_step": "Nobody takes a step: scaler.step(optimizer) is missing. {calls}",
    "both": "You step twice: scaler.step(optimizer) calls optimizer.step() itself. {calls}",
    "step_inside": "You step for every micro-batch. They belong to one step: first add up all gradients, then step "
    "once, after the loop. {calls}",
    "never_scaled": "Nothing has been scaled when you call {last}: scaler.scale(loss).backward() comes first. {calls}",
    "no_update": "scaler.update() is missing, so the scale never moves, and the next step raises an error. {calls}",
    "update_inside": "You update the scale for every micro-batch. Gradients scaled differently cannot be added up; "
    "update once, last of all. {calls}",
    "update_early": "You update before the step. The scaler forgets what it has unscaled, and divides by the scale "
    "once more. {calls}",
    "update_again": "You update more than once in a step. {calls}",
    "unscale_inside": "You unscale for every micro-batch, and torch refuses the second time: the gradients of the "
    "first would be divided twice. Unscale once, after the loop. {calls}",
    "unscale_late": "You unscale after the step, when it is too late to clip. {calls}",
    "no_gradients": "The scaler finds no gradient to check. Is backward missing, or zero_grad called after it? {calls}",
    "refused": "The scaler refuses: {error} {calls}",
    "no_unscale": "You clip scaled gradients: scaler.unscale_(optimizer) is missing before it. Their norm is the "
    "scale times larger, so nearly every step is cut to almost nothing. {case}",
    "clip_early": "You clip before you unscale. The norm is the scale times larger there, so nearly every step is cut "
    "to almost nothing. {case}",
    "clip_inside": "You clip inside the loop, sums that are not complete. Clip once, after the loop. {case}",
    "clip_late": "You clip after the step, when the gradients have been used already. {case}",
    "clip_value": "You clip every entry to max_norm. The task is to shorten the whole gradient until its norm is "
    "max_norm: clip_grad_norm_. {case}",
    "clip_each": "You clip each parameter by itself. The norm is that of all gradients together. {case}",
    "clip_always": "You stretch short gradients to max_norm too. Clipping only shortens. {case}",
    "no_clip": "You never clip. {case}",
    "no_zero": "You never clear the gradients that were there before. They count as a part of this step. {case}",
    "zero_late": "You clear the gradients after the step only. What an earlier backward left behind counts into the "
    "first step. {case}",
    "zero_inside": "You clear the gradients in the loop, so only the last micro-batch counts. {case}",
    "last_only": "Only the last micro-batch reaches backward. Call it inside the loop, for each. {case}",
    "first_only": "Only the first micro-batch counts. {case}",
    "sum": "You add up the losses of {n} micro-batches and do not divide: the gradient is {n} times too large. {case}",
    "halved": "You divide by the number of micro-batches twice. {case}",
    "rows": "You divide by the number of rows. mse_loss has done so already; divide by the number of micro-batches. "
    "{case}",
    "unscaled": "You call backward on the loss without the scale, and the scaler divides by it all the same. {case}",
    "scaled_twice": "You scale the loss twice, and the scaler divides once. {case}",
    "autocast": "You run the model under autocast, which rounds to 16 bits. This model is to run in fp32. {case}",
    "other": "{case}",
    "scale": "{where} the scale should be {want} and it is {got}.",
    "case": "{where} {entry} should become {want}, and it becomes {got}.",
    "where": "With {n} micro-batch{es}{after} and max_norm {max_norm:g}",
    "after_old": ", old gradients in .grad",
    "after_step": " in step {step} of a row",
    "after_inf": " (one overflows)",
    "calls": "{where} you call: {calls}.",
    "no_calls": "nothing of the scaler or the optimizer",
}


# The norms are between 10 and 100, a thousand times larger while scaled: 0.5 bites, 1000 bites what is still scaled,
# 1e6 nothing.
CASES = (
    Case((3,), 1e6),
    Case((3,), 0.5),
    Case((1,), 0.5),
    Case((2,), 1e6, old=True),
    Case((2, 4), 0.5),
    Case((4, 2, 1), 1000.0),
    Case((3, 3, 2), 1e6, overflow=True),
    Case((2, 2), 0.5, adam=True),
)
TOLERANCE = 1e-5  # of parameters near 1; fp32 differs in the seventh place between ways to add up


def definition(case: Case) -> list[Outcome]:
    """By the solution's order of calls; the test file proves it against gradients written out by hand."""
    return run(_variant(), case)


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


def _variant(*faults: str) -> Callable[..., None]:
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


@functools.cache
def _known(faults: tuple[str, ...], case: Case) -> list[Outcome]:
    return run(_variant(*faults), case)


def check(my_step: Any) -> str | None:
    """None when right, else what is wrong."""
    answers = [run(my_step, case) for case in CASES]
    for case, answer in zip(CASES, answers, strict=True):
        for i, (want, got) in enumerate(zip(_known((), case), answer, strict=False)):
            if not _is_same(want, got):
                where = _where(case, i)
                name = _name_by_calls(case.steps[i], got)
                if name is not None:
                    last = got.calls[-1] if got.calls else ""
                    return SAYS[name].format(calls=_calls(where, got), error=got.refused, last=last)
                return _say_numbers(_name_by_numbers(case, answers, got), case.steps[i], where, want, got)
    return None


def _is_same(want: Outcome, got: Outcome) -> bool:
    close = torch.allclose(want.parameters, got.parameters, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    return close and want.scale == got.scale and (want.refused is None) == (got.refused is None)


def _name_by_calls(n: int, got: Outcome) -> str | None:
    """A mistake that shows in what was called, whatever the numbers are."""
    calls, count = got.calls, got.calls.count
    if got.refused is not None:
        return _name_refusal(n, calls, got.refused)
    if not count("scaler.step"):
        return "direct" if count("optimizer.step") else "no_step"
    if count("optimizer.step"):
        return "both"
    if count("scaler.step") > 1:
        return "step_inside"
    if count("update") != 1:
        return "update_again" if count("update") else "no_update"
    return "update_early" if calls.index("update") < calls.index("scaler.step") else None


def _name_refusal(n: int, calls: tuple[str, ...], error: str) -> str:
    """Why the scaler refused the last of these calls."""
    before, last = calls[:-1], calls[-1]
    if "scale" not in before:
        return "never_scaled"
    if "optimizer.step" in before:
        return "direct"
    if calls.count("scaler.step") > 1:
        return "step_inside"
    if last == "unscale_":
        return "unscale_late" if "scaler.step" in before else "unscale_inside" if "unscale_" in before else "refused"
    if last == "scaler.step":  # it asserts that unscale_ saw gradients
        return "no_gradients" if error.startswith("AssertionError") else "refused"
    if last == "update":
        if "scaler.step" in before:
            return "update_again"
        return "update_inside" if before.count("scale") < n else "update_early"
    return "refused"


def _name_by_numbers(case: Case, answers: list[list[Outcome]], got: Outcome) -> str:
    """One fault that explains every case, else the first of two that do."""
    sets = [(fault,) for fault in FAULTS] + list(itertools.combinations(FAULTS, 2))
    mistakes = [(faults[0], functools.partial(_known, faults)) for faults in sets]
    known = probe.recognise([(case,) for case in CASES], answers, mistakes, _are_same)
    if known is None:
        return "other"
    if known[0] == "clip_early" and "unscale_" not in got.calls:
        return "no_unscale"
    if known[0] == "no_clip" and 0 < got.left <= case.max_norm * 1.001:
        return "clip_late"
    return "zero_inside" if known[0] == "last_only" and got.calls.count("backward") > 1 else known[0]


def _are_same(want: list[Outcome], got: list[Outcome]) -> bool:
    return len(want) == len(got) and all(map(_is_same, want, got))


def _say_numbers(name: str, n: int, where: str, want: Outcome, got: Outcome) -> str:
    wrong = ~torch.isclose(want.parameters, got.parameters, rtol=TOLERANCE, atol=TOLERANCE)
    if wrong.any():
        i = int(wrong.nonzero()[0])
        entry = f"weight[{i // 3}, {i % 3}]" if i < 6 else f"bias[{i - 6}]"
        numbers = {"want": f"{float(want.parameters[i]):.5g}", "got": f"{float(got.parameters[i]):.5g}"}
        shown = SAYS["case"].format(where=where, entry=entry, **numbers)
    else:
        shown = SAYS["scale"].format(where=where, want=f"{want.scale:g}", got=f"{got.scale:g}")
    return SAYS[name].format(case=shown, n=n)


def _where(case: Case, step: int) -> str:
    """The case in words."""
    old, overflow = case.old and step == 0, case.overflow and step == 0
    after = SAYS["after_inf"] if overflow else SAYS["after_step"].format(step=step + 1) if step else ""
    after += SAYS["after_old"] if old else ""
    n = case.steps[step]
    return SAYS["where"].format(n=n, es="es" if n > 1 else "", max_norm=case.max_norm, after=after)


def _calls(where: str, got: Outcome) -> str:
    return SAYS["calls"].format(where=where, calls=", ".join(got.calls) or SAYS["no_calls"])


exercise = Exercise(name="step", notebook="02", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

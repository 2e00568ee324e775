"""Exercise `step`: one optimizer step over micro-batches with a loss scaler, every call in its place."""

from __future__ import annotations

from typing import Any

import torch

from dslab.exercises.exercise import Exercise
from dslab.exercises.n02.recorder import Case, Outcome, run
from dslab.exercises.n02.step_mistakes import MIXTURES, known

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
    "mixed": "This number is the work of {n} mistakes together.",
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
    return known((), case)


def check(my_step: Any) -> str | None:
    """None when right, else what is wrong."""
    answers = [run(my_step, case) for case in CASES]
    for case, answer in zip(CASES, answers, strict=True):
        for i, (want, got) in enumerate(zip(definition(case), answer, strict=False)):
            if not _is_same(want, got):
                where = _where(case, i)
                name = _name_by_calls(case.steps[i], got)
                if name is not None:
                    last = got.calls[-1] if got.calls else ""
                    return SAYS[name].format(calls=_calls(where, got), error=got.refused, last=last)
                return _name_by_numbers(answers) or _say_numbers("other", case, i, got)
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


def _name_by_numbers(answers: list[list[Outcome]]) -> str | None:
    """What the faults say that together explain every case: one of them, with numbers that it makes by itself."""
    for faults in MIXTURES:
        if all(_are_same(known(faults, case), answer) for case, answer in zip(CASES, answers, strict=True)):
            return _say_alone(faults, answers) or _say_mixed(faults, answers)
    return None


def _say_alone(faults: tuple[str, ...], answers: list[list[Outcome]]) -> str | None:
    """The first of the faults that in some step is all there is to be seen: the others change nothing there."""
    for fault in faults:
        for case, answer in zip(CASES, answers, strict=True):
            alone = known((fault,), case)
            for i, (want, got) in enumerate(zip(definition(case), answer, strict=False)):
                if not _is_same(want, got) and i < len(alone) and _is_same(alone[i], got):
                    return _say_numbers(_name_with_calls(fault, case, got), case, i, got)
    return None


def _say_mixed(faults: tuple[str, ...], answers: list[list[Outcome]]) -> str | None:
    """The first of the faults, where it does harm by itself, and that the number there is not its work alone."""
    for case, answer in zip(CASES, answers, strict=True):
        for i, (want, alone, got) in enumerate(zip(definition(case), known(faults[:1], case), answer, strict=False)):
            if not _is_same(want, got) and not _is_same(want, alone):
                name = _name_with_calls(faults[0], case, got)
                return f"{_say_numbers(name, case, i, got)} {SAYS['mixed'].format(n=len(faults))}"
    return None


def _name_with_calls(fault: str, case: Case, got: Outcome) -> str:
    """Some faults make the same numbers; which of them it is shows in the calls, or in what was left in .grad."""
    if fault == "clip_early" and "unscale_" not in got.calls:
        return "no_unscale"
    if fault == "no_clip" and 0 < got.left <= case.max_norm * 1.001:
        return "clip_late"
    return "zero_inside" if fault == "last_only" and got.calls.count("backward") > 1 else fault


def _are_same(want: list[Outcome], got: list[Outcome]) -> bool:
    return len(want) == len(got) and all(map(_is_same, want, got))


def _say_numbers(name: str, case: Case, step: int, got: Outcome) -> str:
    """A diagnosis, with one number of this step that is wrong."""
    where, want = _where(case, step), definition(case)[step]
    wrong = ~torch.isclose(want.parameters, got.parameters, rtol=TOLERANCE, atol=TOLERANCE)
    if wrong.any():
        i = int(wrong.nonzero()[0])
        entry = f"weight[{i // 3}, {i % 3}]" if i < 6 else f"bias[{i - 6}]"
        numbers = {"want": f"{float(want.parameters[i]):.5g}", "got": f"{float(got.parameters[i]):.5g}"}
        shown = SAYS["case"].format(where=where, entry=entry, **numbers)
    else:
        shown = SAYS["scale"].format(where=where, want=f"{want.scale:g}", got=f"{got.scale:g}")
    return SAYS[name].format(case=shown, n=case.steps[step])


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

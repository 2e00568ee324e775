"""Exercise `unscale`: divide the scale out of the gradients and say whether any of them overflowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise
from dslab.exercises.n02.unscale_mistakes import FINITE, FLAGS, INF, NONES, WRONG_FLAGS, WRONG_GRADS, Grads

TASK = """\
The loss was multiplied by a scale, so every gradient is `scale` times too large. Before anyone clips or steps, a loss
scaler takes the scale out again, and looks: one inf or NaN means that the scale was too high and this step is void.

Write `my_unscale(parameters, scale)`. `parameters` is a list of parameters of a model; each `.grad` is an fp32 tensor
of any shape, or `None` where the loss did not depend on the parameter. `scale` is a float above 1, not always a power
of two. Divide every `.grad` by `scale` (in place, or by putting a new tensor there), **all of them**, also when one is
bad: inf and NaN stay what they are. A `None` stays `None`. Return `True` if any entry of any gradient is inf, -inf or
NaN, else `False`. A huge number is fine as long as it is finite."""

STUB = '''\
def my_unscale(parameters, scale):
    """Divide every .grad by scale; True if any entry of any gradient is inf or NaN, else False."""
    ...
'''

HINTS = (
    "Two jobs for each gradient, neither of which may cut the other short: look, and divide. What you have seen must "
    "not be forgotten when the next gradient is fine.",
    "Start with found = False. For each parameter: skip it if its grad is None; set found if not every entry is "
    "finite; divide. Return found after the loop. torch.isfinite knows inf, -inf and NaN, entry by entry, so nothing "
    "has to be added up.",
    "In the loop: if p.grad is None: continue. Then found = found or not torch.isfinite(p.grad).all().item(), and "
    "p.grad.div_(scale). After the loop: return found.",
)

SOLUTION = """\
def my_unscale(parameters, scale):
    found = False
    for p in parameters:
        if p.grad is not None:
            found = found or not torch.isfinite(p.grad).all().item()
            p.grad.div_(scale)  # every one, also after a bad one
    return found
"""

SAYS = {
    "type": "my_unscale should return True or False. {case} it returned {came}.",
    "parameters": "You change the parameters themselves. {case} the values of parameter {i} were {before} and are now "
    "{after}. Only their .grad is to be divided.",
    "frozen": "You set requires_grad to False. {case} parameter {i} would get no gradient in the next step. Only its "
    ".grad is to be divided.",
    "list": "You change the list itself. {case} the caller's list has {now} parameters afterwards instead of {n}, or "
    "others. Go through it with: for p in parameters.",
    "untouched": "The gradients are still scaled. {case} .grad {i} should hold {want}, and it holds {got}. Write the "
    "result back: p.grad.div_(scale), or p.grad = p.grad / scale.",
    "multiplied": "You multiply by the scale. {case} .grad {i} should hold {want}, and it holds {got}.",
    "twice": "You divide twice. {case} .grad {i} should hold {want}, and it holds {got}.",
    "first_only": "Only the first gradient is divided. {case} .grad {i} should hold {want}, and it holds {got}. Is a "
    "return inside the loop?",
    "last_only": "Only the last gradient is divided. {case} .grad {i} should hold {want}, and it holds {got}. Is the "
    "division outside the loop?",
    "scale_short": "You compute with the scale in 16 bits: bf16 keeps 8 of its bits, fp16 keeps 11 and ends at 65504. "
    "{case} .grad {i} should hold {want}, and it holds {got}. Divide in fp32.",
    "grad_half": "You store the gradients in fp16 on the way. {case} .grad {i} should hold {want}, and it holds {got}. "
    "That is what the scale was to prevent.",
    "removed": "{case} .grad {i} should hold {want}, and it is None now. Whether a gradient is thrown away is for the "
    "caller to decide.",
    "wrong": "{case} .grad {i} should hold {want}, and it holds {got}.",
    "stops": "You stop at the first bad gradient. {case} the answer is right, but .grad {i} should hold {want}, and it "
    "holds {got}: still scaled. Divide all of them, and return after the loop.",
    "stops_after": "The gradients behind a bad one stay scaled. {case} .grad {i} should hold {want}, and it holds "
    "{got}. The bad one must not end the loop, only be remembered.",
    "bad_skipped": "You do not divide a gradient that holds something bad. {case} .grad {i} should hold {want}, and it "
    "holds {got}.",
    "repaired": "You repair what is bad. {case} .grad {i} should hold {want}, and it holds {got}. Leave inf and NaN; "
    "a caller who sees True skips the step.",
    "inverted": "Your answer is the opposite: True means that something bad was found. {flags}",
    "never": "You never find anything. {flags}",
    "always": "You always find something. {flags}",
    "only_inf": "You look for inf and miss NaN. Note that nothing equals NaN, not even NaN: use torch.isfinite. "
    "{flags}",
    "only_nan": "You look for NaN and miss inf. {flags}",
    "no_minus_inf": "You miss -inf, or let the largest entry hide it. {flags}",
    "only_plus_inf": "You look for +inf alone, and miss -inf and NaN. {flags}",
    "first": "You look at the first gradient only. {flags}",
    "last": "The last gradient decides: what was found before it is forgotten. {flags}",
    "all_parameters": "You say True only if every gradient holds something bad. One is enough. {flags}",
    "all_entries": "You say True only if no entry of a gradient is finite. One bad entry is enough. {flags}",
    "summed": "You add up before you look. A sum of finite numbers can overflow, and then you cry wolf. {flags}",
    "squared": "You take the norm before you look. Squares of large finite numbers overflow, and then you cry wolf. "
    "{flags}",
    "sum_misses": "You add up before you look, and inf - inf is NaN, not inf. {flags}",
    "fp16_limit": "You take numbers above 65504 for overflow. That is the largest of fp16, but these gradients are "
    "fp32 and finite. {flags}",
    "other": "{flags}",
    "flags": "{case} you answer {got}, but {why}.",
    "why_bad": "{bad} is among them",
    "why_fine": "every entry is finite",
    "none_crash": "A .grad may be None. {case} your code raises {error}.",
    "none_filled": "A .grad that is None should stay None. {case} you put {got} at .grad {i}. To many optimizers zeros "
    "are a gradient, and none is none.",
    "none_stops": "A .grad that is None ends your loop. {case} .grad {i} should hold {want}, and it holds {got}. "
    "Skip it and go on.",
    "none_flag": "{case} you answer {got}, but {why}. A .grad that is None is not bad, nor a reason to stop looking.",
    "empty": "For parameters = [] nothing is bad, so the answer is False; you return {got}.",
    "case": "With gradients {grads} and scale {scale:g}",
}


@dataclass(frozen=True)
class Outcome:
    """What a call left behind: the answer, the gradients (None where there is none), the parameters before and now."""

    flag: Any
    grads: list[Tensor | None]
    before: list[Tensor]
    after: list[Tensor]
    frozen: list[bool]
    left: int | None  # length of the list that was handed over, where it is no longer the same


def _tensors(grads: Grads) -> list[Tensor | None]:
    return [None if grad is None else torch.tensor(grad) for grad in grads]


def _run(my_unscale: Any, grads: Grads, scale: float) -> Outcome:
    """One call on fresh parameters, whose values are nothing like their gradients."""
    parameters = []
    for i, grad in enumerate(_tensors(grads)):
        values = torch.full((2,) if grad is None else grad.shape, 0.5 + i)
        parameters.append(torch.nn.Parameter(values))
        parameters[-1].grad = grad
    before = [p.detach().clone() for p in parameters]
    handed = list(parameters)
    with probe.settings_kept():
        flag = my_unscale(handed, scale)
    after = [p.detach().clone() for p in parameters]
    grads_now = [None if p.grad is None else p.grad.detach().clone() for p in parameters]
    left = None if list(map(id, handed)) == list(map(id, parameters)) else len(handed)
    return Outcome(flag, grads_now, before, after, [not p.requires_grad for p in parameters], left)


def definition(grads: Grads, scale: float) -> tuple[list[Tensor | None], bool]:
    """(gradients afterwards, whether any was bad), divided in float64."""
    tensors = _tensors(grads)
    divided = [None if g is None else (g.double() / scale).float() for g in tensors]
    return divided, any(g is not None and not bool(g.isfinite().all()) for g in tensors)


def check(my_unscale: Any) -> str | None:
    """None when right, else what is wrong."""
    return _check_finite(my_unscale) or _check_flags(my_unscale) or _check_nones(my_unscale) or _check_empty(my_unscale)


def _check_finite(my_unscale: Any) -> str | None:
    """Gradients that are all fine: what becomes of them."""
    outcomes = [_run(my_unscale, *case) for case in FINITE]
    for case, outcome in zip(FINITE, outcomes, strict=True):
        if said := _say_type(case, outcome) or _say_parameters(case, outcome):
            return said
    for case, outcome in zip(FINITE, outcomes, strict=True):
        if (i := _first_wrong(case, outcome)) is not None:
            return _say_grad(case, outcome, i, _name_grads(outcomes))
    return None


def _name_grads(outcomes: list[Outcome]) -> str:
    """What was done to the gradients of every case, if one known mistake explains it."""
    pairs = list(zip(FINITE, outcomes, strict=True))
    for name, function in WRONG_GRADS:
        if all(
            _is_close(function(torch.tensor(before), scale), after)
            for (grads, scale), outcome in pairs
            for before, after in zip(grads, outcome.grads, strict=True)
        ):
            return name
    for name, right in (("first_only", 0), ("last_only", -1)):
        if all(_is_close(definition(*case)[0][right], outcome.grads[right]) for case, outcome in pairs):
            return name
    return "wrong"


def _check_flags(my_unscale: Any) -> str | None:
    """The answer, with every kind of bad entry in every place; then what became of the gradients there."""
    outcomes = [_run(my_unscale, *case) for case in FLAGS]
    answers = []
    for case, outcome in zip(FLAGS, outcomes, strict=True):
        if said := _say_type(case, outcome) or _say_parameters(case, outcome):
            return said
        answers.append(probe.as_bool(outcome.flag))
    for case, got in zip(FLAGS, answers, strict=True):
        if got != definition(*case)[1]:
            inputs = [([torch.tensor(grad) for grad in grads],) for grads, _ in FLAGS]
            known = probe.recognise(inputs, answers, WRONG_FLAGS, lambda a, b: a == b)
            return SAYS[known[0] if known else "other"].format(flags=_say_flag(case, bool(got)))
    for case, outcome in zip(FLAGS, outcomes, strict=True):
        if (i := _first_wrong(case, outcome)) is not None:
            return _say_grad(case, outcome, i, _name_after_bad(case, outcome, i))
    return None


def _name_after_bad(case: tuple[Grads, float], outcome: Outcome, i: int) -> str:
    """Why gradient i is wrong in a case that holds something bad."""
    grads, got = _tensors(case[0]), outcome.grads[i]
    if got is None or got.shape != outcome.before[i].shape:
        return "wrong"
    bad = [g is not None and not bool(g.isfinite().all()) for g in grads]
    if _is_close(grads[i], got) and any(bad[: i + 1]):
        behind = [_is_close(g, outcome.grads[j]) for j, g in enumerate(grads) if j > i]
        if bad[i] and not all(behind):
            return "bad_skipped"
        return "stops" if bad[i] else "stops_after"
    return "repaired" if bad[i] and bool(got.isfinite().all()) else "wrong"


def _check_nones(my_unscale: Any) -> str | None:
    """Parameters that the loss did not depend on."""
    for case in NONES:
        try:
            outcome = _run(my_unscale, *case)
        except (AttributeError, TypeError) as error:
            return SAYS["none_crash"].format(case=_case(case), error=type(error).__name__)
        if (i := _first_wrong(case, outcome)) is not None:
            name = "none_filled" if case[0][i] is None else "none_stops" if None in case[0][:i] else "wrong"
            return _say_grad(case, outcome, i, name)
        if said := _say_type(case, outcome) or _say_parameters(case, outcome):
            return said
        got, want = probe.as_bool(outcome.flag), definition(*case)[1]
        if got != want:
            return SAYS["none_flag"].format(case=_case(case), got=got, why=_why(case))
    return None


def _check_empty(my_unscale: Any) -> str | None:
    with probe.settings_kept():
        got = my_unscale([], 2.0)
    return None if probe.as_bool(got) is False else SAYS["empty"].format(got=got)


def _first_wrong(case: tuple[Grads, float], outcome: Outcome) -> int | None:
    pairs = zip(definition(*case)[0], outcome.grads, strict=True)
    return next((i for i, (want, got) in enumerate(pairs) if not _is_close(want, got)), None)


def _is_close(want: Tensor | None, got: Tensor | None) -> bool:
    """Equal up to fp32's rounding: x / s and x * (1 / s) differ in the last bit."""
    if want is None or got is None:
        return want is got
    return want.shape == got.shape and torch.allclose(want, got.float(), rtol=2e-6, atol=0.0, equal_nan=True)


def _say_type(case: tuple[Grads, float], outcome: Outcome) -> str | None:
    if probe.as_bool(outcome.flag) is None:
        return SAYS["type"].format(case=_case(case), came=probe.describe(outcome.flag))
    return None


def _say_parameters(case: tuple[Grads, float], outcome: Outcome) -> str | None:
    for i, (before, after) in enumerate(zip(outcome.before, outcome.after, strict=True)):
        if not torch.equal(before, after):
            return SAYS["parameters"].format(case=_case(case), i=i, before=_show(before), after=_show(after))
    if any(outcome.frozen):
        return SAYS["frozen"].format(case=_case(case), i=outcome.frozen.index(True))
    if outcome.left is not None:
        return SAYS["list"].format(case=_case(case), now=outcome.left, n=len(outcome.before))
    return None


def _say_grad(case: tuple[Grads, float], outcome: Outcome, i: int, name: str) -> str:
    want, got = definition(*case)[0][i], outcome.grads[i]
    if got is None:
        return SAYS["removed"].format(case=_case(case), i=i, want=_show(want))
    return SAYS[name].format(case=_case(case), i=i, want=_show(want), got=_show(got))


def _say_flag(case: tuple[Grads, float], got: bool) -> str:
    return SAYS["flags"].format(case=_case(case), got=got, why=_why(case))


def _why(case: tuple[Grads, float]) -> str:
    entries = [value for grad in _tensors(case[0]) if grad is not None for value in grad.flatten().tolist()]
    bad = [str(value) for value in entries if value in (INF, -INF) or value != value]
    return SAYS["why_bad"].format(bad=bad[0]) if bad else SAYS["why_fine"]


def _case(case: tuple[Grads, float]) -> str:
    return SAYS["case"].format(grads=", ".join(map(_show, _tensors(case[0]))), scale=case[1])


def _show(grad: Tensor | None) -> str:
    """A gradient as a reader would type it, short."""
    if grad is None:
        return "None"
    if grad.ndim == 0:
        return f"{float(grad):.6g}"
    return f"[{', '.join(_show(part) for part in grad)}]"


exercise = Exercise(name="unscale", notebook="02", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

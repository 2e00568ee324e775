"""Exercise `lost`: the share of gradients that fp16 turns into zero."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise

TASK = """\
Before you rescue gradients, count those that drown. fp16 has no number between 0 and 2⁻²⁴, so a gradient that is too
small is stored as 0, and its weight never hears of it. The loss scale lifts all gradients first. Which scale is enough?

Write `my_lost(gradients, scale)`. `gradients` is an fp32 tensor of any shape and sign, all finite; `scale` is a number
above 0. It returns a float from 0 to 1: of the entries that are **not zero**, the share that becomes zero when
`gradients * scale` (the product in fp32) is stored in fp16. An entry that was zero before has nothing to lose. One that
becomes infinite is in trouble too, but it is not lost to zero. A tensor with no entry but zeros loses nothing: `0.0`.
Leave `gradients` as it is."""

STUB = '''\
def my_lost(gradients, scale):
    """Share of the entries that are not zero and become zero when gradients * scale is stored in fp16: a float."""
    ...
'''

HINTS = (
    "You need no threshold: fp16 itself knows what it cannot hold. Store the scaled tensor in fp16 and look which "
    "entries are zero now. Then ask which of those were zero before.",
    "Two yes-or-no tensors: was it not zero, and is it zero after (gradients * scale).half()? Count where both say "
    "yes. Divide by the count of the first. If that count is 0 there is nothing to divide.",
    "alive = gradients != 0; gone = alive & ((gradients * scale).half() == 0). Return "
    "(gone.sum() / alive.sum()).item() where alive.any(), else 0.0.",
)

SOLUTION = """\
def my_lost(gradients, scale):
    alive = gradients != 0
    gone = alive & ((gradients * scale).half() == 0)  # the product in fp32, then the cast: never the other way round
    return (gone.sum() / alive.sum()).item() if alive.any() else 0.0
"""

SAYS = {
    "type": "my_lost should return one number from 0 to 1, a float. {case} it returned {came}.",
    "crash": "{case} your code raises {error}. No entry is there to be lost, so the share is 0.0.",
    "empty": "{case} you answer {got}. No entry is there to be lost, so the share is 0.0.",
    "all_entries": "You divide by the number of all entries. Only those that are not zero can be lost, so divide by "
    "how many these are. {says}",
    "zeros_before": "You count entries that were zero before. They had nothing to lose. {says}",
    "normal": "You call a number lost below 2**-14 = 6.1e-5, the smallest normal number of fp16. Below it fp16 goes on "
    "with subnormal numbers, down to 2**-24: less exact, but not zero. {says}",
    "below_smallest": "You call a number lost below 2**-24, the smallest of fp16. But storing rounds to the nearest: "
    "what lies above half of it, 2**-25, becomes 2**-24. {says}",
    "up_to_smallest": "You call 2**-24 lost. It is the smallest number that fp16 holds. {says}",
    "tie": "You keep 2**-25. It lies halfway between 0 and 2**-24, and fp16 rounds a tie to the even neighbour, which "
    "is 0. {says}",
    "epsilon": "You compare with 2**-10, torch.finfo(torch.float16).eps. That is the spacing of fp16 just above 1; "
    "near zero the numbers lie much closer. {says}",
    "threshold": "You compare with a threshold that is near the edge and not on it. Let fp16 decide: store, and look. "
    "{says}",
    "sign": "You forget the sign: a negative gradient is below any threshold, however large it is. {says}",
    "divided": "You divide by the scale. Scaling lifts gradients before they are stored: multiply. {says}",
    "unscaled": "The scale has no effect in your answer. {says}",
    "cast_first": "You store in fp16 first and scale then. What is zero stays zero, times any scale. {says}",
    "scale_cast": "Your scale is fp16 too, so 2**16 becomes infinite there, and so does what it multiplies. Let the "
    "product be fp32. {says}",
    "no_cast": "You never store in fp16. The product is fp32 and seldom zero, since fp32 has numbers down to 1e-45; "
    "cast it with .half() before you look. {says}",
    "bf16": "You store in bf16. Its smallest number is near 1e-40, so it loses almost nothing here; the question is "
    "about fp16. {says}",
    "constant": "You answer {got} whatever the gradients are. {says}",
    "overflow": "You count what becomes infinite as lost. Overflow is another trouble with another cure, a smaller "
    "scale; here only what becomes zero counts. {says}",
    "overflow_only": "You count what becomes infinite. Lost is what becomes zero. {says}",
    "rounded": "You count every entry that fp16 changes. Most are rounded a little and still useful; lost is what "
    "becomes zero. {says}",
    "mass": "You add up sizes: the lost amount over the whole amount. The task asks how many entries, small or large. "
    "{says}",
    "kept": "That is the share that survives. {says}",
    "percent": "That is in percent. A share runs from 0 to 1. {says}",
    "count": "That is how many are lost. Divide by how many entries are not zero. {says}",
    "other": "{says}",
    "says": "{case} you answer {got}, but it is {want}: {gone} of {alive} entries that are not zero become zero.",
    "listed": "For gradients = torch.tensor({numbers}) and scale {scale}",
    "drawn": "After torch.manual_seed({seed}), for gradients = torch.randn{shape} * {size:g} and scale {scale},",
}

Case = tuple[Tensor, float]  # gradients, scale

# Entries around every edge of fp16, both signs; 2**-25 times a power of two is exact. The last two are all zeros.
_EDGES = (0.0, 2**-25, -(2**-25), 1.5 * 2**-25, 2**-24, -(2**-24), 3e-5, -1e-3, 0.5, 1e-9)
LISTS: tuple[tuple[tuple[float, ...], float], ...] = (
    ((0.0, 1e-9, -1e-9, 4e-8, -2e-6, 3e-5, -0.25, 0.0), 1),
    (_EDGES, 1),
    (tuple(value * 2.0**-10 for value in _EDGES), 2.0**10),
    ((-3e-12, 1e-13, 6e-13, 0.0, 2e-9, -0.5, 7.0), 2.0**16),
    ((1e-7, -1e-6, 1e-5, -1e-4, 0.0, 3.0), 2.0**-8),
    ((-(2.0**-30), 2.0**-30, 2.0**-31), 32),
    ((5e-9, 8e-9, -2e-8), 3.9),
    ((2e-38, 1e-32, -1e-28, 1.0, 0.0, 200.0), 2.0**-30),  # times 2**-30 the first is 0 in fp32, the second in bf16
)
DRAWS: tuple[tuple[tuple[int, ...], float, float], ...] = (((40, 50), 1e-7, 1), ((7, 5, 11), 1e-10, 100))
EMPTY: tuple[tuple[tuple[float, ...], float], ...] = (((0.0, 0.0, 0.0), 1), ((0.0, -0.0), 2.0**16))


@functools.cache
def _cases() -> list[tuple[str, Case]]:
    """(how a reader can make it, case). Draws have a generator of their own: the random state stays as it is."""
    cases = [(_listed(numbers, scale), (torch.tensor(numbers), scale)) for numbers, scale in LISTS]
    for seed, (shape, size, scale) in enumerate(DRAWS):
        drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * size
        cases.append((SAYS["drawn"].format(seed=seed, shape=shape, size=size, scale=_number(scale)), (drawn, scale)))
    return cases


def _counts(gradients: Tensor, scale: float) -> tuple[int, int]:
    """(how many become zero, how many are not zero), number by number, in numpy: not the solution once more."""
    alive = [value for value in gradients.flatten().tolist() if value != 0.0]
    with np.errstate(over="ignore"):
        gone = [value for value in alive if np.float16(np.float32(value) * np.float32(scale)) == 0]
    return len(gone), len(alive)


def definition(gradients: Tensor, scale: float) -> float:
    """The share; 0 where every entry is zero."""
    gone, alive = _counts(gradients, scale)
    return gone / alive if alive else 0.0


def _share(is_lost: Callable[[Tensor], Tensor], scaled: Callable[[Tensor, float], Tensor] = torch.mul) -> Any:
    """The share with another idea of what is lost, or another product."""

    def share(gradients: Tensor, scale: float) -> float:
        alive = gradients != 0
        return float((is_lost(scaled(gradients, scale)) & alive).sum() / alive.sum())

    return share


def _below(threshold: float, tie: bool = False, signed: bool = False) -> Callable[[Tensor], Tensor]:
    def is_lost(x: Tensor) -> Tensor:
        x = x if signed else x.abs()
        return (x <= threshold) if tie else (x < threshold)

    return is_lost


def _zero(x: Tensor) -> Tensor:
    return x.half() == 0


def _mass(gradients: Tensor, scale: float) -> float:
    return float(gradients.abs()[_zero(gradients * scale)].sum() / gradients.abs().sum())


_EDGES_SEEN = (2.0**-25, 2.0**-24, 2.0**-14, 2.0**-10)
_ROUNDED_EDGES = (1e-8, 3e-8, 5e-8, 6e-8, 1e-7, 6e-5, 1e-4)

MISTAKES: tuple[tuple[str, Callable[[Tensor, float], float]], ...] = (
    ("all_entries", lambda g, s: float((_zero(g * s) & (g != 0)).float().mean())),
    ("zeros_before", lambda g, s: float(_zero(g * s).float().mean())),
    ("zeros_before", lambda g, s: float(_zero(g * s).sum() / (g != 0).sum())),
    ("zeros_before", lambda g, s: float(_zero(g * s).sum() / (g * s).half().count_nonzero())),
    *(("normal", _share(_below(2.0**-14, tie))) for tie in (False, True)),
    ("below_smallest", _share(_below(2.0**-24))),
    ("up_to_smallest", _share(_below(2.0**-24, tie=True))),
    ("tie", _share(_below(2.0**-25))),
    *(("epsilon", _share(_below(2.0**-10, tie))) for tie in (False, True)),
    *(("sign", _share(_below(edge, tie, signed=True))) for edge in _EDGES_SEEN for tie in (False, True)),
    ("sign", _share(lambda x: x.half() <= 0)),
    *(("threshold", _share(_below(edge))) for edge in _ROUNDED_EDGES),
    ("divided", _share(_zero, torch.div)),
    ("unscaled", _share(_zero, lambda g, s: g)),
    ("cast_first", _share(_zero, lambda g, s: g.half() * s)),
    ("scale_cast", _share(_zero, lambda g, s: g.half() * torch.tensor([s]).half())),
    ("no_cast", _share(lambda x: x == 0)),
    *(("no_cast", lambda g, s, n=n: float((g * s == 0).sum() / n(g))) for n in (torch.numel, torch.count_nonzero)),
    ("no_cast", lambda g, s: float(((g * s == 0) & (g != 0)).sum() / g.numel())),
    ("bf16", _share(lambda x: x.bfloat16() == 0)),
    ("overflow", _share(lambda x: _zero(x) | x.half().isinf())),
    ("overflow_only", _share(lambda x: x.half().isinf())),
    ("rounded", _share(lambda x: x.half().float() != x)),
    ("mass", _mass),
    ("kept", lambda g, s: 1.0 - definition(g, s)),
    ("percent", lambda g, s: 100.0 * definition(g, s)),
    ("count", lambda g, s: float(_counts(g, s)[0])),
)


def check(my_lost: Any) -> str | None:
    """None when right, else what is wrong."""
    return _check_ordinary(my_lost) or _check_empty(my_lost)


def _check_ordinary(my_lost: Any) -> str | None:
    cases, answers = [case for _, case in _cases()], []
    for words, case in _cases():
        came, changed = probe.call(my_lost, "gradients scale", *case)
        got = _as_number(came)
        if got is None:
            return SAYS["type"].format(case=words, came=probe.describe(came))
        if changed:
            return changed
        answers.append(got)
    for (words, case), got in zip(_cases(), answers, strict=True):
        if not _is_close(definition(*case), got):
            known = probe.recognise(cases, answers, MISTAKES, _is_close)
            name = known[0] if known else "constant" if len(set(answers)) == 1 else "other"
            return SAYS[name].format(says=_says(words, case, got), got=f"{got:.5g}")
    return None


def _check_empty(my_lost: Any) -> str | None:
    """Nothing but zeros: 0 / 0."""
    for numbers, scale in EMPTY:
        words = _listed(numbers, scale)
        try:
            came, changed = probe.call(my_lost, "gradients scale", torch.tensor(numbers), scale)
        except (ArithmeticError, ValueError, IndexError) as error:  # 0 / 0, statistics of nothing
            return SAYS["crash"].format(case=words, error=type(error).__name__)
        got = _as_number(came)
        if got is None:
            return SAYS["type"].format(case=words, came=probe.describe(came))
        if changed or got != 0.0:
            return changed or SAYS["empty"].format(case=words, got=got)
    return None


def _as_number(value: Any) -> float | None:
    """The number in a Python or numpy one, or in a tensor without dimensions; None for anything else."""
    if isinstance(value, Tensor | np.ndarray):
        tensor = probe.as_tensor(value)
        if tensor is None or tensor.ndim or tensor.is_complex() or tensor.dtype == torch.bool:
            return None
        return float(tensor)
    return float(value) if isinstance(value, Real) and not isinstance(value, bool | np.bool_) else None


def _is_close(want: float, got: float) -> bool:
    """A share of at most 2000 entries: 1e-6 is far below one of them, and above fp32's rounding."""
    return math.isclose(want, got, rel_tol=1e-6, abs_tol=1e-6) or (math.isnan(want) and math.isnan(got))


def _says(words: str, case: Case, got: float) -> str:
    gone, alive = _counts(*case)
    return SAYS["says"].format(case=words, got=f"{got:.5g}", want=f"{gone / alive:.5g}", gone=gone, alive=alive)


def _listed(numbers: tuple[float, ...], scale: float) -> str:
    shown = ["0.0" if value == 0.0 else _number(value) for value in numbers]  # a list of 0 alone would be int64
    return SAYS["listed"].format(numbers=f"[{', '.join(shown)}]", scale=_number(scale))


def _number(value: float) -> str:
    """Short, and the same fp32 when typed in: powers of two as such."""
    mantissa, exponent = math.frexp(abs(value))
    if mantissa == 0.5 and not -4 < exponent < 8:
        return f"{'-' if value < 0 else ''}2**{exponent - 1}"
    return f"{value:.9g}"


exercise = Exercise(name="lost", notebook="02", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

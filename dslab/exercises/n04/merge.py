"""Exercise `merge`: weight and adapter as one matrix, rounded once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise

TASK = """\
Who serves a model with one adapter needs no detour: the update $\\Delta W = s \\, B A$ has the shape of the weight and
can be added to it, once and for all. After that the layer costs what it cost before.

Write `my_merge(weight, A, B, alpha, rslora)` with `weight` of shape `(out, in)` in fp32, bf16 or fp16, and `A` of shape
`(r, in)`, `B` of shape `(out, r)` always in fp32. The scale $s$ is `alpha / r`, and `alpha / sqrt(r)` where `rslora` is
true. Return the merged matrix as a new tensor in the dtype of `weight`.

Round **once**: product and sum in fp32, and only the sum becomes 16 bits. Leave the arguments as they are: whoever
wants to unmerge needs the old weight, bit for bit."""

STUB = '''\
def my_merge(weight, A, B, alpha, rslora):
    """(out, in), in weight's dtype: weight + scale * B A, computed in fp32 and rounded once."""
    ...
'''

HINTS = (
    "Three questions. Which product of A and B has the shape of `weight`? Which scale is it this time? And in which "
    "dtype does each step happen, the product, the sum, the result?",
    "r is A.shape[0]. B @ A is fp32, because both are. weight.float() is a fp32 copy, so nothing happens to `weight`. "
    "The last step is .to(weight.dtype), and it is the only one that rounds to 16 bits.",
    "scale = alpha / (r**0.5 if rslora else r), then return (weight.float() + scale * (B @ A)).to(weight.dtype).",
)

SOLUTION = """\
def my_merge(weight, A, B, alpha, rslora):
    r = A.shape[0]
    scale = alpha / (r**0.5 if rslora else r)
    return (weight.float() + scale * (B @ A)).to(weight.dtype)
"""

SAYS = {
    "type": "my_merge should return a {dtype} tensor of shape {want}; it returned {came}.",
    "wider": "For a {dtype} weight you return {came}. bf16 plus fp32 is fp32; end with .to(weight.dtype), or the "
    "merged model needs twice the memory.",
    "dtype": "For a {dtype} weight you return {came}. The result has the dtype of `weight`, whichever that is.",
    "in_place": "You change `weight` itself. A second call would merge a second time, and nobody can unmerge any more. "
    "Return a new tensor.",
    "rslora_ignored": "You never look at `rslora`. {case}",
    "rslora_always": "You always divide by the square root of r. That is for rslora only. {case}",
    "rslora_inverted": "The two scales are exchanged: the square root is for rslora. {case}",
    "rslora_both": "With rslora you divide by r and by its square root. {case}",
    "no_scale": "The scale is missing. {case}",
    "alone": "You multiply with alpha and do not divide by r. {case}",
    "inverted": "Your scale is upside down. {case}",
    "squared": "You scale twice. {case}",
    "root_all": "You take the square root of alpha too; only r is under it. {case}",
    "wrong_r": "You take r from the wrong dimension: it is A.shape[0], or B.shape[1]. {case}",
    "nothing": "You return the weight as it was. {case}",
    "update_only": "You return the update alone; it is to be added to the weight. {case}",
    "twice": "You add the update twice. {case}",
    "subtracted": "You subtract the update. {case}",
    "exchanged": "You multiply A @ B. That is another matrix, and only square ones let you. {case}",
    "transposed": "You add the transpose of the update; only a square weight lets you. {case}",
    "A_transposed": "You transpose A. {case}",
    "B_transposed": "You transpose B. {case}",
    "short_product": "You bring A and B to {dtype} before you multiply them: they are rounded, their product is, and "
    "the sum is. {case}",
    "short_sum": "You round the update to {dtype} before you add it, and the sum once more. {case}",
    "rounded": "Nearly: more is rounded than the sum, or to fewer bits. {case}",
    "other": "{case}",
    "case": "With a {dtype} weight, in = {n_in}, out = {n_out}, r = {r}, alpha = {alpha:g} and rslora = {rslora} you "
    "give {got} at {place}, and it is {want}.",
}

Case = tuple[Tensor, Tensor, Tensor, float, bool]  # weight, A, B, alpha, rslora
Merge = Callable[[Tensor, Tensor, Tensor, float, bool], Tensor]
NAMES = "weight A B alpha rslora"


def _scale(r: int, alpha: float, rslora: bool) -> float:
    return alpha / (math.sqrt(r) if rslora else r)


def definition(weight: Tensor, A: Tensor, B: Tensor, alpha: float, rslora: bool) -> Tensor:
    """(out, in) float64, not rounded at all: the sum over r outer products."""
    total = weight.double()
    for a, b in zip(A.double(), B.double().T, strict=True):
        total = total + _scale(len(A), alpha, rslora) * torch.outer(b, a)
    return total


# ---------------------------------------------------------------- mistakes


def _scaled(scale: Callable[[int, float, bool], float]) -> Merge:
    return lambda w, A, B, alpha, rslora: w.float() + scale(len(A), alpha, rslora) * (B @ A)


def _with(update: Callable[[Tensor, Tensor], Tensor]) -> Merge:
    return lambda w, A, B, alpha, rslora: w.float() + _scale(len(A), alpha, rslora) * update(A, B)


def _wrong_r(dimension: int) -> Merge:
    return lambda w, A, B, alpha, rslora: w.float() + _scale(w.shape[dimension], alpha, rslora) * (B @ A)


ANY_SHAPE: tuple[tuple[str, Merge], ...] = (
    ("rslora_ignored", _scaled(lambda r, alpha, rslora: alpha / r)),
    ("rslora_always", _scaled(lambda r, alpha, rslora: alpha / r**0.5)),
    ("rslora_inverted", _scaled(lambda r, alpha, rslora: _scale(r, alpha, not rslora))),
    ("rslora_both", _scaled(lambda r, alpha, rslora: alpha / r / (r**0.5 if rslora else 1))),
    ("no_scale", _scaled(lambda r, alpha, rslora: 1.0)),
    ("alone", _scaled(lambda r, alpha, rslora: alpha)),
    ("inverted", _scaled(lambda r, alpha, rslora: 1 / _scale(r, alpha, rslora))),
    ("squared", _scaled(lambda r, alpha, rslora: _scale(r, alpha, rslora) ** 2)),
    ("root_all", _scaled(lambda r, alpha, rslora: (alpha / r) ** (0.5 if rslora else 1))),
    ("wrong_r", _wrong_r(0)),
    ("wrong_r", _wrong_r(1)),
    ("nothing", lambda w, A, B, alpha, rslora: w.float()),
    ("update_only", lambda w, A, B, alpha, rslora: _scale(len(A), alpha, rslora) * (B @ A)),
    ("update_only", lambda w, A, B, alpha, rslora: B @ A),
    ("twice", _with(lambda A, B: 2 * (B @ A))),
    ("subtracted", _with(lambda A, B: -(B @ A))),
)
SQUARE: tuple[tuple[str, Merge], ...] = (
    ("exchanged", _with(lambda A, B: A @ B)),
    ("transposed", _with(lambda A, B: (B @ A).T)),
    ("transposed", _with(lambda A, B: (A @ B).T)),
    ("A_transposed", _with(lambda A, B: B @ A.T)),
    ("B_transposed", _with(lambda A, B: B.T @ A)),
)


def _short_product(add: Callable[[Tensor, Tensor], Tensor]) -> Merge:
    def merge(w: Tensor, A: Tensor, B: Tensor, alpha: float, rslora: bool) -> Tensor:
        return add(w, _scale(len(A), alpha, rslora) * (B.to(w.dtype) @ A.to(w.dtype)))

    return merge


#: The cases in 16 bits have powers of two as scales, so that it does not matter when they are multiplied in.
SHORT: tuple[tuple[str, Merge], ...] = (
    ("short_product", _short_product(lambda w, update: w + update)),
    ("short_product", _short_product(lambda w, update: (w.float() + update.float()).to(w.dtype))),
    (
        "short_sum",
        lambda w, A, B, alpha, rslora: w + (_scale(len(A), alpha, rslora) * (B @ A)).to(w.dtype),
    ),
)


def _draw(
    seed: int, n_in: int, n_out: int, r: int, alpha: float, rslora: bool, dtype: torch.dtype = torch.float32
) -> Case:
    """Weight and update of the same size, from a generator of their own."""
    random = torch.Generator().manual_seed(seed)
    weight, A, B = (torch.randn(shape, generator=random) for shape in ((n_out, n_in), (r, n_in), (n_out, r)))
    return weight.to(dtype), A, B, alpha, rslora


@functools.cache
def _square() -> list[Case]:
    """All matrices of the same shape, so that no order of them raises; alpha such that no two scales are alike."""
    return [_draw(seed, 3, 3, 3, 5.0, rslora) for seed, rslora in ((1, False), (2, True), (3, False))]


@functools.cache
def _oblong() -> list[Case]:
    shapes = ((4, 7, 5, 2, 16.0, False), (5, 4, 9, 3, 7, True), (6, 6, 6, 2, 3.0, True), (7, 5, 3, 1, 0.5, False))
    return [_draw(*shape) for shape in shapes]


@functools.cache
def _short() -> list[Case]:
    """In 16 bits; large enough that what is rounded once too often shows in many entries."""
    bf16, fp16 = torch.bfloat16, torch.float16
    return [
        _draw(8, 24, 20, 4, 4.0, False, bf16),
        _draw(9, 16, 24, 4, 2.0, True, bf16),
        _draw(10, 20, 16, 4, 4.0, False, fp16),
    ]


def check(my_merge: Any) -> str | None:
    """None when right, else what is wrong."""
    return (
        _check(my_merge, _square(), (*ANY_SHAPE, *SQUARE))
        or _check(my_merge, _oblong(), ANY_SHAPE)
        or _check(my_merge, _short(), SHORT)
    )


def _check(my_merge: Any, cases: list[Case], mistakes: Iterable[tuple[str, Merge]]) -> str | None:
    answers = []
    for case in cases:
        got, diagnosis = _ask(my_merge, case)
        if got is None:
            return diagnosis
        answers.append(got)
    for case, got in zip(cases, answers, strict=True):
        if not _is_rounded_once(definition(*case), got):
            known = probe.recognise(cases, answers, mistakes, _is_same)
            near = case[0].dtype != torch.float32 and torch.allclose(definition(*case), got.double(), 0.05, 0.05)
            return _say(known[0] if known else "rounded" if near else "other", case, got)
    return None


def _ask(my_merge: Any, case: Case) -> tuple[Tensor | None, str | None]:
    """The answer, or None and why it is none."""
    weight = case[0]
    came, changed = probe.call(my_merge, NAMES, *case)
    got = probe.as_tensor(came)
    facts = {"dtype": _name(weight), "want": tuple(weight.shape), "came": probe.describe(came)}
    if changed:
        return None, SAYS["in_place"] if changed == probe.CHANGED.format(name="weight") else changed
    if got is None or got.shape != weight.shape or not got.is_floating_point():
        return None, SAYS["type"].format(**facts)
    if got.dtype != weight.dtype:
        wider = weight.dtype.itemsize == 2 and got.dtype == torch.float32
        return None, SAYS["wider" if wider else "dtype"].format(**facts)
    return got, None


def _is_rounded_once(want: Tensor, got: Tensor) -> bool:
    """Within half a step of what got's dtype can hold, and a little for fp32's own rounding on the way."""
    _, exponent = torch.frexp(want)
    step = torch.finfo(got.dtype).eps * torch.ldexp(torch.ones_like(want), exponent - 1)
    slack = 1e-6 * (1 + want.abs().max())
    return bool(((want - got.double()).abs() <= step / 2 + slack).all())


def _is_same(mistake: Tensor, got: Tensor) -> bool:
    """In 16 bits nearly all entries: how a processor adds up bf16 decides now and then."""
    if got.dtype == torch.float32:
        return torch.allclose(mistake.float(), got, rtol=1e-5, atol=1e-5)
    return float((mistake == got).double().mean()) > 0.97


def _name(weight: Tensor) -> str:
    return str(weight.dtype).removeprefix("torch.")


def _say(name: str, case: Case, got: Tensor) -> str:
    """A diagnosis, with the entry that differs most."""
    weight, A, _, alpha, rslora = case
    want = definition(*case)
    where = int((want - got).abs().nan_to_num(nan=torch.inf).argmax())
    numbers = {"want": f"{float(want.to(got.dtype).flatten()[where]):.5g}", "got": f"{float(got.flatten()[where]):.5g}"}
    facts = {"dtype": _name(weight), "n_in": weight.shape[1], "n_out": weight.shape[0], "r": len(A), "alpha": alpha}
    facts |= {"rslora": rslora, "place": list(divmod(where, weight.shape[1]))}
    return SAYS[name].format(case=SAYS["case"].format(**facts, **numbers), dtype=_name(weight))


exercise = Exercise(name="merge", notebook="04", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

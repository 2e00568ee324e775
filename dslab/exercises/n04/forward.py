"""Exercise `forward`: the output of a frozen linear layer with LoRA beside it, and who gets a gradient."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise

TASK = """\
A frozen linear layer computes $W x$. LoRA puts a second path beside it, through two thin matrices, and adds the two:

$$y = W x + \\frac{\\alpha}{r} \\, B (A x)$$

Write `my_forward(x, weight, A, B, alpha)` with `weight` of shape `(out, in)`, `A` of shape `(r, in)`, `B` of shape
`(out, r)`, and `alpha` a number. `x` has shape `(..., in)`, one vector or many, one to a row; the result has shape
`(..., out)`. All tensors are fp32. There is no bias and no dropout.

The layer is *frozen*: no gradient may reach `weight`, whatever its `requires_grad` says. `A`, `B` and `x` get theirs;
`x` gets it through **both** paths, because the layers below learn as well. (`weight.detach()` is the same numbers, as a
constant.) Leave the arguments as they are."""

STUB = '''\
def my_forward(x, weight, A, B, alpha):
    """(..., out): the frozen layer's output plus alpha/r times what the detour through A and B gives."""
    ...
'''

HINTS = (
    "Vectors are the rows of x, so every matrix stands on their right, and transposed: that is what F.linear(x, M) "
    "does. Which of A and B does x meet first? Look at the shapes: only one of them takes `in` numbers. And r is "
    "written nowhere, but both have it.",
    "x @ A.T has shape (..., r), and times B.T it has (..., out). Its factor is alpha / r with r = A.shape[0]; the "
    "frozen path has none. For the frozen path take weight.detach(): torch.no_grad() would cut x off too.",
    "return x @ weight.detach().T + alpha / A.shape[0] * (x @ A.T @ B.T).",
)

SOLUTION = """\
def my_forward(x, weight, A, B, alpha):
    scale = alpha / A.shape[0]
    return x @ weight.detach().T + scale * (x @ A.T @ B.T)
"""

SAYS = {
    "type": "my_forward should return a float tensor of shape {want}; it returned {came}.",
    "in_place": "You add the update to `weight` itself. The layer is frozen; at the next call the update would be in "
    "it twice. Add two outputs, not two matrices in place.",
    "no_scale": "The scale is missing: the detour counts alpha / r times. {case}",
    "alone": "You multiply with alpha and do not divide by r. Twice the rank would be twice the update. {case}",
    "root": "You divide alpha by the square root of r. That is rsLoRA; the task asks for alpha / r. {case}",
    "inverted": "Your scale is upside down, r / alpha. {case}",
    "squared": "You scale twice. {case}",
    "wrong_r": "You take r from the wrong dimension: it is A.shape[0], or B.shape[1]. {case}",
    "base_only": "You return the frozen layer's output alone; the update is missing. {case}",
    "update_only": "You return the update alone. It comes on top of the frozen layer's output. {case}",
    "scaled_all": "You scale the frozen layer's output too. The scale belongs to the update alone. {case}",
    "scaled_base": "You scale the frozen layer's output instead of the update. {case}",
    "exchanged": "A and B are exchanged: x goes through A first, then through B. With square matrices nothing else "
    "tells you. {case}",
    "untransposed": "You forgot to transpose A and B: a row vector times M.T is M times the vector. With square "
    "matrices nothing else tells you. {case}",
    "product_transposed": "You multiply with B @ A, which has the shape of `weight`; rows of x need its transpose. "
    "{case}",
    "A_transposed": "You do not transpose A, only B. {case}",
    "B_transposed": "You do not transpose B, only A. {case}",
    "weight_transposed": "You do not transpose `weight`. With a square one nothing else tells you. {case}",
    "after": "You send the frozen layer's output through A and B. Both paths start at x. {case}",
    "other": "{case}",
    "case": "With in = {n_in}, out = {n_out}, r = {r} and alpha = {alpha:g} you give {got} at {place}, and it is "
    "{want}.",
    "no_graph": "Your result has no gradient at all, so nothing can be learned. Is it computed under torch.no_grad(), "
    "from .data, or in numpy?",
    "adapter_cut": "No gradient reaches {names}, and that is what is trained. Is there a detach, a .data or a "
    "torch.no_grad() in the detour?",
    "x_cut": "No gradient reaches x, so the layers below learn nothing. Only `weight` is a constant.",
    "x_not_base": "The gradient of x comes through A and B only. torch.no_grad() around the frozen layer cuts off what "
    "lies below it; with weight.detach() only `weight` is a constant, and x still gets its gradient.",
    "x_not_update": "The gradient of x comes through the frozen layer only. The detour starts at x as well; do not "
    "detach x there.",
    "weight_grad": "A gradient reaches `weight`. It is as large as the weight, and saving it is what LoRA is for. Use "
    "weight.detach() (not torch.no_grad(), which would cut off x too).",
    "gradient": "The numbers are right, but not the gradient of {name}: {got} where {want} is right.",
}

Case = tuple[Tensor, Tensor, Tensor, Tensor, float]  # x, weight, A, B, alpha
Forward = Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]
NAMES = "x weight A B alpha"
TOLERANCE = 2e-5  # of numbers near 10 in fp32


def definition(x: Tensor, weight: Tensor, A: Tensor, B: Tensor, alpha: float) -> Tensor:
    """(..., out) float64: as the formula has it, with the update written out as one matrix."""
    update = alpha / A.shape[0] * (B.double() @ A.double())
    return x.double() @ (weight.double() + update).T


# ---------------------------------------------------------------- mistakes


def _scaled(scale: Callable[[float, int], float]) -> Forward:
    return lambda x, w, A, B, alpha: x @ w.T + scale(alpha, A.shape[0]) * (x @ A.T @ B.T)


ANY_SHAPE: tuple[tuple[str, Forward], ...] = (
    ("no_scale", _scaled(lambda alpha, r: 1.0)),
    ("alone", _scaled(lambda alpha, r: alpha)),
    ("root", _scaled(lambda alpha, r: alpha / r**0.5)),
    ("inverted", _scaled(lambda alpha, r: r / alpha)),
    ("squared", _scaled(lambda alpha, r: (alpha / r) ** 2)),
    ("wrong_r", lambda x, w, A, B, alpha: x @ w.T + alpha / w.shape[1] * (x @ A.T @ B.T)),
    ("wrong_r", lambda x, w, A, B, alpha: x @ w.T + alpha / w.shape[0] * (x @ A.T @ B.T)),
    ("base_only", lambda x, w, A, B, alpha: x @ w.T),
    ("update_only", lambda x, w, A, B, alpha: alpha / len(A) * (x @ A.T @ B.T)),
    ("update_only", lambda x, w, A, B, alpha: x @ A.T @ B.T),
    ("scaled_all", lambda x, w, A, B, alpha: alpha / len(A) * (x @ w.T + x @ A.T @ B.T)),
    ("scaled_base", lambda x, w, A, B, alpha: alpha / len(A) * (x @ w.T) + x @ A.T @ B.T),
)
SQUARE: tuple[tuple[str, Forward], ...] = (
    ("exchanged", lambda x, w, A, B, alpha: x @ w.T + alpha / len(A) * (x @ B.T @ A.T)),
    ("untransposed", lambda x, w, A, B, alpha: x @ w.T + alpha / len(A) * (x @ A @ B)),
    ("product_transposed", lambda x, w, A, B, alpha: x @ w.T + alpha / len(A) * (x @ (B @ A))),
    ("A_transposed", lambda x, w, A, B, alpha: x @ w.T + alpha / len(A) * (x @ A @ B.T)),
    ("B_transposed", lambda x, w, A, B, alpha: x @ w.T + alpha / len(A) * (x @ A.T @ B)),
    ("weight_transposed", lambda x, w, A, B, alpha: x @ w + alpha / len(A) * (x @ A.T @ B.T)),
    ("weight_transposed", lambda x, w, A, B, alpha: x @ w + alpha / len(A) * (x @ A @ B)),
    ("weight_transposed", lambda x, w, A, B, alpha: x @ w + alpha / len(A) * (x @ (B @ A))),
    ("after", lambda x, w, A, B, alpha: x @ w.T + alpha / len(A) * (x @ w.T @ A.T @ B.T)),
)


def _draw(seed: int, n_in: int, n_out: int, r: int, alpha: float, *batch: int) -> Case:
    """Normal numbers from a generator of their own: the learner's random state stays as it is."""
    random = torch.Generator().manual_seed(seed)
    shapes = (*batch, n_in), (n_out, n_in), (r, n_in), (n_out, r)
    x, weight, A, B = (torch.randn(shape, generator=random) for shape in shapes)
    return x, weight, A, B, alpha


@functools.cache
def _square() -> list[Case]:
    """All matrices of the same shape, so that no order of them raises; alpha such that no two scales are alike."""
    return [_draw(1, 4, 4, 4, 12.0, 5), _draw(2, 3, 3, 3, 5.0, 2)]


@functools.cache
def _oblong() -> list[Case]:
    """As in models: r small, in and out apart; one vector, and batches of sequences."""
    return [
        _draw(3, 7, 5, 2, 16.0, 4),
        _draw(4, 6, 9, 3, 8, 2, 5),
        _draw(5, 5, 3, 1, 0.5),
        _draw(6, 8, 8, 2, 2.0, 2, 2, 3),
    ]


def check(my_forward: Any) -> str | None:
    """None when right, else what is wrong."""
    return (
        _check_numbers(my_forward, _square(), (*ANY_SHAPE, *SQUARE))
        or _check_numbers(my_forward, _oblong(), ANY_SHAPE)
        or _check_gradients(my_forward)
    )


def _check_numbers(my_forward: Any, cases: list[Case], mistakes: Iterable[tuple[str, Forward]]) -> str | None:
    answers = []
    for case in cases:
        want = definition(*case)
        came, changed = probe.call(my_forward, NAMES, *case)
        got = probe.as_tensor(came)
        if changed:
            return SAYS["in_place"] if changed == probe.CHANGED.format(name="weight") else changed
        if got is None or not got.is_floating_point() or got.shape != want.shape:
            return SAYS["type"].format(want=tuple(want.shape), came=probe.describe(came))
        answers.append(got.double())
    for case, got in zip(cases, answers, strict=True):
        if not _is_close(definition(*case), got):
            known = probe.recognise(cases, answers, mistakes, _is_close)
            return SAYS[known[0] if known else "other"].format(case=_case(case, got))
    return None


def _check_gradients(my_forward: Any) -> str | None:
    """Who gets a gradient, and through which path."""
    *tensors, alpha = _draw(7, 6, 5, 2, 4.0, 3)
    x, weight, A, B = (tensor.clone().requires_grad_() for tensor in tensors)
    with probe.settings_kept(), torch.enable_grad():
        came = my_forward(x, weight, A, B, alpha)
        if not isinstance(came, Tensor) or not came.requires_grad:
            return SAYS["no_graph"]
        direction = torch.linspace(-1.0, 2.0, 15).view(3, 5)
        (came * direction).sum().backward()
    cut = [name for name, matrix in (("A", A), ("B", B)) if matrix.grad is None]
    if cut:
        return SAYS["adapter_cut"].format(names=" or ".join(cut))
    if x.grad is None:
        return SAYS["x_cut"]
    base, update = direction @ tensors[1], alpha / 2 * (direction @ tensors[3] @ tensors[2])
    if _is_close(update, x.grad):
        return SAYS["x_not_base"]
    if _is_close(base, x.grad):
        return SAYS["x_not_update"]
    if weight.grad is not None:
        return SAYS["weight_grad"]
    wanted = {
        "x": (base + update, x.grad),
        "A": (alpha / 2 * (direction @ tensors[3]).T @ tensors[0], A.grad),
        "B": (alpha / 2 * direction.T @ (tensors[0] @ tensors[2].T), B.grad),
    }
    for name, (want, got) in wanted.items():
        if got is not None and not _is_close(want, got):
            where = int((want - got).abs().nan_to_num(nan=torch.inf).argmax())
            numbers = {"want": f"{float(want.flatten()[where]):.4g}", "got": f"{float(got.flatten()[where]):.4g}"}
            return SAYS["gradient"].format(name=name, **numbers)
    return None


def _is_close(want: Tensor, got: Tensor) -> bool:
    return torch.allclose(want.double(), got.double(), rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)


def _case(case: Case, got: Tensor) -> str:
    """The entry that differs most."""
    _, weight, A, _, alpha = case
    want = definition(*case)
    where = int((want - got).abs().nan_to_num(nan=torch.inf).argmax())
    place = [int(i) for i in np.unravel_index(where, want.shape)]  # torch's own loads sympy, which takes seconds
    numbers = {"want": f"{float(want.flatten()[where]):.4g}", "got": f"{float(got.flatten()[where]):.4g}"}
    facts = {"n_in": weight.shape[1], "n_out": weight.shape[0], "r": A.shape[0], "alpha": alpha, "place": place}
    return SAYS["case"].format(**facts, **numbers)


exercise = Exercise(name="forward", notebook="04", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

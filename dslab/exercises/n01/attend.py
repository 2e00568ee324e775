"""Exercise `attend`: masked attention for one head, right also where a query may see nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, softmax

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise

TASK = """\
You saw a mask multiplied into the scores leak. Now write the version that does not, for a single head.

Write `my_attention(q, k, v, mask)` with `q` and `k` of shape `(L, D)`, `v` of shape `(L, Dv)`, and `mask` a bool
tensor of shape `(L, L)`, rows queries, `True` where the query may see the key. It returns `(L, Dv)`:

$$\\text{out}_i = \\sum_j p_{ij} v_j, \\qquad p_{ij} = \\frac{e^{s_{ij}}}{\\sum_{j'} e^{s_{ij'}}},
\\qquad s_{ij} = \\frac{q_i \\cdot k_j}{\\sqrt{D}}, \\qquad \\text{sums over the allowed keys only.}$$

A query that may see no key (padding makes such rows) gets zeros, not NaN. A forbidden key counts for nothing, however
large its score. Leave the inputs as they are."""

STUB = '''\
def my_attention(q, k, v, mask):
    """(L, Dv): for each query the average of the values it may see, weighted by softmax(q k^T / sqrt(D))."""
    ...
'''

HINTS = (
    "A forbidden key must get weight 0 and must not count in the sum that the others are divided by. So it has to be "
    "gone "
    "before the softmax, and only one score becomes exactly 0 under exp. Then think of a row in which every key is "
    "gone.",
    "Scores: every query times every key, divided by the square root of D. Put minus infinity where the mask says no. "
    "Softmax "
    "along the keys. A row of nothing but minus infinity is 0/0, so put 0 where the mask says no once more. Then "
    "weights "
    "times v.",
    "scores = q @ k.T / math.sqrt(q.shape[-1]), then scores.masked_fill(~mask, float('-inf')).softmax(dim=-1), "
    "then .masked_fill(~mask, 0.0), then @ v.",
)

SOLUTION = """\
def my_attention(q, k, v, mask):
    scores = q @ k.T / q.shape[-1] ** 0.5
    weights = scores.masked_fill(~mask, float("-inf")).softmax(dim=-1)
    weights = weights.masked_fill(~mask, 0.0)  # a row without any key is 0/0 = NaN until here
    return weights @ v
"""

SAYS = {
    "type": "my_attention should return a float tensor of shape {want}; it returned {came}.",
    "shape": "Wrong shape: with q {q_shape} and v {v_shape} the output is {want}, but you return {came}.",
    "multiplied": "You multiply the mask into the scores. A forbidden score becomes 0, and exp(0) = 1 is a weight: "
    "query {i} "
    "still listens to keys it may not see ({got} where {want} is right).",
    "not_renormalised": "You mask after the softmax and do not divide again: the weights of query {i} no longer add up "
    "to 1 "
    "({got} where {want} is right).",
    "no_scale": "The scores are not divided by sqrt(D): with D = {D} the softmax of query {i} is too sharp "
    "({got} where {want} is right).",
    "scaled_up": "You multiply the scores by sqrt(D) instead of dividing: with D = {D} query {i} hears almost one key "
    "only "
    "({got} where {want} is right).",
    "scaled_by_D": "You divide the scores by D, not by its square root: with D = {D} the softmax of query {i} is too "
    "flat "
    "({got} where {want} is right).",
    "scaled_late": "You divide by sqrt(D) after the softmax. It belongs to the scores, before: "
    "query {i} gives {got} where {want} is right.",
    "inverted": "The mask is used upside down: query {i} hears exactly the keys it may not see "
    "({got} where {want} is right). True means `may see`.",
    "wrong_axis": "The softmax runs along the queries (dim=0). Each query shares out its attention among keys, so the "
    "weights "
    "of a row must add up to 1; for query {i} they do not ({got} where {want} is right).",
    "transposed": "The mask is read with keys as rows: query {i} hears the keys of column {i} "
    "({got} where {want} is right).",
    "ignored": "The mask has no effect: query {i} hears every key ({got} where {want} is right).",
    "added": "You add the mask to the scores as 0 and 1. That favours allowed keys a little and hides none: query {i} "
    "gives "
    "{got} where {want} is right.",
    "nan": "NaN in row {i}, although query {i} may see keys. 0 * inf is NaN, and so is inf - inf: "
    "choose between values (masked_fill, where) instead of multiplying by infinity.",
    "rounded": "Nearly: your output is off by {error:.0e} for {dtype} inputs. Is something computed in a smaller dtype "
    "on the way?",
    "other": "For L = {L} and D = {D} you differ most at query {i}: you give {got} where {want} is right.",
    "empty_nan": "Query {i} may see no key, and you return NaN for it. A softmax over nothing but -inf is 0/0; "
    "such rows should be zeros.",
    "empty_average": "Query {i} may see no key, yet you return an average of values it must not see. A large finite "
    "number in place of -inf makes all keys of such a row equal again; it should be zeros.",
    "empty_other": "Query {i} may see no key, so its row should be zeros; you return {got}.",
    "overflow": "With scores near {score:.0f} your output is not finite: exp overflows. torch.softmax takes "
    "the largest score off first; do the same, or use it.",
    "drowned": "Query {i} may see two keys with scores near -60; the key it may not see scores +60. You return {got} "
    "where "
    "{want} is right. A hidden key must be gone before the softmax, or the allowed weights vanish beside it; the same "
    "happens with a small number added to the denominator.",
}

Case = tuple[Tensor, Tensor, Tensor, Tensor]  # q, k, v, mask


def definition(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """(L, Dv) float64: query by query, over the list of keys it may see."""
    q, k, v = q.double(), k.double(), v.double()
    out = torch.zeros(len(q), v.shape[1], dtype=torch.float64)
    for i in range(len(q)):
        seen = mask[i].nonzero()[:, 0]
        if len(seen):
            out[i] = softmax(k[seen] @ q[i] / q.shape[1] ** 0.5, dim=0) @ v[seen]
    return out


def _scores(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.T / q.shape[1] ** 0.5


def _hide(scores: Tensor, mask: Tensor) -> Tensor:
    return scores.masked_fill(~mask, float("-inf"))


MISTAKES: tuple[tuple[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]], ...] = (
    ("multiplied", lambda q, k, v, mask: softmax(_scores(q, k) * mask, dim=1) @ v),
    ("not_renormalised", lambda q, k, v, mask: (softmax(_scores(q, k), dim=1) * mask) @ v),
    ("no_scale", lambda q, k, v, mask: softmax(_hide(q @ k.T, mask), dim=1) @ v),
    ("scaled_up", lambda q, k, v, mask: softmax(_hide(q @ k.T * q.shape[1] ** 0.5, mask), dim=1) @ v),
    ("scaled_by_D", lambda q, k, v, mask: softmax(_hide(q @ k.T / q.shape[1], mask), dim=1) @ v),
    ("scaled_late", lambda q, k, v, mask: softmax(_hide(q @ k.T, mask), dim=1) @ v / q.shape[1] ** 0.5),
    ("inverted", lambda q, k, v, mask: softmax(_hide(_scores(q, k), ~mask), dim=1) @ v),
    ("wrong_axis", lambda q, k, v, mask: softmax(_hide(_scores(q, k), mask), dim=0) @ v),
    ("transposed", lambda q, k, v, mask: softmax(_hide(_scores(q, k), mask.T), dim=1) @ v),
    ("ignored", lambda q, k, v, mask: softmax(_scores(q, k), dim=1) @ v),
    ("added", lambda q, k, v, mask: softmax(_scores(q, k) + mask, dim=1) @ v),
)


def _draw(seed: int, D: int, Dv: int, mask: Tensor, dtype: torch.dtype = torch.float32, sharp: float = 1.0) -> Case:
    """Normal q, k, v from a generator of their own: the learner's random state stays as it is."""
    random = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(len(mask), width, generator=random, dtype=dtype) for width in (D, D, Dv))
    return q * sharp, k, v, mask


def _rows(*rows: str) -> Tensor:
    """A mask drawn in text: x sees, . does not."""
    return torch.tensor([[cell == "x" for cell in row] for row in rows])


@functools.cache
def _ordinary() -> list[Case]:
    """Every row and column holds both answers, so that even mistaken masks leave no row empty."""
    return [
        _draw(1, 16, 3, _rows("x..x.", "xx...", ".xx.x", "..xx.", "x.x.x")),
        _draw(2, 4, 4, _rows("xx....", "xxx...", ".xx..x", "...xx.", "x..xxx", "..x.xx")),
    ]


@functools.cache
def _more() -> list[Case]:
    """Windows, other lengths and dtypes: nothing to recognise, but nothing hard-coded gets through."""
    position = torch.arange(19)
    distance = position[:, None] - position[None, :]
    return [
        _draw(3, 8, 5, (distance >= 0) & (distance < 6)),
        _draw(4, 2, 7, distance[:4, :4] >= 0),
        _draw(5, 8, 8, distance[:9, :9] >= 0, dtype=torch.float64),
        _draw(6, 3, 1, _rows("x")),
    ]


@functools.cache
def _empty() -> list[Case]:
    """Rows that see nothing: one, some, all."""
    return [
        _draw(7, 16, 3, _rows("x..x.", "xx...", ".....", "..xx.", "x.x.x")),
        _draw(8, 4, 6, _rows("...", "xx.", "...")),
        _draw(9, 8, 2, _rows(".")),
    ]


def check(my_attention: Any) -> str | None:
    """None when right, else what is wrong."""
    return (
        _check_ordinary(my_attention)
        or _check_drowned(my_attention)
        or _check_alike(my_attention, _more())
        or _check_alike(my_attention, _empty())
        or _check_overflow(my_attention)
    )


def _check_ordinary(my_attention: Any) -> str | None:
    """Mistakes that show on the plainest case, recognised by what they compute."""
    answers = []
    for case in _ordinary():
        got, diagnosis = _run(my_attention, case)
        if got is None:
            return diagnosis
        answers.append(got)
    if all(_is_close(definition(*case), got) for case, got in zip(_ordinary(), answers, strict=True)):
        return None
    known = probe.recognise(_ordinary(), answers, MISTAKES, _is_close)
    return _say(known[0] if known else None, zip(_ordinary(), answers, strict=True))


def _check_alike(my_attention: Any, cases: list[Case]) -> str | None:
    for case in cases:
        got, diagnosis = _run(my_attention, case)
        if got is None:
            return diagnosis
        wrong = _say_empty(case, got) or _say(None, [(case, got)])
        if wrong:
            return wrong
    return None


def _check_overflow(my_attention: Any) -> str | None:
    """Scores of some hundreds, as trained models have them."""
    case = _draw(10, 8, 3, torch.ones(6, 6, dtype=torch.bool).tril(), sharp=200.0)
    got, diagnosis = _run(my_attention, case)
    if got is None:
        return diagnosis
    if not got.isfinite().all():
        return SAYS["overflow"].format(score=float(_scores(case[0], case[1]).max()))
    # fp32 scores of several hundred carry errors of about 1e-4 into the exponent
    return _say(None, [(case, got)], tolerance=1e-2)


def _check_drowned(my_attention: Any) -> str | None:
    """A hidden key whose score is 120 above all others: e^-120 is 0 in fp32."""
    q, k, v, mask = _draw(11, 4, 2, _rows("x.x", "x.x", "x.x"))
    q, k = torch.zeros_like(q), torch.zeros_like(k)
    q[:, 0] = 12.0
    k[:, 0] = torch.tensor([-10.0, 10.0, -9.9])
    got, diagnosis = _run(my_attention, (q, k, v, mask))
    if got is None:
        return diagnosis
    want = definition(q, k, v, mask)
    if _is_close(want, got, 1e-3):
        return None
    return SAYS["drowned"].format(i=0, got=_number(got[0, 0]), want=_number(want[0, 0]))


def _run(my_attention: Any, case: Case) -> tuple[Tensor | None, str | None]:
    """The answer in float64, or None and why it cannot be used."""
    q, _, v, _ = case
    came, changed = probe.call(my_attention, "q k v mask", *case)
    facts = {"want": tuple(v.shape), "came": probe.describe(came), "q_shape": tuple(q.shape), "v_shape": tuple(v.shape)}
    got = probe.as_tensor(came)
    if got is None or not got.is_floating_point():
        return None, SAYS["type"].format(**facts)
    if got.shape != v.shape:
        return None, SAYS["shape"].format(**facts)
    return (None, changed) if changed else (got.double(), None)


def _is_close(want: Tensor, got: Tensor, tolerance: float = 2e-5) -> bool:
    return torch.allclose(want.double(), got, rtol=tolerance, atol=tolerance, equal_nan=True)


def _say_empty(case: Case, got: Tensor) -> str | None:
    """What is wrong in a row that may see nothing."""
    q, k, v, mask = case
    for i in (~mask.any(dim=1)).nonzero()[:, 0].tolist():
        if got[i].isnan().any():
            return SAYS["empty_nan"].format(i=i)
        if got[i].abs().max() > 1e-6:
            averages = (v.mean(dim=0), softmax(_scores(q, k), dim=1)[i] @ v)
            kind = "empty_average" if any(_is_close(each, got[i], 1e-3) for each in averages) else "empty_other"
            return SAYS[kind].format(i=i, got=[_number(value) for value in got[i]])
    return None


def _say(mistake: str | None, pairs: Iterable[tuple[Case, Tensor]], tolerance: float = 2e-5) -> str | None:
    """The diagnosis of the first case that differs, at the entry that differs most; None where none does."""
    for case, got in pairs:
        q = case[0]
        want = definition(*case)
        if q.dtype == torch.float64:
            tolerance = min(tolerance, 1e-9)
        if _is_close(want, got, tolerance):
            continue
        error = (got - want).abs().nan_to_num(nan=torch.inf)
        i, column = divmod(int(error.argmax()), want.shape[1])
        if mistake is None and got[i].isnan().any():
            mistake = "nan"
        elif mistake is None and error.max() < 5e-3:
            mistake = "rounded"
        facts = {"L": len(q), "D": q.shape[1], "i": i, "got": _number(got[i, column]), "want": _number(want[i, column])}
        facts |= {"error": float(error.max()), "dtype": str(q.dtype).removeprefix("torch.")}
        return SAYS[mistake or "other"].format(**facts)
    return None


def _number(value: Tensor) -> str:
    return f"{float(value):.3g}"


exercise = Exercise(name="attend", notebook="01", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

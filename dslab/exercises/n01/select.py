"""Exercise `select`: the k best keys of each query, as DeepSeek's sparse attention picks them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise

TASK = """\
A window decides by place. DeepSeek's sparse attention decides by content: a cheap indexer scores every earlier token,
and the query attends to the `k` best only. The picking is one line in most hands, and wrong at the start of the text,
where there are fewer than `k` tokens to pick from.

Write `my_select(scores, k)`. `scores` is a float tensor of shape `(T, T)`: row `t` holds the scores that query `t`
gives to every key, future keys included, all finite, of any size and sign. Return an int64 tensor of shape `(T, k)`:
for each query the indices of its `k` best keys, **best first**. Query `t` may pick keys `0..t` only, itself included.
Where there are fewer than `k`, fill the rest of the row with `-1`. `k >= 1` may be larger than `T`. Leave `scores` as
it is; among equal scores any order will do."""

STUB = '''\
def my_select(scores, k):
    """(T, k) int64: for query t the k best-scored of keys 0..t, best first, then -1 where there are too few."""
    ...
'''

HINTS = (
    "A key that comes later must lose against every real score, and a score may be any finite number. Then ask which "
    "of the "
    "winners were real: a row with two possible keys and k = 5 has three winners that are none.",
    "Put minus infinity above the diagonal of a copy. Take the top min(k, T) values with their indices. Where a value "
    "is "
    "minus infinity, the index becomes -1. Where k is larger than T, add columns of -1 on the right.",
    "best = scores.masked_fill(~visible, float('-inf')).topk(min(k, T), dim=-1), with visible = torch.ones(T, "
    "T).tril().bool(). "
    "Then best.indices.masked_fill(best.values == float('-inf'), -1), and F.pad(..., (0, k - min(k, T)), value=-1).",
)

SOLUTION = """\
def my_select(scores, k):
    T = len(scores)
    visible = torch.ones(T, T, dtype=torch.bool).tril()
    best = scores.masked_fill(~visible, float("-inf")).topk(min(k, T), dim=-1)
    picked = torch.full((T, k), -1)
    picked[:, : min(k, T)] = best.indices.masked_fill(best.values == float("-inf"), -1)
    return picked
"""

SAYS = {
    "type": "my_select should return an int64 tensor of shape {shape}; it returned {came}.",
    "scores": "You return {came}: the scores themselves, it seems. Wanted are the indices of the keys, as int64.",
    "dtype": "Indices are int64, which is what gather and indexing take; you return {came}.",
    "shape": "Wrong shape: for T = {T} and k = {k} the answer is {shape}, but you return {came}.",
    "crash": "With k = {k} and only {T} keys your code raises {error}. Pick what there is and fill up with -1.",
    "narrow": "With k = {k} and only {T} keys you return {came}; it is always (T, k) = {shape}, filled up with -1.",
    "future": "You pick from the future: query {t} takes {got}, and key {key} comes later. (Right: {want}.)",
    "late": "You mask after the choice. Future keys have already taken places that query {t} needed: you give {got}, "
    "{want} is right.",
    "not_itself": "Query {t} may pick itself, and you never let it: you give {got}, {want} is right.",
    "smallest": "You pick the lowest scores: query {t} takes {got}, {want} is right.",
    "backwards": "The right keys, worst first: query {t} gives {got}, {want} is right.",
    "positions": "The right keys, in the order of their positions: query {t} gives {got}; best first is {want}.",
    "absolute": "You compare sizes without the sign: query {t} takes {got}, {want} is right. A score of -3 is worse "
    "than 1.",
    "zeroed": "You set future scores to 0, which beats every negative score: query {t} gives {got}, {want} is right. "
    "Only minus infinity loses to all.",
    "finite": "You hide the future behind a finite number. With scores near {low:.0e} it wins: query {t} gives {got}, "
    "{want} is "
    "right. Only minus infinity loses to all.",
    "not_filled": "Query {t} has only {n} keys to pick from, and you give {got}: index {key} lies in its future. "
    "Put -1 there; {want} is right.",
    "repeated": "Query {t} has only {n} keys to pick from, and you fill the row with keys a second time: {got}. Put -1 "
    "there; "
    "{want} is right.",
    "out_of_range": "Query {t} gives {got}; a key index lies in 0..{t}, and -1 stands for none. {want} is right.",
    "rounded": "Query {t} gives {got}, {want} is right. Its scores differ by little; are they rounded on the way?",
    "other": "For T = {T} and k = {k} query {t} gives {got}, {want} is right.",
}

Case = tuple[Tensor, int]  # scores (T, T), k


@functools.cache
def _ordinary() -> list[Case]:
    """k <= T; the recognisable mistakes differ from one another here."""
    return [(_draw(1, 6), 3), (_draw(2, 9), 4), (_draw(3, 4), 1), (_draw(4, 5), 5), (_draw(5, 23), 7), (_draw(6, 1), 1)]


@functools.cache
def _special() -> list[tuple[str, Case]]:
    """(diagnosis, case) of scores that a mask or a smaller dtype gets wrong."""
    T = 7
    order = torch.stack([torch.randperm(T, generator=torch.Generator().manual_seed(7 + t)) for t in range(T)])
    return [
        ("zeroed", (-1.0 - order.float(), 3)),
        ("finite", (-1e32 * (1.0 + order.float()), 3)),
        ("rounded", (1.0 + order.float() * 1e-5, 4)),
    ]


def _draw(seed: int, T: int) -> Tensor:
    """Normal scores; two of 23² equal ones would need a draw far rarer than these seeds give."""
    return torch.randn(T, T, generator=torch.Generator().manual_seed(seed))


def definition(scores: Tensor, k: int) -> Tensor:
    """(T, k) int64: sort the keys that each query may see."""
    rows = []
    for t, row in enumerate(scores.tolist()):
        best = sorted(range(t + 1), key=[-score for score in row].__getitem__)[:k]
        rows.append(best + [-1] * (k - len(best)))
    return torch.tensor(rows)


def _visible(T: int) -> Tensor:
    return torch.ones(T, T, dtype=torch.bool).tril()


def _top(scores: Tensor, k: int, visible: Tensor, key: Callable[[Tensor], Tensor] = lambda scores: scores) -> Tensor:
    """The solution with a choice of what to hide and what to compare."""
    best = key(scores).masked_fill(~visible, float("-inf")).topk(k)
    return best.indices.masked_fill(best.values == float("-inf"), -1)


def _hide_late(scores: Tensor, k: int) -> Tensor:
    """The best of all keys, then -1 for those that lie in the future."""
    best = scores.topk(k).indices
    return best.masked_fill(best > torch.arange(len(scores))[:, None], -1)


def _hide_by_rank(scores: Tensor, k: int) -> Tensor:
    """The best of all keys, then -1 where the rank says that a query has no more to pick from."""
    return scores.topk(k).indices.masked_fill(torch.arange(k) > torch.arange(len(scores))[:, None], -1)


def _hide_late_in_front(scores: Tensor, k: int) -> Tensor:
    """The same with what is left moved to the front."""
    late = _hide_late(scores, k)
    return late.gather(1, (late < 0).int().argsort(dim=1, stable=True))


def _reorder(scores: Tensor, k: int, key: Callable[[list[int]], list[int]]) -> Tensor:
    """The right keys of each row in another order."""
    rows = [[s for s in row if s >= 0] for row in definition(scores, k).tolist()]
    return torch.tensor([key(row) + [-1] * (k - len(row)) for row in rows])


MISTAKES: tuple[tuple[str, Callable[[Tensor, int], Tensor]], ...] = (
    ("future", lambda scores, k: scores.topk(k).indices),
    ("late", _hide_late),
    ("late", _hide_late_in_front),
    ("zeroed", lambda scores, k: scores.tril().topk(k).indices),
    ("zeroed", lambda scores, k: _hide_late(scores.tril(), k)),
    ("zeroed", lambda scores, k: _hide_by_rank(scores.tril(), k)),
    ("not_itself", lambda scores, k: _top(scores, k, _visible(len(scores)).tril(-1))),
    ("smallest", lambda scores, k: _top(scores, k, _visible(len(scores)), torch.neg)),
    ("backwards", lambda scores, k: _reorder(scores, k, lambda row: row[::-1])),
    ("positions", lambda scores, k: _reorder(scores, k, sorted)),
    ("positions", lambda scores, k: _reorder(scores, k, lambda row: sorted(row, reverse=True))),
    ("absolute", lambda scores, k: _top(scores, k, _visible(len(scores)), torch.abs)),
)


def check(my_select: Any) -> str | None:
    """None when right, else what is wrong."""
    return _check_ordinary(my_select) or _check_special(my_select) or _check_wide(my_select)


def _check_ordinary(my_select: Any) -> str | None:
    answers = []
    for case in _ordinary():
        got, diagnosis = _run(my_select, case)
        if got is None:
            return diagnosis
        answers.append(got)
    known: str | None = None
    if any(not torch.equal(got, definition(*case)) for case, got in zip(_ordinary(), answers, strict=True)):
        found = probe.recognise(_ordinary(), answers, MISTAKES, torch.equal)
        known = found[0] if found else None
    says = (_say(case, got, known) for case, got in zip(_ordinary(), answers, strict=True))
    return next(filter(None, says), None)


def _check_special(my_select: Any) -> str | None:
    for name, case in _special():
        got, diagnosis = _run(my_select, case)
        diagnosis = diagnosis if got is None else _say(case, got, name)
        if diagnosis:
            return diagnosis
    return None


def _check_wide(my_select: Any) -> str | None:
    """More keys wanted than there are."""
    scores, k = _draw(8, 3), 5
    try:
        got, diagnosis = _run(my_select, (scores, k), "narrow")
    except (RuntimeError, IndexError, ValueError) as error:
        if isinstance(error, NotImplementedError):  # a stub, for the page to see
            raise
        return SAYS["crash"].format(T=len(scores), k=k, error=type(error).__name__)
    return diagnosis if got is None else _say((scores, k), got, None)


def _run(my_select: Any, case: Case, shape: str = "shape") -> tuple[Tensor | None, str | None]:
    """The answer as an int64 (T, k), or None and why it is none."""
    scores, k = case
    came, changed = probe.call(my_select, "scores k", scores, k)
    facts = {"T": len(scores), "k": k, "shape": (len(scores), k), "came": probe.describe(came)}
    got = probe.as_tensor(came)
    if got is None:
        return None, SAYS["type"].format(**facts)
    if got.dtype != torch.int64:
        is_scores = got.is_floating_point() and not torch.equal(got, got.round())
        return None, SAYS["scores" if is_scores else "dtype"].format(**facts)
    if got.shape != (len(scores), k):
        return None, SAYS[shape].format(**facts)
    return (None, changed) if changed else (got, None)


def _say(case: Case, got: Tensor, mistake: str | None) -> str | None:
    """The diagnosis of one wrong row, the last that is: it has most to choose from. None where all are right."""
    scores, k = case
    wanted = definition(*case)
    wrong = (got != wanted).any(dim=1).nonzero()[:, 0]
    if not len(wrong):
        return None
    t = int(wrong[-1])
    row, want = got[t].tolist(), wanted[t].tolist()
    key = next((s for s in row if s > t), -1)
    if mistake is None:
        mistake = _look(row, want, t)
    facts = {"T": len(scores), "k": k, "t": t, "n": min(t + 1, k), "got": row, "want": want, "key": key}
    return SAYS[mistake].format(low=float(scores.min()), **facts)


def _look(row: list[int], want: list[int], t: int) -> str:
    """A name for a wrong row that no known mistake explains on every case."""
    n = sum(s >= 0 for s in want)
    if any(s < -1 for s in row):
        return "out_of_range"
    if row[:n] == want[:n]:
        return "not_filled" if any(s > t for s in row[n:]) else "repeated"
    return "future" if any(s > t for s in row) else "other"


exercise = Exercise(name="select", notebook="01", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

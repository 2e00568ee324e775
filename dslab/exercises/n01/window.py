"""Exercise `window`: the causal sliding window as a boolean square."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise

TASK = """\
Reading left to right, a token mostly needs its neighbours. A *causal window* keeps only those: each token sees itself
and the few tokens just before it. Everything else in this notebook starts from this one square of yes and no, and an
off-by-one here is invisible in a loss curve.

Write `my_window(length, window)`. It returns a bool tensor of shape `(length, length)`: rows are queries, columns are
keys, `True` where the query **may see** the key. Query `q` sees key `k` exactly when `0 <= q - k < window`: never a
later token, always itself, `window` keys in all (fewer at the start of the text). `length >= 1`, `window >= 1`, and
the window may be longer than the text."""

STUB = '''\
def my_window(length, window):
    """(length, length) bool: row q, column k is True where query q may see key k."""
    ...
'''

HINTS = (
    "Every cell of the square asks one question: how far back is this key? That distance is q - k. It is negative for "
    "keys that come later, 0 for the token itself. The answer depends on nothing else.",
    "Make the positions 0..length-1 once. Stand them up as a column for the queries, lay them down as a row for the "
    "keys, "
    "and subtract: broadcasting gives the whole square of distances. Then compare twice and join both with &.",
    "With position = torch.arange(length), the distances are position[:, None] - position[None, :]. "
    "Return (distance >= 0) & (distance < window).",
)

SOLUTION = """\
def my_window(length, window):
    position = torch.arange(length)
    distance = position[:, None] - position[None, :]  # how far back each key lies; negative: it comes later
    return (distance >= 0) & (distance < window)
"""

SAYS = {
    "type": "my_window should return a bool tensor of shape {want}; for length {L} and window {w} it returned {came}.",
    "shape": "Wrong shape: for length {L} and window {w} the mask is {want}, queries by keys, but you return {came}.",
    "bias": "You return the additive form, numbers to add to the scores ({came}). Here True should mean "
    "`may see`: make it bool.",
    "numbers": "You return {came}. As numbers, 0 and 1 would be added or used as indices; compare, or call .bool(), so "
    "that "
    "the mask is bool.",
    "too_many": "Your window counts one key too many: for query {q} with window {w} you allow key {k}. The query "
    "itself is "
    "one of the {w}.",
    "too_few": "Your window counts one key too few: for query {q} with window {w} you forbid key {k}, which is only "
    "{d} back.",
    "future": "Your window looks ahead: for query {q} with window {w} you allow key {k}, which comes later.",
    "endless": "Your mask is causal but never forgets: for query {q} with window {w} you allow key {k}, {d} back.",
    "not_itself": "Your window leaves out the query itself: for query {q} with window {w} you forbid key {k}.",
    "shifted": "Your window ends one key too early: its {w} keys lie all before the query, so query {q} may not see "
    "itself "
    "and sees key {k} or the like instead. Distance 0 counts.",
    "inverted": "Your mask is inverted, True means forbidden: for query {q} with window {w} you {verb} key {k}. "
    "True should mean `may see`.",
    "transposed": "Your mask is transposed, rows are keys: row {q}, column {k} is query {q} and key {k}, and you "
    "{verb} it "
    "(length {L}, window {w}). Let queries run down and keys across.",
    "allowed": "For length {L} and window {w} you allow query {q} to see key {k}, which is {where}.",
    "forbidden": "For length {L} and window {w} you forbid query {q} to see key {k}, which is {where} and so in the "
    "window.",
}
WHERE = {-1: "{d} later", 0: "the query itself", 1: "{d} back"}

# The first is the one that diagnoses speak of. Windows of 1, longer than the text and equal to it; lengths that no
# hard-coded answer has.
CASES = ((8, 4), (6, 1), (5, 5), (7, 12), (1, 1), (1, 3), (13, 2), (40, 17))

# As functions of the distance d = q - k and the window w.
MISTAKES: tuple[tuple[str, Callable[[Tensor, int], Tensor]], ...] = (
    ("too_many", lambda d, w: (d >= 0) & (d <= w)),
    ("too_few", lambda d, w: (d >= 0) & (d < w - 1)),
    ("future", lambda d, w: d.abs() < w),
    ("future", lambda d, w: d < w),
    ("future", lambda d, w: d.abs() <= w),
    ("endless", lambda d, w: d >= 0),
    ("not_itself", lambda d, w: (d > 0) & (d < w)),
    ("shifted", lambda d, w: (d > 0) & (d <= w)),
    ("inverted", lambda d, w: (d < 0) | (d >= w)),
    ("transposed", lambda d, w: (d <= 0) & (d > -w)),
)


def definition(length: int, window: int) -> Tensor:
    """(length, length) bool, asked cell by cell."""
    return torch.tensor([[0 <= q - k < window for k in range(length)] for q in range(length)])


def check(my_window: Any) -> str | None:
    """None when right, else what is wrong."""
    answers = []
    for length, window in CASES:
        came = my_window(length, window)
        got, diagnosis = _as_mask(came, length, window)
        if got is None:
            return diagnosis
        answers.append(got)
    for (length, window), got in zip(CASES, answers, strict=True):
        if not torch.equal(got, definition(length, window)):
            known = probe.recognise(CASES, answers, [(name, _of_lengths(rule)) for name, rule in MISTAKES], torch.equal)
            return _say(known[0] if known else None, length, window, got)
    return None


def _of_lengths(rule: Callable[[Tensor, int], Tensor]) -> Callable[[int, int], Tensor]:
    return lambda length, window: rule(torch.arange(length)[:, None] - torch.arange(length)[None, :], window)


def _as_mask(came: Any, length: int, window: int) -> tuple[Tensor | None, str]:
    """The answer as a bool square, or None and why it is none."""
    facts = {"L": length, "w": window, "want": (length, length), "came": probe.describe(came)}
    got = probe.as_tensor(came)
    if got is None:
        return None, SAYS["type"].format(**facts)
    if got.dtype != torch.bool:
        # -inf, or any large negative number, is a bias; zeros and ones are not
        is_bias = got.is_floating_point() and got.numel() > 0 and bool((got < -1).any() | got.isnan().any())
        return None, SAYS["bias" if is_bias else "numbers"].format(**facts)
    if got.shape != (length, length):
        return None, SAYS["shape"].format(**facts)
    return got, ""


def _say(mistake: str | None, length: int, window: int, got: Tensor) -> str:
    """The diagnosis with one wrong cell as its case."""
    wrong = (got != definition(length, window)).nonzero()
    q, k = wrong[(len(wrong) - 1) // 2].tolist()  # a middle one: cells at the rim look like special cases
    is_allowed = bool(got[q, k])
    d = abs(q - k)
    facts = {"L": length, "w": window, "q": q, "k": k, "d": d, "verb": "allow" if is_allowed else "forbid"}
    facts["where"] = WHERE[(q > k) - (q < k)].format(d=d)
    return SAYS[mistake or ("allowed" if is_allowed else "forbidden")].format(**facts)


exercise = Exercise(name="window", notebook="01", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

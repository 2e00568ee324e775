"""Exercise `reach`: how many layers of a causal window carry a key to a query."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise

TASK = """\
A window of 256 sounds like blindness beyond 256 tokens. It is not: the keys that a token sees have themselves looked
back, one layer below. Stack layers and the reach grows. How fast?

Write `my_layers_needed(query, key, window)`: the smallest number of stacked attention layers, each under the causal
window of the first exercise (a token sees itself and the `window - 1` tokens before it), after which the output at
position `query` can depend on the input at position `key`. It is `0` when `key == query`: a token knows itself before
any attention. It is `None` when no number of layers is enough. Positions are ints `>= 0`, `window >= 1`; return an
int or `None`."""

STUB = '''\
def my_layers_needed(query, key, window):
    """Layers after which `query` can depend on `key`: an int, or None where no number is enough."""
    ...
'''

HINTS = (
    "How far back does one layer carry? A window of w holds the token itself and w - 1 others, so the furthest key is "
    "w - 1 "
    "back, not w. A second layer starts from there. And two cases never get anywhere: which?",
    "Let distance be query - key. Below 0 the answer is None; at 0 it is 0. With window 1 nobody sees anybody else: "
    "None. "
    "Otherwise count the steps of at most window - 1 that cover the distance: a division, rounded up.",
    "Rounded up without floats: -(-distance // (window - 1)). Before it, handle distance < 0, distance == 0 and window "
    "== 1.",
)

SOLUTION = """\
def my_layers_needed(query, key, window):
    distance = query - key
    if distance <= 0:
        return 0 if distance == 0 else None
    if window == 1:
        return None
    return -(-distance // (window - 1))  # rounded up: each layer carries at most window - 1 back
"""

SAYS = {
    "type": "my_layers_needed should return an int or None; {case} it returned {came}.",
    "infinite": "Never is None here, not a number; {case} you return {came}.",
    "by_window": "You divide by the window. One of its {window} keys is the query itself, so a layer carries at most "
    "{step} back. {case}",
    "floor": "You round down. A rest of the distance needs one more layer. {case}",
    "one_more_at_multiples": "One layer too many where the distance is an exact multiple of {step}: round up, do not "
    "add 1. {case}",
    "too_many": "One layer too many, always. {case}",
    "too_few": "One layer too few, always. {case}",
    "direct": "You answer for one layer only. The keys that a query sees have looked back themselves, one layer below. "
    "{case}",
    "other": "{case}",
    "future": "Key {key} comes after query {query}, and no layer looks ahead: the answer is None, you return {got}.",
    "itself": "A token knows itself before any attention: for query {query} and key {key} with window {window} the "
    "answer is 0, "
    "you return {got}.",
    "alone": "With window 1 each token sees only itself, in every layer: for query {query} and key {key} the answer is "
    "None, "
    "{did}.",
    "did_return": "you return {got}",
    "did_raise": "your code raises {error}",
    "did_hang": "your code does not come to an end",
    "case": "For query {query}, key {key} and window {window} you answer {got}, but it takes {want}.",
    "hang": "Your code does not come to an end {case}.",
    "where": "for query {query}, key {key} and window {window}",
}

Case = tuple[int, int, int]  # query, key, window
# First the case of diagnoses: 9 = 3 · 3 tells rounding from dividing; then every distance, from two ends of a text.
PAST: tuple[Case, ...] = (
    (9, 0, 4),
    (8, 0, 4),
    *((query, query - d, window) for window in (4, 2, 3, 5, 9) for query in (20, 31) for d in range(1, 21)),
    (260, 5, 52),
    (260, 4, 52),
)
ITSELF: tuple[Case, ...] = ((5, 5, 4), (0, 0, 2), (7, 7, 1))
FUTURE: tuple[Case, ...] = ((3, 7, 4), (3, 4, 4), (0, 1, 2), (5, 6, 1))
ALONE: tuple[Case, ...] = ((5, 4, 1), (6, 0, 1))
STEPS = 300_000  # lines a learner's code may run in one call; a search over sets needs a third of it

MISTAKES: tuple[tuple[str, Callable[[int, int, int], int | None]], ...] = (
    ("by_window", lambda q, k, w: -(-(q - k) // w)),
    ("by_window", lambda q, k, w: (q - k) // w),
    ("by_window", lambda q, k, w: (q - k) // w + 1),
    ("floor", lambda q, k, w: (q - k) // (w - 1)),
    ("floor", lambda q, k, w: max(1, (q - k) // (w - 1))),
    ("one_more_at_multiples", lambda q, k, w: (q - k) // (w - 1) + 1),
    ("too_many", lambda q, k, w: -(-(q - k) // (w - 1)) + 1),
    ("too_few", lambda q, k, w: -(-(q - k) // (w - 1)) - 1),
    ("direct", lambda q, k, w: 1 if q - k < w else None),
    ("direct", lambda q, k, w: 1 if q - k < w else 0),
    ("direct", lambda q, k, w: 1),
)


@functools.cache
def definition(query: int, key: int, window: int) -> int | None:
    """Layer by layer, the set of positions that the query depends on; None when it stops growing."""
    known, layers = {query}, 0
    while key not in known:
        more = {back for position in known for back in range(max(0, position - window + 1), position + 1)}
        if more == known:
            return None
        known, layers = more, layers + 1
    return layers


def check(my_layers_needed: Any) -> str | None:
    """None when right, else what is wrong."""
    return (
        _check_past(my_layers_needed)
        or _check_fixed(my_layers_needed, ITSELF, "itself")
        or _check_fixed(my_layers_needed, FUTURE, "future")
        or _check_alone(my_layers_needed)
    )


def _check_past(my_layers_needed: Any) -> str | None:
    answers = []
    for case in PAST:
        got, diagnosis = _ask(my_layers_needed, case)
        if diagnosis:
            return diagnosis
        answers.append(got)
    for case, got in zip(PAST, answers, strict=True):
        if got != definition(*case):
            known = probe.recognise(PAST, answers, MISTAKES, lambda a, b: a == b)
            facts = {**_facts(case), "got": got, "want": definition(*case), "step": case[2] - 1}
            return SAYS[known[0] if known else "other"].format(case=SAYS["case"].format(**facts), **facts)
    return None


def _check_fixed(my_layers_needed: Any, cases: tuple[Case, ...], name: str) -> str | None:
    """Cases that stand outside the formula and have a diagnosis of their own."""
    for case in cases:
        got, diagnosis = _ask(my_layers_needed, case)
        if diagnosis:
            return diagnosis
        if got != definition(*case):
            return SAYS[name].format(got=got, **_facts(case))
    return None


def _check_alone(my_layers_needed: Any) -> str | None:
    """Window 1, where the formula divides by zero and a loop that steps back by window - 1 stands still."""
    for case in ALONE:
        try:
            got = _within(STEPS, my_layers_needed, case)
        except (ArithmeticError, RecursionError, ValueError) as error:  # ValueError: int(nan)
            did = SAYS["did_raise"].format(error=type(error).__name__)
        except TooLong:
            did = SAYS["did_hang"]
        else:
            did = SAYS["did_return"].format(got=got)
            if got is None:
                continue
        return SAYS["alone"].format(did=did, **_facts(case))
    return None


def _ask(my_layers_needed: Any, case: Case) -> tuple[int | None, str | None]:
    """The answer for one case, and what makes it none of the possible ones."""
    where = SAYS["where"].format(**_facts(case))
    try:
        came = _within(STEPS, my_layers_needed, case)
    except TooLong:
        return None, SAYS["hang"].format(case=where)
    got = probe.as_integer(came)
    if came is None or got is not None:
        return got, None
    is_infinite = isinstance(came, float) and math.isinf(came)
    shown = came if isinstance(came, float) else probe.describe(came)
    return None, SAYS["infinite" if is_infinite else "type"].format(case=where, came=shown)


def _facts(case: Case) -> dict[str, int]:
    return dict(zip(("query", "key", "window"), case, strict=True))


class TooLong(BaseException):
    """The learner's code ran more lines than allowed. A BaseException, so that no `except Exception` of theirs eats "
    "it."""


def _within(steps: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """function(*arguments), ended by TooLong after so many lines: a loop without end would hang the kernel."""
    left = steps

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise TooLong
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        return function(*arguments)
    finally:
        sys.settrace(before)


exercise = Exercise(name="reach", notebook="01", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

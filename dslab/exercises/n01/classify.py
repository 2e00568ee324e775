"""Exercise `classify`: whether a block of queries and keys is empty, partial or full under a causal window."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise

TASK = """\
Sparse attention is fast because it never looks at most of the square. It cuts the square into blocks and asks of
each: is anything allowed here? An *empty* block is skipped, a *full* one is computed without a mask, and only a
*partial* one needs the mask cell by cell. If asking cost as much as looking at every cell, nothing would be won.

Write `my_classify(q0, q1, k0, k1, window)`: the class of the block of queries `q0..q1` and keys `k0..k1`, **both ends
included**, under the causal window of the first exercise (query `q` sees key `k` when `0 <= q - k < window`). Return
the int `0` for empty (no cell allowed), `1` for partial (some), `2` for full (all). Blocks need not be square nor lie
on the diagonal. All arguments are ints with `0 <= q0 <= q1`, `0 <= k0 <= k1`, `window >= 1`. Aim for a handful of
comparisons, however large the block is."""

STUB = '''\
def my_classify(q0, q1, k0, k1, window):
    """0 empty, 1 partial, 2 full: the block of queries q0..q1 and keys k0..k1, both ends included."""
    ...
'''

HINTS = (
    "A cell is allowed or not by its distance q - k alone. Over the whole block the distance runs through every value "
    "from a "
    "smallest to a largest. So two numbers describe the block.",
    "The smallest distance is at the first query and the last key, the largest at the last query and the first key. "
    "Full: both "
    "are inside 0..window-1. Empty: the largest is below 0, or the smallest is window or more. Otherwise partial.",
    "nearest, furthest = q0 - k1, q1 - k0. If furthest < 0 or nearest >= window return 0; "
    "if nearest >= 0 and furthest < window return 2; else return 1.",
)

SOLUTION = """\
def my_classify(q0, q1, k0, k1, window):
    nearest, furthest = q0 - k1, q1 - k0  # the distances in the block are nearest, nearest + 1, ..., furthest
    if furthest < 0 or nearest >= window:
        return 0
    return 2 if nearest >= 0 and furthest < window else 1
"""

SAYS = {
    "type": "my_classify should return the int 0, 1 or 2; for {block} it returned {came}.",
    "code": "{came} is no class: 0 is empty, 1 partial, 2 full. You return it for {block}.",
    "swapped": "Your codes are swapped: 0 is empty, 1 partial, 2 full. {case}",
    "far_edge": "Off by one at the far edge of the window, where the oldest allowed key is window - 1 back. {case}",
    "diagonal": "Off by one at the diagonal: distance 0, a query and its own key, is allowed. {case}",
    "not_causal": "Your rule does not look at the future side. {case}",
    "no_window": "Your rule only asks about the future and ignores the window. {case}",
    "overcalled": "You call a block full as soon as something in it is allowed. A full block is computed without a "
    "mask, so "
    "forbidden keys would leak in. {case}",
    "never_full": "You never call a block full. Right but slow: every block would be masked cell by cell. {case}",
    "corners": "You look at the four corners only. The window can cross a block and miss them all. {case}",
    "two_corners": "You look at the first and last cell only; the other two corners are the nearest and the furthest "
    "pair. {case}",
    "other": "{case}",
    "case": "For {block} you answer {got} ({got_name}), but it is {want} ({want_name}): {witness}.",
    "block": "queries {q0}..{q1}, keys {k0}..{k1} and window {window}",
    "may": "query {q} may see key {k}",
    "may_not": "query {q} may not see key {k}",
    "all": "every query in it may see every key",
    "none": "no query in it may see any key",
}
CLASSES = ("empty", "partial", "full")

Block = tuple[int, int, int, int, int]  # q0, q1, k0, k1, window


@functools.cache
def _cases() -> list[Block]:
    """Every block of a few grids near the diagonal, then some as large as real ones, off the grid and far away."""
    cases = []
    for (queries, keys), window in itertools.product(((4, 4), (2, 4), (5, 3), (1, 1)), (4, 6, 3, 1)):
        for q0, k0 in itertools.product(range(0, 13, queries), range(0, 13, keys)):
            cases.append((q0, q0 + queries - 1, k0, k0 + keys - 1, window))
    cases += [(q0, q0 + 6, k0, k0 + 2, 5) for q0, k0 in itertools.product(range(3), range(10))]
    cases += [(256, 319, k0, k0 + 63, 128) for k0 in (0, 64, 128, 192, 256, 320)]
    cases += [(300, 331, k0, k0 + 15, 48) for k0 in (236, 237, 268, 269, 284, 285, 300, 331, 332)]
    return cases


# As functions of the smallest distance, the largest distance, and the window.
_DISTANCES: tuple[tuple[str, Callable[[int, int, int], int]], ...] = (
    ("far_edge", lambda near, far, w: _code(far < 0 or near > w, near >= 0 and far <= w)),
    ("far_edge", lambda near, far, w: _code(far < 0 or near >= w, near >= 0 and far <= w)),
    ("far_edge", lambda near, far, w: _code(far < 0 or near > w, near >= 0 and far < w)),
    ("far_edge", lambda near, far, w: _code(far < 0 or near >= w, near >= 0 and far < w - 1)),
    ("diagonal", lambda near, far, w: _code(far <= 0 or near >= w, near > 0 and far < w)),
    ("diagonal", lambda near, far, w: _code(far < 0 or near >= w, near > 0 and far < w)),
    ("diagonal", lambda near, far, w: _code(far <= 0 or near >= w, near >= 0 and far < w)),
    ("not_causal", lambda near, far, w: _code(near >= w, far < w)),
    ("not_causal", lambda near, far, w: _code(near >= w or far <= -w, -w < near and far < w)),
    ("not_causal", lambda near, far, w: _code(far < 0 or near >= w, far < w)),
    ("no_window", lambda near, far, w: _code(far < 0, near >= 0)),
    ("no_window", lambda near, far, w: _code(far < 0 or near >= w, near >= 0)),
    ("overcalled", lambda near, far, w: _code(far < 0 or near >= w, True)),
    ("never_full", lambda near, far, w: _code(far < 0 or near >= w, False)),
    ("swapped", lambda near, far, w: 2 - _code(far < 0 or near >= w, near >= 0 and far < w)),
    ("swapped", lambda near, far, w: (0, 2, 1)[_code(far < 0 or near >= w, near >= 0 and far < w)]),
    ("swapped", lambda near, far, w: (1, 0, 2)[_code(far < 0 or near >= w, near >= 0 and far < w)]),
)


def _code(is_empty: bool, is_full: bool) -> int:
    return 0 if is_empty else 2 if is_full else 1


def _of_cells(cells: list[bool]) -> int:
    return _code(not any(cells), all(cells))


def _four_corners(q0: int, q1: int, k0: int, k1: int, window: int) -> int:
    return _of_cells([0 <= q - k < window for q, k in ((q0, k0), (q0, k1), (q1, k0), (q1, k1))])


def _two_corners(q0: int, q1: int, k0: int, k1: int, window: int) -> int:
    return _of_cells([0 <= q - k < window for q, k in ((q0, k0), (q1, k1))])


def _of_block(rule: Callable[[int, int, int], int]) -> Callable[..., int]:
    return lambda q0, q1, k0, k1, window: rule(q0 - k1, q1 - k0, window)


MISTAKES: tuple[tuple[str, Callable[..., int]], ...] = (
    *((name, _of_block(rule)) for name, rule in _DISTANCES),
    ("corners", _four_corners),
    ("two_corners", _two_corners),
)


@functools.cache
def definition(q0: int, q1: int, k0: int, k1: int, window: int) -> int:
    """The class, by looking at every cell."""
    return _of_cells([0 <= q - k < window for q in range(q0, q1 + 1) for k in range(k0, k1 + 1)])


def check(my_classify: Any) -> str | None:
    """None when right, else what is wrong."""
    answers = []
    for block in _cases():
        came = my_classify(*block)
        got = probe.as_integer(came)
        if got is None:
            return SAYS["type"].format(block=_block(block), came=probe.describe(came))
        if got not in (0, 1, 2):
            return SAYS["code"].format(block=_block(block), came=got)
        answers.append(got)
    for block, got in zip(_cases(), answers, strict=True):
        if got != definition(*block):
            known = probe.recognise(_cases(), answers, MISTAKES, int.__eq__)
            return SAYS[known[0] if known else "other"].format(case=_case(block, got))
    return None


def _block(block: Block) -> str:
    return SAYS["block"].format(**dict(zip(("q0", "q1", "k0", "k1", "window"), block, strict=True)))


def _case(block: Block, got: int) -> str:
    """What was answered, what is right, and a cell that proves it."""
    want = definition(*block)
    names = {"got_name": CLASSES[got], "want_name": CLASSES[want]}
    return SAYS["case"].format(block=_block(block), got=got, want=want, witness=_witness(block, got, want), **names)


def _witness(block: Block, got: int, want: int) -> str:
    q0, q1, k0, k1, window = block
    if want != 1 and got == 1:
        return SAYS["all" if want == 2 else "none"]
    # Answered empty: show an allowed cell. Answered full: show a forbidden one, the furthest pair first.
    cells = ((q, k) for q in range(q1, q0 - 1, -1) for k in range(k0, k1 + 1))
    q, k = next((q, k) for q, k in cells if (0 <= q - k < window) == (got == 0))
    return SAYS["may" if got == 0 else "may_not"].format(q=q, k=k)


exercise = Exercise(name="classify", notebook="01", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

"""Exercise `budget`: the largest rank whose adapter can be trained in so much memory."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dslab.exercises import probe
from dslab.exercises.display import shown
from dslab.exercises.exercise import Exercise

TASK = """\
An adapter's file is small. While it is trained it takes four times as much: each of its numbers is kept in fp32
(4 bytes), has a gradient (4 bytes) and two averages that AdamW keeps of it (8 bytes). That makes 16 bytes a number.

Write `my_budget(shapes, megabytes)`. `shapes` is a list of the `(out, in)` of all matrices that get an adapter, at
least one; `megabytes` is what adapters, gradients and optimizer may take together, in units of 10^6 bytes. On a matrix
of `(out, in)` rank `r` means two thin ones, `(r, in)` and `(out, r)`; all matrices get the same rank. The frozen
weights are paid for already.

Return the largest rank, an int, that fits, and

- exactly filled is fine;
- a rank above the smallest dimension among all `shapes` makes no sense: never return more than that;
- where not even rank 1 fits, return 0."""

STUB = '''\
def my_budget(shapes, megabytes):
    """The largest rank whose adapters, gradients and AdamW states fit into so many megabytes; 0 if none does."""
    ...
'''

HINTS = (
    "How many numbers does rank 1 have on one matrix? And rank r has r times as many. So one division gives the rank, "
    "once you know what rank 1 costs on all matrices together.",
    "Rank 1 costs 16 bytes times the sum of out + in over all shapes. Divide what you have by it and round down. Then "
    "take no more than the smallest of all outs and ins.",
    "each = 16 * sum(out + n for out, n in shapes), then return min(int(megabytes * 10**6 // each), min(min(shape) "
    "for shape in shapes)).",
)

SOLUTION = """\
def my_budget(shapes, megabytes):
    bytes_a_rank = 16 * sum(n_out + n_in for n_out, n_in in shapes)
    smallest = min(min(shape) for shape in shapes)
    return min(int(megabytes * 10**6 // bytes_a_rank), smallest)
"""

SAYS = {
    "type": "my_budget should return an int; for {call} it returned {came}.",
    "float": "A rank is counted: an int, and you return {came} for {call}. Even // gives a float where a float goes "
    "in; take int(...).",
    "changed": "You change `shapes`, which the caller still needs.",
    "full": "You count out * in, which is the frozen matrix. Rank r has r * (out + in) numbers. {case}",
    "weights": "You count 4 bytes a number. That is the file; gradients and AdamW's two averages come on top. {case}",
    "no_optimizer": "You forget the optimizer: AdamW keeps two fp32 averages of every number, 8 bytes more. {case}",
    "no_gradients": "You count 12 bytes a number. Either the gradients are missing, or one of AdamW's two averages. "
    "{case}",
    "half": "You count 2 bytes a number, as for 16 bits. Adapters are fp32, and gradients and optimizer come on top. "
    "{case}",
    "numbers": "You count numbers and not bytes; each takes 16. {case}",
    "mib": "You take a megabyte for 2^20 bytes. That is a MiB; here it is 10^6. {case}",
    "unit": "You are off by a factor of a thousand, in the unit. {case}",
    "only_in": "You count A alone. B has r * out numbers more. {case}",
    "only_out": "You count B alone. A has r * in numbers more. {case}",
    "one": "You count one matrix only. All of them get an adapter, and pay from the same purse. {case}",
    "largest": "You count every matrix as if it were the largest. {case}",
    "strict": "Exactly filled is fine. {case}",
    "more": "One too many: you round up, or count on past the last that fits. {case}",
    "less": "One too few. {case}",
    "round": "You round to the nearest; half a rank too much does not fit. {case}",
    "no_cap": "You do not look at the smallest dimension. A matrix cannot have a rank above it. {case}",
    "cap_largest": "You cap at the largest of the smaller sides; the smallest dimension of all matrices counts. {case}",
    "cap_one": "You cap by the first matrix alone. {case}",
    "cap_out": "You cap by the outs alone. A dimension `in` may be the smallest. {case}",
    "cap_in": "You cap by the ins alone. A dimension `out` may be the smallest. {case}",
    "cap_below": "The smallest dimension itself is allowed. {case}",
    "powers": "You return powers of two only. Usual, but any rank may be returned. {case}",
    "at_least_one": "Where not even rank 1 fits, the answer is 0. {case}",
    "none": "Where nothing fits, return 0. For {call} you return None.",
    "negative": "A rank is never below 0. {case}",
    "other": "{case}",
    "too_much": "For {call} you return {got}: that takes {needed} bytes, and there are {budget}. It should be {want}.",
    "still": "For {call} you return {got}, but {want} fits too: it takes {needed} bytes, and there are {budget}.",
    "above": "For {call} you return {got}, and the smallest dimension is {smallest}.",
    "call": "my_budget({shapes}, {megabytes:g})",
}

Shapes = list[tuple[int, int]]
Case = tuple[Shapes, float]

# In fp32 and bf16 alike the numbers are exact: no budget lies so near a rank that a float's rounding decides, but those
# that are filled exactly, which are whole megabytes.
CASES: tuple[Case, ...] = (
    ([(576, 576), (192, 576)], 0.5),  # q and k of one layer of SmolLM2: 16.3 ranks
    ([(576, 576), (192, 576), (1536, 576), (576, 1536)], 1.9),  # 19.4
    ([(4096, 4096), (1024, 4096), (11008, 4096)] * 2, 20),  # 21.99
    ([(1250, 1250), (1875, 1875)], 2),  # 6250 a rank: exactly 20
    ([(30_000, 32_500)], 3),  # exactly 3
    ([(576, 576), (24, 576)], 3),  # 107 would fit, 24 is the most; the smallest is an out, and not of the first
    ([(512, 16), (576, 576), (192, 576)], 4),  # the smallest is an in
    ([(8, 64), (64, 64)], 1),
    ([(4096, 4096)], 0.1),  # not even one
    ([(49152, 576), (576, 1536)], 0.5),
    ([(128, 64)], 0.0125),  # four ranks and a bit
    ([(64, 96), (96, 40)], 0.19),
    ([(2048, 512), (512, 2048), (300, 700)], 1.5),
    ([(7168, 1536), (24576, 1536)], 12.5),
)


@dataclass(frozen=True)
class Way:
    """How a rank may be computed; each part can go wrong by itself."""

    bytes_a_number: float = 16
    numbers: Callable[[Shapes], float] = lambda shapes: sum(sum(shape) for shape in shapes)
    unit: float = 10**6
    rounded: Callable[[float], int] = math.floor
    cap: Callable[[Shapes], float] = lambda shapes: min(min(shape) for shape in shapes)
    finish: Callable[[int], int] = lambda rank: rank

    def __call__(self, shapes: Shapes, megabytes: float) -> int:
        ranks = megabytes * self.unit / (self.bytes_a_number * self.numbers(shapes))
        return self.finish(int(min(self.rounded(ranks), self.cap(shapes))))


def definition(shapes: Shapes, megabytes: float) -> int:
    """By trying one rank after the other."""
    rank, smallest = 0, min(min(shape) for shape in shapes)
    while rank < smallest and needed(shapes, rank + 1) <= megabytes * 10**6:
        rank += 1
    return rank


def needed(shapes: Shapes, rank: int) -> int:
    """Bytes of adapters, gradients and AdamW's states."""
    return sum(16 * (rank * n_in + n_out * rank) for n_out, n_in in shapes)


# ---------------------------------------------------------------- mistakes


def _power_of_two(rank: int) -> int:
    return 1 << (rank.bit_length() - 1) if rank > 0 else 0


#: (what is wrong, which part of the way, how). Of two at once, the one further up is told.
FAULTS: tuple[tuple[str, str, Any], ...] = (
    ("full", "numbers", lambda shapes: sum(n_out * n_in for n_out, n_in in shapes)),
    ("only_in", "numbers", lambda shapes: sum(n_in for _, n_in in shapes)),
    ("only_out", "numbers", lambda shapes: sum(n_out for n_out, _ in shapes)),
    ("one", "numbers", lambda shapes: sum(shapes[0])),
    ("one", "numbers", lambda shapes: sum(shapes[-1])),
    ("one", "numbers", lambda shapes: max(map(sum, shapes))),
    ("largest", "numbers", lambda shapes: len(shapes) * max(map(sum, shapes))),
    ("weights", "bytes_a_number", 4),
    ("no_optimizer", "bytes_a_number", 8),
    ("no_gradients", "bytes_a_number", 12),
    ("half", "bytes_a_number", 2),
    ("numbers", "bytes_a_number", 1),
    ("mib", "unit", 2**20),
    ("unit", "unit", 10**3),
    ("unit", "unit", 10**9),
    ("no_cap", "cap", lambda shapes: math.inf),
    ("cap_largest", "cap", lambda shapes: max(min(shape) for shape in shapes)),
    ("cap_largest", "cap", lambda shapes: max(max(shape) for shape in shapes)),
    ("cap_one", "cap", lambda shapes: min(shapes[0])),
    ("cap_out", "cap", lambda shapes: min(n_out for n_out, _ in shapes)),
    ("cap_in", "cap", lambda shapes: min(n_in for _, n_in in shapes)),
    ("cap_below", "cap", lambda shapes: min(min(shape) for shape in shapes) - 1),
    ("strict", "rounded", lambda ranks: max(0, math.ceil(ranks) - 1)),
    ("more", "rounded", math.ceil),
    ("more", "rounded", lambda ranks: math.floor(ranks) + 1),
    ("less", "rounded", lambda ranks: max(0, math.floor(ranks) - 1)),
    ("less", "rounded", lambda ranks: math.floor(ranks) - 1),
    ("round", "rounded", round),
    ("powers", "finish", _power_of_two),
    ("at_least_one", "finish", lambda rank: max(1, rank)),
)


@functools.cache
def _known() -> dict[tuple[int, ...], str]:
    """What an answer to all cases betrays: one fault before two."""
    known: dict[tuple[int, ...], str] = {}
    for count in (1, 2):
        for faults in itertools.combinations(FAULTS, count):
            parts = {part: how for _, part, how in faults}
            if len(parts) == count:
                known.setdefault(tuple(Way(**parts)(*case) for case in CASES), faults[0][0])
    known.pop(tuple(definition(*case) for case in CASES), None)
    return known


def check(my_budget: Any) -> str | None:
    """None when right, else what is wrong."""
    answers: list[int] = []
    for case in CASES:
        shapes, megabytes = case
        given = list(shapes)
        came = my_budget(given, megabytes)
        if given != shapes:
            return SAYS["changed"]
        got = probe.as_integer(came)
        if got is None:
            facts = {"call": _call(case), "came": shown(came)}
            is_none = came is None and definition(*case) == 0
            return SAYS["none" if is_none else "float" if isinstance(came, float) else "type"].format(**facts)
        answers.append(got)
    for case, got in zip(CASES, answers, strict=True):
        if got != definition(*case):
            name = _known().get(tuple(answers), "negative" if got < 0 else "other")
            return SAYS[name].format(case=_case(case, got))
    return None


def _case(case: Case, got: int) -> str:
    """What the returned rank costs, or what still fits."""
    shapes, megabytes = case
    want, smallest = definition(*case), min(min(shape) for shape in shapes)
    fits = needed(shapes, max(got, 0)) <= megabytes * 10**6
    name = "still" if got < want else "above" if fits else "too_much"
    cost = needed(shapes, want if got < want else got)
    facts = {"call": _call(case), "got": got, "want": want, "smallest": smallest}
    return SAYS[name].format(**facts, needed=f"{cost:,}", budget=f"{round(megabytes * 10**6):,}")


def _call(case: Case) -> str:
    return SAYS["call"].format(shapes=case[0], megabytes=case[1])


exercise = Exercise(name="budget", notebook="04", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

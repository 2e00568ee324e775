"""Exercise `bands`: how many bands of how many rows find the near-duplicates and little else."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from dslab.exercises import probe
from dslab.exercises.display import shown
from dslab.exercises.exercise import Exercise

TASK = """\
MinHash gives each document a row of numbers. Two documents with Jaccard similarity `s` agree in any one of them with
probability `s`. Put the numbers into bands of `rows` each: a pair becomes a candidate if it agrees in *all* the rows of
*at least one* band. That makes the S-curve: nearly nothing on the left, nearly everything on the right, a step between.

Where the step lies is your choice. Every near-duplicate that is no candidate is lost; every other candidate costs a
comparison.

Write `choose(high, low, permutations)`. It returns a tuple of two ints `(bands, rows)`, each at least 1, such that

- `bands * rows <= permutations`: there are no more numbers than that, but some may be left over;
- a pair with `s = high` becomes a candidate with a probability of at least 0.99;
- and of all such pairs of ints it is the one for which a pair with `s = low` becomes a candidate least often.

`low < high`, and in our calls there is always an answer. There are few enough pairs to try them all. (Start with
`choose(0.8, 0.5, 128)`. For comparison, 32 bands of 4 rows find all of 0.8 and let 87 % of 0.5 through.)"""

STUB = '''\
def choose(high, low, permutations):
    """(bands, rows): finds 0.99 of the pairs at high, and the fewest at low."""
    ...
'''

HINTS = (
    "First the probability. That one band agrees in all its rows, is a power of s. That at least one of several bands "
    "does, is 1 minus the probability that none does.",
    "candidate(s, bands, rows) = 1 - (1 - s**rows)**bands. Go through all rows from 1 to permutations, and for each "
    "through all bands from 1 to permutations // rows. Keep those with candidate(high, …) >= 0.99.",
    "return min(((b, r) for r in range(1, permutations + 1) for b in range(1, permutations // r + 1) if "
    "candidate(high, b, r) >= 0.99), key=lambda pair: candidate(low, *pair)).",
)

SOLUTION = """\
def choose(high, low, permutations):
    def candidate(s, bands, rows):
        return 1 - (1 - s**rows) ** bands

    pairs = [(b, r) for r in range(1, permutations + 1) for b in range(1, permutations // r + 1)]
    found = [pair for pair in pairs if candidate(high, *pair) >= 0.99]
    return min(found, key=lambda pair: candidate(low, *pair))
"""

SAYS = {
    "type": "choose should return a tuple (bands, rows) of two ints; for {call} it returned {came}.",
    "floats": "Bands and rows are counted: ints, and you return {came} for {call}. Use // instead of /.",
    "none": "You return no pair for {call}, but {want} is one. It is enough that one of the bands agrees.",
    "none_crash": "You find no pair for {call}, and your code raises {error}. But {want} is one: it is enough that one "
    "of the bands agrees.",
    "small": "Bands and rows are at least 1; for {call} you return {came}.",
    "product": "There are not enough numbers: {bands} bands of {rows} rows need {product}, and {call} has "
    "{permutations}.",
    "swapped": "Bands and rows are exchanged, in the answer or in the formula: all rows of at least one band, so "
    "1 - (1 - s**rows)**bands. {case}",
    "exact": "You look only at pairs with bands * rows == permutations. Numbers may be left over. {case}",
    "all_used": "Your number of rows is right, but you use all the bands that there is room for. Fewer still find 0.99 "
    "at high, and let less through at low. {case}",
    "most": "You look only at what is found at high. {case}",
    "everything": "One row makes nearly every pair a candidate. {case}",
    "fewest": "You look only at what comes through at low. {case}",
    "threshold": "You put the step, (1/bands)**(1/rows), near high or between the two. In the middle of the step about "
    "two pairs in three are found, which is too few, or more than needed come through. {case}",
    "added": "You add up the bands, bands * s**rows. A pair that agrees in two bands is counted twice. {case}",
    "complement": "You take (1 - s**rows)**bands, which is the probability to be missed. {case}",
    "gap": "You look for the widest gap between high and low; the task asks for 0.99 at high, and then the least at "
    "low. {case}",
    "most_rows": "You take as many rows as still find 0.99, and do not ask what that does at low. Most often it is "
    "best, but the bands count too. {case}",
    "worst": "You take the pair that lets the most through at low. {case}",
    "more_strict": "You ask for more than 0.99 at high. {case}",
    "less_strict": "You ask for less than 0.99 at high. {case}",
    "ignores_low": "You take the first pair that finds enough, or the one of the fewest numbers. {case}",
    "misses": "Too much is lost. {case}",
    "not_least": "Another pair does better. {case}",
    "case_misses": "For {call} you return {came}, which makes a candidate of a pair at {high:g} with probability "
    "{found:.4f}, not 0.99.",
    "case_least": "For {call} you return {came}: at {low:g}, {through:.4f} become candidates; with {want} only "
    "{least:.4f} do.",
    "call": "choose({high:g}, {low:g}, {permutations})",
}

Pair = tuple[int, int]
Case = tuple[float, float, int]

ENOUGH = 0.99
# The first is the one that diagnoses speak of. The best pair never uses all the permutations of the first.
CASES: tuple[Case, ...] = (
    (0.8, 0.5, 128),
    (0.9, 0.6, 128),
    (0.7, 0.3, 256),
    (0.8, 0.5, 64),
    (0.95, 0.8, 200),
    (0.6, 0.2, 100),
    (0.9, 0.7, 32),
    (0.5, 0.2, 80),
    (0.95, 0.9, 96),  # here and below the most rows are not the best
    (0.85, 0.8, 32),
)

Curve = Callable[[float, int, int], float]


def candidate(s: float, bands: int, rows: int) -> float:
    """The S-curve: how likely a pair of similarity s agrees in all rows of at least one band.

    >>> round(candidate(0.8, 16, 6), 4), round(candidate(0.5, 16, 6), 4)
    (0.9923, 0.2227)
    """
    return 1 - (1 - s**rows) ** bands


@functools.cache
def pairs(permutations: int) -> tuple[Pair, ...]:
    """All (bands, rows) that there are numbers for."""
    return tuple((b, r) for r in range(1, permutations + 1) for b in range(1, permutations // r + 1))


@functools.cache
def definition(high: float, low: float, permutations: int) -> Pair:
    """The best pair, by trying all."""
    found = [pair for pair in pairs(permutations) if candidate(high, *pair) >= ENOUGH]
    return min(found, key=lambda pair: candidate(low, *pair))


# ---------------------------------------------------------------- mistakes


def _search(
    curve: Curve = candidate,
    enough: float = ENOUGH,
    key: Callable[[float, float, int, int], Any] | None = None,
    only: Callable[[int, int, int], bool] = lambda b, r, n: True,
) -> Callable[[float, float, int], Pair | None]:
    """The same search with another curve, bound, goal or choice of pairs."""

    def choose(high: float, low: float, n: int) -> Pair | None:
        found = [(b, r) for b, r in pairs(n) if only(b, r, n) and curve(high, b, r) >= enough]
        goal = key or (lambda high, low, b, r: curve(low, b, r))
        return min(found, key=lambda pair: goal(high, low, *pair), default=None)

    return choose


def _full(high: float, low: float, n: int) -> Pair:
    """The right number of rows, and all the bands that there is room for."""
    rows = definition(high, low, n)[1]
    return n // rows, rows


def _step(near: Callable[[float, float], float], only_full: bool) -> Callable[[float, float, int], Pair | None]:
    return _search(
        enough=0.0,
        key=lambda high, low, b, r: abs((1 / b) ** (1 / r) - near(high, low)),
        only=(lambda b, r, n: b * r == n) if only_full else (lambda b, r, n: True),
    )


MISTAKES: tuple[tuple[str, Callable[[float, float, int], Pair | None]], ...] = (
    ("swapped", lambda high, low, n: definition(high, low, n)[::-1]),
    ("exact", _search(only=lambda b, r, n: b * r == n)),
    ("all_used", _full),
    ("all_used", _search(only=lambda b, r, n: b == n // r)),
    ("most", _search(key=lambda high, low, b, r: -candidate(high, b, r))),
    ("most", lambda high, low, n: (n, 1)),
    ("fewest", _search(enough=0.0)),
    ("fewest", lambda high, low, n: (1, n)),
    ("ignores_low", lambda high, low, n: next(p for p in pairs(n) if candidate(high, *p) >= ENOUGH)),
    ("ignores_low", lambda high, low, n: min(p for p in pairs(n) if candidate(high, *p) >= ENOUGH)),
    ("most_rows", _search(key=lambda high, low, b, r: (-r, b))),
    ("most_rows", _search(key=lambda high, low, b, r: -((1 / b) ** (1 / r)))),
    ("most_rows", _search(key=lambda high, low, b, r: candidate(high / 2, b, r))),
    ("worst", _search(key=lambda high, low, b, r: -candidate(low, b, r))),
    ("ignores_low", _search(key=lambda high, low, b, r: b * r)),
    ("gap", _search(enough=0.0, key=lambda high, low, b, r: candidate(low, b, r) - candidate(high, b, r))),
    ("gap", _search(key=lambda high, low, b, r: candidate(low, b, r) - candidate(high, b, r))),
    *(("threshold", _step(near, full)) for full in (False, True)
      for near in (lambda high, low: high, lambda high, low: (high + low) / 2, lambda high, low: low)),
    ("added", _search(lambda s, b, r: b * s**r)),
    ("added", _search(lambda s, b, r: min(1.0, b * s**r))),
    ("complement", _search(lambda s, b, r: (1 - s**r) ** b)),
    *(("more_strict", _search(enough=enough)) for enough in (0.995, 0.999, 0.9999)),
    *(("less_strict", _search(enough=enough)) for enough in (0.5, 0.8, 0.9, 0.95, 0.98)),
)  # fmt: skip


def check(choose: Any) -> str | None:
    """None when right, else what is wrong."""
    answers: list[Pair | None] = []
    crash = None
    for case in CASES:
        try:
            came = choose(*case)
        except ValueError as error:
            if "empty" not in str(error):  # of min() and max(): nothing was found
                raise
            came, crash = None, type(error).__name__
        got, diagnosis = _as_pair(came, case)
        if diagnosis is not None:
            return diagnosis
        answers.append(got)
    for case, got in zip(CASES, answers, strict=True):
        if got is None:
            facts = {"call": _call(case), "want": definition(*case), "error": crash}
            return SAYS["none_crash" if crash else "none"].format(**facts)
        if not _is_right(case, got):
            known = probe.recognise(CASES, answers, MISTAKES, lambda a, b: a == b)
            return _say(known[0] if known else None, case, got)
    return None


def _is_right(case: Case, got: Pair) -> bool:
    high, low, permutations = case
    least = candidate(low, *definition(*case))
    is_found = candidate(high, *got) >= ENOUGH - 1e-12
    return got[0] * got[1] <= permutations and is_found and candidate(low, *got) <= least + 1e-12


def _as_pair(came: Any, case: Case) -> tuple[Pair | None, str | None]:
    """(The answer as two ints or None where nothing was found, None), or (None, why it is no answer)."""
    facts: dict[str, Any] = {"call": _call(case), "came": shown(came)}
    if came is None:
        return None, None
    if not isinstance(came, tuple | list) or len(came) != 2:
        return None, SAYS["type"].format(**facts)
    if any(isinstance(value, float) for value in came):
        return None, SAYS["floats"].format(**facts)
    bands, rows = (probe.as_integer(value) for value in came)
    if bands is None or rows is None:
        return None, SAYS["type"].format(**facts)
    if bands < 1 or rows < 1:
        return None, SAYS["small"].format(**facts)
    if bands * rows > case[2]:
        facts.update(bands=bands, rows=rows, product=bands * rows, permutations=case[2])
        return None, SAYS["product"].format(**facts)
    return (bands, rows), None


def _say(mistake: str | None, case: Case, got: Pair) -> str:
    """The diagnosis with one call as its case: what is lost there, or what comes through."""
    high, low, _ = case
    want = definition(*case)
    found = candidate(high, *got)
    facts = {"call": _call(case), "came": got, "want": want, "high": high, "low": low, "found": found}
    facts |= {"through": candidate(low, *got), "least": candidate(low, *want)}
    if found < ENOUGH:
        return SAYS[mistake or "misses"].format(case=SAYS["case_misses"].format(**facts))
    fallback = "everything" if got[1] == 1 else "not_least"
    return SAYS[mistake or fallback].format(case=SAYS["case_least"].format(**facts))


def _call(case: Case) -> str:
    high, low, permutations = case
    return SAYS["call"].format(high=high, low=low, permutations=permutations)


exercise = Exercise(name="bands", notebook="03", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

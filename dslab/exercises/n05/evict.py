"""Exercise `evict`: which tokens a window with sinks keeps, and how far off the query sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dslab.exercises import probe
from dslab.exercises.exercise import Exercise
from dslab.exercises.n05.ints import as_ints, has_floats, short, told

TASK = """\
A window keeps the newest tokens and forgets the rest; then memory stays constant, and the model breaks down as soon
as the first tokens go: attention had parked there what it had no use for. So one keeps them, as *sinks*.

Write `my_evict(n, window, sinks)` for a cache with room for `window` tokens, the `sinks` among them
(`0 <= sinks < window`), after `n >= 1` tokens of text. Return `(kept, distances)`, two lists of ints of the same
length:

- `kept`: the positions of the tokens in the cache, ascending. Nothing is evicted while all `n` fit. After that it is
  the first `sinks` of the text and as many of the newest as there is room for.
- `distances`: how far off the newest token, which asks and is in the cache itself, sees each of them. RoPE counts
  **places in the cache**, not in the text: to the query the tokens lie side by side, gap or no gap. So the newest
  is 0 away from itself, the token before 1, and no distance ever reaches `window`, however long the text."""

STUB = '''\
def my_evict(n, window, sinks):
    """(positions kept, ascending; distance of each from the newest token, counted in the cache)."""
    ...
'''

HINTS = (
    "Two groups: the first `sinks` positions, and the newest. How many of the newest have room, if the cache holds "
    "`window` in all? And while the text is short, the two groups must not overlap.",
    "If n <= window, kept is all of it. Else it is 0 … sinks - 1, and then the window - sinks positions that end with "
    "n - 1. For the distances forget the positions: only places count, and the last place is 0 away.",
    "kept = list(range(n)) if n <= window else [*range(sinks), *range(n - (window - sinks), n)], and distances = "
    "list(range(len(kept) - 1, -1, -1)).",
)

SOLUTION = """\
def my_evict(n, window, sinks):
    if n <= window:
        kept = list(range(n))
    else:
        kept = [*range(sinks), *range(n - (window - sinks), n)]
    return kept, list(range(len(kept) - 1, -1, -1))
"""

SAYS = {
    "type": "my_evict should return (kept, distances), two lists of ints; for {call} it returned {came}.",
    "floats": "Positions and distances are ints, and some of yours are floats. For {call} you return {came}.",
    "lengths": "kept and distances belong together, one distance for each token kept; for {call} you return {n_kept} "
    "and {n_distances}.",
    "exchanged": "kept comes first, then the distances. You return them the other way round.",
    "no_sinks": "The sinks are evicted: you keep the newest `window` tokens and nothing else. {kept}",
    "on_top": "You keep a whole window besides the sinks. The cache has room for `window` tokens, the sinks among "
    "them. {kept}",
    "twice": "While the text is short, the newest reach back into the sinks, and you keep some tokens twice. {kept}",
    "oldest": "You keep the oldest tokens; new ones would never get in. {kept}",
    "only_sinks": "You keep the sinks and evict all the others at once. One token more pushes out one token. {kept}",
    "everything": "Nothing is ever evicted. {kept}",
    "evicted": "You return what is evicted; what stays is asked for. {kept}",
    "early": "You keep one too few: the cache may be full to the last place. {kept}",
    "late": "You keep one too many. {kept}",
    "newest_missing": "The newest token is missing. It is in the cache when it asks, and sees itself. {kept}",
    "too_soon": "You evict too soon: while all n tokens fit, all of them stay. {kept}",
    "slice": "With sinks = 0 you keep everything or nothing: a slice like kept[-0:] is the whole list. {kept}",
    "one_sink": "You keep one sink, whatever `sinks` says. {kept}",
    "ring": "These are the right tokens in the order in which a ring buffer would hold them; they are asked for in "
    "ascending order. {kept}",
    "backwards": "kept should be ascending, the oldest first. {kept}",
    "kept": "{kept}",
    "absolute": "You count distances in the text. Then the sinks drift further away with every token, beyond what the "
    "model has learned. In the cache there is no gap. {distances}",
    "clamped": "You count distances in the text and cut them at the end of the window. Then several sinks would lie at "
    "the same place. {distances}",
    "from_next": "Your distances are one too large: you count from the token that comes next. The newest asks, and is "
    "0 away from itself. {distances}",
    "places": "You return places in the cache, counted from the front. A distance counts back from the newest. "
    "{distances}",
    "positions": "You return positions as distances. {distances}",
    "negative": "Your distances are negative: place of the query minus place of the key. {distances}",
    "sinks_zero": "You count the sinks' distances from one another and not from the query. {distances}",
    "window_constant": "You count from the end of the window, full or not. {distances}",
    "distances": "{distances}",
    "kept_case": "For {call} you keep {got}, and it should be {want}.",
    "distances_case": "For {call}, where {kept} are kept, your distances are {got}, and they should be {want}.",
    "call": "my_evict({n}, {window}, {sinks})",
}

Case = tuple[int, int, int]
Answer = tuple[list[int], list[int]]
Kept = Callable[[int, int, int], list[int]]

#: A long text first; then short ones, exactly full, one too many, without sinks, with room for one beside them.
CASES: tuple[Case, ...] = (
    (12, 6, 2),
    (5, 8, 2),
    (7, 8, 2),  # the newest 6 would reach back into the sinks
    (8, 8, 3),
    (9, 8, 3),
    (20, 5, 0),
    (4, 5, 0),
    (1, 4, 1),
    (2, 9, 3),
    (30, 4, 3),
    (100, 10, 4),
    (3, 1, 0),
    (11, 7, 1),
)


def definition(n: int, window: int, sinks: int) -> Answer:
    """By letting the tokens come one by one: a full cache drops the oldest that is no sink."""
    kept: list[int] = []
    for position in range(n):
        if len(kept) == window:
            del kept[sinks]
        kept.append(position)
    return kept, [len(kept) - 1 - place for place in range(len(kept))]


# ---------------------------------------------------------------- mistakes


def _kept(n: int, window: int, sinks: int) -> list[int]:
    return definition(n, window, sinks)[0]


def _two_groups(first: int, newest: int, n: int) -> list[int]:
    """Both groups, each token once."""
    return sorted({*range(min(first, n)), *range(max(0, n - newest), n)})


def _overlapping(n: int, window: int, sinks: int, cut: bool) -> list[int]:
    """The sinks and the newest, one list behind the other."""
    tokens = list(range(n))
    first = tokens[:sinks] if cut else list(range(sinks))
    return first + (tokens[-(window - sinks) :] if cut else list(range(max(0, n - (window - sinks)), n)))


def _ring(n: int, window: int, sinks: int) -> list[int]:
    """Each token in the slot of the one that it replaces."""
    places = list(range(min(n, window)))
    for position in range(window, n):
        places[sinks + (position - sinks) % (window - sinks)] = position
    return places


def _sliced(n: int, window: int, sinks: int) -> list[int]:
    """Drops by slices that break at 0."""
    kept = _kept(n, window, sinks)
    return kept if sinks else []


KEPT: tuple[tuple[str, Kept], ...] = (
    ("everything", lambda n, window, sinks: list(range(n))),
    ("no_sinks", lambda n, window, sinks: _two_groups(0, window, n)),
    ("no_sinks", lambda n, window, sinks: _two_groups(0, window - sinks, n)),
    ("on_top", lambda n, window, sinks: _two_groups(sinks, window, n)),
    ("on_top", lambda n, window, sinks: list(range(n)) if n <= window else _two_groups(sinks, window, n)),
    ("twice", lambda n, window, sinks: _overlapping(n, window, sinks, cut=True)),
    ("twice", lambda n, window, sinks: _overlapping(n, window, sinks, cut=False)),
    ("oldest", lambda n, window, sinks: list(range(min(n, window)))),
    ("only_sinks", lambda n, window, sinks: list(range(n)) if n <= window else _two_groups(sinks, 1, n)),
    ("only_sinks", lambda n, window, sinks: list(range(n)) if n <= window else list(range(sinks))),
    ("only_sinks", lambda n, window, sinks: list(range(min(n, sinks)))),
    ("evicted", lambda n, window, sinks: sorted({*range(n)} - {*_kept(n, window, sinks)})),
    ("early", lambda n, window, sinks: _two_groups(sinks, window - sinks - 1, n)),
    ("early", lambda n, window, sinks: list(range(n)) if n <= window else _two_groups(sinks, window - sinks - 1, n)),
    ("early", lambda n, window, sinks: list(range(n)) if n < window else _two_groups(sinks, window - sinks - 1, n)),
    ("late", lambda n, window, sinks: _two_groups(sinks, window - sinks + 1, n)),
    ("late", lambda n, window, sinks: list(range(n)) if n <= window else _two_groups(sinks, window - sinks + 1, n)),
    ("late", lambda n, window, sinks: _kept(n, window + 1, sinks + 1)),
    ("newest_missing", lambda n, window, sinks: _kept(n, window, sinks)[:-1]),
    ("newest_missing", lambda n, window, sinks: _kept(n - 1, window, sinks)),
    ("too_soon", lambda n, window, sinks: _two_groups(0 if n <= window else sinks, window - sinks, n)),
    ("too_soon", lambda n, window, sinks: _kept(n, window, sinks) if n > window else _two_groups(sinks, 1, n)),
    ("slice", _sliced),
    ("slice", lambda n, window, sinks: _kept(n, window, sinks) if sinks else list(range(n))),
    ("one_sink", lambda n, window, sinks: _kept(n, window, min(1, window - 1))),
    ("ring", _ring),
    ("backwards", lambda n, window, sinks: _kept(n, window, sinks)[::-1]),
)

#: Distances of the tokens kept: (kept, n, window, sinks).
DISTANCES: tuple[tuple[str, Callable[[list[int], int, int, int], list[int]]], ...] = (
    ("absolute", lambda kept, n, window, sinks: [n - 1 - position for position in kept]),
    ("absolute", lambda kept, n, window, sinks: [n - position for position in kept]),
    ("clamped", lambda kept, n, window, sinks: [min(n - 1 - position, window - 1) for position in kept]),
    ("clamped", lambda kept, n, window, sinks: [min(n - 1 - position, len(kept) - 1) for position in kept]),
    ("clamped", lambda kept, n, window, sinks: [min(n - 1 - position, window) for position in kept]),
    ("from_next", lambda kept, n, window, sinks: [len(kept) - place for place in range(len(kept))]),
    ("places", lambda kept, n, window, sinks: list(range(len(kept)))),
    ("positions", lambda kept, n, window, sinks: list(kept)),
    ("negative", lambda kept, n, window, sinks: [place - len(kept) + 1 for place in range(len(kept))]),
    ("negative", lambda kept, n, window, sinks: [position - n + 1 for position in kept]),
    ("sinks_zero", lambda kept, n, window, sinks: [p if p < sinks else n - 1 - p for p in kept]),
    ("window_constant", lambda kept, n, window, sinks: [window - 1 - place for place in range(len(kept))]),
)


def check(my_evict: Any) -> str | None:
    """None when right, else what is wrong."""
    answers: list[Answer] = []
    for case in CASES:
        came = my_evict(*case)
        parts = list(came) if isinstance(came, tuple | list) and len(came) == 2 else [None, None]
        kept, distances = map(as_ints, parts)
        if kept is None or distances is None:
            name = "floats" if any(map(has_floats, parts)) else "type"
            return SAYS[name].format(call=_call(case), came=told(came))
        answers.append((kept, distances))
    return _say_kept(answers) or _say_distances(answers)


def _say_kept(answers: list[Answer]) -> str | None:
    rows = [kept for kept, _ in answers]
    if rows != [_kept(*case) for case in CASES] and [row for _, row in answers] == [_kept(*case) for case in CASES]:
        return SAYS["exchanged"]
    for case, row in zip(CASES, rows, strict=True):
        want = _kept(*case)
        if row != want:
            known = probe.recognise(CASES, rows, KEPT, lambda a, b: a == b)
            facts = {"call": _call(case), "got": short(row), "want": short(want)}
            return SAYS[known[0] if known else "kept"].format(kept=SAYS["kept_case"].format(**facts))
    return None


def _say_distances(answers: list[Answer]) -> str | None:
    """What is wrong with the distances, where the tokens kept are right."""
    cases = [(kept, *case) for case, (kept, _) in zip(CASES, answers, strict=True)]
    rows = [distances for _, distances in answers]
    for case, (kept, row) in zip(CASES, answers, strict=True):
        want = definition(*case)[1]
        if len(row) != len(want):
            return SAYS["lengths"].format(call=_call(case), n_kept=len(kept), n_distances=len(row))
        if row != want:
            known = probe.recognise(cases, rows, DISTANCES, lambda a, b: a == b)
            facts = {"call": _call(case), "kept": short(kept), "got": short(row), "want": short(want)}
            text = SAYS["distances_case"].format(**facts)
            return SAYS[known[0] if known else "distances"].format(distances=text)
    return None


def _call(case: Case) -> str:
    return SAYS["call"].format(n=case[0], window=case[1], sinks=case[2])


exercise = Exercise(name="evict", notebook="05", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

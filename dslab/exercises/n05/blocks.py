"""Exercise `blocks`: where in a pool a sequence's tokens lie, and how many blocks it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dslab.exercises import probe
from dslab.exercises.display import shown
from dslab.exercises.exercise import Exercise
from dslab.exercises.n05.blocks_mistakes import NEEDS, SLOTS, definition
from dslab.exercises.n05.ints import as_ints, short, told

TASK = """\
Paging hands memory out in blocks of `size` tokens. A pool of them is one long row of slots: block 0 is slots
`0 … size - 1`, block 1 the next `size`, and so on. A sequence takes whichever blocks are free and writes down which:
its block table. `table[0]` is the block of its tokens `0 … size - 1`, `table[1]` that of the next `size`, …

Write `my_blocks(table, size, positions, n)`. Return two things, `(slots, needed)`:

- `slots`, a list: the slot in the pool of each of the `positions` in the sequence, in the order in which they are
  asked for;
- `needed`, an int: how many blocks a sequence of `n` tokens takes in all. No token, no block.

Where a position is negative, or its block is not in the table yet, raise an error (`ValueError` or `IndexError`).
Leave `table` and `positions` as they are."""

STUB = '''\
def my_blocks(table, size, positions, n):
    """([slot of each position], blocks that n tokens need)."""
    ...
'''

HINTS = (
    "Two steps, as with pages of a book: which page of the text is the position on, and which line of the page? The "
    "table tells where in the pool that page lies. The line stays the same.",
    "position // size is the page, position % size the line. The block table[page] begins at slot table[page] * size. "
    "For the blocks that n tokens need, a block that is begun counts whole. And Python's table[-1] is the last block.",
    "slots = [table[p // size] * size + p % size for p in positions], after a ValueError if any p < 0, and needed = "
    "(n + size - 1) // size.",
)

SOLUTION = """\
def my_blocks(table, size, positions, n):
    if any(p < 0 for p in positions):
        raise ValueError("a position is negative")
    slots = [table[p // size] * size + p % size for p in positions]
    return slots, (n + size - 1) // size
"""

SAYS = {
    "type": "my_blocks should return (slots, needed), a list of ints and an int; for {call} it returned {came}.",
    "order": "slots come first, then the blocks needed. You return them the other way round.",
    "float": "Blocks are counted: an int, and you return {came} for {call}. With // it stays an int.",
    "changed": "You change `{name}`, which the caller still needs.",
    "length": "For {call} you return {got_length} slots; there are {want_length} positions, and each has one.",
    "logical": "You take the number of the block in the sequence for its number in the pool, so the table is not used. "
    "{case}",
    "number": "You return the number of the block. A slot is one place in it. {case}",
    "begin": "You return where the block begins. Add the place of the token in it, position % size. {case}",
    "offset": "You return the place within the block; it is still to be added to where the block begins. {case}",
    "no_modulo": "You add the whole position to where the block begins. Only its place within the block counts, "
    "position % size. {case}",
    "no_size": "You add the place to the number of the block. A block is `size` slots long, so it begins at number "
    "* size. {case}",
    "swapped": "// and % are exchanged. // tells the block, % the place in it. {case}",
    "first_block": "You look the first block up for all of the positions. {case}",
    "last_block": "You look the last block up for all of the positions. {case}",
    "next_block": "You look one block too far. {case}",
    "one_late": "Your slots are one too large. {case}",
    "one_early": "Your slots are one too small: places are counted from 0, as positions are. {case}",
    "counted": "You take where a position stands in the list for the position itself. {case}",
    "sorted": "The slots are right, but not in the order in which they were asked for. {case}",
    "fixed_size": "You count with blocks of 16 tokens; their size is `size`. {case}",
    "slots": "{case}",
    "floor": "A block that is begun is needed whole: round up, and you round down. {need}",
    "one_more": "You count one block too many: where n fills its blocks exactly, no further one is needed. {need}",
    "rounded": "You round to the nearest. A block that is begun is needed whole. {need}",
    "tokens": "You return tokens; divide by the size of a block. {need}",
    "held": "You count the blocks in the table. `needed` is about n tokens, whatever the sequence has. {need}",
    "missing": "You count the blocks that are missing. All that n tokens take are asked for, those in the table too. "
    "{need}",
    "of_positions": "You count by the positions. `needed` is about n tokens. {need}",
    "at_least_one": "No token, no block: for n = 0 the answer is 0. {need}",
    "needed": "{need}",
    "strict": "For {call} you raise {error}. All of these positions have a block.",
    "negative": "For {call} you return {came}: in Python table[-1] is the last block, so a negative position gets a "
    "slot, and maybe another sequence's. Raise an error.",
    "beyond": "For {call} you return {came}: position {position} has no block yet. Raise an error, or one sequence "
    "reads what another wrote.",
    "other_error": "For {call} you raise {error}. Make it a ValueError or an IndexError.",
    "case": "For {call} your slots are {got}, and they should be {want}.",
    "need": "For size = {size} and n = {n} you return {got}, and it should be {want}.",
    "call": "my_blocks({table}, {size}, {positions}, {n})",
}

Case = tuple[list[int], int, list[int], int]
Answer = tuple[list[int], int]

#: Tables in no order; sizes that are no powers of two, so that digits do not look alike. Not one is as in the pool.
CASES: tuple[Case, ...] = (
    ([7, 2, 5, 0], 4, [0, 3, 4, 9], 10),  # one block more than it needs yet
    ([3, 0, 8, 1], 5, [12, 0, 19, 7, 7], 20),  # exactly full; not sorted, one twice
    ([6, 4], 16, [31, 17, 16, 2], 18),
    ([9], 3, [1], 3),
    ([2, 5, 1], 1, [2, 0, 1], 3),
    ([4, 7], 8, [], 0),
    ([1, 2, 3, 0], 10, [39, 5, 20, 11], 34),
    ([11, 3], 6, [6, 7, 8, 9, 10, 11], 25),  # needs more than it has
    ([5, 3, 2, 9], 4, [13, 14, 15], 15),
)
#: (case, the position that has no slot)
OUTSIDE: tuple[tuple[Case, int], ...] = (
    (([7, 2, 5], 4, [12], 12), 12),
    (([3, 6], 5, [1, 9, 10], 11), 10),
    (([7, 2, 5], 4, [-1], 4), -1),
    (([3, 6], 5, [4, -7], 9), -7),
)


def check(my_blocks: Any) -> str | None:
    """None when right, else what is wrong."""
    answers: list[Answer] = []
    for case in CASES:
        try:
            got, diagnosis = _ask(my_blocks, case)
        except (ValueError, IndexError) as error:
            # a block looked up at the wrong place may be outside of the table: the cases before tell
            return _say(answers) or SAYS["strict"].format(call=_call(case), error=_name(error))
        if got is None:
            return diagnosis
        answers.append(got)
    return _say(answers) or _check_outside(my_blocks)


def _ask(my_blocks: Any, case: Case) -> tuple[Answer | None, str | None]:
    """The two answers, or None and why there are none."""
    table, size, positions, n = case
    given = {"table": list(table), "positions": list(positions)}
    came = my_blocks(given["table"], size, given["positions"], n)
    for name, before in (("table", table), ("positions", positions)):
        if given[name] != before:
            return None, SAYS["changed"].format(name=name)
    facts = {"call": _call(case), "came": told(came)}
    if not isinstance(came, tuple | list) or len(came) != 2:
        return None, SAYS["type"].format(**facts)
    slots, needed = as_ints(came[0]), probe.as_integer(came[1])
    if slots is not None and needed is not None:
        return (slots, needed), None
    if as_ints(came[1]) is not None and probe.as_integer(came[0]) is not None:
        return None, SAYS["order"]
    is_float = slots is not None and isinstance(came[1], float)
    return None, SAYS["float" if is_float else "type"].format(**facts | {"came": shown(came[1] if is_float else came)})


def _say(answers: list[Answer]) -> str | None:
    """What is wrong with the answers so far: slots before needed blocks."""
    cases = CASES[: len(answers)]
    for case, (slots, _) in zip(cases, answers, strict=True):
        want = definition(*case)[0]
        if slots != want:
            known = probe.recognise(cases, [got for got, _ in answers], SLOTS, _is_same)
            name = known[0] if known else "sorted" if sorted(slots) == sorted(want) else "slots"
            if len(slots) != len(want):
                facts = {"call": _call(case), "got_length": len(slots), "want_length": len(want)}
                return SAYS["length"].format(**facts)
            text = SAYS["case"].format(call=_call(case), got=short(slots), want=want)
            return SAYS[name].format(case=text)
    for case, (_, needed) in zip(cases, answers, strict=True):
        want_needed = definition(*case)[1]
        if needed != want_needed:
            known = probe.recognise(cases, [got for _, got in answers], NEEDS, lambda a, b: a == b)
            text = SAYS["need"].format(size=case[1], n=case[3], got=shown(needed), want=want_needed)
            return SAYS[known[0] if known else "needed"].format(need=text)
    return None


def _is_same(mistake: Sequence[int] | None, got: list[int]) -> bool:
    return mistake is not None and list(mistake) == got


def _check_outside(my_blocks: Any) -> str | None:
    """Positions that have no slot."""
    for case, position in OUTSIDE:
        facts = {"call": _call(case), "position": position}
        try:
            got, diagnosis = _ask(my_blocks, case)
        except (ValueError, IndexError):
            continue
        except NotImplementedError:
            raise
        except Exception as error:
            return SAYS["other_error"].format(error=_name(error), **facts)
        if got is None:
            return diagnosis
        return SAYS["negative" if position < 0 else "beyond"].format(came=shown(got), **facts)
    return None


def _name(error: Exception) -> str:
    return f"{type(error).__name__} ({str(error)[:80]})" if str(error) else type(error).__name__


def _call(case: Case) -> str:
    table, size, positions, n = case
    return SAYS["call"].format(table=table, size=size, positions=positions, n=n)


exercise = Exercise(name="blocks", notebook="05", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

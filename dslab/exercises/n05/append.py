"""Exercise `append`: the keys and values of new tokens go into buffers that are there already."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from dslab.exercises import probe
from dslab.exercises.display import shown
from dslab.exercises.exercise import Exercise
from dslab.exercises.n05.append_mistakes import PLACES, WRITES, definition
from dslab.exercises.n05.ints import as_ints, has_floats, short, told

TASK = """\
A cache that calls `torch.cat` for every token copies everything it holds to add one row. A cache that serves sets
its memory aside once, and then only writes.

Write `my_append(keys, values, k, v, length)`. `keys` and `values` are buffers of shape `(B, H, max, D)`, whose first
`length` places hold tokens; what lies behind is rubbish. `k` and `v`, of shape `(B, H, T, D)`, belong to the next
`T >= 1` tokens: one while decoding, many for a prompt. Write them **into the buffers**, behind what is there, and
touch nothing else.

Return the positions of the new tokens in the text, `T` ints (a list or a tensor): what RoPE rotates by. The first token
of a text has position 0.

Where the `T` tokens do not fit any more, raise a `ValueError` and leave both buffers as they were. Exactly full is
fine."""

STUB = '''\
def my_append(keys, values, k, v, length):
    """Write k, v (B, H, T, D) into the buffers (B, H, max, D) behind `length` tokens; return the T positions."""
    ...
'''

HINTS = (
    "How many tokens are new? k knows. Which places do they take? The first free one has the number `length`, because "
    "counting begins at 0. And a token's place in such a buffer is its position in the text too.",
    "With stop = length + k.shape[2], the places are length:stop in dimension 2, for all rows and heads. Assigning to "
    "a slice writes into the tensor itself. Look before you write whether stop is beyond keys.shape[2]: an empty slice "
    "takes a token without a word.",
    "Raise if stop > keys.shape[2]; then keys[:, :, length:stop] = k and values[:, :, length:stop] = v, and return "
    "torch.arange(length, stop).",
)

SOLUTION = """\
def my_append(keys, values, k, v, length):
    stop, places = length + k.shape[2], keys.shape[2]
    if stop > places:
        raise ValueError(f"{stop} tokens do not fit into {places} places")
    keys[:, :, length:stop] = k
    values[:, :, length:stop] = v
    return torch.arange(length, stop)
"""

SAYS = {
    "copied": "You return new tensors, and the buffers of the caller are as they were. Write into them: no torch.cat, "
    "no clone. {case}",
    "nothing": "Nothing is written into the buffers. {case}",
    "exchanged": "Keys and values are exchanged: k goes into keys, v into values. {case}",
    "same": "Both buffers get the same; k goes into keys, v into values. {case}",
    "only_keys": "The values are forgotten. {case}",
    "only_values": "The keys are forgotten. {case}",
    "start": "You write at the start of the buffer, over the first tokens. {case}",
    "behind": "You write one place too early, over the last token. The first free place is `length` itself. {case}",
    "ahead": "You write one place too late and leave a gap. The first free place is `length` itself. {case}",
    "end": "You write at the end of the buffer; the next free place is behind the tokens that are there. {case}",
    "batch": "The other rows of the batch are forgotten, or get what the first has. {case}",
    "heads": "The other heads are forgotten, or get what the first has. {case}",
    "first_token": "You write the first of the new tokens only. {case}",
    "last_token": "You write one of the new tokens only, the last. {case}",
    "backwards": "The new tokens arrive in the wrong order. {case}",
    "added": "You add to what lies in the buffer. It is rubbish: overwrite it. {case}",
    "cleared": "You set the rest of the buffer to zero. Nobody reads it, and it costs time at every token. {case}",
    "emptied": "You wipe out the tokens that were there. {case}",
    "shifted": "You shift the buffer to make room; the tokens before keep their places. {case}",
    "writes": "{case}",
    "returned": "The buffers are right. Return the positions alone: the caller holds the buffers already. You return "
    "{came}.",
    "type": "The buffers are right. What my_append returns should be T ints, the positions; for T = {T} it returned "
    "{came}.",
    "one": "You return one number for the positions, {came}; with T = {T} new tokens there are {T} of them, in a list.",
    "rows": "You return {came} for the positions. They are the same for all rows and heads: one dimension, T ints.",
    "floats": "Positions are ints, and you return {came}.",
    "restart": "Your positions begin at 0 again. To RoPE every new token would be the first of the text. {positions}",
    "early": "Your positions are one too small: the first token of a text has position 0, so after `length` tokens "
    "comes `length`. {positions}",
    "late": "Your positions are one too large: after `length` tokens, the last of which has position length - 1, comes "
    "`length`. {positions}",
    "all": "You return the positions of all tokens; only the new ones are asked for. {positions}",
    "free": "You return all free places; only T of them are taken. {positions}",
    "repeated": "You give all new tokens the same position. {positions}",
    "positions": "{positions}",
    "strict": "With max = {most}, length = {length} and T = {T} the tokens fit exactly, and you raise ValueError: "
    "{error}",
    "raises": "With max = {most}, length = {length} and T = {T} you raise ValueError: {error}. There is room.",
    "lost": "The buffers are full, and a token is lost without a word: keys[:, :, {most}:] is empty, and writing to it "
    "is no error. With max = {most}, length = {length} and T = {T} raise a ValueError.",
    "over": "With max = {most}, length = {length} and T = {T} you write over tokens that are still needed. Raise a "
    "ValueError.",
    "half": "With max = {most}, length = {length} and T = {T} you raise ValueError, but {which} changed before. Look "
    "first, then write.",
    "other_error": "With max = {most}, length = {length} and T = {T} you raise {error}. Make it a ValueError, which "
    "tells the caller what happened.",
    "written": "With buffers of shape {shape}, length = {length} and T = {T} you change {got} of `{which}`, and it "
    "should be {want}.",
    "content": "With buffers of shape {shape}, length = {length} and T = {T} `{which}` does not hold at [{b}, {h}, "
    "{place}] what it should.",
    "returned_positions": "With length = {length} and T = {T} you return {got}, and it should be {want}.",
    "place": "place {places}",
    "places": "places {places}",
    "none": "nothing",
}

Facts = tuple[int, int, int, int, int, int]  # rows, heads, max, dim, length, new tokens
FITTING: tuple[Facts, ...] = (
    (2, 3, 8, 4, 5, 1),
    (3, 2, 10, 2, 4, 3),
    (2, 2, 9, 4, 0, 4),  # a prompt
    (2, 2, 6, 4, 4, 2),  # exactly full
    (3, 2, 5, 6, 4, 1),
    (1, 4, 40, 2, 17, 6),
)
FULL: tuple[Facts, ...] = ((2, 2, 6, 4, 6, 1), (2, 2, 6, 4, 4, 3), (1, 2, 5, 2, 5, 2))
NAMES = ("keys", "values")


@functools.cache
def _draw(case: Facts) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """keys, values, k, v from a generator of their own; no number occurs twice."""
    rows, heads, most, dim, _, new = case
    random = torch.Generator().manual_seed(FITTING.index(case) if case in FITTING else 99)
    shapes = ((rows, heads, most, dim),) * 2 + ((rows, heads, new, dim),) * 2
    keys, values, k, v = (torch.randn(shape, generator=random) for shape in shapes)
    return keys, values, k, v


class _Asked:
    """What one call did: the buffers afterwards, what it returned or raised, what was wrong with k and v."""

    def __init__(self, my_append: Any, case: Facts) -> None:
        self.case = case
        self.given = _draw(case)
        parts = [part.clone() for part in self.given]
        self.after, self.came, self.error = parts[:2], None, None
        try:
            with probe.settings_kept():
                self.came = my_append(*parts, case[4])
        except NotImplementedError:
            raise
        except Exception as error:
            self.error = error
        changed = [name for name, old, new in zip("kv", self.given[2:], parts[2:], strict=True) if not _same(old, new)]
        self.changed = probe.CHANGED.format(name=changed[0]) if changed else None

    def wanted(self, which: int) -> Tensor:
        return definition(self.given[which], self.given[2 + which], self.case[4])

    def is_written(self, which: int) -> bool:
        return _same(self.after[which], self.wanted(which))

    def is_untouched(self, which: int) -> bool:
        return _same(self.after[which], self.given[which])


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)


def check(my_append: Any) -> str | None:
    """None when right, else what is wrong."""
    return _check_fitting(my_append) or _check_full(my_append)


def _check_fitting(my_append: Any) -> str | None:
    asked: list[_Asked] = []
    for case in FITTING:
        one = _Asked(my_append, case)
        if one.error is not None:
            # an earlier case may say what is wrong; where a place is one too late, only the last place raises
            told = _say_written(asked) or _say_positions(asked)
            if told or not isinstance(one.error, ValueError):
                if told:
                    return told
                raise one.error
            facts = _facts(one)
            return SAYS["strict" if facts["length"] + facts["T"] == facts["most"] else "raises"].format(**facts)
        if one.changed:
            return one.changed
        asked.append(one)
    return _say_written(asked) or _say_positions(asked)


def _say_written(asked: list[_Asked]) -> str | None:
    for one in asked:
        for which in (0, 1):
            if not one.is_written(which):
                return _name_written(asked).format(case=_case(one, which))
    return None


def _name_written(asked: list[_Asked]) -> str:
    """The sentence for buffers that are wrong."""
    if all(one.is_untouched(0) and one.is_untouched(1) for one in asked):
        return SAYS["copied" if any(map(_holds_buffer, asked)) else "nothing"]
    for which, name in ((0, "only_keys"), (1, "only_values")):
        if all(one.is_written(which) and one.is_untouched(1 - which) for one in asked):
            return SAYS[name]
    crossed = [
        [_same(one.after[which], definition(one.given[which], one.given[3 - which], one.case[4])) for one in asked]
        for which in (0, 1)
    ]
    if all(map(all, crossed)):
        return SAYS["exchanged"]
    if any(map(all, crossed)):
        return SAYS["same"]
    which = 0 if not all(one.is_written(0) for one in asked) else 1
    cases = [(one.given[which], one.given[2 + which], one.case[4]) for one in asked]
    known = probe.recognise(cases, [one.after[which] for one in asked], WRITES, _same)
    return SAYS[known[0] if known else "writes"]


def _holds_buffer(one: _Asked) -> bool:
    parts = one.came if isinstance(one.came, tuple | list) else (one.came,)
    return any(isinstance(part, Tensor) and part.ndim == 4 for part in parts)


def _case(one: _Asked, which: int) -> str:
    """Which places were written and which should have been, or the first entry that is wrong."""
    before, after, want = one.given[which], one.after[which], one.wanted(which)
    facts = _facts(one) | {"which": NAMES[which]}
    if after.shape != before.shape:
        return SAYS["written"].format(got=shown(after), want=_places(before, want), **facts)
    if _places(before, after) != _places(before, want):
        return SAYS["written"].format(got=_places(before, after), want=_places(before, want), **facts)
    b, h, place, _ = (after != want).nonzero()[0].tolist()
    return SAYS["content"].format(b=b, h=h, place=place, **facts)


def _places(before: Tensor, after: Tensor) -> str:
    changed = (before != after).any(dim=3).any(dim=0).any(dim=0).nonzero().flatten().tolist()
    name = "none" if not changed else "place" if len(changed) == 1 else "places"
    return SAYS[name].format(places=changed[0] if len(changed) == 1 else changed)


def _facts(one: _Asked) -> dict[str, Any]:
    *_, length, new = one.case
    shape = tuple(one.given[0].shape)
    return {"shape": shape, "most": shape[2], "length": length, "T": new, "error": str(one.error)[:80]}


def _say_positions(asked: list[_Asked]) -> str | None:
    answers = []
    for one in asked:
        got = as_ints(one.came)
        if got is None:
            return _say_type(one)
        answers.append(got)
    cases = [one.case for one in asked]
    for one, got in zip(asked, answers, strict=True):
        want = list(range(one.case[4], one.case[4] + one.case[5]))
        if got != want:
            known = probe.recognise(cases, answers, PLACES, lambda a, b: list(a) == b)
            text = SAYS["returned_positions"].format(got=short(got), want=want, **_facts(one))
            return SAYS[known[0] if known else "positions"].format(positions=text)
    return None


def _say_type(one: _Asked) -> str:
    facts = {"T": one.case[5], "came": told(one.came)}
    if _holds_buffer(one):
        return SAYS["returned"].format(**facts)
    if probe.as_integer(one.came) is not None:
        return SAYS["one"].format(**facts)
    tensor = probe.as_tensor(one.came)
    if tensor is not None and tensor.ndim > 1:
        return SAYS["rows"].format(**facts)
    return SAYS["floats" if has_floats(one.came) else "type"].format(**facts)


def _check_full(my_append: Any) -> str | None:
    for case in FULL:
        one = _Asked(my_append, case)
        untouched = [one.is_untouched(which) for which in (0, 1)]
        facts = _facts(one)
        if isinstance(one.error, ValueError):
            if not all(untouched):
                return SAYS["half"].format(which=f"`{NAMES[untouched.index(False)]}`", **facts)
        elif one.error is not None:
            return SAYS["other_error"].format(**facts | {"error": type(one.error).__name__})
        else:
            return SAYS["lost" if all(untouched) else "over"].format(**facts)
    return None


exercise = Exercise(name="append", notebook="05", task=TASK, hints=HINTS, solution=SOLUTION, check=check)

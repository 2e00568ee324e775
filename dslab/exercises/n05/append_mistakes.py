"""Exercise `append`: what the usual mistakes write into a buffer, and which positions they return."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Write = Callable[[Tensor, Tensor, int], Tensor]  # (buffer before, new, length) -> buffer afterwards


def definition(before: Tensor, new: Tensor, length: int) -> Tensor:
    """(B, H, max, D): token by token."""
    after = before.clone()
    for i in range(new.shape[2]):
        after[:, :, length + i] = new[:, :, i]
    return after


def _at(place: Callable[[int, int, int], int]) -> Write:
    """Written elsewhere: place(length, T, max) is the first place. What does not fit is cut off."""

    def write(before: Tensor, new: Tensor, length: int) -> Tensor:
        after, start = before.clone(), place(length, new.shape[2], before.shape[2])
        room = after[:, :, max(start, 0) :][:, :, : new.shape[2]]
        room.copy_(new[:, :, : room.shape[2]])
        return after

    return write


def _with(change: Callable[[Tensor, Tensor], Tensor]) -> Write:
    """The right place, other contents: change(what lies there, new)."""

    def write(before: Tensor, new: Tensor, length: int) -> Tensor:
        there = before[:, :, length : length + new.shape[2]]
        return definition(before, change(there, new), length)

    return write


def _first(dim: int, spread: bool) -> Write:
    """Only the first row or head is written, or all get what it has."""

    def change(there: Tensor, new: Tensor) -> Tensor:
        first = new.narrow(dim, 0, 1)
        rest = there.narrow(dim, 1, there.shape[dim] - 1)
        return first.expand_as(new) if spread else torch.cat([first, rest], dim)

    return _with(change)


def _token(which: int) -> Write:
    """One of the new tokens, at the first free place."""
    return lambda before, new, length: definition(before, new[:, :, which:][:, :, :1], length)


def _cleared(before: Tensor, new: Tensor, length: int) -> Tensor:
    after = definition(before, new, length)
    after[:, :, length + new.shape[2] :] = 0
    return after


def _emptied(before: Tensor, new: Tensor, length: int, rest: bool) -> Tensor:
    after = definition(before if rest else torch.zeros_like(before), new, length)
    after[:, :, :length] = 0
    return after


def _shifted(before: Tensor, new: Tensor, length: int) -> Tensor:
    return torch.cat([before, new], dim=2)[:, :, new.shape[2] :]


def _spread(before: Tensor, new: Tensor, length: int) -> Tensor:
    """One of the new tokens at all the new places."""
    return definition(before, new[:, :, -1:].expand_as(new), length)


WRITES: tuple[tuple[str, Write], ...] = (
    ("start", _at(lambda length, new, most: 0)),
    ("behind", _at(lambda length, new, most: length - 1)),
    ("ahead", _at(lambda length, new, most: length + 1)),
    ("end", _at(lambda length, new, most: most - new)),
    ("batch", _first(0, spread=False)),
    ("batch", _first(0, spread=True)),
    ("heads", _first(1, spread=False)),
    ("heads", _first(1, spread=True)),
    ("first_token", _token(0)),
    ("last_token", _token(-1)),
    ("last_token", _spread),
    ("backwards", _with(lambda there, new: new.flip(2))),
    ("added", _with(lambda there, new: there + new)),
    ("cleared", _cleared),
    ("emptied", lambda before, new, length: _emptied(before, new, length, rest=False)),
    ("emptied", lambda before, new, length: _emptied(before, new, length, rest=True)),
    ("shifted", _shifted),
)

#: Positions of a case (rows, heads, max, dim, length, new).
PLACES: tuple[tuple[str, Callable[..., Iterable[int]]], ...] = (
    ("restart", lambda *case: range(case[5])),
    ("early", lambda *case: range(case[4] - 1, case[4] - 1 + case[5])),
    ("early", lambda *case: [max(0, place) for place in range(case[4] - 1, case[4] - 1 + case[5])]),
    ("late", lambda *case: range(case[4] + 1, case[4] + 1 + case[5])),
    ("all", lambda *case: range(case[4] + case[5])),
    ("free", lambda *case: range(case[4], case[2])),
    ("repeated", lambda *case: [case[4]] * case[5]),
    ("repeated", lambda *case: [case[4] + case[5] - 1] * case[5]),
)

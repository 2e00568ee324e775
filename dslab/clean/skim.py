"""Step over a JSON array or object without building it: flat memory, any depth, linear time.

A parser turns 64 MB of `[[],[],...]` into two gigabytes of lists, and gives up 1000 levels deep. For a value that
is only passed through, its end is all that is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from json.decoder import scanstring  # type: ignore[attr-defined]

_SPACE = r"[ \t\n\r]*"
_SIMPLE = r'"[^"\\\x00-\x1f]*"'  # a string without escapes
# What Python's parser takes for a number or a constant; NaN and Infinity are in many corpora written by Python.
_ATOM = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null|NaN|-?Infinity"
_FLAT = rf"(?:{_ATOM}|{_SIMPLE}|\[{_SPACE}\]|\{{{_SPACE}\}})"
_space = re.compile(_SPACE).match
_colon = re.compile(rf"{_SPACE}:").match
_atom = re.compile(_ATOM).match
# Most values are flat. Up to 1000 of them, each with its comma, are taken in one step; without a bound the matcher
# would remember every repetition, and memory would not stay flat.
_flat_items = re.compile(rf"(?:{_SPACE}{_FLAT}{_SPACE},){{0,1000}}").match
_flat_members = re.compile(rf"(?:{_SPACE}{_SIMPLE}{_SPACE}:{_SPACE}{_FLAT}{_SPACE},){{0,1000}}").match
_CLOSER = {ord("["): "]", ord("{"): "}"}


def skim(row: str, at: int) -> int:
    """The index after the JSON value that begins at row[at].

    Raises ValueError without any of the text, or IndexError where the row ends too early.

    >>> skim('[1, {"a": []}], 2', 0)
    14
    """
    stack = bytearray()
    while True:
        if stack and stack[-1] == ord("["):
            at = _end(_flat_items, row, at)
        at = _end(_space, row, at)
        opening = row[at]
        if opening in "[{":
            stack.append(ord(opening))
            inside = _end(_space, row, at + 1)
            if row[inside] != _CLOSER[stack[-1]]:
                at = inside if opening == "[" else _key(row, inside)
                continue
            stack.pop()
            at = inside + 1
        elif opening == '"':
            at = scanstring(row, at + 1, True)[1]
        else:
            atom = _atom(row, at)
            if atom is None:
                raise ValueError("no JSON value")
            at = atom.end()
        while stack:
            at = _end(_space, row, at)
            mark = row[at]
            if mark == ",":
                at = at + 1 if stack[-1] == ord("[") else _key(row, at + 1)
                break
            if mark != _CLOSER[stack[-1]]:
                raise ValueError("neither a comma nor the right bracket")
            stack.pop()
            at += 1
        else:
            return at


def _key(row: str, at: int) -> int:
    """The index after the next `"key":` that is not part of a flat member."""
    at = _end(_space, row, _end(_flat_members, row, at))
    if row[at] != '"':
        raise ValueError("no key")
    colon = _colon(row, scanstring(row, at + 1, True)[1])
    if colon is None:
        raise ValueError("no colon after a key")
    return colon.end()


def _end(pattern: Callable[[str, int], re.Match[str] | None], row: str, at: int) -> int:
    """The index after a match of a pattern that may be empty."""
    match = pattern(row, at)
    return match.end() if match else at

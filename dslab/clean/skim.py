"""Step over a JSON array or object without building it: flat memory, any depth, linear time.

A parser turns 64 MB of `[[],[],...]` into two gigabytes of lists, and gives up 1000 levels deep. For a value that
is only passed through, its end is all that is needed.
"""

from __future__ import annotations

import re
from json.decoder import scanstring  # type: ignore[attr-defined]

_space = re.compile(r"[ \t\n\r]*").match
_colon = re.compile(r"[ \t\n\r]*:").match
# What Python's parser takes for a number or a constant; NaN and Infinity are in many corpora written by Python.
_atom = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null|NaN|-?Infinity").match
_CLOSER = {ord("["): "]", ord("{"): "}"}


def skim(row: str, at: int) -> int:
    """The index after the JSON value that begins at row[at].

    Raises ValueError without any of the text, or IndexError where the row ends too early.

    >>> skim('[1, {"a": []}], 2', 0)
    14
    """
    stack = bytearray()
    while True:
        at = _skip_space(row, at)
        opening = row[at]
        if opening in "[{":
            stack.append(ord(opening))
            inside = _skip_space(row, at + 1)
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
            at = _skip_space(row, at)
            mark = row[at]
            if mark == ",":
                at = _skip_space(row, at + 1)
                if stack[-1] == ord("{"):
                    at = _key(row, at)
                break
            if mark != _CLOSER[stack[-1]]:
                raise ValueError("neither a comma nor the right bracket")
            stack.pop()
            at += 1
        else:
            return at


def _skip_space(row: str, at: int) -> int:
    space = _space(row, at)
    return space.end() if space else at


def _key(row: str, at: int) -> int:
    """The index after `"key":`."""
    if row[at] != '"':
        raise ValueError("no key")
    colon = _colon(row, scanstring(row, at + 1, True)[1])
    if colon is None:
        raise ValueError("no colon after a key")
    return colon.end()

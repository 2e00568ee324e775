"""How checkers show a value that came back: as the learner would type it, if that is short."""

from __future__ import annotations

from typing import Any

from dslab.exercises import probe

LONGEST = 60
_PLAIN = (str, bytes, bool, int, float, tuple, list, set)


def shown(value: Any) -> str:
    """Short plain things as they are, the rest in words.

    >>> shown("138"), shown(("138", "0013")), shown(object()), shown("1" * 100)
    ("'138'", "('138', '0013')", 'a object', 'a str of length 100')
    """
    if value is None or not isinstance(value, _PLAIN):
        return probe.describe(value)
    if len(repr(value)) <= LONGEST:
        return ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    length = f" of length {len(value)}" if hasattr(value, "__len__") else ""
    return probe.describe(value) + length

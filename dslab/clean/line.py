"""One JSON line: read its text, and put another text in its place without touching a byte around it.

A row that is parsed and dumped again comes back changed: 1.10 turns into 1.1, 12345678901234567890.5 into
1.2345678901234567e+19, \\/ into /, and of two equal keys one is gone. So a row is parsed only to read its text. Where
that is to change, the top-level keys are walked with the scanner of the standard library, which gives the place of
every value, and only the text value is written anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from json.decoder import scanstring  # type: ignore[attr-defined]

from dslab.clean.skim import skim

BAD_UTF8 = "bad UTF-8"
MALFORMED = "malformed JSON"
NOT_OBJECT = "not a JSON object"
DUPLICATE_KEY = "duplicate text key"
MISSING = "no text"
NULL = "text is null"
NOT_STRING = "text is not a string"
TOO_LONG = "row too long"

SKIM_CHARS = 4 << 20  # in a longer row, arrays and objects that are passed through are not built

# Numbers are only skipped: int() refuses more than 4300 digits and is quadratic in them; len is neither. Pairs are
# kept as they come, because a dict would hide a second text key.
_scan = json.JSONDecoder(parse_int=len, parse_float=len, object_pairs_hook=list).scan_once  # type: ignore[attr-defined]
_SPACE = "[ \t\n\r]*"
_open = re.compile(rf'{_SPACE}\{{{_SPACE}(?:"|(\}}))').match
_colon = re.compile(rf"{_SPACE}:{_SPACE}").match
_next = re.compile(rf'{_SPACE}(?:,{_SPACE}"|(\}}))').match
_surrogate = re.compile("[\ud800-\udfff]")

Scanner = Callable[[str, int], tuple[object, int]]
Member = tuple[str, object, int, int]


def read_text(line: bytes, column: str) -> tuple[str, str]:
    """(the text, "") of one line, or ("", the reason why it has none).

    >>> read_text(b'{"id": 1.10, "text": "a\\\\/b"}', "text")
    ('a/b', '')
    >>> read_text(b'{"id": 1.10, "text": null}', "text")
    ('', 'text is null')
    """
    try:
        row = line.decode("utf-8")
    except UnicodeDecodeError:
        return "", BAD_UTF8
    start = 0 if row.startswith("{") else len(row) - len(row.lstrip(" \t\n\r"))
    if not row.startswith("{", start):
        return "", NOT_OBJECT
    try:
        values = _values(row, start, column)
    except (ValueError, IndexError, StopIteration):  # ValueError: JSONDecodeError, whose text is the whole row
        return "", MALFORMED
    if len(values) == 1:
        value = values[0]
        if isinstance(value, str):
            return value, ""
        return "", NULL if value is None else NOT_STRING
    return "", DUPLICATE_KEY if values else MISSING


def _values(row: str, start: int, column: str) -> list[object]:
    """What stands under the top-level key `column`, as often as it is there."""
    if len(row) <= SKIM_CHARS:
        with suppress(RecursionError):  # some 1000 levels deep: `skim` has no such limit
            pairs, end = _scan(row, start)
            if row[end:].strip(" \t\n\r"):
                raise ValueError("more after the object")
            return [value for key, value in pairs if key == column]
    return [value for key, value, _, _ in _members(row, _lean) if key == column]


def _members(row: str, scan: Scanner) -> list[Member]:
    """(key, value, its start, its end) of every top-level member; row[start:end] is the value as it is written.

    Raises ValueError, IndexError or StopIteration where the row is not one JSON object.
    """
    members: list[Member] = []
    mark = _open(row)
    while mark and not mark[1]:
        key, at = scanstring(row, mark.end(), True)
        colon = _colon(row, at)
        if colon is None:
            raise ValueError("no colon after a key")
        value, at = scan(row, colon.end())
        members.append((key, value, colon.end(), at))
        mark = _next(row, at)
    if mark is None or row[mark.end() :].strip(" \t\n\r"):
        raise ValueError("not one object")
    return members


def _lean(row: str, begin: int) -> tuple[object, int]:
    """The value at row[begin] and the index after it; of an array or object, which is not built, only a stand-in."""
    return (Ellipsis, skim(row, begin)) if row[begin] in "[{" else _scan(row, begin)


def splice(line: bytes, column: str, text: str) -> bytes:
    """`line`, which `read_text` could read, with `text` for its text; every other byte as it was.

    >>> splice(b'{"id": 1.10, "text": "abc" }', "text", "x")
    b'{"id": 1.10, "text": "x" }'
    """
    row = line.decode("utf-8")
    start, end = next((start, end) for key, _, start, end in _members(row, _lean) if key == column)
    old = row[start:end]
    # Who wrote the value in pure ASCII with escapes gets it back so.
    new = json.dumps(text, ensure_ascii=old.isascii() and "\\u" in old)
    if not new.isascii():  # a lone surrogate has no UTF-8: it can only stand as an escape
        new = _surrogate.sub(lambda hit: f"\\u{ord(hit.group()):04x}", new)
    return f"{row[:start]}{new}{row[end:]}".encode()

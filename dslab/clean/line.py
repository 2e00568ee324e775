"""One JSON line: find the text value, and put another in its place without touching a byte around it.

A row that is parsed and dumped again comes back changed: 1.10 turns into 1.1, 12345678901234567890.5 into
1.2345678901234567e+19, \\/ into /, and of two equal keys one is gone. So the top-level keys are walked with the
scanner of the standard library, which gives the place of every value, and only the text value is ever written anew.
"""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import NamedTuple

BAD_UTF8 = "bad UTF-8"
MALFORMED = "malformed JSON"
TOO_DEEP = "nested too deeply"
NOT_OBJECT = "not a JSON object"
DUPLICATE_KEY = "duplicate text key"
MISSING = "no text"
NULL = "text is null"
NOT_STRING = "text is not a string"
TOO_LONG = "row too long"

_SPACE = "[ \t\n\r]*"
_OPEN = re.compile(rf'{_SPACE}\{{{_SPACE}(?:"|(\}}))').match
_COLON = re.compile(rf"{_SPACE}:{_SPACE}").match
_NEXT = re.compile(rf'{_SPACE}(?:,{_SPACE}"|(\}}))').match
_END = re.compile(rf"{_SPACE}\Z").match
_SURROGATE = re.compile("[\ud800-\udfff]")
# Numbers are only skipped: int() refuses more than 4300 digits and is quadratic in them, len is neither.
_scan = json.JSONDecoder(parse_int=len, parse_float=len).scan_once  # type: ignore[attr-defined]


class Found(NamedTuple):
    """row[start:end] is the text value as it is written, quotes included; `text` is what it says."""

    row: str
    start: int
    end: int
    text: str


def find_text(line: bytes, column: str) -> Found | str:
    """The text value of one line, or the reason why it has none.

    >>> find_text(b'{"id": 1.10, "text": "a\\\\/b"}', "text")
    Found(row='{"id": 1.10, "text": "a\\\\/b"}', start=21, end=27, text='a/b')
    >>> find_text(b'{"id": 1.10, "text": null}', "text")
    'text is null'
    """
    try:
        row = line.decode("utf-8")
    except UnicodeDecodeError:
        return BAD_UTF8
    try:
        return _walk(row, column)
    except RecursionError:
        return TOO_DEEP
    except (ValueError, StopIteration):  # ValueError: JSONDecodeError, whose text is the whole row
        return MALFORMED


def _walk(row: str, column: str) -> Found | str:
    opened = _OPEN(row)
    if opened is None:
        return MALFORMED if row.lstrip(" \t\n\r").startswith("{") else NOT_OBJECT
    at = opened.end()
    text: object = None
    start = end = hits = 0
    closed = opened.group(1)
    while not closed:
        key, at = scanstring(row, at, True)
        colon = _COLON(row, at)
        if colon is None:
            return MALFORMED
        begin = colon.end()
        value, at = _scan(row, begin)
        if key == column:
            hits += 1
            text, start, end = value, begin, at
        after = _NEXT(row, at)
        if after is None:
            return MALFORMED
        at = after.end()
        closed = after.group(1)
    if not _END(row, at):
        return MALFORMED
    if hits > 1:
        return DUPLICATE_KEY
    if not hits:
        return MISSING
    if row[start] != '"':
        return NULL if text is None else NOT_STRING
    return Found(row, start, end, str(text))


def splice(found: Found, text: str) -> bytes:
    """The line with `text` in place of the text value; every other byte as it was.

    >>> splice(find_text(b'{"id": 1.10, "text": "abc" }', "text"), "x")
    b'{"id": 1.10, "text": "x" }'
    """
    old = found.row[found.start : found.end]
    # Who wrote the value in pure ASCII with escapes gets it back so.
    new = json.dumps(text, ensure_ascii=old.isascii() and "\\u" in old)
    if not new.isascii():  # a lone surrogate has no UTF-8: it can only stand as an escape
        new = _SURROGATE.sub(lambda hit: f"\\u{ord(hit.group()):04x}", new)
    return f"{found.row[: found.start]}{new}{found.row[found.end :]}".encode()

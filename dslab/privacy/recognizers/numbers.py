"""Numbers with a check or a fixed plan: resident IDs, payment cards, Chinese mobiles, US social security numbers.

All are read from runs of digits (see runs.py), from the left, the strongest evidence first, and a value that is taken
is not read again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dslab.privacy import checksums
from dslab.privacy.recognizers import cards, mobiles
from dslab.privacy.recognizers.base import Document
from dslab.privacy.recognizers.runs import Chunk, Groups, chunks
from dslab.privacy.spans import Span

_SSN_SHAPES = frozenset(((3, 2, 4), (9,)))
_SSN_LABELS = frozenset(("ssn",))
_SSN_NOT = frozenset(("phone", "card", "order", "goods", "device", "version", "time", "money", "qq", "passport"))


def find(document: Document) -> Iterable[Span]:
    """CN_ID, CARD, CN_MOBILE and US_SSN in one reading of the runs."""
    return _all(document) if document.signs.has_digit else ()


def _all(document: Document) -> Iterator[Span]:
    for groups in document.spots.runs:
        if groups[-1][1] - groups[0][0] >= 9:
            yield from _read(document, groups)


def _read(document: Document, groups: Groups) -> Iterator[Span]:
    taken = 0
    for first, found in chunks(document.text, groups):
        if groups[first][0] < taken:
            continue
        best: Span | None = None
        for chunk in found:
            for lengths, reader in _READERS:
                span = reader(document, chunk) if len(chunk.digits) in lengths else None
                if span and (best is None or (span.score, span.end) > (best.score, best.end)):
                    best = span
        if best:
            taken = best.end
            yield best


def _cn_id(document: Document, chunk: Chunk) -> Span | None:
    """18 signs: region, date of birth, serial, check sign. The check sign X ends the digits."""
    if "CN_ID" not in document.types or len(chunk.digits) not in (17, 18):
        return None
    digits, end, text = chunk.digits, chunk.end, document.text
    if len(digits) == 17:
        sign = _X.match(text, end)
        if not sign:
            return None
        digits, end = digits + "X", sign.end()
    if not checksums.cn_id(digits):
        return None
    if _joins_left(text, chunk.start) or (text[end : end + 1].isascii() and text[end : end + 1].isdigit()):
        return None
    if chunk.before in (".",) or (chunk.after == "." and len(chunk.digits) == 18):
        return None
    return Span(chunk.start, end, "CN_ID", 1.0, "cn_id:pattern+date+checksum")


_X = re.compile(r"[ \-]?\r?\n?[Xx](?![0-9A-WYZa-wyz])")


def _joins_left(text: str, start: int) -> bool:
    """Is the sign before a digit or a code's letter? A word glued to a number (id110105...) is no code."""
    if start == 0 or not (text[start - 1].isascii() and text[start - 1].isalnum()):
        return False
    word = _WORD_LEFT.search(text, max(0, start - 12), start)
    return word is None


_WORD_LEFT = re.compile(r"(?<![0-9A-Za-z])[A-Za-z]{2,11}\Z")


def _ssn(document: Document, chunk: Chunk) -> Span | None:
    """3-2-4 digits. With dashes the shape is enough; with spaces, dots, none or a line break, a label must say so."""
    if "US_SSN" not in document.types or len(chunk.digits) != 9 or not chunk.is_whole:
        return None
    digits, text = chunk.digits, document.text
    if digits[:3] in ("000", "666") or digits[0] == "9" or digits[3:5] == "00" or digits[5:] == "0000":
        return None
    if _touches(text, chunk.start, chunk.end):
        return None
    dashed = chunk.shape == (3, 2, 4) and chunk.joints == ("-", "-")
    if dashed and not chunk.has_break and document.policy == "recall":
        if document.is_denied(chunk.start, chunk.end, _SSN_NOT):
            return None
        return Span(chunk.start, chunk.end, "US_SSN", 0.85, "us_ssn:pattern")
    has_shape = chunk.shape in _SSN_SHAPES or chunk.is_spelled or (chunk.has_break and chunk.unbroken in _SSN_SHAPES)
    if not has_shape or not document.is_called(chunk.start, chunk.end, _SSN_LABELS):
        return None
    return Span(chunk.start, chunk.end, "US_SSN", 0.9, "us_ssn:pattern+context")


def _touches(text: str, start: int, end: int) -> bool:
    """Is the value glued to ASCII letters, digits, or by a dash or underscore to a code?"""
    return _CODE_LEFT.search(text, max(0, start - 4), start) is not None or _CODE_RIGHT.match(text, end) is not None


_CODE_LEFT = re.compile(r"(?:(?<![Ss][Ss][Nn])(?<=[0-9A-Za-z])|[0-9A-Za-z][-_.])\Z")
_CODE_RIGHT = re.compile(r"[0-9A-Za-z]|[-_.][0-9A-Za-z]")
_READERS = (
    (frozenset((17, 18)), _cn_id),
    (frozenset(range(12, 20)), cards.read),
    (frozenset((11, 13, 15)), mobiles.read),
    (frozenset((9,)), _ssn),
)

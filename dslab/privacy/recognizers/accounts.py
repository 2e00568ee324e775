"""Codes of letters and digits with a check: IBAN and the Chinese unified social credit code.

Both hold a long stretch of digits, so they are looked for around the runs. Where a code is broken into pieces, by a
scanner or by a careful hand, one code in 97 (or 31) passes by chance: the pieces must then be the usual ones, or a
label must say what it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dslab.privacy import checksums
from dslab.privacy.recognizers.base import Document
from dslab.privacy.recognizers.runs import Groups
from dslab.privacy.spans import Span

_PIECE_GAP = r"(?:[ \-]|  {1,2}|[ \-]?\r?\n[ \t]{0,8})?"
_IBAN_START = re.compile(rf"(?<![0-9A-Za-z])[A-Za-z]{_PIECE_GAP}[A-Za-z]{_PIECE_GAP}[0-9]{_PIECE_GAP}[0-9]")
_IBAN = re.compile(rf"[A-Za-z](?:{_PIECE_GAP}[0-9A-Za-z]){{14,33}}")
# A line of bytes, a UUID: groups of the same signs go on before or behind.
_BYTES_LEFT = re.compile(r"[0-9A-Fa-f]{4}[ \-]\Z")
_BYTES_RIGHT = re.compile(r"[ \-][0-9A-Fa-f]{4}")
_BYTES = re.compile(r"[0-9A-Fa-f \-]+")
_USCC = re.compile(rf"[0-9A-Za-z](?:{_PIECE_GAP}[0-9A-Za-z]){{17}}(?![0-9A-Za-z])")
_USCC_SIGNS = re.compile(r"[1-9ANY][1-9ANY][0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
_PIECES = re.compile("[0-9A-Za-z]+")
_USUAL_PIECES = frozenset(
    (
        (18,),
        (8, 9, 1),
        (2, 6, 9, 1),
        (4, 4, 4, 4, 2),
        (6, 6, 6),
        (2, 6, 10),
        (8, 10),
        (3, 3, 3, 3, 3, 3),
        (2, 4, 4, 4, 4),
        (9, 9),
    )
)
_COMPANIES = ("91", "92", "93", "12", "51", "52", "53", "11", "13", "54", "31", "71", "81", "19", "59", "55")
_LABELS = frozenset(("uscc",))
_NOT = frozenset(("order", "goods", "device", "time", "version", "key", "card"))


def find(document: Document) -> Iterable[Span]:
    """IBAN and USCC."""
    return _all(document) if document.signs.has_digit else ()


def _all(document: Document) -> Iterator[Span]:
    ibans, usccs = "IBAN" in document.types, "USCC" in document.types
    taken = 0
    if ibans:
        yield from _ibans(document)
    if usccs:
        for groups in document.spots.runs:
            for span in _usccs(document, groups, taken):
                taken = span.end
                yield span


def _ibans(document: Document) -> Iterator[Span]:
    """IBANs around runs and mixed places: the country stands at most 24 signs before; no sign is looked at twice."""
    places = sorted(
        [(groups[0][0], groups[-1][1]) for groups in document.spots.runs] + [(m, m + 2) for m in document.spots.mixed]
    )
    seen = taken = 0
    for first, last in places:
        begin, stop = max(first - 24, seen), last
        if begin < stop:
            seen = max(begin, stop - 5)
            for span in _ibans_in(document, begin, stop, taken):
                taken = span.end
                yield span


def _ibans_in(document: Document, begin: int, stop: int, taken: int) -> Iterator[Span]:
    text = document.text
    for match in _IBAN_START.finditer(text, begin, stop):
        start = match.start()
        if start < taken:
            continue
        length = checksums.IBAN_LENGTHS.get("".join(_PIECES.findall(match[0]))[:2].upper())
        body = _IBAN.match(text, start)
        end = _advance(text, start, length, body.end()) if length and body else None
        if end is None or _is_alnum(text[end : end + 1]):
            continue
        value = text[start:end]
        if not checksums.iban("".join(_PIECES.findall(value)).upper()):
            continue
        pieces = [len(piece) for piece in _PIECES.findall(value)]
        usual = len(pieces) == 1 or set(pieces[:-1]) == {4} or set(pieces[1:-1]) == {4}
        is_bytes = _BYTES.fullmatch(value) and (
            _BYTES_LEFT.search(text, max(0, start - 5), start) or _BYTES_RIGHT.match(text, end)
        )
        if (not usual or is_bytes) and not document.is_called(start, end, frozenset(("iban", "card")), 40):
            continue
        taken = end
        yield Span(start, end, "IBAN", 1.0, "iban:pattern+length+checksum")


def _usccs(document: Document, groups: Groups, taken: int) -> Iterator[Span]:
    """USCCs that start at a group of a run, or one letter before it (A, N, Y)."""
    text = document.text
    for first, _ in groups:
        if first < taken or text[first] == "0":
            continue
        start = first
        if first and _is_alnum(text[first - 1]):
            start = first - 1
            if text[start] not in "ANYany" or (start and _is_alnum(text[start - 1])):
                continue
        match = _USCC.match(text, start)
        if not match:
            continue
        span = _uscc(document, start, match.end())
        if span:
            taken = span.end
            yield span


def _uscc(document: Document, start: int, end: int) -> Span | None:
    text = document.text
    pieces = _PIECES.findall(text[start:end])
    code = "".join(pieces).upper()
    if not _USCC_SIGNS.fullmatch(code) or (code[2:4] not in checksums.PROVINCES and code[2:4] != "10"):
        return None
    if len(set(code)) < 4 or not checksums.uscc(code):
        return None
    called = document.is_called(start, end, _LABELS, 40)
    if not called:
        usual = tuple(map(len, pieces)) in _USUAL_PIECES
        # All digits, or in pieces: one number in 31 passes the check, so the rest must fit a company's.
        # Two blanks and line breaks part the columns and lines of tables and of bytes.
        if (
            not usual
            or "  " in text[start:end]
            or "\n" in text[start:end]
            or (code.isdigit() and (len(pieces) > 1 or code[:2] not in _COMPANIES))
        ):
            return None
        if text[start - 1 : start] in ("-", "_", ".") and start > 1 and _is_alnum(text[start - 2]):
            return None
        if document.is_denied(start, end, _NOT) and (code.isdigit() or len(pieces) > 1):
            return None
        if document.policy == "precision" and (code.isdigit() or len(pieces) > 1):
            return None
    evidence = "pattern+region+checksum" + ("+context" if called else "")
    return Span(start, end, "USCC", 0.96, f"uscc:{evidence}")


def _is_alnum(char: str) -> bool:
    return char.isascii() and char.isalnum()


def _advance(text: str, start: int, length: int, limit: int) -> int | None:
    """Where the `length`-th letter or digit from `start` ends; None if the text gives out first."""
    seen = 0
    for position in range(start, limit):
        seen += _is_alnum(text[position])
        if seen == length:
            return position + 1
    return None

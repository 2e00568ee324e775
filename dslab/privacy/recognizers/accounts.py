"""Codes of letters and digits with a check: IBAN and the Chinese unified social credit code."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dslab.privacy import checksums
from dslab.privacy.recognizers.base import Document
from dslab.privacy.spans import Span

# Both are looked for at their digits: a class of digits first, so that `re` skips text at full speed.
_IBAN_START = re.compile(r"[0-9](?<=[A-Za-z][A-Za-z][0-9])[0-9][ \-]?[0-9A-Za-z]{2}")
_IBAN_BODY = re.compile(r"(?:(?: |-|\r?\n)?[0-9A-Za-z]){11,30}")
_USCC_START = re.compile(r"[0-9](?<![0-9A-Za-z]{2}[0-9])(?=(?:[ \-]?[0-9]){6}(?:[ \-]?[0-9A-Za-z]){10})")
_USCC = re.compile(r"[1-9ANY][1-9ANY][0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
_USCC_LABEL = frozenset(("uscc",))
_NOT = frozenset(("order", "goods", "device", "time", "version"))


def find(document: Document) -> Iterator[Span]:
    """IBAN and USCC."""
    if "IBAN" in document.types:
        yield from _ibans(document.text)
    if "USCC" in document.types:
        yield from _usccs(document)


def _is_alnum(char: str) -> bool:
    return char.isascii() and char.isalnum()


def _ibans(text: str) -> Iterator[Span]:
    taken = 0
    for match in _IBAN_START.finditer(text):
        start = match.start() - 2
        if start < taken or start and _is_alnum(text[start - 1]):
            continue
        length = checksums.IBAN_LENGTHS.get(text[start : start + 2].upper())
        body = _IBAN_BODY.match(text, start + 4)
        if not length or not body:
            continue
        end = _advance(text, start, length, body.end())
        if end is None or _is_alnum(text[end : end + 1]):
            continue
        if checksums.iban("".join(c for c in text[start:end] if c.isalnum()).upper()):
            taken = end
            yield Span(start, end, "IBAN", 1.0, "iban:pattern+length+checksum")


def _advance(text: str, start: int, length: int, limit: int) -> int | None:
    """Where the `length`-th letter or digit from `start` ends; None if the text gives out first."""
    seen = 0
    for position in range(start, limit):
        seen += _is_alnum(text[position])
        if seen == length:
            return position + 1
    return None


def _usccs(document: Document) -> Iterator[Span]:
    text, taken = document.text, 0
    for match in _USCC_START.finditer(text):
        # The first sign may be a letter (A, N, Y), before the digits.
        for start in (match.start() - 1, match.start()):
            span = _uscc_at(document, start) if start >= taken else None
            if span:
                taken = span.end
                yield span
                break


def _uscc_at(document: Document, start: int) -> Span | None:
    text = document.text
    if not _is_alnum(text[start : start + 1]) or start and _is_alnum(text[start - 1]):
        return None
    end = _advance(text, start, 18, min(len(text), start + 40))
    if end is None or _is_alnum(text[end : end + 1]):
        return None
    value = text[start:end]
    joints = set(re.findall(r"[^0-9A-Za-z]+", value))
    code = "".join(c for c in value if c.isalnum()).upper()
    if joints - {" ", "-"} or not _USCC.fullmatch(code) or not checksums.uscc(code):
        return None
    if code[2:4] not in checksums.PROVINCES and code[2:4] != "10":
        return None
    called = document.is_called(start, end, _USCC_LABEL)
    if not called:
        # All digits, or in pieces: one long number in 31 passes the check, so the first signs must be a company's.
        if (code.isdigit() and code[:2] not in ("91", "92", "93", "12", "51", "52", "53", "11", "13")) or (
            len(joints) > 0 and code.isdigit()
        ):
            return None
        if document.is_denied(start, end, _NOT) and code.isdigit():
            return None
        if text[start - 1 : start] in ("-", "_", ".") and start and joints:
            return None
    evidence = "pattern+region+checksum" + ("+context" if called else "")
    return Span(start, end, "USCC", 0.96, f"uscc:{evidence}")

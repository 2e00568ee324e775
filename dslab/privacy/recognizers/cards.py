"""Payment cards: a known issuer, a length its network uses, and Luhn.

Luhn alone lets one number in ten pass, and IMEIs (15 digits) and many tracking numbers carry it too. So the first
digits must belong to a network that issues cards of this length, and a label that says otherwise (order, IMEI, ISBN)
wins.

Issuer ranges: ISO/IEC 7812 as published by the networks; Chinese cards before UnionPay's 62 keep their banks' old
ranges.
"""

from __future__ import annotations

import re

from dslab.privacy import checksums
from dslab.privacy.context import NEGATIVE
from dslab.privacy.recognizers.base import Document
from dslab.privacy.recognizers.runs import Chunk
from dslab.privacy.spans import Span

# (first, last, length of the range's numbers, card lengths, needs a label)
_RANGES: tuple[tuple[str, str, tuple[int, ...], bool], ...] = (
    ("4", "4", (16,), False),
    ("51", "55", (16,), False),
    ("2221", "2720", (16,), False),
    ("34", "34", (15,), False),
    ("37", "37", (15,), False),
    ("6011", "6011", (16, 19), False),
    ("644", "649", (16, 19), False),
    ("65", "65", (16, 19), False),
    ("3528", "3589", (16,), False),
    ("62", "62", (16, 17, 18, 19), False),
    ("81", "81", (16, 19), True),
    ("300", "305", (14,), False),
    ("36", "36", (14,), False),
    ("38", "39", (14,), False),
    ("2200", "2204", (16,), False),
    ("955880", "955999", (19,), False),
    ("9558", "9559", (16, 17, 18, 19), True),
    ("601382", "601382", (19,), False),
    ("603", "603", (16, 17, 18, 19), True),
    ("690", "690", (16, 17, 18, 19), True),
    ("436742", "436742", (16, 19), False),
    ("5", "5", (12, 13, 14, 15, 16, 17, 18, 19), True),
    ("6", "6", (12, 13, 14, 15, 16, 17, 18, 19), True),
    ("4", "4", (13, 19), True),
    ("3528", "3589", (17, 18, 19), True),
    ("36", "36", (15, 16, 17, 18, 19), True),
    ("35", "35", (16,), True),
    ("9", "9", (16, 19), True),
    ("1800", "1800", (15,), True),
    ("2131", "2131", (15,), True),
)
_BORN = re.compile(r"62[0-9]{4}(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{4}")
_LABELS = frozenset(("card",))
_DENIED = NEGATIVE | {"key", "phone", "ssn", "uscc", "ip", "passport"}


def issuer(digits: str) -> str | None:
    """ "known" for a range in everyday use, "rare" for one that needs a label, None for no card.

    >>> issuer("4111111111111111"), issuer("6304000000000000"), issuer("1234567812345670")
    ('known', 'rare', None)
    """
    found = None
    for first, last, lengths, rare in _RANGES:
        if len(digits) in lengths and first <= digits[: len(first)] <= last:
            if not rare:
                return "known"
            found = "rare"
    return found


def read(document: Document, chunk: Chunk) -> Span | None:
    """A CARD, if this chunk is one."""
    if "CARD" not in document.types or not 12 <= len(chunk.digits) <= 19:
        return None
    digits, text = chunk.digits, document.text
    kind = issuer(digits)
    if kind is None or len(set(digits)) == 1 or not checksums.luhn(digits) or not chunk.is_whole:
        return None
    if _touches(text, chunk.start, chunk.end):
        return None
    if (
        len(chunk.shape) > 1
        and chunk.after == chunk.joints[-1]
        and chunk.length_after <= 19 - len(digits)
        and digits[0] == "6"
    ):
        return None  # a longer card of a network whose cards have up to 19 digits
    if "." in chunk.joints and (len(chunk.shape) == 2 or not _is_card_shape(chunk.shape)):
        return None  # decimals
    label = document.label(chunk.start, chunk.end)
    called = label is not None and label.kind in _LABELS and (label.bound or label.gap <= 32)
    if not called:
        if kind == "rare" or (label is not None and label.bound and label.kind in _DENIED):
            return None
        if len(chunk.shape) > 1 and _among_bytes(text, chunk):
            return None
        if len(digits) == 18 and _BORN.fullmatch(digits):
            return None  # a resident ID of Gansu (62) with a wrong check digit
        if not _is_card_shape(chunk.shape) or (chunk.has_break and chunk.shape[:3] != (4, 4, 4)):
            return None
        if document.policy == "precision" and len(chunk.shape) == 1:
            return None
    evidence = "pattern+issuer+checksum" + ("+context" if called else "")
    return Span(chunk.start, chunk.end, "CARD", 0.97 if called else 0.93, f"card:{evidence}")


def _among_bytes(text: str, chunk: Chunk) -> bool:
    """Does a group of hexadecimal signs as long as the card's stand next to it? Then it is a line of bytes."""
    size = chunk.shape[0]
    for group in (text[max(0, chunk.start - size - 2) : chunk.start - 1], text[chunk.end : chunk.end + size + 2]):
        signs = group.strip()
        if len(signs) == size and _HEX.fullmatch(signs) and not signs.isdigit():
            return True
    return False


_HEX = re.compile("[0-9a-f]+|[0-9A-F]+")


def _is_card_shape(shape: tuple[int, ...]) -> bool:
    """Written as cards are: in one piece, digit by digit, in fours, or 4-6-5, 4-6-4, 6-10, 6-13, 8-8."""
    if len(shape) == 1 or max(shape) == 1 or shape in ((4, 6, 5), (4, 6, 4), (6, 10), (6, 13), (6, 12), (8, 8)):
        return True
    return (all(size == 4 for size in shape[:-1]) and 1 <= shape[-1] <= 4) or (
        shape[:1] == (6,) and set(shape[1:-1]) == {4}
    )


def _touches(text: str, start: int, end: int) -> bool:
    """Letters or digits on either side, or a dash to a code."""
    left, right = text[max(0, start - 1) : start], text[end : end + 1]
    if (left.isascii() and left.isalnum()) or (right.isascii() and right.isalnum()):
        return True
    if left in ("-", "_", ".") and left and start > 1 and text[start - 2].isascii() and text[start - 2].isalnum():
        return (left != "_" and left != "-") or text[start - 2].isdigit() or text[start - 2].isupper()
    return (
        right in ("-", "_") and right != "" and text[end + 1 : end + 2].isascii() and text[end + 1 : end + 2].isdigit()
    )

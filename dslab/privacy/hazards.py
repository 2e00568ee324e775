"""Would somebody's number stand inside this one? What is drawn at random passes one check in ten by chance.

A surrogate account number of 22 digits has dozens of stretches as long as a card, and a few of them pass Luhn under a
known issuer. Such a one is thrown away and drawn again.
"""

from __future__ import annotations

import re

from dslab.privacy import checksums
from dslab.privacy.recognizers.cards import issuer
from dslab.privacy.recognizers.domains import is_top_level
from dslab.privacy.recognizers.mobiles import ASSIGNED

# Luhn's weights, by the place counted from the right: even places are doubled, their digits added.
_DOUBLED = ((0, 2, 4, 6, 8, 1, 3, 5, 7, 9), tuple(range(10)))


def holds_a_value(code: str) -> bool:
    """Is some stretch of the digits a card, a mobile or a resident ID, or the whole a company code or an IBAN?"""
    if checksums.uscc(code) or checksums.iban(code) or checksums.cn_id(code):
        return True
    for run in re.finditer("[0-9]{11,}", code):
        digits = run[0]
        if any(ASSIGNED.match(digits, start) for start in range(len(digits) - 10)) or holds_a_card(digits):
            return True
        if any(checksums.cn_id(digits[start : start + 18]) for start in range(len(digits) - 17)):
            return True
    return False


def holds_a_card(digits: str) -> bool:
    """Does a stretch of 12 to 19 digits pass Luhn under a known issuer? Each end is walked back from once."""
    for end in range(12, len(digits) + 1):
        total = 0
        for size in range(1, min(19, end) + 1):
            total += _DOUBLED[size % 2][ord(digits[end - size]) - 48]
            if size >= 12 and total % 10 == 0 and issuer(digits[end - size : end]):
                return True
    return False


def ends_early(address: str) -> bool:
    """Is a label before the last one a top-level domain, so that a real domain could be read there?"""
    labels = address.rpartition("@")[2].lower().split(".")
    return any(is_top_level(label) for label in labels[1:-1])

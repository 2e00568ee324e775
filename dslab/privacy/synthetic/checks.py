"""Check signs, computed for a value that is being made. `dslab.privacy.checksums` only asks whether one is right.

Written apart from the detector's on purpose: a mistake in one must not be hidden by the same mistake in the other.
"""

from __future__ import annotations

USCC_SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def cn_id_check(first: str) -> str:
    """ISO 7064 MOD 11-2 by Horner's rule: p <- 2 (p + digit), and p + check = 1 mod 11.

    >>> cn_id_check("11010519491231002")
    'X'
    """
    p = 0
    for digit in first:
        p = (p + int(digit)) * 2 % 11
    return "0123456789X"[(1 - p) % 11]


def luhn_check(first: str) -> str:
    """The digit that makes the Luhn sum a multiple of ten.

    >>> luhn_check("411111111111111")
    '1'
    """
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    total = sum(doubled[int(d)] if i % 2 == 0 else int(d) for i, d in enumerate(reversed(first)))
    return str(-total % 10)


def uscc_check(first: str) -> str:
    """GB 32100: signs weighted by powers of three, and the check sign, are 0 mod 31.

    >>> uscc_check("91350100M000100Y4")
    '3'
    """
    total = sum(USCC_SIGNS.index(sign) * pow(3, i, 31) for i, sign in enumerate(first))
    return USCC_SIGNS[-total % 31]


def iban_check(country: str, account: str) -> str:
    """ISO 13616: 98 - (account, country, 00; letters as 10..35) mod 97.

    >>> iban_check("GB", "WEST12345698765432")
    '82'
    """
    number = int("".join(str(int(sign, 36)) for sign in f"{account}{country}00"))
    return f"{98 - number % 97:02d}"

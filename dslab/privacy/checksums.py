"""Check digits: why a number is evidence. A random number of the right length passes one time in 10, 11, 31 or 97.

    Luhn (ISO/IEC 7812)     sum of digits, every second one from the right doubled and its digits added, = 0 mod 10
    GB 11643 (resident ID)  ISO 7064 MOD 11-2: sum of a_i 2^(18-i) = 1 mod 11, X stands for 10
    GB 32100 (company code) ISO 7064 MOD 31-3: sum of c_i 3^(i-1), i = 1..17, + c_18 = 0 mod 31; no I O S V Z
    IBAN (ISO 13616)        ISO 7064 MOD 97-10: first four signs to the end, letters as 10..35, = 1 mod 97

Luhn and mod 97 are python-stdnum's. Its modules for Chinese numbers are not used: `stdnum.cn.ric` demands that the
county code existed on the birth date, by a table that misses many, and so turns away real IDs; here a resident ID needs
its check digit, a date and a province.
"""

from __future__ import annotations

from datetime import date

from stdnum import luhn as _luhn
from stdnum.iso7064 import mod_97_10

# GB/T 2260, first two digits: the provinces, then Taiwan, Hong Kong, Macau (81, 82, 83: residence permits since 2018).
PROVINCES = frozenset(
    str(code)
    for codes in (
        range(11, 16), range(21, 24), range(31, 38), range(41, 47), range(50, 55), range(61, 66), (71, 81, 82, 83),
    )
    for code in codes
)  # fmt: skip
USCC_SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_USCC_WEIGHTS = (*(pow(3, i, 31) for i in range(17)), 1)
_USCC_VALUE = {sign: value for value, sign in enumerate(USCC_SIGNS)}

# Length of an IBAN by country (SWIFT's registry, and the few in use outside it).
IBAN_LENGTHS = {
    entry[:2]: int(entry[2:])
    for entry in [
        "AD24",
        "AE23",
        "AL28",
        "AT20",
        "AZ28",
        "BA20",
        "BE16",
        "BG22",
        "BH22",
        "BI27",
        "BR29",
        "BY28",
        "CH21",
        "CR22",
        "CY28",
        "CZ24",
        "DE22",
        "DJ27",
        "DK18",
        "DO28",
        "EE20",
        "EG29",
        "ES24",
        "FI18",
        "FK18",
        "FO18",
        "FR27",
        "GB22",
        "GE22",
        "GI23",
        "GL18",
        "GR27",
        "GT28",
        "HN28",
        "HR21",
        "HU28",
        "IE22",
        "IL23",
        "IQ23",
        "IS26",
        "IT27",
        "JO30",
        "KW30",
        "KZ20",
        "LB28",
        "LC32",
        "LI21",
        "LT20",
        "LU20",
        "LV21",
        "LY25",
        "MC27",
        "MD24",
        "ME22",
        "MK19",
        "MN20",
        "MR27",
        "MT31",
        "MU30",
        "NI28",
        "NL18",
        "NO15",
        "OM23",
        "PK24",
        "PL28",
        "PS29",
        "PT25",
        "QA29",
        "RO24",
        "RS22",
        "RU33",
        "SA24",
        "SC31",
        "SD18",
        "SE24",
        "SI19",
        "SK24",
        "SM27",
        "SO23",
        "ST25",
        "SV28",
        "TL23",
        "TN24",
        "TR26",
        "UA29",
        "VA22",
        "VG24",
        "XK20",
        "YE30",
    ]
}


def luhn(digits: str) -> bool:
    """Is the last digit the Luhn check digit of the others?

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    return bool(_luhn.is_valid(digits))


def cn_id_check(first17: str) -> str:
    """The check sign of a resident ID: X where the remainder is 10.

    >>> cn_id_check("11010519491231002")
    'X'
    """
    return "10X98765432"[
        sum((ord(digit) - 48) * weight for digit, weight in zip(first17, _ID_WEIGHTS, strict=True)) % 11
    ]


def cn_id(number: str, today: date | None = None) -> bool:
    """Is this a resident ID: province, a date of birth in 1900..today, check sign (X in upper case)?

    >>> cn_id("11010519491231002X"), cn_id("110105194912310021"), cn_id("11010519491331002X")
    (True, False, False)
    """
    if len(number) != 18 or number[:2] not in PROVINCES or cn_id_check(number[:17]) != number[17]:
        return False
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return born.year >= 1900 and born <= (today or date.today())


def uscc(code: str) -> bool:
    """Is this a unified social credit code (upper case)? The 18 signs' weighted sum is 0 mod 31.

    >>> uscc("91350100M000100Y43"), uscc("91350100M000100Y44")
    (True, False)
    """
    values = [_USCC_VALUE.get(sign) for sign in code]
    if len(code) != 18 or None in values:
        return False
    return sum(v * w for v, w in zip(values, _USCC_WEIGHTS, strict=True) if v) % 31 == 0


def iban(code: str) -> bool:
    """Is this an IBAN (upper case, no spaces): the country's length, and 1 mod 97?

    The country's own check inside the account number is not asked for: banks issue accounts that fail it.

    >>> iban("GB82WEST12345698765432"), iban("GB83WEST12345698765432")
    (True, False)
    """
    if IBAN_LENGTHS.get(code[:2]) != len(code) or not code[2:4].isdigit():
        return False
    return bool(mod_97_10.is_valid(code[4:] + code[:4]))

"""One value, many spellings: what makes two of them the same, and how to write new signs in an old spelling.

`138 0013 8000`, `１３８００１３８０００` and `+86-138-0013-8000` are one number. A pseudonym must be computed from
what they share (`normalise`), and be written the way each was written (`respell`): separators, full-width forms,
percent codes, invisible characters and letter case stay.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from dslab.privacy.fold import fold

_MOBILE_CODE = re.compile("(?:00)?86(?=1[0-9]{10}$)")


@dataclass(frozen=True, slots=True)
class Sign:
    """One folded character and the piece of the original it was written as; an invisible piece folds to "".

    >>> [(s.char, s.piece) for s in signs("１%40")]
    [('1', '１'), ('@', '%40')]
    """

    char: str
    piece: str

    def write(self, char: str) -> str:
        """Another character in this one's manner.

        >>> Sign("1", "１").write("7"), Sign("1", "%31").write("7"), Sign("1", "1").write("7")
        ('７', '%37', '7')
        """
        if char == self.char or not self.char:
            return self.piece
        if self.piece.startswith("%") and len(self.piece) > 1:
            return "".join(f"%{byte:02X}" for byte in char.encode())
        if len(self.piece) == 1 and "\uff01" <= self.piece <= "\uff5e" and "!" <= char <= "~":
            return chr(ord(char) + 0xFEE0)
        return char


def signs(value: str) -> list[Sign]:
    """A value as its folded characters, each with the piece of the original behind it, nothing left out.

    >>> "".join(sign.piece for sign in signs("１３8\\u200b0%40"))
    '１３8\\u200b0%40'
    """
    folded = fold(value)
    if not folded.cuts:
        return [Sign(new, old) for new, old in zip(folded.text, value, strict=True)]
    found: list[Sign] = []
    at = 0
    for position, char in enumerate(folded.text):
        begin, end = folded.original(position, position + 1)
        found.extend(Sign("", piece) for piece in value[at:begin])
        found.append(Sign(char, value[begin:end]))
        at = end
    found.extend(Sign("", piece) for piece in value[at:])
    return found


def respell(spelled: Sequence[Sign], new: Sequence[str], *, surplus: str | None = None) -> str:
    """Write the characters of `new`, one for each sign that is an ASCII letter or digit, counted from the right.

    Lower case stays lower case. What is left over on the left (a country code) stays, or becomes `surplus`.

    >>> respell(signs("138-0013"), "1042555"), respell(signs("+86 a38"), "J04", surplus="0")
    ('104-2555', '+00 j04')
    """
    places = [i for i, sign in enumerate(spelled) if is_alnum(sign.char)]
    if len(new) > len(places):
        raise ValueError(f"{len(new)} signs do not fit in {len(places)} places")
    left, right = places[: len(places) - len(new)], places[len(places) - len(new) :]
    chars = dict(zip(right, new, strict=True)) | dict.fromkeys(left if surplus else (), surplus or "")
    return "".join(
        sign.write(_cased(sign.char, chars[i])) if i in chars else sign.piece for i, sign in enumerate(spelled)
    )


def _cased(like: str, char: str) -> str:
    return char.lower() if like.islower() else char


def is_alnum(char: str) -> bool:
    """Is this an ASCII letter or digit?"""
    return char.isascii() and char.isalnum()


def normalise(type: str, value: str) -> str:
    """What all spellings of a value share: the text that its pseudonym is computed from.

    Numbers and codes: their letters and digits, upper case. CN_MOBILE loses +86, PHONE_INTL its 00, its trunk zero and
    the country code of Chinese and North American numbers (others cannot be told from an area code). EMAIL is lower
    case, an IP is written out in full. SECRET and types of your own are taken as they are written, folded.

    >>> normalise("CN_MOBILE", "+86 138-0013-8000"), normalise("CN_ID", "11010519491231002x")
    ('13800138000', '11010519491231002X')
    >>> normalise("IP", "2001:DB8:0:0::1"), normalise("EMAIL", "Ann@Example.COM")
    ('2001:0db8:0000:0000:0000:0000:0000:0001', 'ann@example.com')
    >>> normalise("PHONE_INTL", "+86 10 6552 9988") == normalise("PHONE_INTL", "(010) 65529988")
    True
    """
    text = fold(value).text
    if type == "EMAIL":
        return text.lower()
    if type == "IP":
        return _address(text)
    if type == "CN_PLATE":
        return "".join(char for char in text.upper() if char.isalnum())
    if type in ("CN_ID", "CARD", "USCC", "IBAN", "US_SSN", "CN_MOBILE", "PHONE_INTL", "PASSPORT"):
        code = "".join(char for char in text.upper() if is_alnum(char))
        if type == "CN_MOBILE":
            return _MOBILE_CODE.sub("", code, count=1)
        return _phone(text, code) if type == "PHONE_INTL" else code
    return text


def _phone(text: str, digits: str) -> str:
    abroad = text.lstrip(" (（").startswith("+") or digits.startswith("00")
    if digits.startswith("011") and len(digits) > 11:
        digits, abroad = digits[3:], True
    digits = digits.lstrip("0")
    if abroad and digits.startswith("86"):
        return digits[2:].lstrip("0")
    if len(digits) == 11 and digits[0] == "1":
        return digits[1:]
    return re.sub(r"^([1-9][0-9]{0,2})0", r"\1", digits) if abroad and re.search(r"[(（]0[)）]", text) else digits


def _address(text: str) -> str:
    address, _, zone = text.lower().partition("%")
    try:
        if ":" not in address:
            address = ".".join(str(int(part)) for part in address.split("."))
        written = ipaddress.ip_address(address).exploded  # str() of a mapped address depends on Python's version
    except ValueError:
        return text.lower()
    return f"{written}%{zone}" if zone else written

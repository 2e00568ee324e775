"""Partial masks: the few signs that people keep to recognise their own value, stars for the rest.

    138****8000        first three and last four of a mobile: the block that carriers show
    ************1111   last four of a card, as on receipts; the issuer's digits go
    11**************2X province and last two of a resident ID; with the usual six and four only the date would be open,
                       36,500 days of which the check digit rules out all but one in 11
    j***@example.com   first sign and domain

How many remain is counted, not hoped for: a mobile has 10^4 numbers behind its mask. Partial masks are for screens;
for data use tags or keyed pseudonyms.
"""

from __future__ import annotations

import re

from dslab.privacy.spelling import Sign, signs

# Signs kept at the start and at the end.
_KEPT = {"CN_ID": (2, 2), "CARD": (0, 4), "USCC": (2, 2), "IBAN": (2, 4), "US_SSN": (0, 4), "CN_PLATE": (2, 1)}
_MOBILE = 11
# What a maker prints on every key of a kind; public.
MAKER = re.compile(
    r"gh[pousr]_|github_pat_|gl[a-z]{2,5}-|sk-(?:proj-|ant-)?|[sr]k_(?:live|test)_|xox[abeoprs]-|A[KS]IA|AIza|hf_|npm_|"
    r"pypi-|eyJ|ya29\.|SG\.|whsec_|LTAI"
)
ARMOUR = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]{3,60}-----")


def partial(type: str, value: str) -> str:
    """The value with stars, in its own spelling and length.

    >>> partial("CN_MOBILE", "+86 138-0013-8000"), partial("CARD", "4111 1111 1111 1111")
    ('+86 138-****-8000', '**** **** **** 1111')
    >>> partial("EMAIL", "john.doe@example.com"), partial("IP", "192.168.1.20"), partial("IP", "2001:db8::1")
    ('j*******@example.com', '192.168.*.**', '2001:db8***')
    """
    spelled = signs(value)
    if type == "EMAIL":
        return _write(spelled, _kept_of_email(spelled))
    if type == "IP":
        return _write(spelled, _kept_of_address("".join(sign.char or " " for sign in spelled)))
    if type == "SECRET":
        return _secret(spelled)
    places = [i for i, sign in enumerate(spelled) if sign.char.isalnum()]
    kept = _kept_places(type, spelled, places)
    hidden = set(places) - kept
    return "".join(sign.write("*") if i in hidden else sign.piece for i, sign in enumerate(spelled))


def _kept_places(type: str, spelled: list[Sign], places: list[int]) -> set[int]:
    size = len(places)
    if type == "CN_MOBILE" and size >= _MOBILE:
        first = size - _MOBILE
        code = places[:first] if "+" in [sign.char for sign in spelled] else []  # 0086185 would be a number again
        return {*code, *places[first : first + 3], *places[-4:]}
    if type == "PHONE_INTL":
        return set(places[-4:]) if size >= 10 else set(places[-2:])
    if type == "PASSPORT":
        first = 1 if size and spelled[places[0]].char.isalpha() else 0
        return {*places[:first], *places[-2:]}
    left, right = _KEPT.get(type, (0, 0))
    return {*places[:left], *places[size - right :]} if size > left + right else set()


def _write(spelled: list[Sign], kept: set[int]) -> str:
    return "".join(
        sign.piece if i in kept or sign.char in ("", "\r", "\n") else sign.write("*") for i, sign in enumerate(spelled)
    )


def _kept_of_email(spelled: list[Sign]) -> set[int]:
    """The first sign, the @ and the domain; a domain that is an address in brackets goes."""
    at = max((i for i, sign in enumerate(spelled) if sign.char == "@"), default=len(spelled))
    kept = set(range(at, len(spelled)))
    if "[" in [sign.char for sign in spelled[at:]]:
        kept = {at}
    local = [i for i in range(at) if spelled[i].char]
    return kept | set(local[:1]) if len(local) > 1 and spelled[local[0]].char.isalnum() else kept


def _kept_of_address(text: str) -> set[int]:
    """IPv4: two numbers and all dots. IPv6: two groups; the colons behind them go too, they would make an address."""
    if ":" in text:
        match = re.match("[0-9a-f]{1,4}(?::[0-9a-f]{1,4}(?=:))?", text, re.IGNORECASE)
        return set(range(match.end())) if match else set()
    second = text.index(".", text.index(".") + 1) if text.count(".") > 1 else 0
    return {i for i, char in enumerate(text) if i < second or char == "."}


def _secret(spelled: list[Sign]) -> str:
    """The maker's prefix and the words of a key block's first and last line; stars for all else but line breaks."""
    text = "".join(sign.char or " " for sign in spelled)
    maker = MAKER.match(text)
    kept = set(range(maker.end())) if maker else set()
    for line in ARMOUR.finditer(text):
        kept.update(range(line.start() + 5, line.end()))  # stars for the first dashes: "key: -----BEGIN" is no password
    return _write(spelled, kept)

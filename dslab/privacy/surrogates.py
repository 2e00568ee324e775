"""Surrogates: values of the same shape that belong to nobody, the same for the same value, and known by their form.

A tag tells a model nothing about what a phone number looks like; a random number may be somebody's. A surrogate keeps
separators, case, width and length, and breaks the one rule that every real value keeps:

    CN_ID, CARD, USCC   wrong check digit                          EMAIL       ends in .invalid (RFC 2606)
    IBAN                check digits 00 (real: 02..98), mod 97     IP          first number 300..999; v6: letters g..x
    CN_MOBILE           prefix 154, which no carrier has           CN_PLATE    office letter I, which no plate has
    US_SSN              area 9xx, group 10..49 (no SSN, no ITIN)   PASSPORT    letters I and O, then zeros
    PHONE_INTL          begins 000: no country, no area            SECRET      nothing but x and X behind the prefix

So nobody can call, charge or log in to one, a detector leaves it alone, and masking twice changes nothing. All signs
come from HMAC-SHA256(key, type || 0 || normalised value): whoever holds no key cannot compute or undo one. Two values
may share a surrogate (a German IBAN has some 10^17 forms, a nine-digit phone number 10^6, an eight-sign password 2^8).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dslab.privacy import checksums
from dslab.privacy.draw import Draw
from dslab.privacy.fold import fold
from dslab.privacy.hazards import ends_early, holds_a_value
from dslab.privacy.keys import keyed_digest
from dslab.privacy.partial import ARMOUR, MAKER
from dslab.privacy.spelling import Sign, is_alnum, normalise, respell, signs

_CONSONANTS = "bcdfghjklmnpqrstvwxz"  # no vowels: no words
_NO_HEX = "ghijkmnpqrstuvwx"
_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤川青藏琼宁"
_TRIES = 1000
_KEPT_ESCAPE = re.compile(r"\\[nrtu\"\\/]")


def surrogate(type: str, value: str, key: bytes) -> str | None:
    """The surrogate of a value, in the value's own spelling; None where a type (of your own) or a text has none.

    >>> key = bytes(range(32))
    >>> a, b = surrogate("CN_MOBILE", "13800138000", key), surrogate("CN_MOBILE", "+86 138-0013-8000", key)
    >>> a[:3], b == f"+86 {a[:3]}-{a[3:7]}-{a[7:]}"
    ('154', True)
    """
    plain, spelled = normalise(type, value), signs(value)
    if type not in _EXPECTED or not _EXPECTED[type].fullmatch(plain):
        return None
    digest = keyed_digest(key, type, plain)
    for attempt in range(_TRIES):
        draw = Draw(digest, attempt)
        # What is accepted may depend on the signs alone, not on the spelling, or two spellings would part.
        if type in _CODES:
            code = _CODES[type](plain, draw)
            if not holds_a_value(code):
                return respell(spelled, code, surplus="0" if type == "PHONE_INTL" else None)
        else:
            made = _SHAPED[type](plain, spelled, draw)
            text = fold(made).text
            if not holds_a_value(text.upper()) and not (type == "EMAIL" and ends_early(text)):
                return made
    return None


def is_surrogate(type: str, value: str) -> bool:
    """Has this value the form that surrogates of its type have, and real values have not?

    >>> is_surrogate("EMAIL", "qx@brt.invalid"), is_surrogate("EMAIL", "ann@example.com")
    (True, False)
    """
    text = fold(value).text
    code = "".join(char for char in text.upper() if is_alnum(char))
    if type == "EMAIL":
        return text.lower().endswith(".invalid")
    if type == "IP":
        return re.match("[3-9][0-9]{2}[.]", text) is not None or any(
            char in _NO_HEX for char in text.lower().partition("%")[0]
        )
    if type == "SECRET":
        body = MAKER.sub("", _KEPT_ESCAPE.sub("", ARMOUR.sub("", text)), count=1)
        return {char.lower() for char in body if char.isalnum()} == {"x"}
    if type == "PASSPORT":
        return re.fullmatch("(?=[0-9]*[IO])[IO]*0[IO]*0[IO0-9]+|000[0-9]+", code) is not None
    if type == "CN_PLATE":
        return re.match("[^A-Z0-9]?I|WI|使000", re.sub(r"[\W_]", "", text.upper())) is not None
    if type == "CN_MOBILE":
        return re.fullmatch("(?:00)?(?:86)?154[0-9]{8}", code) is not None
    if type == "PHONE_INTL":
        return re.match("000|(?:00)?86154[0-9]{8}$", code) is not None  # the latter: a mobile's, with its country code
    if type == "US_SSN":
        return re.fullmatch("9[0-9]{2}[1-4][0-9]{5}", code) is not None
    checks: dict[str, Callable[[str], bool]] = {
        "CN_ID": checksums.cn_id,
        "CARD": checksums.luhn,
        "USCC": checksums.uscc,
        "IBAN": checksums.iban,
    }
    return type in checks and not checks[type](code)


def _cn_id(plain: str, draw: Draw) -> str:
    province = sorted(checksums.PROVINCES)[draw.below(len(checksums.PROVINCES))]
    born = f"{1950 + draw.below(60)}{1 + draw.below(12):02d}{1 + draw.below(28):02d}"
    first17 = f"{province}{draw.below(10_000):04d}{born}{draw.below(1000):03d}"
    return first17 + ("X" if plain[-1] == "X" else draw.pick("0123456789"))  # one in 11 is right, and drawn again


def _card(plain: str, draw: Draw) -> str:
    body = plain[0] + _like(plain[1:-1], draw)
    right = next(digit for digit in "0123456789" if checksums.luhn(body + digit))
    return body + draw.pick("0123456789".replace(right, ""))


def _like(text: str, draw: Draw) -> str:
    return "".join(draw.like(char) for char in text)


def _ssn(plain: str, draw: Draw) -> str:
    return f"9{draw.below(100):02d}{10 + draw.below(40)}{draw.below(10_000):04d}"


def _phone(plain: str, draw: Draw) -> str:
    """With a country code five zeros: behind three, "+00 0072 ..." would read like a call to Russia."""
    zeros = 5 if len(plain) > 10 else 3
    return "0" * zeros + _like(plain[zeros:], draw)


def _passport(plain: str, draw: Draw) -> str:
    digits = [i for i, char in enumerate(plain) if char.isdigit()]
    zeros = set(digits[: 3 if len(digits) == len(plain) else 2])
    return "".join("0" if i in zeros else draw.like(char, "IO") for i, char in enumerate(plain))


def _plate(plain: str, spelled: list[Sign], draw: Draw) -> str:
    """Province, office letter, signs; embassies' begin with 使 and three digits, the armed police's with WJ."""
    written, letters, digits = [], 0, 0
    for sign in spelled:
        char = sign.char
        if char in _PROVINCES and char:
            char = draw.pick(_PROVINCES)
        elif is_alnum(char):
            new = draw.like(char)
            if char.isdigit():
                new, digits = ("0" if plain[0] == "使" and digits < 3 else new), digits + 1
            elif plain[:2] == "WJ" and letters < 2:
                new, letters = "WI"[letters], letters + 1
            elif letters == 0:
                new, letters = "I", 1
            char = new.lower() if char.islower() else new
        written.append(sign.write(char))
    return "".join(written)


def _email(plain: str, spelled: list[Sign], draw: Draw) -> str:
    chars = [sign.char for sign in spelled]
    at = len(chars) - 1 - chars[::-1].index("@")
    last = max((i for i in range(at, len(chars)) if chars[i] == "."), default=len(chars))
    if "[" in chars[at:] or last == len(chars):
        last = at  # an address in brackets: no labels to keep
    # Seven digits and more could be somebody's phone number: those of a surrogate begin with 000, as its phones do.
    zeros = {
        i for run in re.finditer("[0-9]{7,}", "".join(char or "\0" for char in chars[:at]))
        for i in range(run.start(), run.start() + 3)
    }  # fmt: skip
    local = [
        sign.write("0" if i in zeros else draw.like(sign.char, _CONSONANTS))
        for i, sign in enumerate(spelled[: last + 1])
    ]
    tail = spelled[last + 1] if last + 1 < len(spelled) else spelled[last]
    ending = "invalid" if last > at else draw.pick(_CONSONANTS) + ".invalid"
    return "".join(local) + "".join(Sign("\0", tail.piece).write(char) for char in ending)


def _ip(plain: str, spelled: list[Sign], draw: Draw) -> str:
    """IPv4: numbers of as many digits, the first always of three. IPv6: other letters for the sixteen digits."""
    text = "".join(sign.char for sign in spelled)
    if ":" not in text:
        table = [[str(draw.below(10)), str(10 + draw.below(90)), str(300 + draw.below(700))] for _ in range(4)]
        parts = text.split(".")
        new = [row[len(part) - 1] for row, part in zip(table, parts, strict=True)]
        return _in_style(spelled, ".".join([table[0][2], *new[1:]]))
    address, percent, zone = text.partition("%")
    letters = ["".join(draw.pick(_NO_HEX) for _ in range(4)) for _ in range(8)]
    tail = ".".join([str(300 + draw.below(700)), *(str(draw.below(10)) for _ in range(3))])  # of ::ffff:10.0.0.1
    left, gap, right = address.partition("::")
    groups, after = left.split(":") if left else [], right.split(":") if right else []
    new = [*letters[: len(groups)], *letters[8 - len(after) :]] if after else letters[: len(groups)]
    made = [tail if "." in g else n[4 - len(g) :] for g, n in zip([*groups, *after], new, strict=True)]
    text = ":".join(made[: len(groups)]) + gap + ":".join(made[len(groups) :])
    return _in_style(spelled, (text.upper() if address.isupper() else text) + percent + zone)


def _in_style(spelled: list[Sign], text: str) -> str:
    """A text of another length: the first sign's width for all."""
    return "".join(Sign("\0", spelled[0].piece if not char.isspace() else char).write(char) for char in text)


def _secret(plain: str, spelled: list[Sign], draw: Draw) -> str:
    text = "".join(sign.char or "\0" for sign in spelled)
    maker = MAKER.match(text)
    kept = set(range(maker.end())) if maker else set()
    for found in (*ARMOUR.finditer(text), *_KEPT_ESCAPE.finditer(text)):
        kept.update(range(*found.span()))
    return "".join(
        sign.write(draw.pick("xX")) if i not in kept and sign.char.isalnum() else sign.piece
        for i, sign in enumerate(spelled)
    )


_CODES: dict[str, Callable[[str, Draw], str]] = {
    "CN_ID": _cn_id,
    "CN_MOBILE": lambda plain, draw: "154" + _like(plain[3:], draw),
    "CARD": _card,
    "USCC": lambda plain, draw: plain[:2] + _like(plain[2:], draw),
    "IBAN": lambda plain, draw: plain[:2] + "00" + _like(plain[4:], draw),
    "US_SSN": _ssn,
    "PHONE_INTL": _phone,
    "PASSPORT": _passport,
}
_SHAPED: dict[str, Callable[[str, list[Sign], Draw], str]] = {
    "EMAIL": _email, "IP": _ip, "SECRET": _secret, "CN_PLATE": _plate,
}  # fmt: skip
# What a normalised value must look like to be rewritten by the rules above.
_EXPECTED = {
    type: re.compile(pattern, re.DOTALL)
    for type, pattern in {
        "CN_ID": "[0-9]{17}[0-9X]",
        "CN_MOBILE": "1[0-9]{10}",
        "CARD": "[0-9]{12,19}",
        "USCC": "[0-9A-Z]{18}",
        "EMAIL": '[^@]*@.+|".+"@.+',
        "IP": "[0-9]{1,3}([.][0-9]{1,3}){3}|[0-9a-f]{4}(:[0-9a-f]{4}){7}(%.+)?",
        "IBAN": "[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}",
        "US_SSN": "[0-9]{9}",
        "PHONE_INTL": "[0-9]{6,}",
        "SECRET": ".+",
        "CN_PLATE": ".{6,9}",
        "PASSPORT": "[0-9A-Z]{6,12}",
    }.items()
}

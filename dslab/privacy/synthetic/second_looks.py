"""Look-alikes of this hand's own, beside those of negatives.py: identifiers of things, never of a person.

None of them can pass for a card by chance: a number that does is drawn again.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable

from dslab.privacy.synthetic import checks, negatives
from dslab.privacy.synthetic.pieces import Negative
from dslab.privacy.synthetic.values import PROVINCES, digits

HEX = "0123456789abcdef"


def _signs(rng: random.Random, alphabet: str, n: int) -> str:
    return "".join(rng.choices(alphabet, k=n))


def bank_transaction(rng: random.Random) -> str:
    """A moment and a running number, as banks and payment services number what they book."""
    day = f"20{rng.randint(15, 25)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"
    return rng.choice((day + digits(rng, 20), f"42000{digits(rng, 23)}", f"TXN{digits(rng, 16)}"))


def snowflake(rng: random.Random) -> str:
    """A 64-bit number that grows with time: the name of a post, a row, a message."""
    return str(rng.randrange(10**17, 18 * 10**17))


def semver(rng: random.Random) -> str:
    number = f"{rng.randint(0, 9)}.{rng.randint(0, 40)}.{rng.randint(0, 99)}"
    return rng.choice(("", "v")) + number + rng.choice(("", "-rc.1"))


def java_object(rng: random.Random) -> str:
    return f"{rng.choice(('java.lang.Thread', 'com.shop.Cart', 'org.app.Ctx$Inner'))}@{_signs(rng, HEX, 8)}"


def docker_digest(rng: random.Random) -> str:
    return f"{rng.choice(('nginx', 'redis', 'registry.example.com/app/api'))}@sha256:{_signs(rng, HEX, 64)}"


def public_key(rng: random.Random) -> str:
    """Made to be shown."""
    return "ssh-rsa AAAAB3NzaC1yc2E" + _signs(rng, string.ascii_letters + string.digits + "+/", 200)


def date(rng: random.Random) -> str:
    year, month, day = rng.randint(1950, 2024), rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice((f"{year}-{month:02}-{day:02}", f"{month}/{day}/{year}", f"{year}年{month}月{day}日"))


def registration(rng: random.Random) -> str:
    """A site's record number: begins as a plate does."""
    province = rng.choice("京沪粤浙苏川")
    return rng.choice((f"{province}ICP备{digits(rng, 8)}号", f"{province}B2-20{digits(rng, 6)}"))


def sim_card(rng: random.Random) -> str:
    """ICCID: 19 digits with a right Luhn digit, but 89 is telecommunications and no bank."""
    first = "8986" + digits(rng, 14)
    return first + checks.luhn_check(first)


def port_name(rng: random.Random) -> str:
    """A storage network's world wide name: eight pairs that would parse as an IPv6 address."""
    return ":".join(["50", *(_signs(rng, HEX, 2) for _ in range(7))])


def fingerprint(rng: random.Random) -> str:
    return ":".join(_signs(rng, HEX, 2) for _ in range(rng.choice((16, 20, 32))))


def crossed_out(rng: random.Random) -> str:
    """Masked by someone before us."""
    return rng.choice((f"138****{digits(rng, 4)}", f"***-**-{digits(rng, 4)}", f"6222 **** **** {digits(rng, 4)}"))


def clearing_code(rng: random.Random) -> str:
    """A bank branch's number in China's payment system, 12 digits."""
    return rng.choice(("102", "103", "104", "105", "308")) + digits(rng, 9)


def company_number(rng: random.Random) -> str:
    """The 15 digits that companies had before 2015."""
    return rng.choice(PROVINCES) + "01" + digits(rng, 11)


def short_code(rng: random.Random) -> str:
    """What sends text messages: 106 and five digits more, or a bank's five digits."""
    return rng.choice((f"106{digits(rng, 5)}", f"95{digits(rng, 3)}", "12345", "110"))


def product(rng: random.Random) -> str:
    """A matrix product: has an @ and a dot, as an address does."""
    return rng.choice(("self.q@self.k.transpose", "x@w.T", "h@proj.weight", "a@b.reshape"))


OWN: dict[str, Callable[[random.Random], str]] = {
    make.__name__: make
    for make in (
        bank_transaction, snowflake, semver, java_object, docker_digest, public_key, date, registration, sim_card,
        port_name, fingerprint, crossed_out, clearing_code, company_number, short_code, product,
    )
}  # fmt: skip
_BRAND_DIGITS = "23456"


def look_alike(rng: random.Random, kind: str) -> Negative:
    """A look-alike of one of our kinds or of negatives.KINDS; KeyError for any other."""
    if kind not in OWN:
        return negatives.negative(rng, kind)
    while True:
        text = OWN[kind](rng)
        is_card = text.isdigit() and 13 <= len(text) <= 19 and checks.luhn_check(text[:-1]) == text[-1]
        if not (is_card and text[0] in _BRAND_DIGITS):
            return Negative(text, kind)

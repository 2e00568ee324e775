"""Synthetic values of every type, in the spellings people use, and the places they stand in. Seeded; nobody's."""

import random
import string
from collections.abc import Callable

from dslab.privacy import checksums

DIGITS = "0123456789"
WIDE = {ord(c): ord(c) + 0xFEE0 for c in string.ascii_letters + DIGITS + "+-@.:"}
ZERO_WIDTH = "\u200b"


def some(rng: random.Random, n: int, signs: str = DIGITS) -> str:
    return "".join(rng.choice(signs) for _ in range(n))


def groups(text: str, sizes: tuple[int, ...], joint: str) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(text[at : at + size])
        at += size
    return joint.join([*parts, text[at:]] if at < len(text) else parts)


def percent(text: str) -> str:
    return text.replace("@", "%40").replace("+", "%2B")


def hidden(text: str) -> str:
    """A zero-width space in the middle."""
    return text[: len(text) // 2] + ZERO_WIDTH + text[len(text) // 2 :]


def cn_id(rng: random.Random) -> list[str]:
    born = f"{rng.randint(1950, 2005)}{rng.randint(1, 12):02d}{rng.randint(10, 28)}"
    first = f"{rng.choice(['11', '36', '44', '62'])}0105{born}{some(rng, 3)}"
    value = first + checksums.cn_id_check(first)
    return [value, value.lower(), groups(value, (6, 8, 4), " "), value.translate(WIDE), hidden(value), " ".join(value)]


def cn_mobile(rng: random.Random) -> list[str]:
    value = rng.choice(["138", "159", "186", "199", "177"]) + some(rng, 8)
    split = groups(value, (3, 4, 4), "-")
    return [
        value, split, split.replace("-", " "), f"+86{value}", f"+86 {value}", f"+86-{split}", f"0086{value}",
        value.translate(WIDE), hidden(value), percent(f"+86{value}"), f"(+86){value}", f"86 {value}",
    ]  # fmt: skip


def card(rng: random.Random) -> list[str]:
    found = []
    for prefix, size in (("4", 16), ("51", 16), ("37", 15), ("622202", 19), ("6217", 18), ("36", 14)):
        body = prefix + some(rng, size - 1 - len(prefix))
        found.append(body + next(d for d in DIGITS if checksums.luhn(body + d)))
    return [*found, groups(found[0], (4, 4, 4), " "), groups(found[1], (4, 4, 4), "-"), found[0].translate(WIDE)]


def uscc(rng: random.Random) -> list[str]:
    body = "91" + "440300" + some(rng, 9, checksums.USCC_SIGNS)
    value = body + next(sign for sign in checksums.USCC_SIGNS if checksums.uscc(body + sign))
    return [value, value.lower(), value.translate(WIDE), hidden(value)]


def email(rng: random.Random) -> list[str]:
    word = some(rng, 6, string.ascii_lowercase)
    plain = f"{word}.{some(rng, 3, string.ascii_lowercase)}@mail.example.com"
    return [
        plain, f"{some(rng, 9)}@qq.com", f"{word}+news@example.co.uk", plain.upper(), percent(plain),
        f"{word.title()}_{some(rng, 2)}@corp-1.example.org", f"{some(rng, 11)}@163.com", plain.translate(WIDE),
    ]  # fmt: skip


def ip(rng: random.Random) -> list[str]:
    a, b, c = (rng.randint(1, 254) for _ in range(3))
    return [
        f"203.0.113.{a}", f"10.{a}.{b}.{c}", f"192.168.1.{a % 10}", f"2001:db8::{a:x}", f"2001:DB8:{a:X}:{b:X}::{c:X}",
        f"fe80::{a:x}:{b:x}%eth0", f"::ffff:203.0.113.{a}", "2001:0db8:0000:0000:0000:0000:0000:" + f"{a:04x}",
    ]  # fmt: skip


def iban(rng: random.Random) -> list[str]:
    found = []
    for country, size in (("DE", 18), ("GB", 18), ("NO", 11), ("FR", 23), ("PL", 24)):
        body = (some(rng, 4, string.ascii_uppercase) + some(rng, size - 4)) if country == "GB" else some(rng, size)
        found.append(next(f"{country}{n:02d}{body}" for n in range(2, 99) if checksums.iban(f"{country}{n:02d}{body}")))
    fours = groups(found[0], (4,) * 5, " ")
    return [*found, fours, fours.lower(), groups(found[3], (4,) * 6, " "), found[1].translate(WIDE)]


def us_ssn(rng: random.Random) -> list[str]:
    value = f"{rng.randint(100, 599)}{rng.randint(10, 99)}{rng.randint(1000, 9999)}"
    return [groups(value, (3, 2), "-"), groups(value, (3, 2), " "), value, groups(value, (3, 2), "-").translate(WIDE)]


def phone_intl(rng: random.Random) -> list[str]:
    us = f"212-555-01{some(rng, 2)}"
    return [
        f"+1 {us}", f"({us[:3]}) {us[4:]}", us, f"+44 20 7946 0{some(rng, 3)}", f"+49 30 2{some(rng, 6)}",
        f"+33 6 {some(rng, 2)} {some(rng, 2)} {some(rng, 2)} {some(rng, 2)}", f"+852 6{some(rng, 3)} {some(rng, 4)}",
        f"010-6{some(rng, 7)}", f"(021) 5{some(rng, 7)}", f"+86 10 6{some(rng, 3)} {some(rng, 4)}",
        f"+44 (0)20 7946 0{some(rng, 3)}",
    ]  # fmt: skip


def secret(rng: random.Random) -> list[str]:
    mixed = string.ascii_letters + DIGITS
    lines = "\n".join(some(rng, 48, mixed) for _ in range(3))
    return [
        "gh" + "p_" + some(rng, 36, mixed),
        "s" + "k-" + some(rng, 40, mixed) + "7Qz",
        "AK" + "IA" + some(rng, 12, string.ascii_uppercase) + some(rng, 4, "234567"),
        "ey" + "J" + some(rng, 20, mixed) + ".ey" + "J" + some(rng, 40, mixed) + "." + some(rng, 30, mixed),
        f"-----BEGIN RSA {'PRIVATE'} KEY-----\n{lines}\n-----END RSA {'PRIVATE'} KEY-----",
        f"{some(rng, 7, string.ascii_letters)}!{some(rng, 3)}z#{some(rng, 8, mixed)}",
    ]


def cn_plate(rng: random.Random) -> list[str]:
    digits = some(rng, 4)
    return [
        f"京A{digits}5",
        f"沪B·K{digits}",
        f"粤BD{digits}7",
        f"苏e{digits}9",
        f"鲁C{digits}挂",
        f"使12{digits[:1]}·{digits[1:]}",
    ]


def passport(rng: random.Random) -> list[str]:
    return [f"E{some(rng, 8)}", f"EA{some(rng, 7)}", f"g{some(rng, 8)}", f"51{some(rng, 7)}", f"E {some(rng, 8)}"]


MAKERS: dict[str, Callable[[random.Random], list[str]]] = {
    "CN_ID": cn_id, "CN_MOBILE": cn_mobile, "CARD": card, "USCC": uscc, "EMAIL": email, "IP": ip, "IBAN": iban,
    "US_SSN": us_ssn, "PHONE_INTL": phone_intl, "SECRET": secret, "CN_PLATE": cn_plate, "PASSPORT": passport,
}  # fmt: skip


def values(seed: int = 0) -> list[tuple[str, str]]:
    """(type, value) of every type in every spelling."""
    rng = random.Random(seed)
    return [(type, value) for type, make in MAKERS.items() for value in make(rng)]


# The word that names each type, so that a detector has its context.
NAMED = {
    "CN_ID": "身份证号：{}，",
    "CN_MOBILE": "手机{}",
    "CARD": "card no. {}, ",
    "USCC": "统一社会信用代码{}。",
    "EMAIL": "mail <{}> ",
    "IP": "server {} down",
    "IBAN": "IBAN {} ",
    "US_SSN": "SSN: {}; ",
    "PHONE_INTL": "phone {}, ",
    "SECRET": "password={} ",
    "CN_PLATE": "车牌{}，",
    "PASSPORT": "护照号：{}。",
}
# Places that make something else of what stands in them.
PLACES = (
    *NAMED.values(), "{}", "电话：{} ", "tel:{}", "call me at {}.", "contact <{}>", 'password: "{}"', "密码：{} ",
    "key = '{}'", "token {} ", "export API_KEY={}\n", "order #{} ", "fax {} or {}", "联系方式：{}、{}",
    "| name | phone | card |\n| --- | --- | --- |\n| Li | {} | {} |\n", '{{"ip": "{}", "tel": "{}"}}',
    "https://example.com/?q={}&tel={}", "ssn,passport\n{},{}\n", "postgres://user:{}@db:5432/x",
)  # fmt: skip

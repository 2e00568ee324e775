"""Exercise `pseudonym`: the values it is tried on, and what the usual mistakes make of them."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import itertools
import unicodedata
from collections.abc import Callable

Code = Callable[[str, str, bytes], str]

KEYS = {"bytes(range(32))": bytes(range(32)), "bytes(range(64, 112))": bytes(range(64, 112))}
FIRST, SECOND = KEYS
MOBILE, ID, CARD = "13800138000", "11000019900307001X", "2026031500000012"

# (value, type, name of the key); nothing to normalise. Two types share a value, two pairs share what they join to.
PLAIN: tuple[tuple[str, str, str], ...] = (
    (MOBILE, "CN_MOBILE", FIRST),
    (ID, "CN_ID", FIRST),
    (ID, "PASSPORT", FIRST),
    ("BC", "A", FIRST),
    ("C", "AB", FIRST),
    ("1234", "Badge", FIRST),
    (CARD, "CARD", SECOND),
    (MOBILE, "CN_MOBILE", SECOND),
)
WIDE = {ord(char): ord(char) + 0xFEE0 for char in "0123456789+-Xx"} | {ord(" "): 0x3000}
# (value, type, what is asked by it): each only differs in this from what was right already.
SPELLED: tuple[tuple[str, str, str], ...] = (
    ("138 0013 8000", "CN_MOBILE", "space"),
    ("138-0013-8000", "CN_MOBILE", "dash"),
    ("+8613800138000", "CN_MOBILE", "plus"),
    ("+86 138-0013-8000", "CN_MOBILE", "plus"),
    ("008613800138000", "CN_MOBILE", "zeros"),
    ("00 86 138 0013 8000", "CN_MOBILE", "order"),
    ("+86 174 0086 8686", "CN_MOBILE", "inner"),
    ("0086-154-8686-8686", "CN_MOBILE", "inner"),
    (MOBILE.translate(WIDE), "CN_MOBILE", "wide"),
    ("138 0013 8000".translate(WIDE), "CN_MOBILE", "wide_separator"),
    ("138-0013-8000".translate(WIDE), "CN_MOBILE", "wide_separator"),
    ("+86 138 0013 8000".translate(WIDE), "CN_MOBILE", "wide_plus"),
    ("110000 19900307 001X", "CN_ID", "every_type"),
    ("2026-0315-0000-0012", "CARD", "every_type"),
    (CARD.translate(WIDE), "CARD", "every_type"),
    ("11000019900307001x", "CN_ID", "small"),
    ("11000019900307001x".translate(WIDE), "CN_ID", "small"),
    ("京A12345", "CN_PLATE", "ascii"),
    ("京a 12345", "CN_PLATE", "small"),
    ("0086 1234 5678 9018", "CARD", "only_mobile"),
    ("+86 1234", "Badge", "only_dashes"),
    ("A.1/2", "Badge", "only_dashes"),
    ("É7", "Badge", "form"),
    ("Ⅻ 7", "Badge", "form"),
)


def normal(value: str, type: str) -> str:
    """One spelling of a value.

    >>> normal("+86 138-0013-8000", "CN_MOBILE"), normal("0086 1234", "CARD")
    ('13800138000', '00861234')
    """
    value = unicodedata.normalize("NFKC", value).replace(" ", "").replace("-", "").upper()
    return value.removeprefix("+86").removeprefix("0086") if type == "CN_MOBILE" else value


def definition(value: str, type: str, key: bytes) -> str:
    """The pseudonym as the task has it."""
    return unnormalised(normal(value, type), type, key)


def unnormalised(value: str, type: str, key: bytes) -> str:
    """The same of a value as it is."""
    return hmac.new(key, type.encode() + b"\0" + value.encode(), hashlib.sha256).hexdigest()[:16]


# ---------------------------------------------------------------- mistakes: three choices, each of them right or wrong


def _hmac(name: str) -> Callable[[bytes, bytes], bytes]:
    return lambda key, message: hmac.new(key, message, name).digest()


# Key and message to a digest. None: right.
DIGESTS: tuple[tuple[str | None, Callable[[bytes, bytes], bytes]], ...] = (
    (None, _hmac("sha256")),
    ("no_key", lambda key, message: hashlib.sha256(message).digest()),
    ("no_key", lambda key, message: hashlib.md5(message).digest()),
    ("no_key", lambda key, message: hashlib.sha1(message).digest()),
    ("no_key", lambda key, message: hashlib.sha512(message).digest()),
    ("joined", lambda key, message: hashlib.sha256(key + message).digest()),
    ("joined", lambda key, message: hashlib.sha256(message + key).digest()),
    ("joined", lambda key, message: hashlib.sha256(key + b"\0" + message).digest()),
    ("joined", lambda key, message: hashlib.sha256(key.hex().encode() + message).digest()),
    ("joined", lambda key, message: hashlib.md5(key + message).digest()),
    ("exchanged", lambda key, message: hmac.new(message, key, hashlib.sha256).digest()),
    ("algorithm", _hmac("md5")),
    ("algorithm", _hmac("sha1")),
    ("algorithm", _hmac("sha512")),
    ("algorithm", _hmac("sha224")),
    ("algorithm", _hmac("sha3_256")),
    ("algorithm", lambda key, message: hashlib.blake2b(message, key=key).digest()),
    ("algorithm", lambda key, message: hashlib.blake2b(message, key=key, digest_size=8).digest()),
    ("key_text", lambda key, message: hmac.new(key.hex().encode(), message, hashlib.sha256).digest()),
    ("key_text", lambda key, message: hmac.new(str(key).encode(), message, hashlib.sha256).digest()),
    ("key_short", lambda key, message: hmac.new(key[:16], message, hashlib.sha256).digest()),
    ("key_short", lambda key, message: hmac.new(key[:32], message, hashlib.sha256).digest()),
)
# Type and value to a message.
_SEPARATORS = (":", "|", " ", "_", "-", ",", "/", "\n", ";", "0", "\\0", "\0\0", "\t", ".", "#", "=")
MESSAGES: tuple[tuple[str | None, Callable[[str, str], str]], ...] = (
    (None, lambda type, value: f"{type}\0{value}"),
    ("no_type", lambda type, value: value),
    ("no_type", lambda type, value: f"\0{value}"),
    ("no_separator", lambda type, value: type + value),
    ("no_separator", lambda type, value: value + type),
    ("turned", lambda type, value: f"{value}\0{type}"),
    *(("separator", lambda type, value, mark=mark: f"{type}{mark}{value}") for mark in _SEPARATORS),
    ("no_value", lambda type, value: type),
    *(
        ("type_case", lambda type, value, change=change: f"{change(type)}\0{value}")
        for change in (str.lower, str.upper)
    ),
)
# A digest to what is returned.
CUTS: tuple[tuple[str | None, Callable[[bytes], str]], ...] = (
    (None, lambda digest: digest.hex()[:16]),
    *(("length", lambda digest, n=n: digest.hex()[:n]) for n in (4, 6, 8, 10, 12, 15, 17, 20, 24, 32, 40, 64, 128)),
    ("end", lambda digest: digest.hex()[-16:]),
    ("capitals", lambda digest: digest.hex()[:16].upper()),
    ("prefix", lambda digest: "0x" + digest.hex()[:14]),
    ("prefix", lambda digest: "0x" + digest.hex()[:16]),
    ("base64", lambda digest: base64.b64encode(digest).decode()[:16]),
    ("base64", lambda digest: base64.urlsafe_b64encode(digest).decode()[:16]),
    ("base64", lambda digest: base64.b64encode(digest).decode()),
)


@functools.cache
def wrong_codes() -> tuple[tuple[str, Code], ...]:
    """Every combination with something wrong in it, named by the first such thing; fewest wrong ones first."""
    combinations = sorted(
        itertools.product(DIGESTS, MESSAGES, CUTS), key=lambda parts: sum(name is not None for name, _ in parts)
    )
    codes = []
    for (wrong, digest), (message_wrong, message), (cut_wrong, cut) in combinations:
        name = wrong or message_wrong or cut_wrong
        if name is not None:
            codes.append((name, _code(digest, message, cut)))
    return *codes, *(("hash", _hashed(mix, show)) for mix, show in itertools.product(_HASHED, _SHOWN))


def _code(
    digest: Callable[[bytes, bytes], bytes], message: Callable[[str, str], str], cut: Callable[[bytes], str]
) -> Code:
    return lambda value, type, key: cut(digest(key, message(type, value).encode()))


def _hashed(mix: Callable[[str, str, bytes], int], show: Callable[[int], str]) -> Code:
    return lambda value, type, key: show(mix(value, type, key))


# Python's own hash(), which is another one in every process.
_HASHED: tuple[Callable[[str, str, bytes], int], ...] = (
    lambda value, type, key: hash(value),
    lambda value, type, key: hash((type, value)),
    lambda value, type, key: hash((type, value, key)),
    lambda value, type, key: hash((value, type, key)),
    lambda value, type, key: hash((key, type, value)),
    lambda value, type, key: hash(type + value),
    lambda value, type, key: hash(f"{type}\0{value}"),
    lambda value, type, key: hash(key + f"{type}\0{value}".encode()),
    lambda value, type, key: hash(key + type.encode() + b"\0" + value.encode()),
)
_SHOWN: tuple[Callable[[int], str], ...] = (
    lambda number: f"{number & (2**64 - 1):016x}",
    lambda number: f"{abs(number):016x}",
    lambda number: f"{abs(number):x}"[:16],
    lambda number: hex(number)[2:18],
    lambda number: hex(number)[-16:],
    lambda number: str(number),
    lambda number: str(abs(number))[:16],
)

"""Secrets with the look of real ones, put together at run time: no literal in this file has a key's shape.

Code hosts refuse a push that holds something shaped like a key, and rightly so. Here a maker's prefix is written in two
halves, and its body is drawn.
"""

from __future__ import annotations

import base64
import json
import random
import string

ALPHANUMERIC = string.ascii_letters + string.digits
# Two halves of the prefix, length of the body, its alphabet.
MAKERS = (
    ("AK" + "IA", 16, string.ascii_uppercase + "234567"),
    ("gh" + "p_", 36, ALPHANUMERIC),
    ("gl" + "pat-", 20, ALPHANUMERIC),
    ("s" + "k-proj-", 48, ALPHANUMERIC),
    ("s" + "k-", 48, ALPHANUMERIC),
    ("sk" + "_live_", 24, ALPHANUMERIC),
    ("AI" + "za", 35, ALPHANUMERIC + "_-"),
    ("h" + "f_", 34, string.ascii_letters),
    ("np" + "m_", 36, ALPHANUMERIC),
    ("LT" + "AI5t", 18, ALPHANUMERIC),
)
WORDS = ("river", "copper", "maple", "tiger", "window", "silver", "garden", "rocket", "violet", "harbor")


def drawn(rng: random.Random, alphabet: str, n: int) -> str:
    """n signs, of which some are digits and some letters where the alphabet has both."""
    while True:
        text = "".join(rng.choices(alphabet, k=n))
        if len(set(text)) > n // 4 and (any(c.isdigit() for c in text) or not any(c.isdigit() for c in alphabet)):
            return text


def provider_key(rng: random.Random) -> str:
    """A key that its maker's prefix gives away."""
    if rng.random() < 0.1:
        numbers = "-".join(drawn(rng, string.digits, 12) for _ in range(2))
        return "xo" + f"xb-{numbers}-{drawn(rng, ALPHANUMERIC, 24)}"
    prefix, n, alphabet = rng.choice(MAKERS)
    return prefix + drawn(rng, alphabet, n)


def jwt(rng: random.Random) -> str:
    """A JSON web token (RFC 7519): header, claims and a signature that signs nothing."""
    claims = {"sub": f"user-{rng.randint(100, 999)}", "iat": rng.randrange(1_600_000_000, 1_800_000_000)}
    written = [json.dumps(part, separators=(",", ":")) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    parts = [*map(str.encode, written), rng.randbytes(32)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def pem(rng: random.Random) -> str:
    """A private key block: armour around random bytes."""
    name = rng.choice(("RSA ", "EC ", "", "OPENSSH ")) + "PRIVATE " + "KEY"
    body = base64.b64encode(rng.randbytes(48 * rng.randint(3, 8))).decode()
    lines = [body[i : i + 64] for i in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {name}-----", *lines, f"-----END {name}-----"])


def password(rng: random.Random) -> str:
    """What a person or a generator sets; only a keyword before it says what it is."""
    if rng.random() < 0.4:
        word = rng.choice(WORDS)
        return f"{word.title()}{rng.choice('!#$_-')}{rng.randint(10, 9999)}{rng.choice(WORDS)[:3].upper()}"
    return drawn(rng, ALPHANUMERIC + "!#%_*", rng.randint(12, 20)) + rng.choice(ALPHANUMERIC)


def token(rng: random.Random) -> str:
    """Random hexadecimal or base 62, without a prefix."""
    if rng.random() < 0.5:
        return drawn(rng, "0123456789abcdef", rng.choice((32, 40)))
    return drawn(rng, ALPHANUMERIC, rng.choice((24, 32, 43)))

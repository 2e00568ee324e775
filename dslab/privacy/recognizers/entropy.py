"""Does a string look drawn at random, or written by a person as a name, a word, a placeholder?

    H = -sum_c p_c log2 p_c     bits a sign, over the signs of the string (Shannon 1948)

A random base64 string of 20 signs has about 4 bits a sign, a hexadecimal one 3 to 3.7, English words 2.5 to 3.5: the
entropy alone does not part them, digits among the letters do.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter

_PLACEHOLDER = re.compile(
    r"x{4,}|\*{3,}|\.{3,}|_{4,}|#{3,}|0{8}|(?<![a-z])your[_\-. ]?|(?<![a-z])my[_\-. ]|changeme|change[_\-]me"
    r"|placeholder|example|sample|dummy|redacted|masked|insert|replace|todo|fixme|foobar|fake|[_\-]here"
    r"|secret[_\-]?(?:key|here)|test[_\-]?(?:key|token|secret)|1234567890abcdef|abcdefghij|deadbeef|\A(?:none|null|undefined|true|false)\Z"
    r"|<[^>]{0,60}>|\$\{|\{\{|\$\(|%\(|\A%s\Z|\{[a-z_]{1,30}\}|process\.env|os\.environ|getenv|\.get\(",
    re.IGNORECASE,
)
_CODE = re.compile(
    r"[A-Za-z_][\w.]*[(\[]|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\Z|\$[A-Za-z_]|[%@$&]\{|/[A-Za-z]|https?://|\.{0,2}/"
)


def entropy(value: str) -> float:
    """Bits a sign.

    >>> entropy("aaaa"), entropy("abab"), entropy("abcd")
    (0.0, 1.0, 2.0)
    """
    total = len(value)
    return sum(-count / total * math.log2(count / total) for count in Counter(value).values()) + 0.0


def is_placeholder(value: str) -> bool:
    """Written to be replaced: `your-api-key`, `xxxx`, `<token>`, `${VAR}`.

    >>> is_placeholder("your-api-key-here"), is_placeholder("kT93hQ0zLw81")
    (True, False)
    """
    return _PLACEHOLDER.search(value) is not None or len(set(value)) <= 3


def is_random(value: str) -> bool:
    """Digits and letters mixed, at least 3 bits a sign, and not words joined by dashes.

    >>> is_random("kT93hQ0zLw81vB5nXc2m"), is_random("learn-contrib-stacking-2"), is_random("getUserPassword")
    (True, False, False)
    """
    digits = sum(c.isdigit() for c in value)
    letters = sum(c.isascii() and c.isalpha() for c in value)
    if not letters or entropy(value) < 3.0:
        return False
    if digits == 0:
        has_both = not value.islower() and not value.isupper()
        return has_both and len(value) >= 24 and switches(value) >= len(value) / 5
    if _CODE.match(value) and not re.fullmatch(r"[0-9A-Za-z+/=_\-]{20,}", value):
        return False
    words = re.findall(r"[A-Za-z]{5,}", value)
    longest = sum(len(word) for word in words if word.islower() or word.isupper() or word.istitle())
    return longest < 0.6 * len(value) or digits >= len(value) / 5


def switches(value: str) -> int:
    """How often neighbours change between lower case, upper case and the rest."""
    kinds = [0 if c.islower() else 1 if c.isupper() else 2 for c in value]
    return sum(a != b for a, b in itertools.pairwise(kinds))


def is_password(value: str) -> bool:
    """What people choose: six signs and more of at least two kinds, one of them a digit or a special sign, and no code.

    >>> is_password("hunter2!"), is_password("getpass()"), is_password("your_password"), is_password("required")
    (True, False, False, False)
    """
    if _CODE.match(value) or len(value) > 128:
        return False
    kinds = (
        any(c.islower() for c in value),
        any(c.isupper() for c in value),
        any(c.isdigit() for c in value),
        any(not c.isalnum() for c in value),
    )
    if not (kinds[0] or kinds[1]) or len(set(value)) < 5:
        return False
    return kinds[2] or any(char in "!@#$%^&*?~+=" for char in value)
